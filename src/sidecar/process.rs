//! Reads the peer's process from `/proc` and its cgroups.

use std::time::SystemTime;

use procfs::process::{LimitValue, Process, Stat};
use procfs::{FromRead, Meminfo};

use crate::config::ProcessBy;

use super::cgroup::Memory;
use super::finder::{Finder, Found};
use super::host::{HostDirs, explain, seconds};
use super::reading::{ProcessReading, Unavailable, value_or_note};
use super::{connections, jvm};

/// Finds and reads the process of one peer, repeatedly.
#[derive(Clone, Debug)]
pub(super) struct ProcessReader {
    host: HostDirs,
    finder: Finder,
}

impl ProcessReader {
    pub(super) fn new(host: HostDirs, by: ProcessBy) -> Self {
        let finder = Finder::new(host.proc.clone(), by);
        Self { host, finder }
    }

    /// Reads once. Blocks.
    pub(super) fn read(&mut self) -> ProcessReading {
        match self.finder.find() {
            Found::Running(process, stat) => self.running(&process, &stat),
            Found::Gone(why) => absent(Some(false), why),
            Found::Unknown(why) => absent(None, why),
        }
    }

    fn running(&self, process: &Process, stat: &Stat) -> ProcessReading {
        let mut unavailable = Unavailable::new();
        let mut from_status = |field, kib: Option<u64>| {
            let bytes = kib.map(|kib| kib * 1024);
            let bytes = bytes.ok_or_else(|| "this kernel does not report it".to_owned());
            value_or_note(&mut unavailable, field, bytes)
        };
        let status = process.status().ok();
        let resident = from_status(
            "resident_memory_bytes",
            status.as_ref().and_then(|it| it.vmrss),
        );
        let anonymous = from_status(
            "anonymous_memory_bytes",
            status
                .as_ref()
                .and_then(|it| Some(it.rssanon? + it.rssshmem.unwrap_or(0))),
        );
        let limits = process.limits().map_err(|error| explain(&error));
        let max_fds = limits.and_then(|limits| match limits.max_open_files.soft_limit {
            LimitValue::Value(limit) => Ok(limit),
            LimitValue::Unlimited => Err("there is no limit".to_owned()),
        });
        let open_fds = process.fd_count().map_err(|error| explain(&error));
        let memory = Memory::read(process, &self.host);
        let host_memory =
            Meminfo::from_file(self.host.proc.join("meminfo")).map_err(|error| explain(&error));
        let limit = memory.limit.and_then(|limit| match limit {
            Some(limit) => {
                Ok(host_memory.map_or(limit, |memory: Meminfo| limit.min(memory.mem_total)))
            }
            None => host_memory.map(|memory| memory.mem_total),
        });
        let started = self.finder.started(stat).map_err(|error| explain(&error));
        let since_epoch = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64()
        };
        ProcessReading {
            process_up: Some(true),
            pid: Some(stat.pid),
            resident_memory_bytes: resident,
            anonymous_memory_bytes: anonymous,
            memory_limit_bytes: value_or_note(&mut unavailable, "memory_limit_bytes", limit),
            cpu_seconds: Some(seconds(stat.utime + stat.stime)),
            open_fds: value_or_note(&mut unavailable, "open_fds", open_fds).map(|open| open as u64),
            max_fds: value_or_note(&mut unavailable, "max_fds", max_fds),
            threads: u64::try_from(stat.num_threads).ok(),
            start_time_seconds: value_or_note(&mut unavailable, "start_time_seconds", started)
                .map(since_epoch),
            oom_kills: value_or_note(&mut unavailable, "oom_kills", memory.oom_kills),
            connections: value_or_note(&mut unavailable, "connections", connections::read(process)),
            jvm: value_or_note(&mut unavailable, "jvm", jvm::read(process, &self.host)),
            unavailable,
        }
    }
}

fn absent(process_up: Option<bool>, why: String) -> ProcessReading {
    ProcessReading {
        process_up,
        unavailable: [("process", why)].into(),
        ..ProcessReading::default()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use crate::sidecar::test_host::{BOOT_TIME, MEMORY_BYTES, TestHost};

    use super::*;

    /// A process that ends with the test.
    struct Sleeper(Child);

    impl Sleeper {
        /// A duration that no other process sleeps for.
        fn argument(nth: u32) -> String {
            format!("86399.{}{nth}", std::process::id())
        }

        fn start(nth: u32) -> Self {
            let argument = Self::argument(nth);
            Self(Command::new("sleep").arg(argument).spawn().unwrap())
        }

        fn pid(&self) -> Option<i32> {
            i32::try_from(self.0.id()).ok()
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn a_process_is_read_and_found_again_after_a_restart() {
        let by = ProcessBy::Command(Sleeper::argument(1));
        let mut reader = ProcessReader::new(HostDirs::default(), by);
        assert_eq!(reader.read().process_up, Some(false));
        let first = Sleeper::start(1);
        // The child has its own command line only once it runs `sleep`.
        let reading = loop {
            let reading = reader.read();
            if reading.process_up == Some(true) {
                break reading;
            }
        };
        assert_eq!(reading.pid, first.pid());
        let resident = reading.resident_memory_bytes.unwrap();
        let anonymous = reading.anonymous_memory_bytes.unwrap();
        assert!(
            0 < anonymous && anonymous <= resident,
            "{anonymous}, {resident}"
        );
        assert!(reading.memory_limit_bytes.unwrap() > resident);
        assert!(reading.cpu_seconds.is_some());
        assert_eq!(reading.threads, Some(1));
        let open = reading.open_fds.unwrap();
        assert!(3 <= open && open <= reading.max_fds.unwrap(), "{open}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let age = now.unwrap().as_secs_f64() - reading.start_time_seconds.unwrap();
        assert!(age.abs() < 3600.0, "{age} s old");
        drop(first);
        let reading = reader.read();
        assert_eq!(reading.process_up, Some(false));
        assert_eq!(reading.resident_memory_bytes, None);
        let second = Sleeper::start(1);
        while reader.read().process_up != Some(true) {}
        assert_eq!(reader.read().pid, second.pid());
    }

    #[test]
    fn a_process_is_found_by_its_pid_file_while_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("peer.pid");
        let child = Sleeper::start(2);
        std::fs::write(&file, child.0.id().to_string()).unwrap();
        let mut reader = ProcessReader::new(HostDirs::default(), ProcessBy::PidFile(file));
        assert_eq!(reader.read().pid, child.pid());
        drop(child);
        assert_eq!(reader.read().process_up, Some(false));
    }

    #[test]
    fn a_value_that_cannot_be_read_is_absent_with_its_reason() {
        let host = TestHost::new();
        host.add_process(22, 1, 100, "java -jar convex.jar");
        let by = ProcessBy::Command("convex.jar".to_owned());
        let mut reader = ProcessReader::new(host.dirs(), by);
        let reading = reader.read();
        assert_eq!(reading.resident_memory_bytes, Some(900 << 10));
        assert_eq!(
            reading.anonymous_memory_bytes,
            Some(600 << 10),
            "including shared memory"
        );
        assert_eq!(
            reading.memory_limit_bytes,
            Some(MEMORY_BYTES),
            "the memory of the host"
        );
        assert_eq!(reading.cpu_seconds, Some(seconds(200)));
        assert_eq!((reading.threads, reading.max_fds), (Some(7), Some(1024)));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let started = (BOOT_TIME + 100) as f64;
        assert_eq!(reading.start_time_seconds, Some(started));
        assert_eq!((reading.open_fds, reading.oom_kills), (None, None));
        let unavailable: Vec<&str> = reading.unavailable.keys().copied().collect();
        assert_eq!(unavailable, ["connections", "jvm", "oom_kills", "open_fds"]);
    }

    #[test]
    fn a_limit_above_the_memory_of_the_host_is_that_memory() {
        let host = TestHost::new();
        host.add_process(22, 1, 100, "java -jar convex.jar");
        host.write("proc/22/cgroup", "0::/peer\n");
        host.write("cgroup/peer/memory.max", &(MEMORY_BYTES * 4).to_string());
        let by = ProcessBy::Command("convex.jar".to_owned());
        let limit = || {
            ProcessReader::new(host.dirs(), by.clone())
                .read()
                .memory_limit_bytes
        };
        assert_eq!(limit(), Some(MEMORY_BYTES));
        host.write("cgroup/peer/memory.max", &(MEMORY_BYTES / 4).to_string());
        assert_eq!(limit(), Some(MEMORY_BYTES / 4));
    }
}

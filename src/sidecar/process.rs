//! What /proc and the cgroups say of the peer's process.

use std::path::PathBuf;
use std::time::SystemTime;

use procfs::process::{LimitValue, Process, Stat};
use procfs::{FromRead, Meminfo};

use crate::config::ProcessBy;

use super::cgroup::Memory;
use super::find::{Finder, Found, ticks, why};
use super::reading::{ProcessReading, Unavailable, keep};

/// Where the system shows what is read; elsewhere in tests alone.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) proc: PathBuf,
    pub(super) cgroup: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            cgroup: "/sys/fs/cgroup".into(),
        }
    }
}

impl Host {
    /// The root directory as the process `pid` sees it.
    pub(super) fn root_of(&self, pid: i32) -> PathBuf {
        self.proc.join(pid.to_string()).join("root")
    }
}

/// Reads one peer's process again and again.
#[derive(Clone, Debug)]
pub(super) struct ProcessReader {
    host: Host,
    finder: Finder,
}

impl ProcessReader {
    pub(super) fn new(host: Host, by: ProcessBy) -> Self {
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
        let mut of_status = |what, value: Option<u64>| {
            let told = value.map(|kib| kib * 1024);
            keep(
                &mut unavailable,
                what,
                told.ok_or_else(|| "this kernel does not tell it".to_owned()),
            )
        };
        let status = process.status().ok();
        let resident = of_status(
            "resident_memory_bytes",
            status.as_ref().and_then(|it| it.vmrss),
        );
        let anonymous = of_status(
            "anonymous_memory_bytes",
            status
                .as_ref()
                .and_then(|it| Some(it.rssanon? + it.rssshmem.unwrap_or(0))),
        );
        let limits = process.limits().map_err(|error| why(&error));
        let max_fds = limits.and_then(|limits| match limits.max_open_files.soft_limit {
            LimitValue::Value(limit) => Ok(limit),
            LimitValue::Unlimited => Err("there is no limit".to_owned()),
        });
        let open_fds = process.fd_count().map_err(|error| why(&error));
        let memory = Memory::read(process, &self.host);
        let host_memory =
            Meminfo::from_file(self.host.proc.join("meminfo")).map_err(|error| why(&error));
        let limit = memory.limit.and_then(|limit| match limit {
            Some(limit) => {
                Ok(host_memory.map_or(limit, |of_host: Meminfo| limit.min(of_host.mem_total)))
            }
            None => host_memory.map(|of_host| of_host.mem_total),
        });
        let started = self.finder.started(stat).map_err(|error| why(&error));
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
            memory_limit_bytes: keep(&mut unavailable, "memory_limit_bytes", limit),
            cpu_seconds: Some(ticks(stat.utime + stat.stime)),
            open_fds: keep(&mut unavailable, "open_fds", open_fds).map(|open| open as u64),
            max_fds: keep(&mut unavailable, "max_fds", max_fds),
            threads: u64::try_from(stat.num_threads).ok(),
            start_time_seconds: keep(&mut unavailable, "start_time_seconds", started)
                .map(since_epoch),
            oom_kills: keep(&mut unavailable, "oom_kills", memory.oom_kills),
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

    use super::*;
    use crate::sidecar::fixture::{BOOTED, Files, MEMORY};

    /// A process of the test, ended with it.
    struct Sleeper(Child);

    impl Sleeper {
        /// Nobody else sleeps as long.
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
        let mut reader = ProcessReader::new(Host::default(), by);
        assert_eq!(reader.read().process_up, Some(false));
        let first = Sleeper::start(1);
        // It has its own command line only when it has become `sleep`.
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
    fn a_pid_file_leads_to_the_process_for_as_long_as_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("peer.pid");
        let child = Sleeper::start(2);
        std::fs::write(&file, child.0.id().to_string()).unwrap();
        let mut reader = ProcessReader::new(Host::default(), ProcessBy::PidFile(file));
        assert_eq!(reader.read().pid, child.pid());
        drop(child);
        assert_eq!(reader.read().process_up, Some(false));
    }

    #[test]
    fn what_cannot_be_read_is_absent_with_its_reason_and_the_rest_is_there() {
        let files = Files::new();
        files.process(22, 1, 100, "java -jar convex.jar");
        let by = ProcessBy::Command("convex.jar".to_owned());
        let mut reader = ProcessReader::new(files.host(), by);
        let reading = reader.read();
        assert_eq!(reading.resident_memory_bytes, Some(900 << 10));
        assert_eq!(
            reading.anonymous_memory_bytes,
            Some(600 << 10),
            "with the shared"
        );
        assert_eq!(reading.memory_limit_bytes, Some(MEMORY), "the host's");
        assert_eq!(reading.cpu_seconds, Some(ticks(200)));
        assert_eq!((reading.threads, reading.max_fds), (Some(7), Some(1024)));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let started = (BOOTED + 100) as f64;
        assert_eq!(reading.start_time_seconds, Some(started));
        assert_eq!((reading.open_fds, reading.oom_kills), (None, None));
        let told: Vec<&str> = reading.unavailable.keys().copied().collect();
        assert_eq!(told, ["oom_kills", "open_fds"]);
    }

    #[test]
    fn a_limit_beyond_the_host_is_the_hosts() {
        let files = Files::new();
        files.process(22, 1, 100, "java -jar convex.jar");
        files.write("proc/22/cgroup", "0::/peer\n");
        files.write("cgroup/peer/memory.max", &(MEMORY * 4).to_string());
        let by = ProcessBy::Command("convex.jar".to_owned());
        let limit = || {
            ProcessReader::new(files.host(), by.clone())
                .read()
                .memory_limit_bytes
        };
        assert_eq!(limit(), Some(MEMORY));
        files.write("cgroup/peer/memory.max", &(MEMORY / 4).to_string());
        assert_eq!(limit(), Some(MEMORY / 4));
    }
}

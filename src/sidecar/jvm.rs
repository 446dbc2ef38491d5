//! Heap and garbage collections of the peer's JVM, from the file of performance counters that every
//! `HotSpot` JVM writes unless that is switched off. Nothing is loaded into the JVM, and it is
//! asked nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use procfs::process::Process;
use rustix::fs::{Mode, OFlags};

use super::host::{HostDirs, explain};
use super::perf_data::PerfData;
use super::reading::{Collections, Collector, JvmReading};

/// Maximum size of the file. A JVM makes it 32 KiB unless told otherwise.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Most generations of a heap, and most spaces of one.
const MAX_GENERATIONS: usize = 2;
const MAX_SPACES: usize = 3;

/// Policy of the collector whose generations share one heap.
const G1: &str = "GarbageFirst";

/// Reads the counters of a JVM.
///
/// # Errors
/// The JVM writes none, or this agent may not read them.
pub(super) fn read(process: &Process, host: &HostDirs) -> Result<JvmReading, String> {
    let status = process.status().map_err(|error| explain(&error))?;
    let inner_pid = status.nspid.as_deref().and_then(<[i32]>::last).copied();
    let temporary = host.root_of(process.pid).join("tmp");
    let path = find(&temporary, inner_pid.unwrap_or(process.pid), status.euid)?;
    let bytes = read_file(&path).map_err(|error| read_error(&path, &error))?;
    let data = PerfData::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(JvmReading::from_counters(&data))
}

/// Returns the file of the process `pid`, as that sees itself, of the user `uid`.
fn find(temporary: &Path, pid: i32, uid: u32) -> Result<PathBuf, String> {
    let entries = fs::read_dir(temporary).map_err(|error| read_error(temporary, &error))?;
    let directories = entries.flatten().filter(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .starts_with("hsperfdata_")
    });
    // Anybody may create such a directory: the file has to be the process's own.
    let is_own = |path: &PathBuf| {
        fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.uid() == uid)
    };
    let mut unreadable = None;
    for directory in directories {
        let path = directory.path().join(pid.to_string());
        if is_own(&path) {
            return Ok(path);
        }
        if let Err(error) = fs::read_dir(directory.path()) {
            unreadable = Some(read_error(&directory.path(), &error));
        }
    }
    Err(unreadable.unwrap_or_else(|| {
        format!(
            "no hsperfdata of process {pid} in {}: it is no JVM, or one with -XX:-UsePerfData or \
             -XX:+PerfDisableSharedMem",
            temporary.display()
        )
    }))
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_error(path: &Path, error: &io::Error) -> String {
    let advice = if error.kind() == io::ErrorKind::PermissionDenied {
        "; run the agent as the peer's user, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
    } else {
        ""
    };
    format!("cannot read {}: {error}{advice}", path.display())
}

impl JvmReading {
    fn from_counters(data: &PerfData) -> Self {
        let generations = || 0..MAX_GENERATIONS;
        let of_generation = |generation: usize, counter: &str| {
            data.number(&format!("sun.gc.generation.{generation}.{counter}"))
        };
        let spaces = generations().flat_map(|generation| {
            (0..MAX_SPACES).map(move |space| (generation, format!("space.{space}.used")))
        });
        let used = spaces.filter_map(|(generation, counter)| of_generation(generation, &counter));
        let capacity = generations().filter_map(|it| of_generation(it, "capacity"));
        let limits = generations().filter_map(|it| of_generation(it, "maxCapacity"));
        let max = if data.text("sun.gc.policy.name") == Some(G1) {
            limits.min()
        } else {
            sum(limits)
        };
        Self {
            heap_used_bytes: sum(used),
            heap_capacity_bytes: sum(capacity),
            heap_max_bytes: max,
            collections: Collector::ALL
                .iter()
                .filter_map(|collector| Collections::from_counters(data, *collector))
                .collect(),
        }
    }
}

impl Collections {
    fn from_counters(data: &PerfData, collector: Collector) -> Option<Self> {
        let number = collector as usize;
        let of_collector =
            |counter: &str| data.number(&format!("sun.gc.collector.{number}.{counter}"));
        let (ticks, frequency) = of_collector("time").zip(data.number("sun.os.hrt.frequency"))?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact up to 2^53 ticks, three months of pauses at a tick each nanosecond"
        )]
        let pause_seconds = ticks as f64 / frequency.max(1) as f64;
        Some(Self {
            collector,
            count: of_collector("invocations")?,
            pause_seconds,
        })
    }
}

/// Returns the sum; none of nothing.
fn sum(values: impl Iterator<Item = u64>) -> Option<u64> {
    values.reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use crate::sidecar::perf_data::tests::file;
    use crate::sidecar::test_host::TestHost;

    use super::*;

    const PID: i32 = 22;

    fn host() -> TestHost {
        let host = TestHost::new();
        host.add_process(PID, 1, 100, "java -jar convex.jar");
        host
    }

    fn read_from(host: &TestHost) -> Result<JvmReading, String> {
        let process = Process::new_with_root(host.dirs().proc.join(PID.to_string())).unwrap();
        read(&process, &host.dirs())
    }

    /// Returns what is read from these counters of two generations.
    fn reading(policy: &str, collectors: &[&str]) -> JvmReading {
        let mut numbers = vec![
            ("sun.os.hrt.frequency".to_owned(), 1_000),
            ("sun.gc.generation.0.capacity".to_owned(), 50),
            ("sun.gc.generation.0.maxCapacity".to_owned(), 100),
            ("sun.gc.generation.0.space.0.used".to_owned(), 1),
            ("sun.gc.generation.0.space.2.used".to_owned(), 2),
            ("sun.gc.generation.1.capacity".to_owned(), 70),
            ("sun.gc.generation.1.maxCapacity".to_owned(), 90),
            ("sun.gc.generation.1.space.0.used".to_owned(), 4),
        ];
        for collector in collectors {
            let name = |counter| format!("sun.gc.collector.{collector}.{counter}");
            numbers.extend([(name("invocations"), 3), (name("time"), 1_500)]);
        }
        let numbers: Vec<_> = numbers
            .iter()
            .map(|(name, it)| (name.as_str(), *it))
            .collect();
        let data = file(&numbers, &[("sun.gc.policy.name", policy)]);
        JvmReading::from_counters(&PerfData::parse(&data).unwrap())
    }

    #[test]
    fn generations_are_added_up_unless_they_share_the_heap() {
        for (policy, max) in [("GarbageFirst", 90), ("Copy:MSC", 190)] {
            let reading = reading(policy, &[]);
            assert_eq!(reading.heap_used_bytes, Some(7), "{policy}");
            assert_eq!(reading.heap_capacity_bytes, Some(120), "{policy}");
            assert_eq!(reading.heap_max_bytes, Some(max), "{policy}");
        }
    }

    #[test]
    fn collectors_are_those_that_the_jvm_has() {
        let of = |collector, seconds| Collections {
            collector,
            count: 3,
            pause_seconds: seconds,
        };
        for (collectors, expected) in [
            (
                &["0", "1", "2"][..],
                vec![
                    of(Collector::Young, 1.5),
                    of(Collector::Full, 1.5),
                    of(Collector::Concurrent, 1.5),
                ],
            ),
            (&["2"], vec![of(Collector::Concurrent, 1.5)]),
            (&[], Vec::new()),
        ] {
            assert_eq!(reading("", collectors).collections, expected);
        }
    }

    #[test]
    fn the_file_is_found_where_the_peer_sees_it() {
        let host = host();
        let error = read_from(&host).unwrap_err();
        assert!(error.contains("/tmp"), "{error}");
        let directory = host.path().join("proc/22/root/tmp/hsperfdata_peer");
        fs::create_dir_all(&directory).unwrap();
        let error = read_from(&host).unwrap_err();
        assert!(error.contains("-XX:-UsePerfData"), "{error}");
        let used = ("sun.gc.generation.1.space.0.used", 9);
        fs::write(directory.join("22"), file(&[used], &[])).unwrap();
        assert_eq!(read_from(&host).unwrap().heap_used_bytes, Some(9));
        fs::write(directory.join("22"), "rubbish").unwrap();
        let error = read_from(&host).unwrap_err();
        assert!(error.contains("no file of performance data"), "{error}");
    }

    #[test]
    fn what_is_not_a_file_of_the_process_is_not_read() {
        let host = host();
        let directory = host.path().join("proc/22/root/tmp/hsperfdata_peer");
        fs::create_dir_all(&directory).unwrap();
        let elsewhere = host.path().join("elsewhere");
        fs::write(
            &elsewhere,
            file(&[("sun.gc.generation.1.capacity", 9)], &[]),
        )
        .unwrap();
        std::os::unix::fs::symlink(&elsewhere, directory.join("22")).unwrap();
        let error = read_from(&host).unwrap_err();
        assert!(error.contains("no hsperfdata"), "{error}");
    }
}

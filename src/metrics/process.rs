//! The standard `process_*` metrics of the agent's own process, read from /proc.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use procfs::process::{LimitValue, Process, Stat};

use super::catalogue;
use super::text_format::Writer;

/// When this process started, seconds since the epoch. Read once: the kernel derives the boot time
/// from the wall clock, so that it changes when the clock is set.
static START_TIME: LazyLock<Option<u64>> = LazyLock::new(|| {
    let stat = Process::myself().and_then(|process| process.stat()).ok()?;
    let boot_time = procfs::boot_time_secs().ok()?;
    Some(boot_time + stat.starttime / procfs::ticks_per_second())
});

/// Returns when this process started, and with it its counters.
pub(super) fn start_time() -> Option<SystemTime> {
    START_TIME.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Writes what /proc shows of this process; what cannot be read is absent. Blocks.
pub(super) fn write(writer: &mut Writer<'_>) {
    let process = Process::myself().ok();
    let stat = process.as_ref().and_then(|process| process.stat().ok());
    let open_fds = process.as_ref().and_then(|process| process.fd_count().ok());
    let max_fds = process.as_ref().and_then(soft_fd_limit);

    writer.family(&catalogue::PROCESS_CPU, |family| {
        if let Some(stat) = &stat {
            family.counting_since(start_time());
            family.sample([], cpu_seconds(stat));
        }
    });
    let mut integer = |definition, value: Option<u64>| {
        writer.family(definition, |family| {
            if let Some(value) = value {
                family.integer([], value);
            }
        });
    };
    integer(&catalogue::PROCESS_MAX_FDS, max_fds);
    integer(
        &catalogue::PROCESS_OPEN_FDS,
        open_fds.map(|open| open as u64),
    );
    integer(
        &catalogue::PROCESS_RESIDENT_MEMORY,
        stat.as_ref().map(|stat| stat.rss * procfs::page_size()),
    );
    integer(&catalogue::PROCESS_START_TIME, *START_TIME);
    integer(
        &catalogue::PROCESS_THREADS,
        stat.as_ref()
            .and_then(|stat| u64::try_from(stat.num_threads).ok()),
    );
    integer(
        &catalogue::PROCESS_VIRTUAL_MEMORY,
        stat.as_ref().map(|stat| stat.vsize),
    );
}

/// None if the limit cannot be read, or there is none.
fn soft_fd_limit(process: &Process) -> Option<u64> {
    match process.limits().ok()?.max_open_files.soft_limit {
        LimitValue::Value(limit) => Some(limit),
        LimitValue::Unlimited => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53 ticks, longer than any machine runs"
)]
fn cpu_seconds(stat: &Stat) -> f64 {
    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::super::text_format::Format;
    use super::*;

    /// Samples by name.
    fn samples() -> Vec<(String, f64)> {
        let mut text = String::new();
        let mut out = |chunk: &str| text.push_str(chunk);
        let mut writer = Writer::new(Format::Text, &mut out);
        write(&mut writer);
        writer.finish();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.split_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        };
        lines.map(sample).collect()
    }

    fn value(name: &str) -> f64 {
        let found = samples().into_iter().find(|(sample, _)| sample == name);
        found.unwrap().1
    }

    #[test]
    fn all_standard_process_metrics_are_written_in_order_of_their_names() {
        let names: Vec<String> = samples().into_iter().map(|(name, _)| name).collect();
        let expected = [
            "process_cpu_seconds_total",
            "process_max_fds",
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_threads",
            "process_virtual_memory_bytes",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn cpu_time_is_counted_in_fractions_of_a_second() {
        // Clock ticks are hundredths of a second: a whole second would be chance, twice a failure.
        let busy = || {
            let before = value("process_cpu_seconds_total");
            loop {
                let now = value("process_cpu_seconds_total");
                if now > before {
                    return now - before;
                }
            }
        };
        assert!(busy().min(busy()) < 0.5);
    }

    #[test]
    fn values_are_plausible() {
        let open = value("process_open_fds");
        assert!((3.0..=value("process_max_fds")).contains(&open));
        let resident = value("process_resident_memory_bytes");
        assert!((1e6..value("process_virtual_memory_bytes")).contains(&resident));
        assert!(value("process_threads") >= 2.0);
        let started = value("process_start_time_seconds");
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!((now - 3600.0..now + 2.0).contains(&started));
    }
}

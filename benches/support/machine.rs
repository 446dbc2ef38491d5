//! The machine that runs a benchmark, and CPU times.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use procfs::process::Process;
use procfs::{Current, CurrentSI};
use serde::Serialize;

/// Description of the machine.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    pub(crate) cores: u32,
    kernel: String,
    rustc: String,
    /// Load average of the minute before.
    load_before: f32,
}

impl Machine {
    pub(crate) async fn here() -> anyhow::Result<Self> {
        let cpu = procfs::CpuInfo::current()?;
        let rustc = tokio::process::Command::new("rustc")
            .arg("--version")
            .output()
            .await?;
        Ok(Self {
            cpu: cpu
                .model_name(0)
                .context("a model name in /proc/cpuinfo")?
                .to_owned(),
            cores: u32::try_from(cpu.num_cores())?,
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
            rustc: String::from_utf8(rustc.stdout)?.trim().to_owned(),
            load_before: procfs::LoadAverage::current()?.one,
        })
    }

    /// Formats the description as a Markdown list.
    pub(crate) fn markdown(&self) -> String {
        format!(
            "- {} cores of {}, Linux {}\n- {}\n- load average before: {}",
            self.cores, self.cpu, self.kernel, self.rustc, self.load_before
        )
    }
}

/// Returns the CPU time of all processes since the start of the machine, in seconds.
pub(crate) fn busy_seconds() -> anyhow::Result<f64> {
    let total = procfs::KernelStats::current()?.total;
    let interrupts = [total.irq, total.softirq, total.steal];
    let ticks =
        total.user + total.nice + total.system + interrupts.into_iter().flatten().sum::<u64>();
    Ok(seconds_of_ticks(ticks))
}

/// Returns user and system time of a process in seconds, in steps of a clock tick (1/100 s).
pub(crate) fn cpu_of(process: &Process) -> anyhow::Result<f64> {
    let stat = process.stat()?;
    Ok(seconds_of_ticks(stat.utime + stat.stime))
}

/// Converts clock ticks to seconds.
fn seconds_of_ticks(ticks: u64) -> f64 {
    Duration::from_millis(ticks * 1000 / procfs::ticks_per_second()).as_secs_f64()
}

/// Writes `report` to `bench/NAME` in the build directory and returns the path.
pub(crate) fn write_json(name: &str, report: &impl Serialize) -> anyhow::Result<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    std::fs::create_dir_all(&dir)?;
    let file = dir.join(name);
    std::fs::write(&file, serde_json::to_string_pretty(report)? + "\n")?;
    Ok(file)
}

//! Programs on separate cores, and their CPU time and memory.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use procfs::process::Process;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};

use crate::machine::cpu_of;

/// Longest start of a program.
const START: Duration = Duration::from_secs(60);

/// Assignment of cores: the last one for the measured program, the others for everything else.
#[derive(Debug)]
pub(crate) struct Cores {
    measured: Option<u32>,
}

impl Cores {
    /// Moves this process off the last core, if there are several and `taskset` is installed.
    pub(crate) fn divide() -> anyhow::Result<Self> {
        let status = Process::myself()?.status()?;
        let allowed: Vec<u32> = status
            .cpus_allowed_list
            .unwrap_or_default()
            .into_iter()
            .flat_map(|(first, last)| first..=last)
            .collect();
        let [others @ .., measured] = &allowed[..] else {
            return Ok(Self { measured: None });
        };
        let others: Vec<String> = others.iter().map(ToString::to_string).collect();
        let moved = std::process::Command::new("taskset")
            .args(["--all-tasks", "--cpu-list", "--pid", &others.join(",")])
            .arg(std::process::id().to_string())
            .stdout(Stdio::null())
            .status();
        let pinned = !others.is_empty() && moved.is_ok_and(|status| status.success());
        Ok(Self {
            measured: pinned.then_some(*measured),
        })
    }

    /// Returns whether the measured program has its own core.
    pub(crate) const fn pinned(&self) -> bool {
        self.measured.is_some()
    }

    /// Makes the command of a measured program.
    pub(crate) fn measured(&self, program: &str) -> Command {
        let Some(core) = self.measured else {
            return Command::new(program);
        };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &core.to_string(), program]);
        command
    }
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    _child: Child,
    process: Process,
}

/// The output on which a program reports that it is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReadyOn {
    Stdout,
    Stderr,
}

impl Program {
    /// Starts `command` and waits for a line that `parse` accepts. Further output is discarded.
    pub(crate) async fn start<T>(
        mut command: Command,
        ready_on: ReadyOn,
        parse: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<(Self, T)> {
        command.stdin(Stdio::null()).kill_on_drop(true);
        match ready_on {
            ReadyOn::Stdout => command.stdout(Stdio::piped()),
            ReadyOn::Stderr => command.stdout(Stdio::null()).stderr(Stdio::piped()),
        };
        let name = format!("{:?}", command.as_std());
        let mut child = command.spawn().with_context(|| name.clone())?;
        let output: Box<dyn AsyncRead + Send + Unpin> = match ready_on {
            ReadyOn::Stdout => Box::new(child.stdout.take().context("a piped standard output")?),
            ReadyOn::Stderr => Box::new(child.stderr.take().context("a piped standard error")?),
        };
        let mut lines = BufReader::new(output).lines();
        let ready = async {
            let mut last = String::new();
            while let Some(line) = lines.next_line().await? {
                if let Some(found) = parse(&line) {
                    return Ok(found);
                }
                last = line;
            }
            bail!("it ended, its last line was {last:?}");
        };
        let found = timeout(START, ready)
            .await
            .context("not ready in time")
            .and_then(|ended| ended)
            .with_context(|| name.clone())?;
        // Keep reading, or the program would block.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let id = child.id().with_context(|| format!("{name} has ended"))?;
        let process = Process::new(i32::try_from(id)?)?;
        Ok((
            Self {
                _child: child,
                process,
            },
            found,
        ))
    }

    /// Returns its CPU time so far, in seconds.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        cpu_of(&self.process)
    }

    /// Returns its resident memory in KiB.
    #[expect(
        clippy::cast_precision_loss,
        reason = "memory of a process is far below 2^53 KiB"
    )]
    pub(crate) fn resident_kib(&self) -> anyhow::Result<f64> {
        Ok(self.process.status()?.vmrss.context("VmRSS")? as f64)
    }

    /// Returns the number of its open file descriptors.
    pub(crate) fn descriptors(&self) -> anyhow::Result<usize> {
        Ok(self.process.fd_count()?)
    }

    /// Returns its CPU time in each of several rounds, in seconds.
    pub(crate) async fn rounds(&self, rounds: usize, length: Duration) -> anyhow::Result<Vec<f64>> {
        let mut taken = Vec::with_capacity(rounds);
        let mut due = Instant::now();
        let mut before = self.cpu()?;
        for _ in 0..rounds {
            due += length;
            sleep_until(due).await;
            let now = self.cpu()?;
            taken.push(now - before);
            before = now;
        }
        Ok(taken)
    }
}

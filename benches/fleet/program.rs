//! Programs of their own on cores of their own, and what they take of the machine.

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

/// Who runs where: what is measured has the last core for itself, this process and everything else the others.
#[derive(Debug)]
pub(crate) struct Cores {
    measured: Option<u32>,
}

impl Cores {
    /// Moves this process off the last core, where there are two and `taskset` is there.
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

    /// Whether what is measured has a core for itself.
    pub(crate) const fn pinned(&self) -> bool {
        self.measured.is_some()
    }

    /// A command whose program is measured.
    pub(crate) fn measured(&self, program: &str) -> Command {
        let Some(core) = self.measured else {
            return Command::new(program);
        };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &core.to_string(), program]);
        command
    }
}

/// A program that runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    _child: Child,
    process: Process,
}

/// Where a program says that it is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    Stdout,
    Stderr,
}

impl Program {
    /// Starts `command` and gives the first line on its output that `is_it` reads something from; the rest is thrown away.
    pub(crate) async fn start<T>(
        mut command: Command,
        told: Told,
        is_it: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<(Self, T)> {
        command.stdin(Stdio::null()).kill_on_drop(true);
        match told {
            Told::Stdout => command.stdout(Stdio::piped()),
            Told::Stderr => command.stdout(Stdio::null()).stderr(Stdio::piped()),
        };
        let name = format!("{:?}", command.as_std());
        let mut child = command.spawn().with_context(|| name.clone())?;
        let output: Box<dyn AsyncRead + Send + Unpin> = match told {
            Told::Stdout => Box::new(child.stdout.take().context("a piped standard output")?),
            Told::Stderr => Box::new(child.stderr.take().context("a piped standard error")?),
        };
        let mut lines = BufReader::new(output).lines();
        let ready = async {
            let mut last = String::new();
            while let Some(line) = lines.next_line().await? {
                if let Some(found) = is_it(&line) {
                    return Ok(found);
                }
                last = line;
            }
            bail!("it ended; its last word: {last:?}");
        };
        let found = timeout(START, ready)
            .await
            .context("not ready in time")
            .and_then(|ended| ended)
            .with_context(|| name.clone())?;
        // Read on, or the program would wait for its reader.
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

    /// CPU time that all its threads have taken so far, seconds.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        cpu_of(&self.process)
    }

    /// Resident memory, KiB.
    #[expect(
        clippy::cast_precision_loss,
        reason = "memory of a process is far below 2^53 KiB"
    )]
    pub(crate) fn resident_kib(&self) -> anyhow::Result<f64> {
        Ok(self.process.status()?.vmrss.context("VmRSS")? as f64)
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> anyhow::Result<usize> {
        Ok(self.process.fd_count()?)
    }

    /// CPU time that it takes in each of so many rounds, seconds.
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

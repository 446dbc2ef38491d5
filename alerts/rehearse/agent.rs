//! An agent as a process, with what can happen to it and its host.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, getuid, kill_process};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::pipeline::own_address;

/// How long a starved agent does not run, and then runs, in turn. Longer than a self-check allows.
const STARVED: Duration = Duration::from_secs(3);
const FED: Duration = Duration::from_secs(2);

/// The host name of all peers that are configured by name.
pub(super) const NAME: &str = "peers.test";

/// Replaces the files of name resolution for the agent alone, then starts it.
const OWN_NAMES: &str = "mount --bind hosts /etc/hosts && \
    mount --bind nsswitch.conf /etc/nsswitch.conf && exec \"$0\" \"$@\"";

/// A running agent. Dropping it kills it.
pub(super) struct Agent {
    pub(super) address: SocketAddr,
    /// Holds its configuration, state and log. It stays, for those who want to read the log.
    dir: PathBuf,
    /// Whether its clock can be set.
    own_clock: bool,
    /// Whether its names can be lost.
    own_names: bool,
    child: Option<Child>,
    starving: Option<JoinHandle<()>>,
}

impl Agent {
    /// Prepares an agent in this directory, which is emptied. It does not run yet.
    pub(super) fn prepare(
        dir: PathBuf,
        clock: Option<&str>,
        own_names: bool,
    ) -> anyhow::Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(dir.join("state"))?;
        let agent = Self {
            address: own_address()?,
            dir,
            own_clock: clock.is_some(),
            own_names,
            child: None,
            starving: None,
        };
        if let Some(offset) = clock {
            agent.set_clock(offset)?;
        }
        if own_names {
            fs::write(agent.dir.join("nsswitch.conf"), "hosts: files\n")?;
            agent.find_names()?;
        }
        Ok(agent)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Replaces its configuration. If it runs, it loads it.
    pub(super) fn configure(&self, config: &str) -> anyhow::Result<()> {
        fs::write(self.dir.join("config.yml"), config)?;
        match self.child {
            Some(_) => self.signal(Signal::HUP),
            None => Ok(()),
        }
    }

    /// Starts it.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let program = std::env::current_exe()?;
        let built = program.parent().and_then(Path::parent);
        let program = built
            .context("this program is not in target/")?
            .join("convex-peer-monitor");
        let mut command = if self.own_names {
            let mut command = Command::new("unshare");
            command.arg("--mount");
            if !getuid().is_root() {
                command.arg("--map-root-user");
            }
            command.args(["sh", "-c", OWN_NAMES]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        if self.own_clock {
            command
                .env("LD_PRELOAD", faketime()?)
                .env("FAKETIME_TIMESTAMP_FILE", "clock")
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let mut log = File::options();
        let log = log.append(true).create(true).open(self.dir.join("log"))?;
        let child = command
            .args(["run", "--config", "config.yml", "--listen"])
            .arg(self.address.to_string())
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.with_context(|| format!("cannot start {}", program.display()))?);
        Ok(())
    }

    /// Stops it as a service manager does.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        if let Some(mut child) = self.child.take() {
            child.wait().await?;
        }
        Ok(())
    }

    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        match self.child.take() {
            Some(mut child) => Ok(child.kill().await?),
            None => Ok(()),
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        let id = self.child.as_ref().and_then(Child::id);
        let pid = id.and_then(|id| Pid::from_raw(id.try_into().ok()?));
        pid.context("the agent does not run")
    }

    /// Lets it run for less than half of the time, from now on.
    pub(super) fn starve(&mut self) -> anyhow::Result<()> {
        let pid = self.pid()?;
        self.starving = Some(tokio::spawn(async move {
            while kill_process(pid, Signal::STOP).is_ok() {
                sleep(STARVED).await;
                if kill_process(pid, Signal::CONT).is_err() {
                    return;
                }
                sleep(FED).await;
            }
        }));
        Ok(())
    }

    /// Sets its clock to this offset in seconds, such as `+20`.
    pub(super) fn set_clock(&self, offset: &str) -> anyhow::Result<()> {
        let new = self.dir.join("clock.new");
        fs::write(&new, offset)?;
        Ok(fs::rename(new, self.dir.join("clock"))?)
    }

    /// Makes the name of the peers known.
    pub(super) fn find_names(&self) -> anyhow::Result<()> {
        // The file stays the same one, which is mounted.
        Ok(fs::write(
            self.dir.join("hosts"),
            format!("127.0.0.1 {NAME}\n"),
        )?)
    }

    /// Makes it unknown.
    pub(super) fn lose_names(&self) -> anyhow::Result<()> {
        Ok(fs::write(self.dir.join("hosts"), "")?)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(starving) = &self.starving {
            starving.abort();
        }
    }
}

/// Returns the library that changes the time of a process, from the Debian package libfaketime.
fn faketime() -> anyhow::Result<PathBuf> {
    let mut dirs = fs::read_dir("/usr/lib")?.filter_map(Result::ok);
    let library = dirs.find_map(|dir| {
        let library = dir.path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    });
    library.context("libfaketime is not installed; `make rehearsals` installs it")
}

//! A third-party program that runs in a temporary directory. Dropping it stops the program and
//! removes the directory.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use convex_client::{HttpOptions, http_client};
use tokio::time::{Instant, sleep};

/// Limit for a program to become ready. Generous, because the machine may be busy.
const START_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    /// Removed after the program has ended.
    dir: tempfile::TempDir,
    pub(super) address: SocketAddr,
}

impl Program {
    /// Starts the first installed program of `names` and waits until it is ready at `address`.
    pub(super) async fn start(
        names: &[&str],
        dir: tempfile::TempDir,
        address: SocketAddr,
        arguments: impl Fn(&Path) -> Vec<OsString>,
    ) -> anyhow::Result<Self> {
        let mut started = Err(io::Error::from(io::ErrorKind::NotFound));
        for name in names {
            let log = File::create(dir.path().join("log"))?;
            started = Command::new(name)
                .args(arguments(dir.path()))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn();
            if !matches!(&started, Err(error) if error.kind() == io::ErrorKind::NotFound) {
                break;
            }
        }
        let names = names.join(" or ");
        let child = started.with_context(|| {
            format!("cannot start {names}; `make test` installs it and adds it to the PATH")
        })?;
        let mut program = Self {
            child,
            dir,
            address,
        };
        program.wait_until_ready(&names).await?;
        Ok(program)
    }

    /// Working directory.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    async fn wait_until_ready(&mut self, name: &str) -> anyhow::Result<()> {
        let client = http_client(&HttpOptions::default(), Duration::from_secs(5))?;
        let url = format!("http://{}/-/ready", self.address);
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let answer = client.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            anyhow::ensure!(ended.is_none(), "{name} ended: {}", log());
            anyhow::ensure!(Instant::now() < deadline, "{name} is not ready: {}", log());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("cannot stop a program: {error}");
        }
    }
}

/// Replaces text that must be present.
pub(super) fn replace(text: &str, old: &str, new: &str) -> anyhow::Result<String> {
    anyhow::ensure!(text.contains(old), "the file does not contain {old:?}");
    Ok(text.replace(old, new))
}

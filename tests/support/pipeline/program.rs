//! A program of others that runs with a directory of its own, and is gone with it when dropped.

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

/// Longest wait for a program to answer.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    /// Gone after the program, which writes to it.
    dir: tempfile::TempDir,
    pub(super) address: SocketAddr,
}

impl Program {
    /// Starts the first of `names` that is installed, which shall listen at `address`, and waits until it is ready.
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
            format!(
                "cannot start {names}, which scripts/need installs and scripts put into the PATH"
            )
        })?;
        let mut program = Self {
            child,
            dir,
            address,
        };
        program.ready(&names).await?;
        Ok(program)
    }

    async fn ready(&mut self, name: &str) -> anyhow::Result<()> {
        let client = http_client(&HttpOptions::default(), Duration::from_secs(5))?;
        let url = format!("http://{}/-/ready", self.address);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = client.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            anyhow::ensure!(ended.is_none(), "{name} has ended: {}", log());
            anyhow::ensure!(Instant::now() < deadline, "{name} is not ready: {}", log());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("a program could not be ended: {error}");
        }
    }
}

/// Replaces what must be there.
pub(super) fn replace(text: &str, old: &str, new: &str) -> anyhow::Result<String> {
    anyhow::ensure!(text.contains(old), "{old:?} is not in the file any more");
    Ok(text.replace(old, new))
}

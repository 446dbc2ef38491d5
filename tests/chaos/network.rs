//! The simulated network as a program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::until;

/// How the agent polls unless a test wants otherwise.
pub(crate) const RHYTHM: &str = "defaults: { interval: 1s, timeout: 900ms }\n";

pub(crate) struct Network {
    child: Child,
    peers: usize,
    written: PathBuf,
}

impl Network {
    /// Starts one of so many peers; its configuration is written into `dir`.
    pub(crate) async fn start(dir: &Path, peers: usize) -> Self {
        let written = dir.join("simulated.yml");
        let child = spawn(&written, peers).await;
        Self {
            child,
            peers,
            written,
        }
    }

    /// All peers are gone at once, their connections with them.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// All of them are back.
    pub(crate) async fn begin(&mut self) {
        self.child = spawn(&self.written, self.peers).await;
    }

    /// The agent's configuration for it, with its state in `state`.
    pub(crate) fn config(&self) -> String {
        let peers = fs::read_to_string(&self.written).unwrap();
        format!("state_dir: state\n{RHYTHM}{peers}")
    }
}

async fn spawn(written: &Path, peers: usize) -> Child {
    if written.exists() {
        fs::remove_file(written).unwrap();
    }
    let begin = || {
        Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"))
            .args(["simulate", "--traffic", "1s", "--peers", &peers.to_string()])
            .arg("--write-config")
            .arg(written)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    let mut child = begin();
    // Written once they listen, which takes until the ports of those before are free.
    until("the network is there", async || {
        if child.try_wait().unwrap().is_some() {
            child = begin();
        }
        written.exists()
    })
    .await;
    child
}

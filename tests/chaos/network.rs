//! The simulated network as a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::until;

/// How the agent polls in most tests.
pub(crate) const DEFAULTS: &str = "defaults: { interval: 1s, timeout: 900ms }\n";

pub(crate) struct Network {
    child: Child,
    peers: usize,
    written: PathBuf,
}

impl Network {
    /// Starts a network with this many peers and writes its configuration to `dir`.
    pub(crate) async fn start(dir: &Path, peers: usize) -> Self {
        let written = dir.join("simulated.yml");
        let child = spawn(&written, peers).await;
        Self {
            child,
            peers,
            written,
        }
    }

    /// Kills all peers at once, with their connections.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts all peers again.
    pub(crate) async fn begin(&mut self) {
        self.child = spawn(&self.written, self.peers).await;
    }

    /// Returns the configuration of the agent, with its state in `state`.
    pub(crate) fn config(&self) -> String {
        let peers = fs::read_to_string(&self.written).unwrap();
        format!("state_dir: state\n{DEFAULTS}{peers}")
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
    // The file is written once all peers listen, which needs the ports of the killed ones to be
    // free.
    until("the network is started", async || {
        if child.try_wait().unwrap().is_some() {
            child = begin();
        }
        written.exists()
    })
    .await;
    child
}

//! The disk with the state is full, then read-only.

use std::fs::{self, File};
use std::io::Write;

use super::aftermath::Before;
use super::agent::Agent;
use super::network::Network;
use super::{system, until};

const PEERS: usize = 20;

/// A file system that is unmounted when this is dropped.
struct Mounted(String);

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: the agent may still have it open.
        let unmounted = std::process::Command::new("umount")
            .args(["--lazy", &self.0])
            .status();
        if !std::thread::panicking() {
            assert!(unmounted.unwrap().success());
        }
    }
}

fn told(agent: &Agent, what: &str) -> usize {
    agent.log().matches(what).count()
}

#[tokio::test]
async fn a_full_and_a_read_only_disk_lose_nothing_that_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let network = Network::start(dir.path(), PEERS).await;
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    let place = state.display().to_string();
    system(&format!("mount -t tmpfs -o size=4m chaos {place}")).await;
    let _mounted = Mounted(place.clone());
    let mut agent = Agent::start(dir.path(), &network.config()).await;
    let before = Before::trouble(&agent, PEERS).await;

    let ballast = state.join("ballast");
    let mut filling = File::create(&ballast).unwrap();
    while filling.write_all(&[0; 1024]).is_ok() {}
    drop(filling);
    trouble_and_end(&agent, 1, async || fs::remove_file(&ballast).unwrap()).await;

    // What is open for writing keeps a file system from becoming read-only.
    agent.end().await;
    system(&format!("mount -o remount,ro {place}")).await;
    agent.begin().await;
    trouble_and_end(&agent, 2, async || {
        system(&format!("mount -o remount,rw {place}")).await;
    })
    .await;
    before
        .restored(&mut agent, "state_dir full, then read-only")
        .await;
}

/// Waits until both state and history tell of the trouble for the time `times`, ends it, and waits until both are kept again.
async fn trouble_and_end(agent: &Agent, times: usize, end: impl AsyncFn()) {
    until("the trouble is told", async || {
        told(agent, "cannot save the state") == times && told(agent, HISTORY_LOST) == times
    })
    .await;
    assert!(agent.is_healthy().await);
    until("no poll waits for a disk", async || {
        agent.peers_up().await == PEERS
    })
    .await;
    end().await;
    until("everything is kept again", async || {
        told(agent, "the state is saved again") == times && told(agent, HISTORY_KEPT) == times
    })
    .await;
}

const HISTORY_LOST: &str = "history is not being saved";
const HISTORY_KEPT: &str = "history is being saved again";

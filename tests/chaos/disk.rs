//! The disk with the state is full, then read-only.

use std::fs::{self, File};
use std::io::Write;

use super::aftermath::Before;
use super::agent::Agent;
use super::network::Network;
use super::{system, until};

const PEERS: usize = 20;

/// A file system that is unmounted when this is dropped.
pub(crate) struct Mounted(pub(crate) String);

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

fn logged(agent: &Agent, what: &str) -> usize {
    agent.log().matches(what).count()
}

#[tokio::test]
async fn a_full_and_a_read_only_disk_lose_nothing_already_written() {
    let dir = tempfile::tempdir().unwrap();
    let network = Network::start(dir.path(), PEERS).await;
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    let place = state.display().to_string();
    system(&format!("mount -t tmpfs -o size=4m chaos {place}")).await;
    let _mounted = Mounted(place.clone());
    let mut agent = Agent::start(dir.path(), &network.config()).await;
    let before = Before::fault(&agent, PEERS).await;

    let ballast = state.join("ballast");
    let mut filling = File::create(&ballast).unwrap();
    while filling.write_all(&[0; 1024]).is_ok() {}
    drop(filling);
    recovers_from(&agent, 1, async || fs::remove_file(&ballast).unwrap()).await;

    // A file system with files open for writing cannot be made read-only.
    agent.end().await;
    system(&format!("mount -o remount,ro {place}")).await;
    agent.begin().await;
    recovers_from(&agent, 2, async || {
        system(&format!("mount -o remount,rw {place}")).await;
    })
    .await;
    before
        .restored(&mut agent, "state_dir full, then read-only")
        .await;
}

/// Waits until the fault of state and history is logged for the `times`th time, ends the fault, and
/// waits until both are written again.
async fn recovers_from(agent: &Agent, times: usize, end: impl AsyncFn()) {
    until("the fault is logged", async || {
        logged(agent, "cannot save the state") == times && logged(agent, HISTORY_LOST) == times
    })
    .await;
    assert!(agent.is_healthy().await);
    until("polls do not wait for the disk", async || {
        agent.peers_up().await == PEERS
    })
    .await;
    end().await;
    until("everything is written again", async || {
        logged(agent, "the state is saved again") == times && logged(agent, HISTORY_KEPT) == times
    })
    .await;
}

const HISTORY_LOST: &str = "history is not being saved";
const HISTORY_KEPT: &str = "history is being saved again";

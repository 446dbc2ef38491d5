//! File descriptors run out.

use super::aftermath::Before;
use super::agent::Agent;
use super::network::Network;
use super::{last, system, until};

const PEERS: usize = 40;

#[tokio::test]
async fn a_lack_of_descriptors_is_held_against_nobody_and_passes() {
    let dir = tempfile::tempdir().unwrap();
    let mut network = Network::start(dir.path(), PEERS).await;
    let mut agent = Agent::start(dir.path(), &network.config()).await;
    let before = Before::trouble(&agent, PEERS).await;

    // Of 80 connections some 40 find room.
    let pid = agent.pid();
    system(&format!("prlimit --pid {pid} --nofile=64:")).await;
    network.kill().await;
    network.begin().await;
    until(
        "who cannot be asked is unknown, and nobody is down",
        async || {
            let unknown = agent.count("convex_peer_health", "state=\"unknown\"").await;
            let down = agent.count("convex_peer_health", "state=\"down\"").await;
            unknown > 0 && down == 0
        },
    )
    .await;
    // Long enough that each of these is a connection of its own.
    for _ in 0..10 {
        last(2).await;
        assert!(agent.answers_a_newcomer().await);
    }
    system(&format!("prlimit --pid {pid} --nofile=1024:")).await;
    before
        .restored(&mut agent, "64 descriptors for 80 connections")
        .await;
}

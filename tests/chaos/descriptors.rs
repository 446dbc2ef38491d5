//! File descriptors run out.

use super::aftermath::Before;
use super::agent::Agent;
use super::network::Network;
use super::{last, system, until};

const PEERS: usize = 40;

#[tokio::test]
async fn too_few_descriptors_make_peers_unknown_not_down() {
    let dir = tempfile::tempdir().unwrap();
    let mut network = Network::start(dir.path(), PEERS).await;
    let mut agent = Agent::start(dir.path(), &network.config()).await;
    let before = Before::fault(&agent, PEERS).await;

    // Enough for about 40 of 80 connections.
    let pid = agent.pid();
    system(&format!("prlimit --pid {pid} --nofile=64:")).await;
    network.kill().await;
    network.begin().await;
    until(
        "peers that cannot be polled are unknown, and none is down",
        async || {
            let unknown = agent.count("convex_peer_health", "state=\"unknown\"").await;
            let down = agent.count("convex_peer_health", "state=\"down\"").await;
            unknown > 0 && down == 0
        },
    )
    .await;
    // Long enough apart for separate connections.
    for _ in 0..10 {
        last(2).await;
        assert!(agent.answers_a_new_client().await);
    }
    system(&format!("prlimit --pid {pid} --nofile=1024:")).await;
    before
        .restored(&mut agent, "64 descriptors for 80 connections")
        .await;
}

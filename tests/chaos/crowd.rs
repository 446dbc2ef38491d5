//! Two thousand peers are gone at once, and back at once.

use super::aftermath::Before;
use super::agent::Agent;
use super::network::{Network, RHYTHM};
use super::{last, until};

const PEERS: usize = 2000;

#[tokio::test]
async fn two_thousand_peers_that_drop_and_return_at_once_are_all_polled_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut network = Network::start(dir.path(), PEERS).await;
    let rhythm = "defaults: { interval: 20s, timeout: 15s }\n";
    let config = network.config().replace(RHYTHM, rhythm);
    let mut agent = Agent::start(dir.path(), &config).await;
    let before = Before::trouble(&agent, PEERS).await;
    network.kill().await;
    until("nobody is up", async || agent.peers_up().await == 0).await;
    last(10).await;
    assert!(agent.is_healthy().await);
    network.begin().await;
    before
        .restored(&mut agent, "2,000 peers drop and return")
        .await;
}

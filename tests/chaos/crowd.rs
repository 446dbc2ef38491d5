//! Two thousand peers disappear and return at the same time.

use super::aftermath::Before;
use super::agent::Agent;
use super::network::{DEFAULTS, Network};
use super::{last, until};

const PEERS: usize = 2000;

#[tokio::test]
async fn two_thousand_peers_that_drop_and_return_at_once_are_all_polled_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut network = Network::start(dir.path(), PEERS).await;
    let defaults = "defaults: { interval: 20s, timeout: 15s }\n";
    let config = network.config().replace(DEFAULTS, defaults);
    let mut agent = Agent::start(dir.path(), &config).await;
    let before = Before::fault(&agent, PEERS).await;
    network.kill().await;
    until("no peer is up", async || agent.peers_up().await == 0).await;
    last(10).await;
    assert!(agent.is_healthy().await);
    network.begin().await;
    before
        .restored(&mut agent, "2,000 peers drop and return")
        .await;
}

//! Walks and polls of one peer share its connection, and a walk gives way.

use std::sync::Arc;
use std::time::Duration;

use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::until;

use super::walked::{NETWORK, Walked};

const INTERVAL: Duration = Duration::from_secs(1);

fn config(endpoint: &str) -> String {
    format!(
        "networks: [{{ name: {NETWORK} }}]\n\
         defaults: {{ interval: 1s, timeout: 900ms, retries: 0 }}\n\
         peers: [{{ name: p, endpoints: ['{endpoint}'] }}]\n"
    )
}

#[tokio::test]
async fn a_peer_that_sends_no_cells_is_polled_on() {
    let fake = FakePeer::start(Script {
        fault: Fault::CellsHang,
        ..Script::default()
    })
    .await;
    let mut config = crate::support::fleet::config(&config(&format!("tcp://{}", fake.tcp)));
    for peer in &mut config.peers {
        // Only the next poll ends a request for cells.
        Arc::make_mut(peer).polling.timeout = Duration::from_secs(3600);
    }
    let watched = Walked::start_configured(&config, INTERVAL);
    until("the walk has failed", async || {
        let consensus = watched.consensus();
        let walk = consensus.walks.get("p");
        walk.and_then(|walk| walk.failure.as_deref())
            .is_some_and(|failure| failure.contains("interrupted by a poll"))
    })
    .await;
    let record = Arc::clone(&watched.fleet.snapshot().peers[0]);
    assert_eq!(record.poll_failures, 0);
    assert!(record.polls > 3, "{}", record.polls);
}

#[tokio::test]
async fn a_peer_without_a_binary_endpoint_is_not_compared() {
    let fake = FakePeer::start(Script::default()).await;
    let watched = Walked::start(&config(&format!("http://{}", fake.http)), INTERVAL);
    until("the walk has failed", async || {
        let consensus = watched.consensus();
        let walk = consensus.walks.get("p");
        walk.and_then(|walk| walk.failure.as_deref())
            .is_some_and(|failure| failure.contains("it has no tcp:// endpoint"))
    })
    .await;
    assert_eq!(watched.fleet.snapshot().peers[0].poll_failures, 0);
}

#[tokio::test]
async fn walks_use_the_connection_of_the_polls() {
    let fake = FakePeer::start(Script::default()).await;
    let watched = Walked::start(&config(&format!("tcp://{}", fake.tcp)), INTERVAL);
    until("the peer was walked", async || {
        watched.consensus().walks.contains_key("p")
    })
    .await;
    assert_eq!(fake.connections(), 1);
}

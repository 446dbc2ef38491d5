//! The simulated network, as the agent's own prober sees it.

mod faults;
mod networks;

use std::time::Duration;

use convex_client::{OrderPoints, PollAnswer};
use convex_peer_monitor::config::Peer;
use convex_peer_monitor::fleet::{Observation, PeerRecord};
use convex_simulator::Network;
use tokio::time::Instant;

use crate::support::contract::{peer, prober, verdict};

/// Long for anything on loopback; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Peer `i` by both endpoints, with everything pinned and little patience.
fn pinned(network: &Network, i: usize) -> Peer {
    let mut peer = peer(&[
        &format!("http://{}", network.http(i)),
        &format!("tcp://{}", network.tcp(i)),
    ]);
    peer.genesis = Some(network.genesis());
    peer.key = Some(network.key(i));
    peer.cadence.timeout = Duration::from_millis(1500);
    peer.cadence.retries = 0;
    peer
}

async fn poll(network: &Network, i: usize) -> (Observation, PeerRecord) {
    let peer = pinned(network, i);
    let observation = prober(&peer).poll().await;
    let record = verdict(&peer, &observation);
    (observation, record)
}

async fn figures(network: &Network, i: usize) -> (OrderPoints, PollAnswer) {
    let (_, record) = poll(network, i).await;
    let now = Instant::now();
    (
        record.order(now).unwrap(),
        record.figures(now).unwrap().clone(),
    )
}

/// Status and body of a REST request, as JSON.
async fn rest(network: &Network, i: usize, route: &str, source: Option<&str>) -> (u16, String) {
    let url = format!("http://{}/api/v1/{route}", network.http(i));
    let client =
        convex_client::http_client(&convex_client::HttpOptions::default(), PATIENCE).unwrap();
    let request = match source {
        Some(source) => client
            .post(url)
            .body(serde_json::json!({ "source": source }).to_string()),
        None => client.get(url),
    };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

//! The simulated network, as the prober of the agent sees it.

mod faults;
mod histories;
mod networks;
mod transactions;

use std::time::Duration;

use convex_client::{OrderPoints, PollAnswer};
use convex_peer_monitor::config::Peer;
use convex_peer_monitor::fleet::{Observation, PeerRecord};
use convex_simulator::Network;
use tokio::time::Instant;

use crate::support::DEADLINE;
use crate::support::contract::{peer, prober, verdict};

/// Much longer than an answer on loopback takes. Some tests wait for it to pass.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Configures peer `i` with both endpoints and everything pinned.
fn pinned(network: &Network, i: usize) -> Peer {
    let mut peer = peer(&[
        &format!("http://{}", network.http(i)),
        &format!("tcp://{}", network.tcp(i)),
    ]);
    peer.genesis = Some(network.genesis());
    peer.key = Some(network.key(i));
    peer.polling.timeout = TIMEOUT;
    peer.polling.retries = 0;
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
        record.poll_answer(now).unwrap().clone(),
    )
}

/// Sends a REST request and returns status and body.
async fn rest(network: &Network, i: usize, route: &str, source: Option<&str>) -> (u16, String) {
    let url = format!("http://{}/api/v1/{route}", network.http(i));
    let client =
        convex_client::http_client(&convex_client::HttpOptions::default(), DEADLINE).unwrap();
    let request = match source {
        Some(source) => client
            .post(url)
            .body(serde_json::json!({ "source": source }).to_string()),
        None => client.get(url),
    };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

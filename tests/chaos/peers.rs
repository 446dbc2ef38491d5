//! Peers behind bad ways: one byte a second, silence, delay, loss, doubled replies out of order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::aftermath::{Before, all_polled};
use super::agent::Agent;
use super::network::Network;
use super::relay::{Relay, Way};
use super::{last, until};

const PEERS: usize = 20;

const IGNORED: &str = "convex_probe_ignored_messages_total";

/// Relays at another address for each port of the first peers of a network that begins at port 28000.
pub(crate) async fn relays(at: &str, peers: usize) -> Vec<Relay> {
    let mut relays = Vec::new();
    for port in 28000..28000 + 2 * u16::try_from(peers).unwrap() {
        let here = SocketAddr::new(at.parse().unwrap(), port);
        let there = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
        relays.push(Relay::start(here, there).await);
    }
    relays
}

/// A metric's series of the endpoints of that transport, one for each peer.
async fn by_tcp(agent: &Agent, metric: &str) -> BTreeMap<String, f64> {
    let mut series = agent.series(metric).await;
    series.retain(|labels, _| labels.contains("transport=\"tcp\""));
    assert_eq!(series.len(), PEERS, "{metric}");
    series
}

#[tokio::test]
async fn slow_silent_lossy_and_muddled_ways_cost_nobody_else_anything() {
    let dir = tempfile::tempdir().unwrap();
    let network = Network::start(dir.path(), PEERS).await;
    let relays = relays("127.0.0.2", PEERS).await;
    let config = network.config().replace("//127.0.0.1:", "//127.0.0.2:");
    let mut agent = Agent::start(dir.path(), &config).await;
    let before = Before::trouble(&agent, PEERS).await;

    let (bad, good) = relays.split_at(PEERS);
    for (i, relay) in bad.iter().enumerate() {
        relay.becomes(if i < PEERS / 2 {
            Way::Trickle
        } else {
            Way::Silent
        });
    }
    until("half of the peers are not heard", async || {
        agent.peers_up().await == PEERS / 2
    })
    .await;
    // Much longer than a reply takes at one byte a second up to the deadline.
    last(20).await;
    until("the other half is heard", async || {
        agent.peers_up().await == PEERS / 2
    })
    .await;
    assert!(agent.is_healthy().await);

    for relay in bad {
        relay.becomes(Way::Late(Duration::from_millis(200)));
    }
    for relay in good {
        relay.becomes(Way::Lossy);
    }
    until("late peers are up", async || {
        agent.peers_up().await > PEERS / 2
    })
    .await;
    last(10).await;

    // Two replies to one HTTP request cost the connection; on the other transport a reply names its request.
    let ignored = by_tcp(&agent, IGNORED).await;
    for relay in &relays {
        relay.becomes(Way::Muddled);
    }
    until("each peer's doubled replies are passed over", async || {
        let now = by_tcp(&agent, IGNORED).await;
        now.iter()
            .all(|(peer, messages)| *messages >= ignored[peer] + 10.0)
    })
    .await;
    until("muddled replies fail no poll", async || {
        let failures = by_tcp(&agent, "convex_probe_consecutive_failures").await;
        failures.values().all(|failures| *failures == 0.0)
    })
    .await;
    all_polled(&agent, PEERS).await;

    for relay in &relays {
        relay.becomes(Way::Good);
    }
    before
        .restored(
            &mut agent,
            "one byte a second, silence, delay, loss, muddle",
        )
        .await;
}

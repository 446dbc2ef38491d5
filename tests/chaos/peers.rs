//! Peers behind bad connections: one byte per second, silence, delay, loss, duplicated and
//! reordered replies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::aftermath::{Before, all_polled};
use super::agent::Agent;
use super::network::Network;
use super::relay::{Quality, Relay};
use super::{last, until};

const PEERS: usize = 20;

const IGNORED: &str = "convex_probe_ignored_messages_total";

/// Starts relays at another address for each port of the first peers of a network from port 28000
/// on.
pub(crate) async fn relays(at: &str, peers: usize) -> Vec<Relay> {
    let mut relays = Vec::new();
    for port in 28000..28000 + 2 * u16::try_from(peers).unwrap() {
        let here = SocketAddr::new(at.parse().unwrap(), port);
        let there = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
        relays.push(Relay::start(here, there).await);
    }
    relays
}

/// Returns the TCP series of a metric, one for each peer.
async fn by_tcp(agent: &Agent, metric: &str) -> BTreeMap<String, f64> {
    let mut series = agent.series(metric).await;
    series.retain(|labels, _| labels.contains("transport=\"tcp\""));
    assert_eq!(series.len(), PEERS, "{metric}");
    series
}

#[tokio::test]
async fn bad_connections_affect_only_their_own_peers() {
    let dir = tempfile::tempdir().unwrap();
    let network = Network::start(dir.path(), PEERS).await;
    let relays = relays("127.0.0.2", PEERS).await;
    let config = network.config().replace("//127.0.0.1:", "//127.0.0.2:");
    let mut agent = Agent::start(dir.path(), &config).await;
    let before = Before::fault(&agent, PEERS).await;

    let (bad, good) = relays.split_at(PEERS);
    for (i, relay) in bad.iter().enumerate() {
        relay.set(if i < PEERS / 2 {
            Quality::Trickle
        } else {
            Quality::Silent
        });
    }
    until("half of the peers are not up", async || {
        agent.peers_up().await == PEERS / 2
    })
    .await;
    // Much longer than the timeout of a poll.
    last(20).await;
    until("the other half is up", async || {
        agent.peers_up().await == PEERS / 2
    })
    .await;
    assert!(agent.is_healthy().await);

    for relay in bad {
        relay.set(Quality::Late(Duration::from_millis(200)));
    }
    for relay in good {
        relay.set(Quality::Lossy);
    }
    until("peers with late replies are up", async || {
        agent.peers_up().await > PEERS / 2
    })
    .await;
    last(10).await;

    // Over HTTP a duplicated reply breaks the connection; over TCP replies have ids.
    let ignored = by_tcp(&agent, IGNORED).await;
    for relay in &relays {
        relay.set(Quality::DuplicatedAndReordered);
    }
    until(
        "the duplicated replies of each peer are ignored",
        async || {
            let now = by_tcp(&agent, IGNORED).await;
            now.iter()
                .all(|(peer, messages)| *messages >= ignored[peer] + 10.0)
        },
    )
    .await;
    until(
        "duplicated and reordered replies fail no poll",
        async || {
            let failures = by_tcp(&agent, "convex_probe_consecutive_failures").await;
            failures.values().all(|failures| *failures == 0.0)
        },
    )
    .await;
    all_polled(&agent, PEERS).await;

    for relay in &relays {
        relay.set(Quality::Good);
    }
    before
        .restored(
            &mut agent,
            "one byte a second, silence, delay, loss, muddle",
        )
        .await;
}

//! Verdicts on real peers that lag, stall, are idle, are under load or belong to another network.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::network::{Network, Options, Ready, RealPeer};
use super::{Agent, is, of, value};

/// Environment variable: how long the idle network is watched, in seconds. 300 is the full proof.
const IDLE_SECONDS: &str = "E2E_IDLE_SECONDS";
const IDLE_SECONDS_DEFAULT: u64 = 60;

/// At 20 blocks a second a network produces 60 blocks between two polls of a peer.
const LAG_BLOCKS: f64 = 100.0;

/// Returns a configuration for peers `peer-0`, `peer-1`, ..., all with the genesis of the first.
fn config(peers: &[Ready]) -> String {
    let entry = |(i, peer): (usize, &Ready)| {
        let (http, tcp) = (peer.http(), peer.tcp());
        format!("{{ name: peer-{i}, endpoints: ['{http}', '{tcp}'] }}")
    };
    let entries: Vec<String> = peers.iter().enumerate().map(entry).collect();
    format!(
        "defaults: {{ interval: 3s, timeout: 2900ms, down_after: 3 }}\n\
         verdicts: {{ stall_after: 20s, lag_blocks: {LAG_BLOCKS}, lag_for: 9s }}\n\
         networks: [{{ name: local, genesis: '{}', stake_interval: 10s }}]\npeers: [{}]\n",
        peers[0].genesis(),
        entries.join(", ")
    )
}

/// An agent that monitors some peers.
struct Watch {
    agent: Agent,
    peers: usize,
}

impl Watch {
    async fn start(peers: &[Ready]) -> Self {
        Self {
            agent: Agent::start(&config(peers)).await,
            peers: peers.len(),
        }
    }

    async fn value(&self, series: &str) -> Option<f64> {
        value(&self.agent.metrics().await, series)
    }

    async fn all_are_up(&self) {
        for peer in 0..self.peers {
            self.agent
                .until(&of("convex_peer_health", peer, ",state=\"up\""), is(1.0))
                .await;
        }
    }

    /// Returns how often peers other than `except` became degraded or down.
    async fn accusations(&self, except: &[usize]) -> f64 {
        let text = self.agent.metrics().await;
        let mut sum = 0.0;
        for peer in (0..self.peers).filter(|peer| !except.contains(peer)) {
            for state in [",state=\"degraded\"", ",state=\"down\""] {
                sum += value(
                    &text,
                    &of("convex_peer_health_transitions_total", peer, state),
                )
                .unwrap();
            }
        }
        sum
    }
}

fn condition(peer: usize, condition: &str) -> String {
    let condition = format!(",condition=\"{condition}\"");
    of("convex_peer_condition", peer, &condition)
}

fn network(metric: &str, more: &str) -> String {
    format!("{metric}{{network=\"local\"{more}}}")
}

#[tokio::test]
async fn an_isolated_peer_lags_until_it_joins_a_network_under_load() {
    let options = Options {
        tick: Some(50),
        isolate: Some(3),
        ..Options::new(4)
    };
    let mut peers = RealPeer::start(options, None).await;
    let watch = Watch::start(peers.all()).await;
    watch.agent.until(&condition(3, "lagging"), is(1.0)).await;
    let behind = of("convex_peer_lag_blocks", 3, "");
    assert!(watch.value(&behind).await.unwrap() >= LAG_BLOCKS);
    assert_eq!(watch.accusations(&[3]).await, 0.0);

    peers.command("join").await;
    watch.all_are_up().await;
    under_load(&watch).await;
}

/// At about 20 transactions a second all peers advance, none is far behind, and none is accused.
async fn under_load(watch: &Watch) {
    let before = watch.accusations(&[]).await;
    let finality = |peer| of("convex_peer_order_blocks", peer, ",level=\"finality\"");
    let first = watch.value(&finality(0)).await.unwrap();
    for _ in 0..10 {
        sleep(Duration::from_secs(1)).await;
        let text = watch.agent.metrics().await;
        for peer in 0..4 {
            let lag = value(&text, &of("convex_peer_lag_blocks", peer, ""));
            assert!(
                lag.is_some_and(|lag| lag < LAG_BLOCKS),
                "peer {peer} lags {lag:?} blocks"
            );
            let diverged = value(&text, &of("convex_peer_state_diverged", peer, ""));
            assert_ne!(diverged, Some(1.0), "peer {peer}");
        }
        let advancing = network("convex_network_order_state", ",state=\"advancing\"");
        assert_eq!(value(&text, &advancing), Some(1.0));
        let split = network("convex_network_split", "");
        assert_eq!(value(&text, &split), Some(0.0));
    }
    assert!(watch.value(&finality(0)).await.unwrap() > first);
    assert_eq!(watch.accusations(&[]).await, before);
}

#[tokio::test]
async fn three_peers_stall_without_the_third_and_continue_when_it_is_back() {
    let stranger = Options {
        seed: 2,
        ..Options::new(1)
    };
    let (mut local, stranger) = tokio::join!(Network::start(3), RealPeer::start(stranger, None));
    let mut peers: Vec<Ready> = local
        .peers
        .iter()
        .map(|peer| peer.all()[0].clone())
        .collect();
    peers.extend_from_slice(stranger.all());
    let watch = Watch::start(&peers).await;

    a_peer_of_another_network_is_not_counted(&watch).await;
    an_idle_network_raises_nothing(&watch).await;
    a_lost_peer_stalls_the_network(&mut local, &watch).await;
}

async fn a_peer_of_another_network_is_not_counted(watch: &Watch) {
    watch
        .agent
        .until(&condition(3, "wrong_network"), is(1.0))
        .await;
    watch
        .agent
        .until(&of("convex_peer_health", 3, ",state=\"down\""), is(1.0))
        .await;
    assert_eq!(watch.value(&of("convex_peer_up", 3, "")).await, Some(0.0));
    let genesis = of("convex_peer_identity_match", 3, ",check=\"genesis\"");
    assert_eq!(watch.value(&genesis).await, Some(0.0));
    let margin = network("convex_network_quorum_margin_ratio", "");
    watch
        .agent
        .until(&margin, |margin| (margin - 0.33).abs() < 1e-9)
        .await;
    for (metric, expected) in [
        ("convex_network_peers_registered", 3.0),
        ("convex_network_state_groups", 1.0),
        ("convex_network_split", 0.0),
    ] {
        assert_eq!(
            watch.value(&network(metric, "")).await,
            Some(expected),
            "{metric}"
        );
    }
}

async fn an_idle_network_raises_nothing(watch: &Watch) {
    let seconds = std::env::var(IDLE_SECONDS).map_or(IDLE_SECONDS_DEFAULT, |text| {
        text.parse().expect("a number of seconds")
    });
    let idle = network("convex_network_order_state", ",state=\"idle\"");
    watch.agent.until(&idle, is(1.0)).await;
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        assert_eq!(watch.value(&idle).await, Some(1.0));
        assert_eq!(watch.accusations(&[3]).await, 0.0);
        sleep(Duration::from_secs(1)).await;
    }
}

/// Three equal peers need each other: without one the order grows, but nothing becomes final.
async fn a_lost_peer_stalls_the_network(local: &mut Network, watch: &Watch) {
    local.peers[2].end().await;
    // It never becomes final.
    let unanswered = local.peers[0].attempt("tx (def waiting 1)").await;
    assert!(!unanswered.starts_with("OK"), "{unanswered}");
    let stalled = network("convex_network_order_state", ",state=\"stalled\"");
    watch.agent.until(&stalled, is(1.0)).await;
    watch.agent.until(&condition(0, "stalled"), is(1.0)).await;
    watch.agent.until(&condition(2, "refused"), is(1.0)).await;
    let margin = network("convex_network_quorum_margin_ratio", "");
    watch.agent.until(&margin, |margin| margin < 0.0).await;

    local.restart(2).await;
    watch.agent.until(&stalled, is(0.0)).await;
    for peer in 0..3 {
        watch
            .agent
            .until(&of("convex_peer_health", peer, ",state=\"up\""), is(1.0))
            .await;
    }
    local.transact(0, "(def waiting 2)").await;
    assert_eq!(watch.value(&stalled).await, Some(0.0));
}

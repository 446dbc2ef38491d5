//! Verdicts on real peers that depend on their stake, their registration and their earlier states.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::network::{Network, Options, Ready, RealPeer};
use super::prometheus::Prometheus;
use super::{Agent, TIMEOUT, is, of, value_of};

/// Registries are read as often as possible; polls are made at the default interval.
fn config(peers: &[&Ready]) -> String {
    let entry = |(i, peer): (usize, &&Ready)| {
        let (http, tcp, key) = (peer.http(), peer.tcp(), peer.key());
        format!("{{ name: peer-{i}, endpoints: ['{http}', '{tcp}'], key: '{key}' }}")
    };
    let entries: Vec<String> = peers.iter().enumerate().map(entry).collect();
    format!(
        "networks: [{{ name: local, genesis: '{}', stake_interval: 10s }}]\npeers: [{}]\n",
        peers[0].genesis(),
        entries.join(", ")
    )
}

fn condition(peer: usize, condition: &str) -> String {
    let condition = format!(",condition=\"{condition}\"");
    of("convex_peer_condition", peer, &condition)
}

fn is_up(peer: usize) -> String {
    of("convex_peer_health", peer, ",state=\"up\"")
}

fn of_network(metric: &str, more: &str) -> String {
    format!("{metric}{{network=\"local\"{more}}}")
}

/// Two real networks at once, because they mostly wait.
#[tokio::test]
async fn real_peers_are_judged_by_their_states_and_stakes() {
    tokio::join!(
        peers_on_a_busy_network_are_compared(),
        a_dead_peer_of_eight_leaves_room_for_another(),
    );
}

/// Five blocks a second: two polls hardly ever meet the same one.
async fn peers_on_a_busy_network_are_compared() {
    let options = Options {
        tick: Some(200),
        ..Options::new(4)
    };
    let peers = RealPeer::start(options, None).await;
    let agent = Agent::start(&config(&peers.all().iter().collect::<Vec<_>>())).await;
    let prometheus = Prometheus::start(&agent.address).await;
    let compared = of_network("convex_network_compared_stake_ratio", "");
    prometheus.wait_for(&compared, is(1.0)).await;
    let groups = of_network("convex_network_state_groups", "");
    prometheus.wait_for(&groups, is(1.0)).await;
    let split = of_network("convex_network_split", "");
    prometheus.wait_for(&split, is(0.0)).await;
    over_http_alone_the_transactions_are_counted_by_accounts(&peers.all()[0]).await;
}

/// Five transactions a second, as far as the machine allows.
async fn over_http_alone_the_transactions_are_counted_by_accounts(peer: &Ready) {
    let config = format!(
        "networks: [{{ name: local, genesis: '{}', stake_interval: 10s }}]\n\
         peers: [{{ name: peer-0, endpoints: ['{}'] }}]\n",
        peer.genesis(),
        peer.http()
    );
    let agent = Agent::start(&config).await;
    let rate = of_network(
        "convex_network_transactions_per_second",
        ",source=\"sequences\"",
    );
    agent.until(&rate, |rate| rate > 0.5 && rate < 10.0).await;
}

/// Only the peer that dies is watched. The others hold seven eighths of the stake.
async fn a_dead_peer_of_eight_leaves_room_for_another() {
    let mut peers = RealPeer::start(
        Options {
            seed: 3,
            ..Options::new(8)
        },
        None,
    )
    .await;
    let watched = peers.all()[7].clone();
    let agent = Agent::start(&config(&[&watched])).await;
    let prometheus = Prometheus::start(&agent.address).await;
    let best = of_network("convex_network_losable_peers", ",case=\"best\"");
    prometheus.wait_for(&best, is(2.0)).await;
    peers.command("close 7").await;
    let down = of("convex_peer_health", 0, ",state=\"down\"");
    prometheus.wait_for(&down, is(1.0)).await;
    prometheus.wait_for(&best, is(1.0)).await;
    let at_risk = "count(ALERTS{alertname=\"ConvexQuorumAtRisk\"}) or vector(0)";
    assert_eq!(prometheus.value(at_risk).await, 0.0);
}

#[tokio::test]
async fn a_real_peer_restarted_from_an_older_state_is_not_accused_but_an_evicted_one_is() {
    let mut network = Network::start(4).await;
    let peers: Vec<Ready> = network
        .peers
        .iter()
        .map(|peer| peer.all()[0].clone())
        .collect();
    let agent = Agent::start(&config(&peers.iter().collect::<Vec<_>>())).await;
    let prometheus = Prometheus::start(&agent.address).await;
    for peer in 0..4 {
        prometheus.wait_for(&is_up(peer), is(1.0)).await;
    }
    a_restart_from_an_older_state(&mut network, &agent, &prometheus).await;
    an_eviction(&mut network, &prometheus).await;
}

/// The store is copied, the peer goes on, and continues from the copy.
async fn a_restart_from_an_older_state(
    network: &mut Network,
    agent: &Agent,
    prometheus: &Prometheus,
) {
    let older = tempfile::tempdir().unwrap();
    let store = network.stores().join("peer-3.etch");
    let copy = older.path().join("peer-3.etch");
    network.peers[3].end().await;
    std::fs::copy(&store, &copy).unwrap();
    network.restart(3).await;
    for i in 0..5 {
        network.transact(0, &format!("(def later {i})")).await;
    }
    let block = |peer| of("convex_peer_state_block", peer, "");
    let head = prometheus.value(&block(0)).await;
    prometheus.wait_for(&block(3), |block| block >= head).await;
    prometheus.wait_for(&is_up(3), is(1.0)).await;

    network.peers[3].end().await;
    std::fs::copy(&copy, &store).unwrap();
    network.restart(3).await;
    // It asks for newer blocks only when there are some.
    network.transact(0, "(def later 5)").await;
    caught_up(
        agent,
        &[condition(3, "diverged"), condition(3, "states_differ")],
    )
    .await;
}

/// Waits until peer 3 is where peer 0 is, and checks that it is never accused of any of these.
async fn caught_up(agent: &Agent, never: &[String]) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let metrics = agent.metrics().await;
        for series in never {
            assert!(!metrics.contains(&format!("{series} 1")), "{series}");
        }
        let block = |peer| {
            let series = of("convex_peer_state_block", peer, "");
            metrics
                .lines()
                .find_map(|line| line.strip_prefix(&series)?.trim().parse::<f64>().ok())
        };
        if block(3).is_some() && block(3) == block(0) && value_of(&metrics, &is_up(3)) == 1.0 {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "peer 3 is at {:?} of {:?}",
            block(3),
            block(0)
        );
        sleep(Duration::from_millis(250)).await;
    }
}

/// The peer gives its stake back, and another one evicts it.
async fn an_eviction(network: &mut Network, prometheus: &Prometheus) {
    let stake = of("convex_stake_own_cvm", 3, "");
    prometheus.wait_for(&stake, |stake| stake > 0.0).await;
    network.unstake(3).await;
    network.evict(3).await;
    prometheus
        .wait_for(&condition(3, "unregistered"), is(1.0))
        .await;
    let firing = |alert: &str| {
        format!(
            "count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\",peer=\"peer-3\"}}) or vector(0)"
        )
    };
    prometheus
        .wait_for(&firing("ConvexPeerUnregistered"), is(1.0))
        .await;
    let is_gone = format!("absent({stake})");
    prometheus.wait_for(&is_gone, is(1.0)).await;
    prometheus
        .wait_for(&firing("ConvexOwnStakeBelowMinimum"), is(0.0))
        .await;
    let others = "count(convex_peer_condition{condition=\"unregistered\",peer!=\"peer-3\"} == 1) or vector(0)";
    assert_eq!(prometheus.value(others).await, 0.0);
}

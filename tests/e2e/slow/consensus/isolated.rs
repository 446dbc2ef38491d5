//! Peers that do not hear others.

use std::collections::BTreeSet;

use super::{Watch, condition, firing, of_network};
use crate::network::{Options, RealPeer};
use crate::prometheus::Prometheus;
use crate::{is, of};

/// Starts four peers in one process, each of which has made a block: the weight of one that has
/// made none is next to nothing.
async fn four_peers() -> RealPeer {
    let options = Options {
        no_url: true,
        ..Options::new(4)
    };
    let mut peers = RealPeer::start(options, None).await;
    for peer in 0..4 {
        peers.command(&format!("on {peer} tx (def begun 1)")).await;
    }
    peers
}

/// Two networks at once, because they mostly wait.
#[tokio::test]
async fn real_peers_that_do_not_hear_each_other_are_isolated_and_nobody_is_forked() {
    tokio::join!(one_of_four_on_an_idle_network(), two_against_two());
}

/// At default intervals.
async fn one_of_four_on_an_idle_network() {
    let mut peers = four_peers().await;
    peers.command("cut 3").await;
    // It misses this, and after it the network is idle.
    peers.command("tx (def later 1)").await;
    let watch = Watch::start(peers.all()).await;
    let prometheus = Prometheus::start(&watch.agent.address).await;

    watch.agent.until(&condition(3, "isolated"), is(1.0)).await;
    let heard = |peer| of("convex_peer_heard_stake_ratio", peer, "");
    watch.agent.until(&heard(3), is(0.0)).await;
    let margin = of_network("convex_network_quorum_margin_ratio", "");
    watch
        .agent
        .until(&margin, |margin| (margin - 0.08).abs() < 1e-6)
        .await;
    let degraded = of("convex_peer_health", 3, ",state=\"degraded\"");
    watch.agent.until(&degraded, is(1.0)).await;
    let alert = "ALERTS{alertname=\"ConvexPeerIsolated\",alertstate=\"firing\",peer=\"peer-3\"}";
    prometheus.wait_for(alert, is(1.0)).await;
    assert_eq!(
        prometheus.value(&firing("ConvexPeerIsolated")).await,
        1.0,
        "nobody else"
    );

    // It may have been called lagging before: who hears nothing falls behind.
    watch.until_not(3, "lagging").await;
    let mut accused = watch.accused().await;
    accused.retain(|(peer, condition)| peer != "peer-3" || condition != "lagging");
    let isolated = ("peer-3".to_owned(), "isolated".to_owned());
    assert_eq!(accused, BTreeSet::from([isolated]));
    for peer in 0..3 {
        // The newest order of the one that is cut off is as old as its last block.
        assert_eq!(watch.value(&heard(peer)).await, Some(1.0), "peer-{peer}");
    }
    let histories = of_network("convex_network_histories", "");
    assert_eq!(watch.value(&histories).await, Some(1.0));
}

/// Neither half can make anything final.
async fn two_against_two() {
    let mut peers = four_peers().await;
    let watch = Watch::start_often(peers.all(), peers.all()).await;
    watch.all_are_up().await;
    watch.walks(0, 1).await;
    peers.command("cut 2,3").await;
    for peer in [0, 2] {
        let answer = peers.attempt(&format!("on {peer} tx (def apart 1)")).await;
        assert!(
            answer.starts_with("ERROR :TIMEOUT"),
            "peer {peer}: {answer}"
        );
    }
    let stalled = of_network("convex_network_order_state", ",state=\"stalled\"");
    watch.agent.until(&stalled, is(1.0)).await;
    for peer in 0..4 {
        watch
            .agent
            .until(&condition(peer, "isolated"), is(1.0))
            .await;
        let heard = of("convex_peer_heard_stake_ratio", peer, "");
        watch
            .agent
            .until(&heard, |heard| (heard - 1.0 / 3.0).abs() < 1e-6)
            .await;
    }
    let margin = of_network("convex_network_quorum_margin_ratio", "");
    watch.agent.until(&margin, |margin| margin < 0.0).await;

    peers.command("join").await;
    for peer in 0..4 {
        watch.until_not(peer, "isolated").await;
    }
    watch.agent.until(&stalled, is(0.0)).await;
    let expected = (0..4).map(|peer| (format!("peer-{peer}"), "isolated".to_owned()));
    assert_eq!(watch.accused().await, expected.collect());
    for (metric, expected) in [
        ("convex_network_histories", 1.0),
        ("convex_network_split", 0.0),
    ] {
        let series = of_network(metric, "");
        assert_eq!(watch.value(&series).await, Some(expected), "{metric}");
    }
}

//! Faults, as the agent's own prober sees them.

use std::time::Duration;

use convex_client::{Api, FailureReason};
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::{Condition, Health};
use convex_simulator::Network;
use tokio::time::{sleep, timeout};

use crate::support::contract::prober;
use crate::support::simulated::network;

use super::{PATIENCE, figures, pinned, poll, rest};

#[tokio::test]
async fn each_fault_of_the_wire_has_its_reason_by_either_transport() {
    for (fault, http, tcp) in [
        (
            "tarpit:1",
            Some(Reason::Client(FailureReason::Timeout)),
            Some(Reason::Client(FailureReason::Timeout)),
        ),
        (
            "slow=1h:1",
            Some(Reason::Client(FailureReason::Timeout)),
            Some(Reason::Client(FailureReason::Timeout)),
        ),
        ("slow=10ms:1", None, None),
        (
            "garbage:1",
            Some(Reason::Client(FailureReason::Malformed)),
            Some(Reason::Client(FailureReason::Malformed)),
        ),
        (
            "huge-frame:1",
            Some(Reason::Client(FailureReason::TooLarge)),
            Some(Reason::Client(FailureReason::TooLarge)),
        ),
        (
            "half-reply:1",
            Some(Reason::Client(FailureReason::Closed)),
            Some(Reason::Client(FailureReason::Closed)),
        ),
        (
            "refuse:1",
            Some(Reason::Client(FailureReason::Refused)),
            Some(Reason::Client(FailureReason::Refused)),
        ),
        (
            "reset:1",
            Some(Reason::Client(FailureReason::Closed)),
            Some(Reason::Client(FailureReason::Closed)),
        ),
        (
            "half-dead:1",
            Some(Reason::Client(FailureReason::Timeout)),
            Some(Reason::Client(FailureReason::QueryHangs)),
        ),
        (
            "http-500:1",
            Some(Reason::Client(FailureReason::HttpStatus)),
            None,
        ),
        (
            "wrong-genesis:1",
            Some(Reason::WrongNetwork),
            Some(Reason::WrongNetwork),
        ),
        (
            "wrong-key:1",
            Some(Reason::WrongPeer),
            Some(Reason::WrongPeer),
        ),
        (
            "query-error=LOAD:1",
            Some(Reason::Client(FailureReason::Overloaded)),
            Some(Reason::Client(FailureReason::Overloaded)),
        ),
    ] {
        let network = network(2, &[fault], None).await;
        let (observation, record) = poll(&network, 1).await;
        let reasons = observation.endpoints.iter().map(|probed| {
            let failure = probed.failure.as_ref();
            failure.map(|failure| failure.reason)
        });
        assert_eq!(reasons.collect::<Vec<_>>(), [http, tcp], "{fault}");
        assert_eq!(record.up, Some(tcp.is_none()), "{fault}");
        let (_, untouched) = poll(&network, 2).await;
        assert_eq!(untouched.health, Health::Up, "{fault}");
    }
}

#[tokio::test]
async fn a_half_dead_old_peer_says_so_by_rest() {
    let network = network(1, &["half-dead:1", "old-api:1"], None).await;
    let (observation, _) = poll(&network, 1).await;
    let failure = observation.endpoints[0].failure.as_ref().unwrap();
    assert_eq!(
        failure.reason,
        Reason::Client(FailureReason::PeerError),
        "{failure}"
    );
    assert!(failure.message.contains("Disconnected"), "{failure}");
}

#[tokio::test]
async fn a_query_error_leaves_the_peer_up() {
    let network = network(2, &["query-error=JUICE:1"], None).await;
    let (_, record) = poll(&network, 1).await;
    assert_eq!((record.up, record.health), (Some(true), Health::Degraded));
    assert!(record.conditions.contains(&Condition::QueryError));
    assert_eq!(record.query_error.unwrap().code, "JUICE");
}

#[tokio::test]
async fn releases_are_told_apart_and_a_clock_that_is_off_is_measured() {
    let network = network(3, &["old-api:1", "skew=-5s:2"], None).await;
    assert_eq!(poll(&network, 1).await.1.api, Some(Api::V0_8_0));
    let mut prober = prober(&pinned(&network, 2));
    prober.poll().await;
    let second = prober.poll().await;
    let clock = second.endpoints[1].attempt.clock.as_ref().unwrap().value;
    // The measurement says itself how exact it is.
    let off = (clock.skew + 5.0).abs();
    assert!(off <= clock.uncertainty + 0.002, "{clock:?}");
}

#[tokio::test]
async fn faults_of_the_order_are_seen_in_the_figures() {
    let faults = [
        "stall:1",
        "lag=40:2",
        "recede=7:3",
        "fork=990:4",
        "low-stake:5",
        "silent-stake:5",
    ];
    let network = network(6, &faults, None).await;
    let (healthy_order, healthy) = figures(&network, 6).await;
    let (order, _) = figures(&network, 1).await;
    assert!(
        order.pending() > 0 && order.finality == healthy_order.finality,
        "{order:?}"
    );
    for (i, behind) in [(2, 40), (3, 7)] {
        let (order, figures) = figures(&network, i).await;
        assert_eq!(order.finality, healthy_order.finality - behind);
        assert_eq!(
            figures.state_block.unwrap(),
            healthy.state_block.unwrap() - behind
        );
    }
    let (order, forked) = figures(&network, 4).await;
    assert_eq!(
        (order, forked.state_block),
        (healthy_order, healthy.state_block)
    );
    assert_ne!(forked.state_hash, healthy.state_hash);

    let key = network.key(5);
    let rows =
        format!("(mapv (fn [p] [(:stake p) (:timestamp p)]) [(get-in *state* [:peers {key}])])");
    let answer = rest_query(&network, 6, &rows).await;
    let state_time = healthy.timestamp_ms.unwrap();
    assert_eq!(answer["value"][0][0], 500_000_000_000_i64);
    assert_eq!(answer["value"][0][1], state_time - 3_600_000);
}

async fn rest_query(network: &Network, i: usize, source: &str) -> serde_json::Value {
    let (_, text) = rest(network, i, "query", Some(source)).await;
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn faults_come_and_go_at_their_times_on_connections_that_are_kept() {
    for (fault, reason) in [
        ("refuse:1:1s..2s", Reason::Client(FailureReason::Refused)),
        ("reset:1:1s..2s", Reason::Client(FailureReason::Closed)),
        ("garbage:1:1s..2s", Reason::Client(FailureReason::Malformed)),
    ] {
        let network = network(2, &[fault], None).await;
        let mut prober = prober(&pinned(&network, 1));
        for wanted in [None, Some(reason), None] {
            timeout(PATIENCE, async {
                loop {
                    let observation = prober.poll().await;
                    let failures = observation.endpoints.iter();
                    let reasons: Vec<_> = failures
                        .map(|probed| probed.failure.as_ref().map(|f| f.reason))
                        .collect();
                    if reasons == [wanted, wanted] {
                        return;
                    }
                    sleep(Duration::from_millis(20)).await;
                }
            })
            .await
            .unwrap_or_else(|_| panic!("{fault}: never {wanted:?}"));
        }
    }
}

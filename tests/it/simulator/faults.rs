//! Faults, as the prober of the agent sees them.

use convex_client::{Api, FailureReason};
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::{Condition, EndpointObservation, Health};
use convex_simulator::Network;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::support::contract::prober;
use crate::support::simulated::network;
use crate::support::until;

use super::{TIMEOUT, figures, pinned, poll, rest};

#[tokio::test]
async fn each_fault_of_a_connection_has_its_reason_over_either_transport() {
    let cases = [
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
            Some(Reason::Client(FailureReason::QueryHangs)),
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
    ];
    // All at once, because some of them wait for the timeout.
    join_all(cases.map(async |(fault, http, tcp)| {
        let network = network(2, &[fault], None).await;
        let (observation, record) = poll(&network, 1).await;
        let reasons = observation
            .endpoints
            .iter()
            .map(EndpointObservation::reason);
        assert_eq!(reasons.collect::<Vec<_>>(), [http, tcp], "{fault}");
        // A peer that sheds queries and answers its status is there.
        let is_up = tcp.is_none() || fault.starts_with("query-error=LOAD");
        assert_eq!(record.last_poll.up(), Some(is_up), "{fault}");
        let (_, untouched) = poll(&network, 2).await;
        assert_eq!(untouched.health, Health::Up, "{fault}");
    }))
    .await;
}

#[tokio::test]
async fn a_half_dead_peer_of_an_old_release_reports_it_over_rest() {
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
    assert_eq!(
        (record.last_poll.up(), record.health),
        (Some(true), Health::Degraded)
    );
    assert!(record.conditions.contains(&Condition::QueryError));
    assert_eq!(record.query_error.unwrap().code, "JUICE");
}

#[tokio::test]
async fn the_release_is_detected_and_clock_skew_is_measured() {
    let network = network(3, &["old-api:1", "skew=-5s:2"], None).await;
    assert_eq!(poll(&network, 1).await.1.api, Some(Api::V0_8_0));
    let mut prober = prober(&pinned(&network, 2));
    prober.poll().await;
    let second = prober.poll().await;
    let clock = second.endpoints[1].attempt.clock.as_ref().unwrap().value;
    let off = (clock.skew + 5.0).abs();
    assert!(off <= clock.uncertainty + 0.002, "{clock:?}");
}

#[tokio::test]
async fn faults_of_order_state_and_stake_show_in_the_answers() {
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
async fn faults_start_and_end_at_their_times_on_open_connections() {
    let cases = [
        ("refuse:1:3s..6s", FailureReason::Refused),
        ("reset:1:3s..6s", FailureReason::Closed),
        ("garbage:1:3s..6s", FailureReason::Malformed),
    ];
    join_all(cases.map(async |(fault, reason)| {
        let network = network(2, &[fault], None).await;
        let mut prober = prober(&pinned(&network, 1));
        for expected in [None, Some(Reason::Client(reason)), None] {
            until(&format!("{fault}: {expected:?}"), async || {
                let observation = prober.poll().await;
                let mut reasons = observation
                    .endpoints
                    .iter()
                    .map(EndpointObservation::reason);
                reasons.all(|reason| reason == expected)
            })
            .await;
        }
    }))
    .await;
}

#[tokio::test]
async fn the_status_of_a_newer_release_shows_the_state_where_queries_hang() {
    let network = network(2, &["new-api:1", "half-dead:1"], None).await;
    let (observation, _) = poll(&network, 1).await;
    let [_, tcp] = &observation.endpoints[..] else {
        panic!("two endpoints");
    };
    let expected = prober(&pinned(&network, 2))
        .sample_state(deadline())
        .await
        .unwrap();
    assert_eq!(tcp.attempt.query, None);
    assert_eq!(tcp.attempt.state_pair(), Some(expected.value));
    let failure = prober(&pinned(&network, 1))
        .sample_state(deadline())
        .await
        .unwrap_err();
    assert!(failure.to_string().contains("no answer"), "{failure}");
}

#[tokio::test]
async fn a_sample_comes_from_the_next_endpoint_if_one_fails_and_not_after_a_query_error() {
    let network = network(3, &["refuse:1", "query-error=JUICE:2"], None).await;
    let mut peer = pinned(&network, 3);
    let refused = pinned(&network, 1).endpoints[1].clone();
    peer.endpoints[1] = refused;
    let sample = prober(&peer).sample_state(deadline()).await.unwrap();
    assert_eq!(sample.value.block, 999);
    let error = prober(&pinned(&network, 2))
        .sample_state(deadline())
        .await
        .unwrap_err();
    assert!(error.to_string().contains(":JUICE"), "{error}");
}

fn deadline() -> Instant {
    Instant::now() + TIMEOUT
}

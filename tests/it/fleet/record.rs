//! What becomes of observations: verdicts over polls, what is counted, and how long a measurement is shown.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{
    Attempt, Endpoint, ErrorReply, FailureReason, OrderPoints, PollAnswer, Status, Timed,
};
use convex_peer_monitor::config::Peer;
use convex_peer_monitor::failure::{Failure, Reason};
use convex_peer_monitor::fleet::{Condition, Health, PeerRecord};
use convex_peer_monitor::fleet::{Observation, Probed};
use tokio::time::Instant;

use crate::support::contract::peer;

/// A peer, its record, and a clock that stands at the last poll.
struct Watched {
    record: PeerRecord,
    endpoints: Vec<Endpoint>,
    start: Instant,
    now: Duration,
}

impl Watched {
    fn new(urls: &[&str], change: impl FnOnce(&mut Peer)) -> Self {
        let mut peer = peer(urls);
        peer.cadence.down_after = 2;
        peer.cadence.up_after = 1;
        change(&mut peer);
        Self {
            endpoints: peer.endpoints.clone(),
            record: PeerRecord::new(Arc::new(peer)),
            start: Instant::now(),
            now: Duration::ZERO,
        }
    }

    /// One interval later, one poll with these attempts.
    fn poll(&mut self, attempts: Vec<Ended>) -> Health {
        self.now += self.record.peer.cadence.interval;
        let wall = SystemTime::UNIX_EPOCH + self.now;
        let probed = |(endpoint, (attempt, outcome)): (&Endpoint, Ended)| {
            Probed::new(endpoint.transport(), (wall, wall), attempt, outcome)
        };
        let endpoints = self.endpoints.iter().zip(attempts).map(probed).collect();
        self.record.observe(
            &Observation { endpoints },
            None,
            self.start + self.now,
            wall,
        );
        self.record.health
    }

    fn has(&self, condition: Condition) -> bool {
        self.record.conditions.contains(&condition)
    }
}

fn answered<T>(value: T) -> Timed<T> {
    let took = Duration::from_millis(1);
    Timed { value, took }
}

/// An attempt, and how it ended.
type Ended = (Attempt, Result<Duration, Failure>);

fn good(points: i64) -> Ended {
    let order = OrderPoints {
        block: points,
        proposal: points,
        consensus: points,
        finality: points,
    };
    let (genesis, peer_key) = (Hash::new([1; 32]), Hash::new([2; 32]));
    let attempt = Attempt {
        status: Some(answered(Status {
            genesis,
            peer_key,
            order,
        })),
        query: Some(answered(Ok(PollAnswer {
            accounts: Some(132),
            ..PollAnswer::default()
        }))),
        ..Attempt::default()
    };
    (attempt, Ok(Duration::from_millis(1)))
}

fn failed(reason: Reason) -> Ended {
    (Attempt::default(), Err(Failure::new(reason, "as scripted")))
}

const TCP: &str = "tcp://127.0.0.1:1";
const HTTP: &str = "http://127.0.0.1:1";

#[test]
fn the_monitors_own_trouble_makes_a_peer_unknown_and_counts_nowhere() {
    let mut watched = Watched::new(&[TCP], |_| {});
    assert_eq!(watched.poll(vec![good(1)]), Health::Up);
    for _ in 0..5 {
        assert_eq!(watched.poll(vec![failed(Reason::MONITOR)]), Health::Unknown);
    }
    assert_eq!(
        (
            watched.record.up,
            watched.record.polls,
            watched.record.poll_failures
        ),
        (None, 1, 0)
    );
    assert!(
        watched.record.conditions.is_empty(),
        "nothing is in force against the peer"
    );
    assert_eq!(watched.poll(vec![good(1)]), Health::Up);
}

#[test]
fn one_lost_poll_does_not_make_a_peer_down() {
    let mut watched = Watched::new(&[TCP], |_| {});
    watched.poll(vec![good(1)]);
    assert_eq!(
        watched.poll(vec![failed(Reason::Client(FailureReason::Timeout))]),
        Health::Up
    );
    assert_eq!(
        (
            watched.record.up,
            watched.has(Condition::Failing(Reason::Client(FailureReason::Timeout)))
        ),
        (Some(false), false)
    );
    assert_eq!(
        watched.poll(vec![failed(Reason::Client(FailureReason::Timeout))]),
        Health::Down
    );
    assert!(watched.has(Condition::Failing(Reason::Client(FailureReason::Timeout))));
    assert_eq!(watched.poll(vec![good(1)]), Health::Up);
    assert!(watched.record.conditions.is_empty());
    assert_eq!(
        watched.record.transitions,
        [0, 2, 0, 1],
        "unknown, up, degraded, down"
    );
}

#[test]
fn an_endpoint_that_keeps_failing_degrades_the_peer() {
    let mut watched = Watched::new(&[HTTP, TCP], |_| {});
    assert_eq!(
        watched.poll(vec![
            failed(Reason::Client(FailureReason::Refused)),
            good(1)
        ]),
        Health::Up
    );
    assert_eq!(
        watched.poll(vec![
            failed(Reason::Client(FailureReason::Refused)),
            good(1)
        ]),
        Health::Degraded
    );
    assert!(
        watched.has(Condition::EndpointFailing)
            && watched.has(Condition::Failing(Reason::Client(FailureReason::Refused)))
    );
    assert_eq!(watched.poll(vec![good(1), good(1)]), Health::Up);
}

#[test]
fn a_query_error_degrades_until_the_query_is_answered_again() {
    let mut watched = Watched::new(&[TCP], |_| {});
    let mut refused = good(1);
    let error = ErrorReply {
        code: "JUICE".to_owned(),
        message: String::new(),
    };
    refused.0.query = Some(answered(Err(error)));
    assert_eq!(watched.poll(vec![refused]), Health::Degraded);
    assert_eq!(
        (watched.record.up, watched.has(Condition::QueryError)),
        (Some(true), true)
    );
    assert_eq!(watched.poll(vec![good(1)]), Health::Up);
}

#[test]
fn a_measurement_is_shown_for_three_intervals() {
    let mut watched = Watched::new(&[TCP], |_| {});
    watched.poll(vec![good(5)]);
    let interval = watched.record.peer.cadence.interval;
    let shown = |age: Duration| {
        let now = watched.start + watched.now + age;
        let record = &watched.record;
        [
            record.order(now).is_some(),
            record.figures(now).is_some(),
            record.timings(&record.endpoints[0], now).is_some(),
        ]
    };
    assert_eq!(shown(interval * 2), [true; 3]);
    assert_eq!(shown(interval * 3), [false; 3]);
}

#[test]
fn a_level_has_advanced_when_it_was_seen_to_grow() {
    let mut watched = Watched::new(&[TCP], |_| {});
    watched.poll(vec![good(5)]);
    assert_eq!(
        watched.record.advanced, [None; 4],
        "nothing is known to have moved yet"
    );
    watched.poll(vec![good(5)]);
    assert_eq!(watched.record.advanced, [None; 4]);
    watched.poll(vec![good(6)]);
    let third = SystemTime::UNIX_EPOCH + watched.record.peer.cadence.interval * 3;
    assert_eq!(watched.record.advanced, [Some(third); 4]);
}

#[test]
fn counters_tell_tries_from_polls() {
    let mut watched = Watched::new(&[TCP], |_| {});
    watched.poll(vec![good(1)]);
    watched.poll(vec![failed(Reason::Client(FailureReason::Closed))]);
    let mut noisy = good(2);
    (noisy.0.reconnects, noisy.0.ignored) = (1, 3);
    watched.poll(vec![noisy]);
    let tally = &watched.record.endpoints[0].tally;
    assert_eq!(
        (
            tally.attempts,
            tally.failed(Reason::Client(FailureReason::Closed)),
            tally.failed_in_all()
        ),
        (3, 1, 1)
    );
    assert_eq!(
        (tally.reconnects, tally.ignored, tally.latencies.count()),
        (1, 3, 2)
    );
}

#[test]
fn a_peer_that_goes_and_comes_is_flapping() {
    let mut watched = Watched::new(&[TCP], |peer| peer.cadence.down_after = 1);
    let mut flapping = Vec::new();
    for i in 0..8 {
        let attempt = if i % 2 == 0 {
            good(1)
        } else {
            failed(Reason::Client(FailureReason::Timeout))
        };
        watched.poll(vec![attempt]);
        flapping.push(watched.has(Condition::Flapping));
    }
    assert_eq!(
        flapping,
        [false, false, false, false, false, false, true, true],
        "six changes within an hour"
    );
}

#[test]
fn a_peer_that_was_lost_and_answers_again_was_restarted() {
    let mut watched = Watched::new(&[TCP], |_| {});
    watched.poll(vec![failed(Reason::Client(FailureReason::Refused))]);
    watched.poll(vec![good(1)]);
    assert_eq!(
        watched.record.restarts, 0,
        "it was not there before: that is a start, not a restart"
    );
    watched.poll(vec![failed(Reason::Client(FailureReason::Timeout))]);
    watched.poll(vec![good(1)]);
    assert_eq!(
        watched.record.restarts, 0,
        "a silent peer may have been frozen"
    );
    watched.poll(vec![failed(Reason::Client(FailureReason::Refused))]);
    watched.poll(vec![failed(Reason::Client(FailureReason::Refused))]);
    watched.poll(vec![good(1)]);
    assert_eq!(watched.record.restarts, 1);
    let mut reconnected = good(1);
    reconnected.0.reconnects = 1;
    watched.poll(vec![reconnected]);
    assert_eq!(watched.record.restarts, 2, "back before the next poll");
}

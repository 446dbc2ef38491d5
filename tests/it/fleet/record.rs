//! The record of a peer: verdicts over several polls, counters, and how long measurements stay
//! current.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::{Endpoint, ErrorReply, FailureReason, PollAnswer};
use convex_peer_monitor::config::{Peer, Polling};
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::{Condition, EndpointObservation, Health, Observation, PeerRecord};
use tokio::time::Instant;

use crate::support::contract::peer;
use crate::support::polls::{self, PollResult, answered, failed, points, status};

/// A peer, its record, and the time of its last poll.
struct Watched {
    record: PeerRecord,
    endpoints: Vec<Endpoint>,
    start: Instant,
    now: Duration,
}

impl Watched {
    fn new(urls: &[&str], change: impl FnOnce(&mut Peer)) -> Self {
        let mut peer = peer(urls);
        peer.polling.down_after = 2;
        peer.polling.up_after = 1;
        change(&mut peer);
        Self {
            endpoints: peer.endpoints.clone(),
            record: PeerRecord::new(Arc::new(peer)),
            start: Instant::now(),
            now: Duration::ZERO,
        }
    }

    /// Polls one interval after the last poll, with one result for each endpoint.
    fn poll(&mut self, results: Vec<PollResult>) -> Health {
        self.now += self.record.peer.polling.interval;
        let wall = SystemTime::UNIX_EPOCH + self.now;
        let probed = |(endpoint, (attempt, outcome)): (&Endpoint, PollResult)| {
            EndpointObservation::new(endpoint.transport(), (wall, wall), attempt, outcome)
        };
        let endpoints = self.endpoints.iter().zip(results).map(probed).collect();
        let asked = self.start + self.now;
        self.record
            .record_poll(&Observation { asked, endpoints }, asked, wall);
        self.record.health
    }

    fn has(&self, condition: Condition) -> bool {
        self.record.conditions.contains(&condition)
    }
}

/// A poll at which all levels of the order are at `block`.
fn good(block: i64) -> PollResult {
    let answer = PollAnswer {
        accounts: Some(132),
        ..PollAnswer::default()
    };
    polls::good(status(2, points([block; 4])), answer)
}

const TCP: &str = "tcp://127.0.0.1:1";
const HTTP: &str = "http://127.0.0.1:1";

#[test]
fn a_failure_of_the_monitor_makes_the_peer_unknown_and_is_not_counted() {
    let mut watched = Watched::new(&[TCP], |_| {});
    assert_eq!(watched.poll(vec![good(1)]), Health::Up);
    for _ in 0..5 {
        assert_eq!(watched.poll(vec![failed(Reason::MONITOR)]), Health::Unknown);
    }
    assert_eq!(
        (
            watched.record.last_poll.up(),
            watched.record.polls,
            watched.record.poll_failures
        ),
        (None, 1, 0)
    );
    assert!(
        watched.record.conditions.is_empty(),
        "the peer has no condition"
    );
    assert_eq!(watched.poll(vec![good(1)]), Health::Up);
}

#[test]
fn a_peer_is_down_after_two_failed_polls_not_after_one() {
    let mut watched = Watched::new(&[TCP], |_| {});
    watched.poll(vec![good(1)]);
    assert_eq!(
        watched.poll(vec![failed(FailureReason::Timeout)]),
        Health::Up
    );
    assert_eq!(
        (
            watched.record.last_poll.up(),
            watched.has(Condition::Failing(Reason::Client(FailureReason::Timeout)))
        ),
        (Some(false), false)
    );
    assert_eq!(
        watched.poll(vec![failed(FailureReason::Timeout)]),
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
fn an_endpoint_that_fails_twice_degrades_the_peer() {
    let mut watched = Watched::new(&[HTTP, TCP], |_| {});
    assert_eq!(
        watched.poll(vec![failed(FailureReason::Refused), good(1)]),
        Health::Up
    );
    assert_eq!(
        watched.poll(vec![failed(FailureReason::Refused), good(1)]),
        Health::Degraded
    );
    assert!(
        watched.has(Condition::EndpointFailing)
            && watched.has(Condition::Failing(Reason::Client(FailureReason::Refused)))
    );
    assert_eq!(watched.poll(vec![good(1), good(1)]), Health::Up);
}

#[test]
fn a_query_error_degrades_the_peer_until_a_query_succeeds() {
    let mut watched = Watched::new(&[TCP], |_| {});
    let mut refused = good(1);
    let error = ErrorReply {
        code: "JUICE".to_owned(),
        message: String::new(),
    };
    refused.0.query = Some(answered(Err(error)));
    assert_eq!(watched.poll(vec![refused]), Health::Degraded);
    assert_eq!(
        (
            watched.record.last_poll.up(),
            watched.has(Condition::QueryError)
        ),
        (Some(true), true)
    );
    assert_eq!(watched.poll(vec![good(1)]), Health::Up);
}

#[test]
fn measurements_stay_current_for_three_intervals() {
    let mut watched = Watched::new(&[TCP], |_| {});
    watched.poll(vec![good(5)]);
    let interval = watched.record.peer.polling.interval;
    let current = |age: Duration| {
        let now = watched.start + watched.now + age;
        let record = &watched.record;
        [
            record.order(now).is_some(),
            record.poll_answer(now).is_some(),
            record.timings(&record.endpoints[0], now).is_some(),
        ]
    };
    assert_eq!(current(interval * 2), [true; 3]);
    assert_eq!(current(interval * 3), [false; 3]);
}

#[test]
fn a_level_has_advanced_once_it_was_seen_to_grow() {
    let mut watched = Watched::new(&[TCP], |_| {});
    watched.poll(vec![good(5)]);
    assert_eq!(
        watched.record.advanced, [None; 4],
        "one poll shows no movement"
    );
    watched.poll(vec![good(5)]);
    assert_eq!(watched.record.advanced, [None; 4]);
    watched.poll(vec![good(6)]);
    let third = SystemTime::UNIX_EPOCH + watched.record.peer.polling.interval * 3;
    assert_eq!(watched.record.advanced, [Some(third); 4]);
}

#[test]
fn failures_reconnects_and_ignored_messages_are_counted_per_endpoint() {
    let mut watched = Watched::new(&[TCP], |_| {});
    watched.poll(vec![good(1)]);
    watched.poll(vec![failed(FailureReason::Closed)]);
    let mut noisy = good(2);
    (noisy.0.reconnects, noisy.0.ignored) = (1, 3);
    watched.poll(vec![noisy]);
    let tally = &watched.record.endpoints[0].tally;
    assert_eq!(
        (
            tally.attempts,
            tally.failed(Reason::Client(FailureReason::Closed)),
            tally.total_failures()
        ),
        (3, 1, 1)
    );
    assert_eq!(
        (tally.reconnects, tally.ignored, tally.latencies.count()),
        (1, 3, 2)
    );
}

#[test]
fn six_changes_of_health_within_an_hour_are_flapping() {
    let mut watched = Watched::new(&[TCP], |peer| peer.polling.down_after = 1);
    let mut flapping = Vec::new();
    for i in 0..8 {
        let attempt = if i % 2 == 0 {
            good(1)
        } else {
            failed(FailureReason::Timeout)
        };
        watched.poll(vec![attempt]);
        flapping.push(watched.has(Condition::Flapping));
    }
    assert_eq!(
        flapping,
        [false, false, false, false, false, false, true, true],
        "true from the sixth change"
    );
}

impl Watched {
    /// Polls once for each character: `+` is a good poll, `-` a failed one and `e` one that the
    /// monitor is to blame for. Returns a letter for the health after each: `f` is degraded and
    /// flapping.
    fn healths(&mut self, polls: &str) -> String {
        let letter = |poll| {
            let result = match poll {
                '+' => good(1),
                '-' => failed(FailureReason::Timeout),
                _ => failed(Reason::MONITOR),
            };
            match self.poll(vec![result]) {
                Health::Degraded if self.has(Condition::Flapping) => 'f',
                Health::Degraded => 'd',
                Health::Unknown => '?',
                Health::Up => 'U',
                Health::Down => 'D',
            }
        };
        polls.chars().map(letter).collect()
    }
}

/// A peer with the default settings except this one.
fn default_peer(down_after: u32) -> Watched {
    Watched::new(&[TCP], |peer| {
        peer.polling = Polling {
            down_after,
            ..Polling::default()
        };
    })
}

#[test]
fn a_peer_that_fails_on_and_off_is_degraded_and_never_unknown_or_down() {
    let mut watched = default_peer(2);
    // Also before the first verdict, which takes two polls in a row.
    assert_eq!(watched.healths("-+-+-+-+"), "????ffff");
    assert_eq!(watched.healths("+++++++"), "ffffffU");
    assert_eq!(watched.record.poll_failures, 4);
}

#[test]
fn a_rolling_restart_of_forty_seconds_is_an_outage_and_not_flapping() {
    let polls = Duration::from_secs(40).div_duration_f64(Polling::default().interval);
    assert_eq!(polls.ceil().to_string(), "3", "failed polls");
    let mut watched = default_peer(Polling::default().down_after);
    assert_eq!(
        watched.healths("+++++---+++++++---++"),
        "?UUUUUDDDUUUUUUUDDDU"
    );
}

#[test]
fn a_rolling_restart_that_is_no_outage_is_flapping_for_ten_polls() {
    let mut watched = default_peer(4);
    assert_eq!(watched.healths("+++---+++++++++"), "?UUUUfffffffffU");
}

#[test]
fn excused_polls_neither_begin_nor_end_flapping() {
    let mut watched = default_peer(2);
    assert_eq!(watched.healths("++-+-+eeeee+"), "?UUUUU?????U");
    assert_eq!(watched.healths("-+"), "ff");
    assert_eq!(watched.healths("eeeeeeeeeeee+"), "????????????f");
}

#[test]
fn a_peer_that_answers_after_refusing_connections_was_restarted() {
    let mut watched = Watched::new(&[TCP], |_| {});
    watched.poll(vec![failed(FailureReason::Refused)]);
    watched.poll(vec![good(1)]);
    assert_eq!(
        watched.record.restarts, 0,
        "the first answer is a start, not a restart"
    );
    watched.poll(vec![failed(FailureReason::Timeout)]);
    watched.poll(vec![good(1)]);
    assert_eq!(
        watched.record.restarts, 0,
        "a peer that timed out may have been suspended"
    );
    watched.poll(vec![failed(FailureReason::Refused)]);
    watched.poll(vec![failed(FailureReason::Refused)]);
    watched.poll(vec![good(1)]);
    assert_eq!(watched.record.restarts, 1);
    let mut reconnected = good(1);
    reconnected.0.reconnects = 1;
    watched.poll(vec![reconnected]);
    assert_eq!(
        watched.record.restarts, 2,
        "it was back before the next poll"
    );
}

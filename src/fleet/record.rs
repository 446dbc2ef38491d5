//! Everything known of one peer: fed with observations, read by whoever shows it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::config;
use crate::peer::{
    Api, ClockSample, ErrorReply, Exchange, Failure, Figures, OrderPoints, Phases, Reason,
    Transport,
};
use crate::probe::{Observation, Probed};

use super::condition::Condition;
use super::health::{Health, Streak, health};
use super::identity::{Identity, Pins};
use super::tally::Tally;

/// A measurement is shown for so many of its own intervals after it was last obtained.
const FRESH_INTERVALS: u32 = 3;

/// A measurement with the time it was obtained.
#[derive(Clone, Debug, PartialEq)]
struct Measured<T> {
    value: T,
    obtained: Instant,
}

/// One configured endpoint of a peer.
#[derive(Clone, Debug)]
pub struct EndpointRecord {
    /// How it is asked.
    pub transport: Transport,
    /// The endpoint as configured.
    pub url: String,
    /// Counters since this peer is watched.
    pub tally: Tally,
    /// Failed polls since the last good one.
    pub consecutive_failures: u32,
    /// When the last poll began.
    pub last_attempt: Option<SystemTime>,
    /// When the last good poll ended.
    pub last_success: Option<SystemTime>,
    /// Why the last poll failed; none after a good one.
    pub last_failure: Option<Failure>,
    /// When the certificate that was last shown ends.
    pub certificate_ends: Option<SystemTime>,
    latest: Option<Measured<Timings>>,
}

/// What the last good poll of an endpoint took.
#[derive(Clone, Debug, PartialEq)]
pub struct Timings {
    /// The whole poll.
    pub took: Duration,
    /// The parts of connecting, where a connection was made.
    pub phases: Phases,
    /// By request: `status`, `ping`, `query`.
    pub requests: [(&'static str, Option<Duration>); 3],
    /// Bytes of the answers.
    pub response_bytes: usize,
}

/// Everything known of one peer.
#[derive(Clone, Debug)]
pub struct PeerRecord {
    /// The peer as configured.
    pub peer: Arc<config::Peer>,
    /// Whether the last poll was good; none before the first, and when it failed for the monitor's own sake.
    pub up: Option<bool>,
    /// The verdict over polls.
    pub health: Health,
    /// What is in force.
    pub conditions: BTreeSet<Condition>,
    /// Polls that say something about the peer.
    pub polls: u64,
    /// Those of them that were not good.
    pub poll_failures: u64,
    /// How often each health was entered, in the order of [`Health::ALL`].
    pub transitions: [u64; Health::ALL.len()],
    /// By configured endpoint.
    pub endpoints: Vec<EndpointRecord>,
    /// Who answers.
    pub identity: Identity,
    /// The interface that the peer last showed.
    pub api: Option<Api>,
    /// The error that the query was last answered with; none after figures.
    pub query_error: Option<ErrorReply>,
    /// When each level of the order was last seen to advance, in the order of [`crate::peer::LEVELS`].
    pub advanced: [Option<SystemTime>; 4],
    streak: Streak,
    order: Option<Measured<OrderPoints>>,
    figures: Option<Measured<Figures>>,
    clock: Option<Measured<ClockSample>>,
}

impl EndpointRecord {
    fn new(endpoint: &crate::peer::Endpoint) -> Self {
        Self {
            transport: endpoint.transport(),
            url: endpoint.to_string(),
            tally: Tally::default(),
            consecutive_failures: 0,
            last_attempt: None,
            last_success: None,
            last_failure: None,
            certificate_ends: None,
            latest: None,
        }
    }

    fn observe(&mut self, probed: &Probed, now: Instant) {
        let exchange = &probed.exchange;
        self.tally.count(probed);
        self.last_attempt = Some(probed.began);
        self.last_failure.clone_from(&exchange.failure);
        self.certificate_ends = exchange.certificate_ends.or(self.certificate_ends);
        let Some(took) = exchange.took else {
            self.consecutive_failures = self.consecutive_failures.saturating_add(1);
            return;
        };
        self.consecutive_failures = 0;
        self.last_success = Some(probed.ended);
        let value = Timings {
            took,
            phases: exchange.phases,
            requests: [
                (
                    "status",
                    exchange.status.as_ref().map(|answered| answered.took),
                ),
                (
                    "ping",
                    exchange.clock.as_ref().map(|answered| answered.took),
                ),
                (
                    "query",
                    exchange.query.as_ref().map(|answered| answered.took),
                ),
            ],
            response_bytes: exchange.response_bytes,
        };
        self.latest = Some(Measured {
            value,
            obtained: now,
        });
    }
}

impl PeerRecord {
    /// A peer that was never polled.
    #[must_use]
    pub fn new(peer: Arc<config::Peer>) -> Self {
        let endpoints = peer.endpoints.iter().map(EndpointRecord::new).collect();
        Self {
            peer,
            up: None,
            health: Health::Unknown,
            conditions: BTreeSet::new(),
            polls: 0,
            poll_failures: 0,
            transitions: [0; Health::ALL.len()],
            endpoints,
            identity: Identity::default(),
            api: None,
            query_error: None,
            advanced: [None; 4],
            streak: Streak::default(),
            order: None,
            figures: None,
            clock: None,
        }
    }

    /// Takes the outcome of one poll, seen at `now`.
    pub fn observe(&mut self, observation: &Observation, now: Instant, wall: SystemTime) {
        for (record, probed) in self.endpoints.iter_mut().zip(&observation.endpoints) {
            record.observe(probed, now);
        }
        let exchanges: Vec<&Exchange> = observation
            .endpoints
            .iter()
            .map(|probed| &probed.exchange)
            .collect();
        let pins = Pins {
            genesis: self.peer.genesis,
            key: self.peer.key,
        };
        self.identity.observe(&exchanges, pins, wall);
        self.up = up(&exchanges);
        self.measure(&exchanges, now, wall);
        if let Some(up) = self.up {
            self.polls += 1;
            self.poll_failures += u64::from(!up);
            let cadence = &self.peer.cadence;
            self.streak.poll(up, cadence.up_after, cadence.down_after);
        }
        self.conditions = self.conditions_at(wall);
        let verdict = if self.up.is_none() {
            None
        } else {
            self.streak.verdict()
        };
        let health = health(verdict, !self.conditions.is_empty());
        if health != self.health {
            self.transitions[health as usize] += 1;
            self.health = health;
        }
    }

    /// Takes the facts about the peer: of the endpoint that answers, the binary one where both do.
    fn measure(&mut self, exchanges: &[&Exchange], now: Instant, wall: SystemTime) {
        let right = |exchange: &&&Exchange| !is_wrong(exchange);
        let answering = || exchanges.iter().rev().filter(right);
        if let Some(status) = answering().find_map(|exchange| exchange.status.as_ref()) {
            let order = status.value.order;
            if let Some(before) = &self.order {
                let before = before.value.by_level();
                for (level, points) in order.by_level().into_iter().enumerate() {
                    if points > before[level] {
                        self.advanced[level] = Some(wall);
                    }
                }
            }
            self.order = Some(Measured {
                value: order,
                obtained: now,
            });
        }
        self.api = answering().find_map(|exchange| exchange.api).or(self.api);
        if let Some(answer) = answering().find_map(|exchange| exchange.query.as_ref()) {
            match &answer.value {
                Ok(figures) => {
                    self.query_error = None;
                    self.figures = Some(Measured {
                        value: figures.clone(),
                        obtained: now,
                    });
                }
                Err(error) => self.query_error = Some(error.clone()),
            }
        }
        if let Some(sample) = answering().find_map(|exchange| exchange.clock.as_ref()) {
            self.clock = Some(Measured {
                value: sample.value,
                obtained: now,
            });
        }
    }

    fn conditions_at(&self, wall: SystemTime) -> BTreeSet<Condition> {
        let mut found = BTreeSet::new();
        for endpoint in &self.endpoints {
            if let Some(failure) = &endpoint.last_failure {
                let proven = matches!(failure.reason, Reason::WrongNetwork | Reason::WrongPeer);
                if proven || endpoint.consecutive_failures >= self.peer.cadence.down_after {
                    found.insert(Condition::Failing(failure.reason));
                    if self.up == Some(true) {
                        found.insert(Condition::EndpointFailing);
                    }
                }
            }
            let ends_soon = |ends: SystemTime| {
                ends.duration_since(wall).unwrap_or_default() < self.peer.certificate
            };
            if endpoint.certificate_ends.is_some_and(ends_soon) {
                found.insert(Condition::CertificateExpiring);
            }
        }
        if self.identity.transports_agree == Some(false) {
            found.insert(Condition::TransportsDisagree);
        }
        if self.peer.key.is_none() && self.identity.changed_lately(wall) {
            found.insert(Condition::IdentityChanged);
        }
        if self.query_error.is_some() {
            found.insert(Condition::QueryError);
        }
        // The monitor's own trouble is nothing that is in force against a peer.
        found.remove(&Condition::Failing(Reason::Monitor));
        found
    }

    fn fresh<'a, T>(&self, measured: Option<&'a Measured<T>>, now: Instant) -> Option<&'a T> {
        let keep = self.peer.cadence.interval.saturating_mul(FRESH_INTERVALS);
        measured
            .filter(|measured| now.saturating_duration_since(measured.obtained) < keep)
            .map(|measured| &measured.value)
    }

    /// The order's points, while fresh.
    #[must_use]
    pub fn order(&self, now: Instant) -> Option<OrderPoints> {
        self.fresh(self.order.as_ref(), now).copied()
    }

    /// The figures of one state, while fresh.
    #[must_use]
    pub fn figures(&self, now: Instant) -> Option<&Figures> {
        self.fresh(self.figures.as_ref(), now)
    }

    /// The peer's clock against the monitor's, while fresh.
    #[must_use]
    pub fn clock(&self, now: Instant) -> Option<ClockSample> {
        self.fresh(self.clock.as_ref(), now).copied()
    }

    /// What the last good poll of `endpoint` took, while fresh.
    #[must_use]
    pub fn timings<'a>(&self, endpoint: &'a EndpointRecord, now: Instant) -> Option<&'a Timings> {
        self.fresh(endpoint.latest.as_ref(), now)
    }
}

/// Whether an endpoint is proven to be of another network or another peer.
fn is_wrong(exchange: &Exchange) -> bool {
    matches!(
        &exchange.failure,
        Some(Failure {
            reason: Reason::WrongNetwork | Reason::WrongPeer,
            ..
        })
    )
}

/// Whether a poll was good: an endpoint answered the query, and neither it nor, where it cannot tell who it is, the
/// other one is proven to be somebody else. None: it failed for the monitor's own sake.
fn up(exchanges: &[&Exchange]) -> Option<bool> {
    let any_wrong = exchanges.iter().any(|exchange| is_wrong(exchange));
    let good = |exchange: &&&Exchange| {
        exchange.query.is_some() && !is_wrong(exchange) && (exchange.status.is_some() || !any_wrong)
    };
    if exchanges.iter().any(|exchange| good(&exchange)) {
        return Some(true);
    }
    let own = |exchange: &&Exchange| {
        exchange
            .failure
            .as_ref()
            .is_some_and(|failure| failure.reason == Reason::Monitor)
    };
    if exchanges.iter().any(own) {
        None
    } else {
        Some(false)
    }
}

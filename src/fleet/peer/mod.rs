//! Everything known of one peer: fed with observations, read by whoever shows it.

pub(super) mod addresses;
pub(super) mod condition;
mod conditions;
pub(super) mod endpoint;
pub(super) mod health;
pub(super) mod identity;
pub(super) mod learned;
pub(super) mod order;
pub(super) mod tally;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use convex_client::{
    Api, Attempt, ClockSample, ErrorReply, FailureReason, OrderPoints, PollAnswer, Transport,
};
use tokio::time::Instant;

use crate::config;
use crate::failure::Reason;
use crate::fleet::network::head::Lag;
use crate::fleet::network::member::{ShownState, Standing};
use crate::fleet::network::stake::Stake;
use crate::fleet::peer::condition::Condition;
use crate::fleet::peer::endpoint::{EndpointRecord, Measured, Timings};
use crate::fleet::peer::health::{Health, Streak, health};
use crate::fleet::peer::identity::{Identity, Pins};
use crate::fleet::peer::order::{OrderState, OrderWatch};
use crate::fleet::{Observation, Probed};
use crate::self_check::{Contact, Excuse};
use crate::sidecar::{ProcessReading, Reading, StoreReading};

/// So many changes of the verdict are remembered: soon after each other they are flapping.
const FLAPPING_CHANGES: usize = 6;

/// A measurement is shown for so many of its own intervals after it was last obtained.
const FRESH_INTERVALS: u32 = 3;

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
    /// When each level of the order was last seen to advance, in the order of [`convex_client::LEVELS`].
    pub advanced: [Option<SystemTime>; 4],
    /// Starts of the peer's process that were inferred: it was lost and has answered again.
    pub restarts: u64,
    /// Whether the peer's state is another one than the majority's, latched until they are seen equal again; none
    /// without a common block or a majority.
    pub diverged: Option<bool>,
    /// The lowest known block of the difference.
    pub first_divergent_block: Option<i64>,
    /// What the chain says of the peer, as the majority tells it.
    pub stake: Option<Stake>,
    /// Why the last poll is not held against the peer, where it is not.
    pub excuse: Option<Excuse>,
    /// Whether this host's trouble could be why some endpoint failed in the last poll while another answered.
    pub(in crate::fleet) failures_excused: bool,
    /// Since when suspicions alone excuse it; none since it was heard.
    pub(in crate::fleet) suspected_since: Option<Instant>,
    /// What the last poll counts for among all peers.
    pub(in crate::fleet) contact: Option<Contact>,
    pub(in crate::fleet) streak: Streak,
    /// The last [`FLAPPING_CHANGES`] changes of the verdict.
    changes: VecDeque<Instant>,
    pub(in crate::fleet) order_watch: OrderWatch,
    pub(in crate::fleet) lag: Option<Measured<Lag>>,
    lagging_since: Option<Instant>,
    /// A connection was found dead or refused since the last good poll.
    lost: bool,
    pub(in crate::fleet) order: Option<Measured<OrderPoints>>,
    pub(in crate::fleet) figures: Option<Measured<PollAnswer>>,
    pub(in crate::fleet) clock: Option<Measured<ClockSample>>,
    /// Boxed, as few peers have a host that is read.
    pub(in crate::fleet) process: Option<Box<Measured<ProcessReading>>>,
    pub(in crate::fleet) store: Option<Box<Measured<StoreReading>>>,
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
            restarts: 0,
            diverged: None,
            first_divergent_block: None,
            stake: None,
            excuse: None,
            failures_excused: false,
            suspected_since: None,
            contact: None,
            streak: Streak::default(),
            changes: VecDeque::new(),
            order_watch: OrderWatch::default(),
            lag: None,
            lagging_since: None,
            lost: false,
            order: None,
            figures: None,
            clock: None,
            process: None,
            store: None,
        }
    }

    /// Takes the outcome of one poll, seen at `now`, and how the peer stands to its network; none when it is watched alone.
    pub fn observe(
        &mut self,
        observation: &Observation,
        standing: Option<Standing>,
        now: Instant,
        wall: SystemTime,
    ) {
        self.take(observation, None, now, wall);
        self.judge(standing, now, wall);
    }

    /// Takes what one poll saw, and what excuses it. [`Self::judge`] has to follow.
    pub(in crate::fleet) fn take(
        &mut self,
        observation: &Observation,
        excuse: Option<Excuse>,
        now: Instant,
        wall: SystemTime,
    ) {
        for (record, probed) in self.endpoints.iter_mut().zip(&observation.endpoints) {
            record.observe(probed, now);
        }
        let endpoints = &observation.endpoints;
        let pins = Pins {
            genesis: self.peer.genesis,
            key: self.peer.key,
        };
        let attempts: Vec<&Attempt> = endpoints.iter().map(|probed| &probed.attempt).collect();
        self.identity.observe(&attempts, pins, wall);
        self.up = up(endpoints);
        self.failures_excused = self.up == Some(true) && matches!(excuse, Some(Excuse::Broken(_)));
        self.excuse = excuse.filter(|_| self.up == Some(false));
        if self.excuse.is_some() {
            self.up = None;
        }
        self.measure(endpoints, now, wall);
        self.infer_restart(endpoints);
        if let Some(up) = self.up {
            self.polls += 1;
            self.poll_failures += u64::from(!up);
            let cadence = &self.peer.cadence;
            let before = self.streak.verdict();
            self.streak.poll(up, cadence.up_after, cadence.down_after);
            if before.is_some() && self.streak.verdict() != before {
                self.changes.push_back(now);
                if self.changes.len() > FLAPPING_CHANGES {
                    self.changes.pop_front();
                }
            }
            if up {
                self.suspected_since = None;
            }
        } else if self.excuse.is_some_and(Excuse::is_suspicion) {
            // It counts in silence: when the suspicion ends the verdict is there.
            let cadence = &self.peer.cadence;
            self.streak
                .poll(false, cadence.up_after, cadence.down_after);
            self.suspected_since.get_or_insert(now);
        }
    }

    /// What the poll at `now` has shown of the peer's state, if it was good.
    pub(in crate::fleet) fn shown(&self, now: Instant) -> Option<ShownState> {
        let figures = self
            .figures
            .as_ref()
            .filter(|figures| figures.obtained == now)?;
        let (block, hash) = (figures.value.state_block?, figures.value.state_hash?);
        (self.up == Some(true)).then(|| ShownState {
            block,
            hash,
            key: self.identity.key,
            registered: figures.value.registered_peers,
            fresh: self.peer.cadence.interval.saturating_mul(FRESH_INTERVALS),
        })
    }

    /// Judges the peer after a poll, knowing how it stands to its network.
    pub(in crate::fleet) fn judge(
        &mut self,
        standing: Option<Standing>,
        now: Instant,
        wall: SystemTime,
    ) {
        if let Some(standing) = standing {
            self.lag = standing.lag.map(|value| Measured {
                value,
                obtained: now,
                via: None,
            });
            self.diverged = standing.diverged;
            self.first_divergent_block = standing.first_block;
            let threshold = i64::try_from(self.peer.verdicts.lag_blocks).unwrap_or(i64::MAX);
            let lagging = standing.lag.is_some_and(|lag| lag.blocks >= threshold);
            self.lagging_since = lagging.then(|| self.lagging_since.unwrap_or(now));
        }
        self.conditions = self.conditions_at(now, wall);
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

    /// A peer never closes a connection by itself, and a process that is there does not refuse one: whoever was lost that
    /// way and answers again was started in between.
    fn infer_restart(&mut self, endpoints: &[Probed]) {
        let refused = Some(Reason::Client(FailureReason::Refused));
        let known = self.polls > self.poll_failures;
        self.lost |= known && endpoints.iter().any(|probed| probed.reason() == refused);
        self.lost |= endpoints
            .iter()
            .any(|probed| probed.transport == Transport::Tcp && probed.attempt.reconnects > 0);
        if self.lost && endpoints.iter().all(|probed| probed.failure.is_none()) {
            self.restarts += 1;
            self.lost = false;
        }
    }

    /// Takes the facts about the peer: of the endpoint that answers, the binary one where both do.
    fn measure(&mut self, endpoints: &[Probed], now: Instant, wall: SystemTime) {
        let told: Vec<(Transport, &Attempt)> = endpoints
            .iter()
            .filter(|probed| !probed.is_wrong())
            .map(|probed| (probed.transport, &probed.attempt))
            .collect();
        let answering = || told.iter().rev().copied();
        let status = answering().find_map(|(via, it)| Some((Some(via), it.status.as_ref()?)));
        if let Some((via, status)) = status {
            let order = status.value.order;
            if let Some(before) = &self.order {
                let before = before.value.by_level();
                for (level, points) in order.by_level().into_iter().enumerate() {
                    if points > before[level] {
                        self.advanced[level] = Some(wall);
                    }
                }
            }
            let state_block =
                answering().find_map(|(_, it)| it.query.as_ref()?.value.as_ref().ok()?.state_block);
            self.order_watch.observe(order, state_block, now);
            self.order = Some(Measured {
                value: order,
                obtained: now,
                via,
            });
        }
        self.api = answering().find_map(|(_, it)| it.api).or(self.api);
        let query = answering().find_map(|(via, it)| Some((Some(via), it.query.as_ref()?)));
        if let Some((via, answer)) = query {
            match &answer.value {
                Ok(figures) => {
                    self.query_error = None;
                    self.figures = Some(Measured {
                        value: figures.clone(),
                        obtained: now,
                        via,
                    });
                }
                Err(error) => self.query_error = Some(error.clone()),
            }
        }
        let clock = answering().find_map(|(via, it)| Some((Some(via), it.clock.as_ref()?)));
        if let Some((via, sample)) = clock {
            self.clock = Some(Measured {
                value: sample.value,
                obtained: now,
                via,
            });
        }
    }

    pub(in crate::fleet) fn fresh<'a, T>(
        &self,
        measured: Option<&'a Measured<T>>,
        now: Instant,
    ) -> Option<&'a T> {
        let keep = self.peer.cadence.interval.saturating_mul(FRESH_INTERVALS);
        measured
            .filter(|measured| now.saturating_duration_since(measured.obtained) < keep)
            .map(|measured| &measured.value)
    }

    /// Whether a maintenance window covers `wall`: the data stays, nobody is paged.
    #[must_use]
    pub fn in_maintenance(&self, wall: SystemTime) -> bool {
        self.peer
            .maintenance
            .iter()
            .any(|window| window.covers(wall))
    }

    /// The order's points, while fresh.
    #[must_use]
    pub fn order(&self, now: Instant) -> Option<OrderPoints> {
        self.fresh(self.order.as_ref(), now).copied()
    }

    /// What the order does; unknown without a fresh status.
    #[must_use]
    pub fn order_state(&self, now: Instant) -> OrderState {
        match &self.order {
            Some(order) if self.order(now).is_some() => self
                .order_watch
                .state(order.obtained, self.peer.verdicts.stall_after),
            _ => OrderState::Unknown,
        }
    }

    /// How far the peer is behind its network's head, while fresh; none when no other peer of the network is heard.
    #[must_use]
    pub fn lag(&self, now: Instant) -> Option<Lag> {
        self.fresh(self.lag.as_ref(), now).copied()
    }

    /// The figures of one state, while fresh.
    #[must_use]
    pub fn figures(&self, now: Instant) -> Option<&PollAnswer> {
        self.fresh(self.figures.as_ref(), now)
    }

    /// The peer's clock against the monitor's, while fresh.
    #[must_use]
    pub fn clock(&self, now: Instant) -> Option<ClockSample> {
        self.fresh(self.clock.as_ref(), now).copied()
    }

    /// Takes what the host showed of the peer at `now`.
    pub fn learn_host(&mut self, reading: Reading, now: Instant) {
        match reading {
            Reading::Process(value) => {
                self.process = Some(Box::new(Measured {
                    value,
                    obtained: now,
                    via: None,
                }));
            }
            Reading::Store(value) => {
                self.store = Some(Box::new(Measured {
                    value,
                    obtained: now,
                    via: None,
                }));
            }
        }
    }

    /// The peer's process as the host shows it, while fresh.
    #[must_use]
    pub fn process(&self, now: Instant) -> Option<&ProcessReading> {
        self.fresh(self.process.as_deref(), now)
    }

    /// The peer's store as the host shows it, while fresh.
    #[must_use]
    pub fn store(&self, now: Instant) -> Option<&StoreReading> {
        self.fresh(self.store.as_deref(), now)
    }

    /// What the last good poll of `endpoint` took, while fresh.
    #[must_use]
    pub fn timings<'a>(&self, endpoint: &'a EndpointRecord, now: Instant) -> Option<&'a Timings> {
        self.fresh(endpoint.latest.as_ref(), now)
    }
}

/// Whether a poll was good: an endpoint answered the query, and neither it nor, where it cannot tell who it is, the
/// other one is proven to be somebody else. None: it failed for the monitor's own sake.
fn up(endpoints: &[Probed]) -> Option<bool> {
    let any_wrong = endpoints.iter().any(Probed::is_wrong);
    let good = |probed: &Probed| {
        let attempt = &probed.attempt;
        attempt.query.is_some() && !probed.is_wrong() && (attempt.status.is_some() || !any_wrong)
    };
    if endpoints.iter().any(good) {
        return Some(true);
    }
    if endpoints
        .iter()
        .any(|probed| probed.reason() == Some(Reason::MONITOR))
    {
        None
    } else {
        Some(false)
    }
}

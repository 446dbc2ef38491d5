//! Everything known about one peer, and how it follows from its polls.

pub(super) mod condition;
mod conditions;
pub(super) mod endpoint;
pub(super) mod health;
pub(super) mod identity;
pub(super) mod order;
pub(super) mod provenance;
pub(super) mod tally;
mod update;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use convex_client::{Api, ClockSample, ErrorReply, OrderPoints, PollAnswer};
use tokio::time::Instant;

use crate::config;
use crate::self_check::{Contact, Excuse};
use crate::sidecar::{ProcessReading, StoreReading};

use super::{Lag, Stake};
use condition::Condition;
use endpoint::{EndpointRecord, Measured, Timings};
use health::{Health, Streak};
use identity::Identity;
use order::{OrderState, OrderWatch};

/// Number of changes of the verdict that are remembered; if they follow each other quickly, the
/// peer is flapping.
const FLAPPING_CHANGES: usize = 6;

/// A measurement is shown for this many intervals of its peer after it was obtained.
const FRESH_INTERVALS: u32 = 3;

/// Everything known about one peer.
#[derive(Clone, Debug)]
pub struct PeerRecord {
    /// The peer as configured.
    pub peer: Arc<config::Peer>,
    /// Whether the last poll was good; none before the first one, and if it failed because of the
    /// agent itself.
    pub up: Option<bool>,
    /// The verdict over several polls.
    pub health: Health,
    /// Active conditions.
    pub conditions: BTreeSet<Condition>,
    /// Polls that say something about the peer.
    pub polls: u64,
    /// Those of them that were not good.
    pub poll_failures: u64,
    /// Number of changes to each health, in the order of [`Health::ALL`].
    pub transitions: [u64; Health::ALL.len()],
    /// In the order of the configured endpoints.
    pub endpoints: Vec<EndpointRecord>,
    /// Genesis hash, peer key and advertised URL.
    pub identity: Identity,
    /// The interface that the peer last showed.
    pub api: Option<Api>,
    /// The error that the query was last answered with; none after a result.
    pub query_error: Option<ErrorReply>,
    /// When each level of the order was last seen to advance, in the order of
    /// [`convex_client::ORDER_LEVELS`].
    pub advanced: [Option<SystemTime>; 4],
    /// Inferred starts of the peer's process: its connection was lost and it answered again.
    pub restarts: u64,
    /// Whether the peer's state differs from the majority's, latched until they are seen equal
    /// again; none without a common block or a majority.
    pub diverged: Option<bool>,
    /// The lowest block at which the states are known to differ.
    pub first_divergent_block: Option<i64>,
    /// The peer's entry in the registry.
    pub stake: Option<Stake>,
    /// Why the last poll does not count against the peer, if it does not.
    pub excuse: Option<Excuse>,
    /// Whether a problem of this host may be why an endpoint failed in the last poll while another
    /// answered.
    pub(in crate::fleet) failures_excused: bool,
    /// Since when only suspicions excuse the peer; none since it last answered.
    pub(in crate::fleet) suspected_since: Option<Instant>,
    /// How the last poll counts in the number of reached peers.
    pub(in crate::fleet) contact: Option<Contact>,
    pub(in crate::fleet) streak: Streak,
    /// Times of the last [`FLAPPING_CHANGES`] changes of the verdict.
    changes: VecDeque<Instant>,
    pub(in crate::fleet) order_watch: OrderWatch,
    pub(in crate::fleet) lag: Option<Measured<Lag>>,
    lagging_since: Option<Instant>,
    /// Whether a connection was found dead or refused since the last good poll.
    lost: bool,
    pub(in crate::fleet) order: Option<Measured<OrderPoints>>,
    pub(in crate::fleet) poll_answer: Option<Measured<PollAnswer>>,
    pub(in crate::fleet) clock: Option<Measured<ClockSample>>,
    /// Boxed, because only few peers have a sidecar.
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
            poll_answer: None,
            clock: None,
            process: None,
            store: None,
        }
    }

    /// Returns the value unless it is outdated.
    pub(in crate::fleet) fn fresh<'a, T>(
        &self,
        measured: Option<&'a Measured<T>>,
        now: Instant,
    ) -> Option<&'a T> {
        let fresh_for = self.peer.polling.interval.saturating_mul(FRESH_INTERVALS);
        measured
            .filter(|measured| now.saturating_duration_since(measured.obtained) < fresh_for)
            .map(|measured| &measured.value)
    }

    /// Whether `wall` is in a maintenance window: data is still collected, but alerts are silenced.
    #[must_use]
    pub fn in_maintenance(&self, wall: SystemTime) -> bool {
        self.peer
            .maintenance
            .iter()
            .any(|window| window.covers(wall))
    }

    /// Returns the points of the order, unless outdated.
    #[must_use]
    pub fn order(&self, now: Instant) -> Option<OrderPoints> {
        self.fresh(self.order.as_ref(), now).copied()
    }

    /// Returns the state of the order; unknown if the points are outdated.
    #[must_use]
    pub fn order_state(&self, now: Instant) -> OrderState {
        match &self.order {
            Some(order) if self.order(now).is_some() => self
                .order_watch
                .state(order.obtained, self.peer.verdicts.stall_after),
            _ => OrderState::Unknown,
        }
    }

    /// Returns how far the peer is behind the head of its network, unless outdated; none if no
    /// other peer of the network answers.
    #[must_use]
    pub fn lag(&self, now: Instant) -> Option<Lag> {
        self.fresh(self.lag.as_ref(), now).copied()
    }

    /// Returns the values of one state, unless outdated.
    #[must_use]
    pub fn poll_answer(&self, now: Instant) -> Option<&PollAnswer> {
        self.fresh(self.poll_answer.as_ref(), now)
    }

    /// Returns the peer's clock compared with the agent's, unless outdated.
    #[must_use]
    pub fn clock(&self, now: Instant) -> Option<ClockSample> {
        self.fresh(self.clock.as_ref(), now).copied()
    }

    /// Returns the reading of the peer's process, unless outdated.
    #[must_use]
    pub fn process(&self, now: Instant) -> Option<&ProcessReading> {
        self.fresh(self.process.as_deref(), now)
    }

    /// Returns the reading of the peer's store, unless outdated.
    #[must_use]
    pub fn store(&self, now: Instant) -> Option<&StoreReading> {
        self.fresh(self.store.as_deref(), now)
    }

    /// Returns the durations of the last good poll of `endpoint`, unless outdated.
    #[must_use]
    pub fn timings<'a>(&self, endpoint: &'a EndpointRecord, now: Instant) -> Option<&'a Timings> {
        self.fresh(endpoint.latest.as_ref(), now)
    }
}

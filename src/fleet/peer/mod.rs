//! Everything known about one peer, and how it follows from its polls.

pub(super) mod condition;
mod conditions;
pub(super) mod endpoint;
pub(super) mod flapping;
pub(super) mod genesis;
pub(super) mod health;
pub(super) mod identity;
pub(super) mod last_poll;
pub(super) mod order;
pub(super) mod provenance;
mod release;
mod since;
pub(super) mod tally;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{
    Api, ClockSample, Endpoint, ErrorReply, OrderPoints, PollAnswer, ProtocolState,
};
use tokio::time::Instant;

use crate::config;
use crate::self_check::{Contact, Excuse};
use crate::sidecar::{ProcessReading, StoreReading};

use super::network::consensus::Standing;
use super::network::member::Heard;
use super::network::upgrades::UpgradeStanding;
use super::saved::fits;
use super::{Comparison, Evidence, Lag, Registration, Stake};
use condition::Condition;
use endpoint::{EndpointRecord, Measured, Timings};
use flapping::Flapping;
use genesis::GenesisShown;
use health::{Health, Streak};
use identity::Identity;
use last_poll::LastPoll;
use order::{OrderState, OrderWatch};
use release::ToldRelease;

/// A measurement is shown for this many intervals of its peer after it was obtained.
const FRESH_INTERVALS: u32 = 3;

/// A peer counts as reached for this many intervals after a good poll.
pub(super) const REACHED_INTERVALS: u32 = 2;

/// Everything known about one peer.
#[derive(Clone, Debug)]
pub struct PeerRecord {
    /// The peer as configured.
    pub peer: Arc<config::Peer>,
    /// Maintenance windows that operators began at run time.
    pub(in crate::fleet) maintenance: Vec<config::Window>,
    /// How the last poll went.
    pub last_poll: LastPoll,
    /// When the last good poll ended.
    pub last_good_poll: Option<Instant>,
    /// The verdict over several polls.
    pub health: Health,
    /// Active conditions.
    pub conditions: BTreeSet<Condition>,
    /// Since when each of them has had its cause, as far as the agent saw it.
    pub condition_since: BTreeMap<Condition, SystemTime>,
    /// When the counters were at 0.
    pub counting_since: SystemTime,
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
    /// The release that the peer last told.
    release: Option<ToldRelease>,
    /// The error that the query was last answered with; none after a result.
    pub query_error: Option<ErrorReply>,
    /// When each level of the order was last seen to advance, in the order of
    /// [`convex_client::ORDER_LEVELS`].
    pub advanced: [Option<SystemTime>; 4],
    /// Inferred starts of the peer's process: its connection was lost and it answered again.
    pub restarts: u64,
    /// How the peer's states compare with those of the others.
    pub comparison: Comparison,
    /// When the peer last showed a block that another peer showed too.
    pub compared: Option<Instant>,
    /// Whether the registry has the peer.
    pub registration: Registration,
    /// The key under which the registry last had it.
    pub(in crate::fleet) registered_key: Option<Hash>,
    /// What orders and beliefs say about it.
    pub(in crate::fleet) standing: Standing,
    /// What upgrades of the protocol mean for it.
    pub(in crate::fleet) upgrade: UpgradeStanding,
    /// The peer's entry in the registry.
    pub stake: Option<Stake>,
    /// Why the last poll does not count against the peer, if it does not.
    pub excuse: Option<Excuse>,
    /// Whether a problem of this host may be why an endpoint failed in the last poll while another
    /// answered.
    pub(in crate::fleet) failures_excused: bool,
    /// Since when only suspicions excuse the peer; none since it last answered.
    pub(in crate::fleet) suspected_since: Option<Instant>,
    /// The genesis hash that its last statuses showed.
    pub(in crate::fleet) genesis_shown: Option<GenesisShown>,
    /// The last state that a good poll found.
    pub(in crate::fleet) heard: Option<Heard>,
    /// How the last poll counts in the number of reached peers.
    pub(in crate::fleet) contact: Option<Contact>,
    pub(in crate::fleet) streak: Streak,
    pub(in crate::fleet) flapping: Flapping,
    pub(in crate::fleet) order_watch: OrderWatch,
    pub(in crate::fleet) lag: Option<Measured<Lag>>,
    /// Since when every poll found the peer `lag_blocks` or more behind.
    behind_since: Option<Instant>,
    /// Whether a connection was found dead or refused since the last good poll.
    lost: bool,
    pub(in crate::fleet) order: Option<Measured<OrderPoints>>,
    pub(in crate::fleet) poll_answer: Option<Measured<PollAnswer>>,
    /// Highest version of the protocol that the peer can execute.
    pub(in crate::fleet) supported: Option<Measured<i64>>,
    pub(in crate::fleet) clock: Option<Measured<ClockSample>>,
    /// Whether the clock of this host, by which that of the peer is measured, is in doubt.
    pub(in crate::fleet) clock_doubted: bool,
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
            maintenance: Vec::new(),
            last_poll: LastPoll::None,
            last_good_poll: None,
            health: Health::Unknown,
            conditions: BTreeSet::new(),
            condition_since: BTreeMap::new(),
            counting_since: SystemTime::now(),
            polls: 0,
            poll_failures: 0,
            transitions: [0; Health::ALL.len()],
            endpoints,
            identity: Identity::default(),
            api: None,
            release: None,
            query_error: None,
            advanced: [None; 4],
            restarts: 0,
            comparison: Comparison::NotCompared,
            compared: None,
            registration: Registration::Unknown,
            registered_key: None,
            standing: Standing::default(),
            upgrade: UpgradeStanding::default(),
            stake: None,
            excuse: None,
            failures_excused: false,
            suspected_since: None,
            genesis_shown: None,
            heard: None,
            contact: None,
            streak: Streak::default(),
            flapping: Flapping::default(),
            order_watch: OrderWatch::default(),
            lag: None,
            behind_since: None,
            lost: false,
            order: None,
            poll_answer: None,
            supported: None,
            clock: None,
            clock_doubted: false,
            process: None,
            store: None,
        }
    }

    /// Whether `peer` is this peer with other settings or another name: one network, an endpoint in
    /// common as `same` compares them, and no pin that contradicts what is known.
    pub(in crate::fleet) fn is_same_peer(
        &self,
        peer: &config::Peer,
        same: impl Fn(&Endpoint, &Endpoint) -> bool,
    ) -> bool {
        let known = &self.peer.endpoints;
        peer.network == self.peer.network
            && peer.sampled == self.peer.sampled
            && peer
                .endpoints
                .iter()
                .any(|endpoint| known.iter().any(|known| same(known, endpoint)))
            && fits(peer.genesis, self.peer.genesis.or(self.identity.genesis))
            && fits(peer.key, self.own_key())
    }

    /// Gives the peer other settings. State of an endpoint stays with it.
    pub(in crate::fleet) fn reconfigure(&mut self, peer: Arc<config::Peer>) {
        let known = std::mem::take(&mut self.endpoints);
        let mut known: Vec<_> = self.peer.endpoints.iter().zip(known).collect();
        let endpoints = peer.endpoints.iter().map(|endpoint| {
            let same = known.iter().position(|(known, _)| *known == endpoint);
            same.map_or_else(
                || EndpointRecord::new(endpoint),
                |same| known.swap_remove(same).1,
            )
        });
        self.endpoints = endpoints.collect();
        if peer.endpoints != self.peer.endpoints {
            self.identity.transports_agree = Evidence::None;
        }
        // The next poll compares with the new pins.
        if peer.genesis != self.peer.genesis {
            self.identity.genesis_match = Evidence::None;
        }
        if peer.key != self.peer.key {
            self.identity.key_match = Evidence::None;
        }
        if peer.sidecar != self.peer.sidecar {
            self.process = None;
            self.store = None;
        }
        self.peer = peer;
    }

    /// Returns the value unless it is outdated.
    pub(in crate::fleet) fn fresh<'a, T>(
        &self,
        measured: Option<&'a Measured<T>>,
        now: Instant,
    ) -> Option<&'a T> {
        measured
            .filter(|measured| now.saturating_duration_since(measured.obtained) < self.fresh_for())
            .map(|measured| &measured.value)
    }

    /// How long a measurement is shown.
    pub(in crate::fleet) fn fresh_for(&self) -> Duration {
        self.peer.polling.interval.saturating_mul(FRESH_INTERVALS)
    }

    /// Whether a good poll is so recent that the peer is there.
    #[must_use]
    pub fn is_reached(&self, now: Instant) -> bool {
        let valid = self.peer.polling.interval.saturating_mul(REACHED_INTERVALS);
        self.last_good_poll
            .is_some_and(|at| now.saturating_duration_since(at) <= valid)
    }

    /// Returns the pinned key, or else the one that the peer answered with.
    #[must_use]
    pub fn own_key(&self) -> Option<Hash> {
        self.peer.key.or(self.identity.key)
    }

    /// Returns the number of registered peers in the last state.
    pub(in crate::fleet) fn registered_peers(&self) -> Option<i64> {
        self.poll_answer.as_ref()?.value.registered_peers
    }

    /// Returns the first block at which the peer's history differs from that of the majority; none
    /// if it does not.
    #[must_use]
    pub const fn forked_at(&self) -> Option<u64> {
        self.standing.forked_at
    }

    /// Whether `wall` is in a maintenance window: data is still collected, but alerts are silenced.
    #[must_use]
    pub fn in_maintenance(&self, wall: SystemTime) -> bool {
        self.maintenance_windows().any(|window| window.covers(wall))
    }

    /// Returns the maintenance windows of the configuration, and those that operators began at run
    /// time.
    pub fn maintenance_windows(&self) -> impl Iterator<Item = &config::Window> {
        self.peer.maintenance.iter().chain(&self.maintenance)
    }

    /// Whether the last poll was good and is not outdated.
    #[must_use]
    pub fn answers(&self, now: Instant) -> bool {
        let timed = |endpoint| self.timings(endpoint, now).is_some();
        self.last_poll.is_good() && (self.order(now).is_some() || self.endpoints.iter().any(timed))
    }

    /// Whether a poll was good so recently that it is not outdated, whatever came after it.
    #[must_use]
    pub fn answered_lately(&self, now: Instant) -> bool {
        let last = self.last_good_poll;
        last.is_some_and(|last| now.saturating_duration_since(last) < self.fresh_for())
    }

    /// Returns the points of the order, unless outdated.
    #[must_use]
    pub fn order(&self, now: Instant) -> Option<OrderPoints> {
        self.fresh(self.order.as_ref(), now).copied()
    }

    /// Returns the points of the order and when the peer was asked for them, unless outdated.
    pub(in crate::fleet) fn order_asked(&self, now: Instant) -> Option<(OrderPoints, Instant)> {
        let asked = self.order.as_ref()?.obtained;
        Some((self.order(now)?, asked))
    }

    /// Returns the number of final blocks that the last STATUS showed, however long ago.
    #[must_use]
    pub fn last_finality(&self) -> Option<i64> {
        Some(self.order_watch.last?.finality)
    }

    /// Returns the state of the order; unknown if the points are outdated.
    #[must_use]
    pub fn order_state(&self, now: Instant) -> OrderState {
        let stall_after = self.peer.verdicts.stall_after;
        self.order_asked(now)
            .map_or(OrderState::Unknown, |(_, asked)| {
                self.order_watch.state(asked, stall_after)
            })
    }

    /// Returns how far the peer is behind the head of its network, unless outdated; none if no
    /// other peer of the network answers.
    #[must_use]
    pub fn lag(&self, now: Instant) -> Option<Lag> {
        self.fresh(self.lag.as_ref(), now).copied()
    }

    /// Whether the last poll found blocks pending above the same finality for `stall_after`, unless
    /// outdated.
    pub(in crate::fleet) fn is_stuck(&self, now: Instant) -> bool {
        let stall_after = self.peer.verdicts.stall_after;
        self.order_asked(now)
            .is_some_and(|(_, asked)| self.order_watch.is_stuck(asked, stall_after))
    }

    /// Returns how long the peer had been `lag_blocks` or more behind when it was last asked.
    pub(in crate::fleet) fn behind_for(&self) -> Option<Duration> {
        let last = self.lag.as_ref()?.obtained;
        Some(last.saturating_duration_since(self.behind_since?))
    }

    /// Returns the index of the last block that is known to be final at the peer, unless outdated:
    /// what it has executed was final.
    pub(in crate::fleet) fn final_block(&self, now: Instant) -> Option<i64> {
        let ordered = self.order(now).map(|order| order.finality - 1);
        ordered.max(self.heard.map(|heard| heard.block))
    }

    /// Returns the index of the highest block that was final at the peer so far.
    pub(in crate::fleet) fn highest_final_block(&self) -> Option<i64> {
        let [_, finality, _] = self.order_watch.highest?;
        Some(finality - 1)
    }

    /// Returns the values of one state, unless outdated.
    #[must_use]
    pub fn poll_answer(&self, now: Instant) -> Option<&PollAnswer> {
        self.fresh(self.poll_answer.as_ref(), now)
    }

    /// Returns version and upgrades of the protocol in the last state, unless outdated.
    pub(in crate::fleet) fn protocol(&self, now: Instant) -> Option<&ProtocolState> {
        self.poll_answer(now)?.protocol.as_ref()
    }

    /// Returns the highest version of the protocol that the peer can execute, unless outdated; none
    /// if its release neither says that nor is one that executes no upgrade.
    #[must_use]
    pub fn supported_protocol(&self, now: Instant) -> Option<i64> {
        let said = self.fresh(self.supported.as_ref(), now).copied();
        let release = self.release.as_ref();
        let lacks_upgrades = || {
            self.last_poll.is_good()
                && release.is_some_and(|it| it.lacks_upgrades(now, self.restarts))
        };
        said.or_else(|| lacks_upgrades().then_some(0))
    }

    /// Returns from when to when polls found that the peer does not execute a block that is final
    /// for it, unless outdated; none if it executes.
    pub(in crate::fleet) fn unexecuted(&self, now: Instant) -> Option<(Instant, Instant)> {
        let (_, asked) = self.order_asked(now)?;
        let (_, since) = self.order_watch.unexecuted?;
        Some((since, asked))
    }

    /// Returns the peer's clock compared with the agent's, unless outdated.
    #[must_use]
    pub fn clock(&self, now: Instant) -> Option<ClockSample> {
        self.fresh(self.clock.as_ref(), now).copied()
    }

    /// Whether the peer is proven to have other states or other blocks than most of the stake.
    pub(in crate::fleet) const fn is_apart(&self) -> bool {
        self.comparison.is_diverged() || self.standing.forked_at.is_some()
    }

    /// Returns how far the peer's clock is behind that of the agent for sure.
    pub(in crate::fleet) fn clock_behind(&self, now: Instant) -> Duration {
        let behind = self.clock(now).map(|clock| -clock.skew - clock.uncertainty);
        Duration::try_from_secs_f64(behind.unwrap_or_default()).unwrap_or_default()
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

    /// Returns the release that the peer tells, unless outdated.
    #[must_use]
    pub fn release(&self, now: Instant) -> Option<&str> {
        self.release.as_ref()?.text(now)
    }

    /// Records the release that the peer told at `now`; none if it tells none.
    pub fn record_release(&mut self, release: Option<&str>, now: Instant) {
        self.release = release.map(|release| ToldRelease::new(release, now, self.restarts));
    }

    /// Returns the durations of the last good poll of `endpoint`, unless outdated.
    #[must_use]
    pub fn timings<'a>(&self, endpoint: &'a EndpointRecord, now: Instant) -> Option<&'a Timings> {
        self.fresh(endpoint.latest.as_ref(), now)
    }
}

//! One watched peer as a member of its network: what it last showed, and how it compares with the
//! others. Pure.

use std::collections::HashSet;
use std::time::Duration;

use cad3::Hash;
use convex_client::ProtocolState;
use tokio::time::Instant;

use crate::fleet::peer::genesis::GenesisShown;
use crate::fleet::{Health, OrderState};

use super::agreement::RingVerdict;
use super::consensus::Standing;
use super::recent::{Showing, Witness};
use super::registration::{Registration, RegistrationWatch};
use super::ring::{BlockState, BlockStateCounts, HashPrefix, Ring, Shown};
use super::upgrades::UpgradeStanding;

/// For how long a peer that went back is compared with what it had before; then the lower point is
/// the new reference.
const MAX_RECEDING: Duration = Duration::from_secs(3600);

/// How long a dispute has to last before it is held against its peers: first the others are asked,
/// and mostly they show who is wrong.
const DISPUTE_SETTLES_AFTER: Duration = Duration::from_secs(10);

/// One watched peer of the network.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about one peer"
)]
pub(in crate::fleet) struct Member {
    /// Its name.
    pub(super) name: String,
    ring: Ring,
    /// Whether its states are counted: it was answering when all peers were last compared.
    counted: bool,
    pub(super) key: Option<Hash>,
    /// The genesis hash that its last statuses showed, and the one that the configuration pins.
    pub(super) genesis: Option<GenesisShown>,
    pub(super) pinned_genesis: Option<Hash>,
    /// Whether the key is configured, and not only claimed by the peer.
    pub(super) pinned: bool,
    /// Whether the operator configured the peer; else discovery found it.
    pub(super) configured: bool,
    /// Whether it has not been polled yet.
    pub(super) awaited: bool,
    /// Its last state block, and until when that counts.
    pub(super) latest: Option<Heard>,
    pub(super) interval: Duration,
    /// How long what it shows is evidence.
    pub(super) fresh_for: Duration,
    /// Its stake in billionths of the registered stake; 0 while that is unknown.
    pub(super) stake: u64,
    /// Whether it has so much own stake that other peers accept its votes.
    pub(super) has_effective_stake: bool,
    /// Its decayed stake in billionths of the registered weight; 0 while that is unknown.
    pub(super) weight: u64,
    /// How its states compare with those of the others. A divergence is latched until an equal
    /// state is seen.
    pub(super) comparison: Comparison,
    /// Since when another peer with a vote has had another state, and nobody knows which is right.
    disputed_since: Option<Instant>,
    /// When it last showed a block that another peer showed too.
    pub(super) compared: Option<Instant>,
    pub(super) order: OrderState,
    /// What its last STATUS shows.
    pub(super) ordered: Option<Ordered>,
    /// The highest block that was final, and when the peer was asked when it was first below it.
    highest: Option<i64>,
    below_since: Option<Instant>,
    /// When it showed another state at a block that had been final for it.
    pub(super) replaced: Option<Instant>,
    /// Number of registered peers in its last state.
    pub(super) registered: Option<i64>,
    /// Version and upgrades of the protocol in its last state.
    pub(super) protocol: Option<ProtocolState>,
    /// Highest version of the protocol that it can execute, if that is known.
    pub(super) supported: Option<i64>,
    /// From when to when polls found that it does not execute a block that is final for it.
    pub(super) unexecuted: Option<(Instant, Instant)>,
    /// What upgrades mean for it.
    pub(super) upgrade: UpgradeStanding,
    pub(super) registration: RegistrationWatch,
    pub(super) health: Health,
    /// Whether another peer answers in its place.
    pub(super) is_replaced: bool,
    /// Whether it belongs to another network.
    pub(super) is_elsewhere: bool,
    pub(super) stall_after: Duration,
    /// Whether its blocks have been waiting for `stall_after` and none of them became final.
    pub(super) is_stuck: bool,
    /// How far its clock is behind that of the agent.
    pub(super) clock_behind: Duration,
    /// What orders and beliefs say about it.
    pub(super) standing: Standing,
    /// The fork that was known when its orders were last read, and until when that counts.
    pub(super) last_fork: Option<(u64, Option<Instant>)>,
}

/// What a member's last STATUS shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ordered {
    /// Index of the last block in its order.
    pub(super) block: i64,
    /// Index of the last final block.
    pub(super) finality: i64,
    /// When the peer was asked for it.
    pub(super) asked: Instant,
}

impl Member {
    /// A peer that has not been polled yet, and how it was known to compare before.
    pub(super) fn new(comparison: Comparison, standing: Standing) -> Self {
        Self {
            name: String::new(),
            ring: Ring::default(),
            counted: false,
            key: None,
            genesis: None,
            pinned_genesis: None,
            pinned: false,
            configured: true,
            awaited: true,
            latest: None,
            interval: Duration::ZERO,
            fresh_for: Duration::ZERO,
            stake: 0,
            has_effective_stake: false,
            weight: 0,
            comparison,
            disputed_since: None,
            compared: None,
            order: OrderState::Unknown,
            ordered: None,
            highest: None,
            below_since: None,
            replaced: None,
            registered: None,
            protocol: None,
            supported: None,
            unexecuted: None,
            upgrade: UpgradeStanding::default(),
            registration: RegistrationWatch::default(),
            health: Health::Unknown,
            is_replaced: false,
            is_elsewhere: false,
            stall_after: Duration::ZERO,
            is_stuck: false,
            clock_behind: Duration::ZERO,
            standing,
            last_fork: standing.forked_at.map(|block| (block, None)),
        }
    }

    /// Whether its last state still counts.
    pub(super) fn is_answering(&self, now: Instant) -> bool {
        self.latest.is_some_and(|latest| now < latest.until)
    }

    /// Returns the peer's key, unless it only claims one that the configuration gives to another
    /// peer.
    pub(super) fn own_key(&self, pinned: &HashSet<Hash>) -> Option<Hash> {
        self.key.filter(|key| self.pinned || !pinned.contains(key))
    }

    /// Whether it is proven to have other states or other blocks than most of the stake.
    pub(super) const fn is_apart(&self) -> bool {
        self.comparison.is_diverged() || self.standing.forked_at.is_some()
    }

    /// Returns its last states.
    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Adds a state that the peer showed.
    pub(super) fn add_state(&mut self, shown: Shown, counts: &mut BlockStateCounts) {
        let counted = self.counted;
        let is_new = self.ring.add(shown, |dropped| {
            if counted {
                counts.remove(dropped);
            }
        });
        if is_new && counted {
            counts.add(shown.state);
        }
    }

    /// Forgets how its states and orders compared: the peer belongs to another network, and may
    /// have shown those of it before its genesis hash gave that away.
    pub(super) fn forget_comparisons(&mut self, counts: &mut BlockStateCounts) {
        self.set_counted(false, counts);
        self.ring = Ring::default();
        self.comparison = Comparison::NotCompared;
        (self.compared, self.disputed_since) = (None, None);
        (self.standing.forked_at, self.last_fork) = (None, None);
    }

    /// Includes its states in `counts`, or removes them.
    pub(super) fn set_counted(&mut self, counted: bool, counts: &mut BlockStateCounts) {
        if counted == self.counted {
            return;
        }
        self.counted = counted;
        let states = self.ring.newest_first();
        if counted {
            states.for_each(|state| counts.add(state));
        } else {
            states.for_each(|state| counts.remove(state));
        }
    }

    /// Returns what it is evidence for at `now`. `has_vote`: whether it can confirm others.
    pub(super) fn witness(&self, now: Instant, has_vote: bool) -> Witness<'_> {
        Witness {
            ring: &self.ring,
            since: now.checked_sub(self.fresh_for).unwrap_or(now),
            confirms: has_vote && !self.comparison.is_diverged(),
            stake: self.stake,
        }
    }

    /// Returns what its showings were found to be evidence for before, as far as that still counts.
    pub(super) fn showing(&self, now: Instant) -> Showing {
        let age = |at| now.saturating_duration_since(at);
        let compared = self.compared.filter(|at| age(*at) < self.fresh_for);
        Showing {
            agreed: compared.filter(|_| self.comparison == Comparison::Agrees),
            compared,
        }
    }

    /// Records the verdict on its ring. `agreed`: whether it agrees with another peer by what both
    /// showed recently. `awaits_stake`: whether the registry is still to be read for the first
    /// time, which may show who is right; until then no dispute settles.
    pub(super) fn record_verdict(
        &mut self,
        verdict: RingVerdict,
        agreed: bool,
        awaits_stake: bool,
        now: Instant,
    ) {
        self.disputed_since = match verdict {
            RingVerdict::Disputed if awaits_stake => Some(now),
            RingVerdict::Disputed => self.disputed_since.or(Some(now)),
            RingVerdict::Undisputed | RingVerdict::Diverged { .. } => None,
        };
        let is_settled = self.dispute_settles().is_some_and(|settles| settles <= now);
        self.comparison = match (verdict, self.comparison) {
            (RingVerdict::Diverged { first_block }, known) => Comparison::Diverged {
                // The ring forgets the lower ones.
                first_block: known.first_block().unwrap_or(first_block).min(first_block),
            },
            (RingVerdict::Undisputed, _) if agreed => Comparison::Agrees,
            // A diverged peer that no other one agrees with stays diverged when the others are
            // lost.
            (_, latched @ Comparison::Diverged { .. }) if !agreed => latched,
            (RingVerdict::Disputed, _) if is_settled => Comparison::Differs,
            (RingVerdict::Disputed | RingVerdict::Undisputed, _) => Comparison::NotCompared,
        };
    }

    /// Returns when an open dispute counts.
    pub(super) fn dispute_settles(&self) -> Option<Instant> {
        Some(self.disputed_since? + DISPUTE_SETTLES_AFTER)
    }

    /// Returns when it was asked for the newest that it showed.
    pub(super) fn asked(&self) -> Option<Instant> {
        let ordered = self.ordered.map(|ordered| ordered.asked);
        ordered.max(self.latest.map(|latest| latest.asked))
    }

    /// Returns the index of the last block that is final at the peer: what it executed was final.
    pub(super) fn reached(&self) -> Option<i64> {
        let ordered = self.ordered.map(|ordered| ordered.finality);
        ordered.max(Some(self.latest?.block))
    }

    /// Returns the highest block that was final at the peer.
    pub(super) const fn highest(&self) -> Option<i64> {
        self.highest
    }

    /// Whether its finality is lower than it was.
    pub(super) const fn has_receded(&self) -> bool {
        self.below_since.is_some()
    }

    /// Whether its finality was still lower than it was when it was asked `time` later.
    pub(super) fn has_receded_for(&self, time: Duration) -> bool {
        let asked = self.asked().zip(self.below_since);
        asked.is_some_and(|(asked, since)| asked.saturating_duration_since(since) >= time)
    }

    /// Records the last final block; `before` is the highest one so far, also from before the agent
    /// started.
    pub(super) fn record_reached(&mut self, before: Option<i64>) {
        let highest = self.highest.max(before);
        let reached = self.reached();
        if reached >= highest {
            (self.highest, self.below_since) = (reached, None);
            return;
        }
        self.highest = highest;
        self.below_since = self.below_since.or(self.asked());
        if self.has_receded_for(MAX_RECEDING) {
            (self.highest, self.below_since) = (reached, None);
        }
    }

    /// Whether it has shown another state at a block that had been final for it before.
    pub(super) fn has_replaced_blocks(&self, now: Instant) -> bool {
        self.replaced
            .is_some_and(|at| now.saturating_duration_since(at) < MAX_RECEDING)
    }

    /// Whether this state, which the peer showed after its finality went back, contradicts what was
    /// final: `earlier` is the state that the network had at the block.
    pub(super) fn replaces(&self, (block, hash): BlockState, earlier: Option<&HashPrefix>) -> bool {
        self.has_receded()
            && Some(block) <= self.highest
            && earlier.is_some_and(|earlier| *earlier != hash)
    }
}

/// The last state of a peer that was heard from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fleet) struct Heard {
    /// Index of the last applied block.
    pub(in crate::fleet) block: i64,
    /// When the peer was asked for it.
    pub(in crate::fleet) asked: Instant,
    /// Until when the peer counts as answering.
    pub(in crate::fleet) until: Instant,
}

/// What comparing the peers of a network says about one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::fleet) struct MemberVerdict {
    pub(in crate::fleet) comparison: Comparison,
    /// When it last showed a block that another peer showed too.
    pub(in crate::fleet) compared: Option<Instant>,
    pub(in crate::fleet) registration: Registration,
    pub(in crate::fleet) standing: Standing,
    pub(in crate::fleet) upgrade: UpgradeStanding,
}

/// How the states of a peer compare with those of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// Nothing was compared recently: no other peer with a vote showed the same block.
    #[default]
    NotCompared,
    /// Equal to that of another peer, and no peer with a vote has another one.
    Agrees,
    /// Another peer with a vote has another state at the same block; which of them is wrong is
    /// unknown.
    Differs,
    /// Peers with more than half of the registered stake have another state at the same block.
    /// Latched until the states are seen equal again.
    Diverged {
        /// The lowest block at which the states are known to differ.
        first_block: i64,
    },
}

impl Comparison {
    /// Returns the word for it in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotCompared => "not_compared",
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::Diverged { .. } => "diverged",
        }
    }

    /// Returns the lowest block at which the state of a diverged peer is known to differ.
    #[must_use]
    pub const fn first_block(self) -> Option<i64> {
        match self {
            Self::Diverged { first_block } => Some(first_block),
            Self::NotCompared | Self::Agrees | Self::Differs => None,
        }
    }

    /// Whether peers with more than half of the registered stake have another state.
    #[must_use]
    pub const fn is_diverged(self) -> bool {
        matches!(self, Self::Diverged { .. })
    }

    /// Returns whether the peer is diverged; none without a verdict.
    #[must_use]
    pub const fn diverged(self) -> Option<bool> {
        match self {
            Self::NotCompared | Self::Differs => None,
            Self::Agrees => Some(false),
            Self::Diverged { .. } => Some(true),
        }
    }
}

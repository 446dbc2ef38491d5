//! One watched peer as a member of its network: its last states, and how it compares with the
//! others. Pure.

use std::collections::HashSet;

use cad3::Hash;
use tokio::time::Instant;

use crate::fleet::{Health, OrderState};

use super::agreement::ForkVerdict;
use super::ring::{BlockState, BlockStateCounts, Ring};

/// One watched peer of the network.
#[derive(Clone, Debug)]
pub(in crate::fleet) struct Member {
    ring: Ring,
    /// Whether its states are counted: it was answering when all peers were last compared.
    counted: bool,
    pub(super) key: Option<Hash>,
    /// Whether the key is configured, and not only claimed by the peer.
    pub(super) pinned: bool,
    /// Whether it has not been polled yet.
    pub(super) awaited: bool,
    /// Its last state block, and until when that counts.
    pub(super) latest: Option<Heard>,
    pub(super) weight: u64,
    /// Its weight without stake: 1, or in a sample the number of peers that it represents.
    pub(super) represents: u64,
    /// The result of the last comparison. A divergence is latched until an equal hash at a common
    /// block is seen.
    pub(super) fork_verdict: ForkVerdict,
    pub(super) order: OrderState,
    pub(super) finality: i64,
    /// Number of registered peers in its last state.
    pub(super) registered: Option<i64>,
    pub(super) health: Health,
}

impl Member {
    /// A peer that represents so many in a sample, and how it was known to compare before.
    pub(super) fn new(represents: u64, divergence: Divergence) -> Self {
        Self {
            ring: Ring::default(),
            counted: false,
            key: None,
            pinned: false,
            awaited: true,
            latest: None,
            weight: represents,
            represents,
            fork_verdict: match divergence {
                Divergence::Diverged { first_block } => ForkVerdict::Diverged { first_block },
                Divergence::Unknown | Divergence::Agrees => {
                    ForkVerdict::Majority { confirmed: false }
                }
            },
            order: OrderState::Unknown,
            finality: 0,
            registered: None,
            health: Health::Unknown,
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

    pub(super) const fn is_in_majority(&self) -> bool {
        matches!(self.fork_verdict, ForkVerdict::Majority { .. })
    }

    /// Returns its last states.
    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Adds a state that a poll found.
    pub(super) fn add_state(&mut self, state: BlockState, counts: &mut BlockStateCounts) {
        let dropped = self.ring.add(state.0, state.1);
        if self.counted {
            counts.add(state);
            if let Some(dropped) = dropped {
                counts.remove(dropped);
            }
        }
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

    /// Records the verdict of a comparison.
    pub(super) const fn record_fork_verdict(&mut self, verdict: ForkVerdict) {
        use ForkVerdict::{Diverged, Majority, Undecided};
        self.fork_verdict = match (self.fork_verdict, verdict) {
            // A diverged peer that no other one agrees with stays diverged when the others are
            // lost.
            (
                latched @ Diverged { .. },
                Majority { confirmed: false } | Undecided { confirmed: false },
            ) => latched,
            (_, verdict) => verdict,
        };
    }

    /// Returns how its state compares with the majority's.
    pub(super) const fn divergence(&self, split: bool) -> Divergence {
        match self.fork_verdict {
            ForkVerdict::Diverged { first_block } => Divergence::Diverged { first_block },
            ForkVerdict::Majority { confirmed: true } if !split => Divergence::Agrees,
            ForkVerdict::Majority { .. } | ForkVerdict::Undecided { .. } => Divergence::Unknown,
        }
    }
}

/// The last state of a peer that was heard from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fleet) struct Heard {
    /// Index of the last applied block.
    pub(in crate::fleet) block: i64,
    /// Until when the peer counts as answering.
    pub(in crate::fleet) until: Instant,
}

/// How a peer's state compares with the majority's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Divergence {
    /// There is no common block, or no majority.
    #[default]
    Unknown,
    /// It is the majority's.
    Agrees,
    /// It differs. Latched until the states are seen equal again.
    Diverged {
        /// The lowest block at which the states are known to differ.
        first_block: i64,
    },
}

impl Divergence {
    /// Returns the lowest block at which the states are known to differ.
    #[must_use]
    pub const fn first_block(self) -> Option<i64> {
        match self {
            Self::Diverged { first_block } => Some(first_block),
            Self::Unknown | Self::Agrees => None,
        }
    }

    /// Whether the states differ.
    #[must_use]
    pub const fn is_diverged(self) -> bool {
        self.first_block().is_some()
    }

    /// Returns whether the states differ as JSON and metrics have it: null if unknown.
    #[must_use]
    pub const fn diverged(self) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Agrees => Some(false),
            Self::Diverged { .. } => Some(true),
        }
    }
}

//! One watched peer as a member of its network: its last states, and how it compares with the
//! others. Pure.

use std::collections::HashSet;
use std::time::Duration;

use cad3::Hash;
use tokio::time::Instant;

use crate::fleet::{Health, OrderState};

use super::agreement::ForkVerdict;
use super::head::Lag;
use super::ring::{BlockStateCounts, Ring};

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
    pub(super) latest: Option<(i64, Instant)>,
    pub(super) weight: u64,
    /// Its weight without stake: 1, or in a sample the number of peers that it represents.
    pub(super) represents: u64,
    pub(super) fork_verdict: ForkVerdict,
    /// First block of a divergence, latched until an equal hash at a common block is seen.
    pub(super) diverged_at: Option<i64>,
    pub(super) order: OrderState,
    pub(super) finality: i64,
    pub(super) health: Health,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            ring: Ring::default(),
            counted: false,
            key: None,
            pinned: false,
            awaited: false,
            latest: None,
            weight: 1,
            represents: 1,
            fork_verdict: ForkVerdict::Majority { confirmed: false },
            diverged_at: None,
            order: OrderState::Unknown,
            finality: 0,
            health: Health::Unknown,
        }
    }
}

impl Member {
    /// Whether its last state still counts.
    pub(super) fn is_answering(&self, now: Instant) -> bool {
        self.latest.is_some_and(|(_, until)| now < until)
    }

    /// Returns the peer's key, unless it only claims one that the configuration gives to another
    /// peer.
    pub(super) fn own_key(&self, pinned: &HashSet<Hash>) -> Option<Hash> {
        self.key.filter(|key| self.pinned || !pinned.contains(key))
    }

    pub(super) fn is_in_majority(&self) -> bool {
        self.diverged_at.is_none() && matches!(self.fork_verdict, ForkVerdict::Majority { .. })
    }

    /// Returns its last states.
    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Records a state that a poll found.
    pub(super) fn record_state(
        &mut self,
        state: &PolledState,
        now: Instant,
        counts: &mut BlockStateCounts,
    ) {
        let hash = state.hash.into();
        let dropped = self.ring.add(state.block, hash);
        if self.counted {
            counts.add((state.block, hash));
            if let Some(dropped) = dropped {
                counts.remove(dropped);
            }
        }
        self.latest = Some((state.block, now + state.fresh_for));
        self.key = state.key.or(self.key);
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

    /// Records the verdict of a comparison. A divergence is latched until an equal hash at a common
    /// block is seen.
    pub(super) fn record_fork_verdict(&mut self, verdict: ForkVerdict) {
        self.fork_verdict = verdict;
        match verdict {
            ForkVerdict::Diverged { first_block } => self.diverged_at = Some(first_block),
            ForkVerdict::Majority { confirmed: true }
            | ForkVerdict::Undecided { confirmed: true } => self.diverged_at = None,
            // A diverged peer that no other one agrees with stays diverged when the others are
            // lost.
            ForkVerdict::Majority { confirmed: false }
            | ForkVerdict::Undecided { confirmed: false } => {}
        }
    }

    /// Whether its state differs from the majority's; none if unknown.
    pub(super) fn diverged(&self, split: bool) -> Option<bool> {
        match self.fork_verdict {
            _ if self.diverged_at.is_some() => Some(true),
            ForkVerdict::Majority { confirmed: true } if !split => Some(false),
            _ => None,
        }
    }
}

/// The state that a good poll found.
#[derive(Clone, Copy, Debug)]
pub(in crate::fleet) struct PolledState {
    /// Index of the last applied block.
    pub(in crate::fleet) block: i64,
    /// Hash of the state.
    pub(in crate::fleet) hash: Hash,
    /// The peer's key, if known.
    pub(in crate::fleet) key: Option<Hash>,
    /// Number of registered peers in that state.
    pub(in crate::fleet) registered: Option<i64>,
    /// How long the state counts.
    pub(in crate::fleet) fresh_for: Duration,
}

/// How a peer compares with its network, at the time of its own answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NetworkComparison {
    /// How far it is behind the head; none if no other peer of the network answers.
    pub lag: Option<Lag>,
    /// Whether its state differs from the majority's; none without a common block or a majority.
    pub diverged: Option<bool>,
    /// The lowest block at which the states are known to differ.
    pub first_divergent_block: Option<i64>,
}

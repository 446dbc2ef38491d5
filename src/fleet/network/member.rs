//! One watched peer as a member of its network: what it has shown, and how it stands to the others. Pure.

use std::collections::HashSet;
use std::time::Duration;

use cad3::Hash;
use tokio::time::Instant;

use crate::fleet::peer::health::Health;
use crate::fleet::peer::order::OrderState;

use super::agreement::ForkVerdict;
use super::head::Lag;
use super::ring::{Ring, Sightings};

/// One watched peer of the network.
#[derive(Clone, Debug)]
pub(in crate::fleet) struct Member {
    ring: Ring,
    /// Whether its sightings are counted: it was heard when all were last judged.
    counted: bool,
    pub(in crate::fleet) key: Option<Hash>,
    /// Whether the key stands in the configuration, and is not only claimed.
    pub(in crate::fleet) pinned: bool,
    /// Whether it was not polled yet.
    pub(in crate::fleet) awaited: bool,
    /// The state block last shown, and until when it counts.
    pub(in crate::fleet) latest: Option<(i64, Instant)>,
    pub(in crate::fleet) weight: u64,
    /// What it weighs without stake figures: one, or as many as it stands for in a sample.
    pub(in crate::fleet) stands_for: u64,
    pub(in crate::fleet) stand: ForkVerdict,
    /// Latched until an equal hash at a common block is seen.
    pub(in crate::fleet) diverged: Option<i64>,
    pub(in crate::fleet) order: OrderState,
    pub(in crate::fleet) finality: i64,
    pub(in crate::fleet) health: Health,
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
            stands_for: 1,
            stand: ForkVerdict::Majority { proven: false },
            diverged: None,
            order: OrderState::Unknown,
            finality: 0,
            health: Health::Unknown,
        }
    }
}

impl Member {
    pub(in crate::fleet) fn is_heard(&self, now: Instant) -> bool {
        self.latest.is_some_and(|(_, until)| now < until)
    }

    /// The peer's key, unless it only claims one that the configuration gives to another peer.
    pub(in crate::fleet) fn own_key(&self, pinned: &HashSet<Hash>) -> Option<Hash> {
        self.key.filter(|key| self.pinned || !pinned.contains(key))
    }

    pub(in crate::fleet) fn is_of_majority(&self) -> bool {
        self.diverged.is_none() && matches!(self.stand, ForkVerdict::Majority { .. })
    }

    /// What the peer has shown of its state.
    pub(in crate::fleet) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Takes what the peer has shown of its state.
    pub(in crate::fleet) fn show(
        &mut self,
        shown: &ShownState,
        now: Instant,
        sightings: &mut Sightings,
    ) {
        let mark = shown.hash.into();
        let gone = self.ring.add(shown.block, mark);
        if self.counted {
            sightings.add((shown.block, mark));
            if let Some(gone) = gone {
                sightings.remove(gone);
            }
        }
        self.latest = Some((shown.block, now + shown.fresh));
        self.key = shown.key.or(self.key);
    }

    /// Has what the peer has shown counted if it is heard, and else not.
    pub(in crate::fleet) fn count(&mut self, heard: bool, sightings: &mut Sightings) {
        if heard == self.counted {
            return;
        }
        self.counted = heard;
        let shown = self.ring.newest_first();
        if heard {
            shown.for_each(|sighting| sightings.add(sighting));
        } else {
            shown.for_each(|sighting| sightings.remove(sighting));
        }
    }

    /// Latches a divergence until an equal hash at a common block is seen.
    pub(in crate::fleet) fn take(&mut self, stand: ForkVerdict) {
        self.stand = stand;
        match stand {
            ForkVerdict::Diverged { first_block } => self.diverged = Some(first_block),
            // One of two halves is not accused; a single peer, with whom nobody agrees, stays so when others are lost.
            ForkVerdict::Majority { proven: true } | ForkVerdict::Undecided { proven: true } => {
                self.diverged = None;
            }
            ForkVerdict::Majority { proven: false } | ForkVerdict::Undecided { proven: false } => {}
        }
    }

    pub(in crate::fleet) fn verdict(&self, split: bool) -> Option<bool> {
        match self.stand {
            _ if self.diverged.is_some() => Some(true),
            ForkVerdict::Majority { proven: true } if !split => Some(false),
            _ => None,
        }
    }
}

/// What one good answer shows of a peer's state.
#[derive(Clone, Copy, Debug)]
pub(in crate::fleet) struct ShownState {
    /// Index of the last applied block.
    pub(in crate::fleet) block: i64,
    /// Hash of the state.
    pub(in crate::fleet) hash: Hash,
    /// The peer's key, where known.
    pub(in crate::fleet) key: Option<Hash>,
    /// Registered peers in that state.
    pub(in crate::fleet) registered: Option<i64>,
    /// How long the answer counts.
    pub(in crate::fleet) fresh: Duration,
}

/// How a peer stands to its network, at the instant of its own answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Blocks behind the head and for how long; absent when no other peer of the network is heard.
    pub lag: Option<Lag>,
    /// Whether its state is another one than the majority's; absent without a common block or a majority.
    pub diverged: Option<bool>,
    /// The lowest known block of the difference.
    pub first_block: Option<i64>,
}

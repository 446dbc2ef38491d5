//! Which states were shown lately and by whom: the evidence that peers agree. Pure.

use std::collections::HashMap;

use tokio::time::Instant;

use super::ring::{BlockState, Ring, Shown};

/// A peer as a witness of states.
#[derive(Clone, Copy, Debug)]
pub(super) struct Witness<'a> {
    pub(super) ring: &'a Ring,
    /// States shown before this are outdated.
    pub(super) since: Instant,
    /// Whether it can confirm what others show.
    pub(super) confirms: bool,
    /// Its stake in billionths of the registered stake.
    pub(super) stake: u64,
}

/// What was shown lately.
#[derive(Debug, Default)]
pub(super) struct RecentStates {
    states: HashMap<BlockState, Showings>,
    /// By block, whatever the state; empty if no block has two states.
    blocks: HashMap<i64, Showings>,
}

/// The two peers that showed something last, and the stake of all that did.
#[derive(Clone, Copy, Debug, Default)]
struct Showings {
    last: Option<(Instant, usize)>,
    last_but_one: Option<Instant>,
    stake: u128,
}

impl RecentStates {
    /// Collects what `witnesses` showed. `contested`: whether any block has two states.
    pub(super) fn new(witnesses: &[Witness<'_>], contested: bool) -> Self {
        let mut recent = Self::default();
        for (peer, witness) in witnesses.iter().enumerate() {
            for shown in witness.shown().filter(|_| witness.confirms) {
                let add = |showings: &mut Showings| showings.add(shown.at, peer, witness.stake);
                add(recent.states.entry(shown.state).or_default());
                if contested {
                    add(recent.blocks.entry(shown.state.0).or_default());
                }
            }
        }
        recent
    }

    /// Returns when the state of `peer` was last shown equal to that of another one: the earlier of
    /// the two times.
    pub(super) fn agreed(&self, peer: usize, witness: &Witness<'_>) -> Option<Instant> {
        witness.last_met(|state| self.states.get(&state), peer)
    }

    /// Returns when `peer` last showed a block that another one showed too, with whatever state.
    pub(super) fn compared(&self, peer: usize, witness: &Witness<'_>) -> Option<Instant> {
        if self.blocks.is_empty() {
            return self.agreed(peer, witness);
        }
        witness.last_met(|(block, _)| self.blocks.get(&block), peer)
    }

    /// Iterates over the states that peers with more than a third of the registered stake showed.
    pub(super) fn widely_shown(&self, registered: u128) -> impl Iterator<Item = BlockState> {
        let states = self.states.iter();
        states
            .filter(move |(_, showings)| showings.stake * 3 > registered)
            .map(|(state, _)| *state)
    }
}

impl Witness<'_> {
    fn shown(&self) -> impl Iterator<Item = Shown> {
        self.ring.shown().take_while(|shown| shown.at > self.since)
    }

    fn last_met<'a>(
        &self,
        find: impl Fn(BlockState) -> Option<&'a Showings>,
        peer: usize,
    ) -> Option<Instant> {
        let met = |shown: Shown| {
            let other = find(shown.state)?.by_another(peer)?;
            Some(other.min(shown.at))
        };
        self.shown().filter_map(met).max()
    }
}

impl Showings {
    fn add(&mut self, at: Instant, peer: usize, stake: u64) {
        self.stake += u128::from(stake);
        match self.last {
            Some((last, _)) if last >= at => {
                self.last_but_one = self.last_but_one.max(Some(at));
            }
            last => {
                self.last_but_one = last.map(|(at, _)| at);
                self.last = Some((at, peer));
            }
        }
    }

    /// Returns when a peer other than this one showed it last.
    fn by_another(&self, peer: usize) -> Option<Instant> {
        match self.last {
            Some((at, last)) if last != peer => Some(at),
            _ => self.last_but_one,
        }
    }
}

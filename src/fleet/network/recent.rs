//! Which states were shown recently and by whom: the evidence that peers agree. Pure.
//!
//! Peers that showed a common block recently are compared, and so are all that are connected by
//! such pairs. What two peers say that are connected with nobody else says nothing about the
//! network: of several connected groups only the one with the most stake counts.

use std::cmp::Reverse;
use std::collections::HashMap;

use tokio::time::Instant;

use super::head::HEAD_STAKE_DIVISOR;
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

/// States that were shown recently.
#[derive(Debug)]
pub(super) struct RecentStates {
    states: HashMap<BlockState, Showings>,
    /// By block, whatever the state; empty if no block has two states.
    blocks: HashMap<i64, Showings>,
    connected: Connected,
    /// The group of connected peers that counts.
    main: Option<usize>,
}

/// When one peer last showed a state, and how that compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Showing {
    /// When the state was last shown equal to that of another peer: the earlier of the two times.
    pub(super) agreed: Option<Instant>,
    /// When the block was last shown that another peer showed too, with whatever state.
    pub(super) compared: Option<Instant>,
}

/// Who showed something recently.
#[derive(Clone, Copy, Debug)]
struct Showings {
    /// One of the peers.
    peer: usize,
    last: (Instant, usize),
    last_but_one: Option<Instant>,
    /// The stake of all of them.
    stake: u128,
}

impl RecentStates {
    /// Collects what `witnesses` showed. `contested`: whether any block has two states.
    pub(super) fn new(witnesses: &[Witness<'_>], contested: bool) -> Self {
        let mut recent = Self {
            states: HashMap::new(),
            blocks: HashMap::new(),
            connected: Connected::new(witnesses.len()),
            main: None,
        };
        for (peer, witness) in witnesses.iter().enumerate() {
            for shown in witness.shown().filter(|_| witness.confirms) {
                let showings = recent.states.entry(shown.state);
                let same_state = add(showings, shown.at, peer, witness.stake);
                recent.connected.connect(peer, same_state);
                if contested {
                    let showings = recent.blocks.entry(shown.state.0);
                    let same_block = add(showings, shown.at, peer, witness.stake);
                    recent.connected.connect(peer, same_block);
                }
            }
        }
        recent.main = recent.find_main(witnesses);
        recent
    }

    /// Returns the connected group of several peers with the most stake.
    fn find_main(&self, witnesses: &[Witness<'_>]) -> Option<usize> {
        let mut groups: HashMap<usize, (u128, usize)> = HashMap::new();
        for (peer, witness) in witnesses.iter().enumerate() {
            if witness.confirms {
                let (stake, peers) = groups.entry(self.connected.group_of(peer)).or_default();
                *stake += u128::from(witness.stake);
                *peers += 1;
            }
        }
        let groups = groups.into_iter().filter(|(_, (_, peers))| *peers > 1);
        let main = groups.max_by_key(|(group, (stake, peers))| (*stake, *peers, Reverse(*group)));
        main.map(|(group, _)| group)
    }

    /// Returns when `peer` last showed what another peer of the main group showed.
    pub(super) fn showing(&self, peer: usize, witness: &Witness<'_>) -> Showing {
        let by_state = |(block, hash)| self.states.get(&(block, hash));
        let agreed = self.last_met(peer, witness, by_state);
        let compared = if self.blocks.is_empty() {
            agreed
        } else {
            self.last_met(peer, witness, |(block, _)| self.blocks.get(&block))
        };
        Showing { agreed, compared }
    }

    fn last_met<'a>(
        &self,
        peer: usize,
        witness: &Witness<'_>,
        find: impl Fn(BlockState) -> Option<&'a Showings>,
    ) -> Option<Instant> {
        let met = |shown: Shown| {
            let showings = find(shown.state)?;
            let is_main = Some(self.connected.group_of(showings.peer)) == self.main;
            let other = showings.by_another(peer).filter(|_| is_main)?;
            Some(other.min(shown.at))
        };
        witness.shown().filter_map(met).max()
    }

    /// Iterates over the states that peers with more than a third of the registered stake showed.
    pub(super) fn widely_shown(&self, registered: u128) -> impl Iterator<Item = BlockState> {
        let states = self.states.iter();
        states
            .filter(move |(_, showings)| showings.stake * HEAD_STAKE_DIVISOR > registered)
            .map(|(state, _)| *state)
    }
}

impl Witness<'_> {
    fn shown(&self) -> impl Iterator<Item = Shown> {
        self.ring.shown().take_while(|shown| shown.at > self.since)
    }
}

/// Adds that `peer` showed something, and returns a peer that showed it too.
fn add<K>(
    showings: std::collections::hash_map::Entry<'_, K, Showings>,
    at: Instant,
    peer: usize,
    stake: u64,
) -> usize {
    let stake = u128::from(stake);
    let mut is_new = false;
    let showings = showings.or_insert_with(|| {
        is_new = true;
        Showings {
            peer,
            last: (at, peer),
            last_but_one: None,
            stake,
        }
    });
    if !is_new {
        showings.stake += stake;
        let (last, _) = showings.last;
        if at > last {
            showings.last = (at, peer);
        }
        showings.last_but_one = showings.last_but_one.max(Some(at.min(last)));
    }
    showings.peer
}

impl Showings {
    /// Returns when a peer other than this one showed it last.
    fn by_another(&self, peer: usize) -> Option<Instant> {
        let (at, last) = self.last;
        if last == peer {
            self.last_but_one
        } else {
            Some(at)
        }
    }
}

/// Groups of connected peers: each has a parent, and a peer without another parent names the group.
#[derive(Debug)]
pub(super) struct Connected(Vec<usize>);

impl Connected {
    pub(super) fn new(peers: usize) -> Self {
        Self((0..peers).collect())
    }

    pub(super) fn group_of(&self, mut peer: usize) -> usize {
        while self.0[peer] != peer {
            peer = self.0[peer];
        }
        peer
    }

    pub(super) fn connect(&mut self, peer: usize, other: usize) {
        let (group, with) = (self.group_of(peer), self.group_of(other));
        self.0[group.max(with)] = group.min(with);
        // Shortens the way of later look-ups.
        self.0[peer] = group.min(with);
        self.0[other] = group.min(with);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Returns in which second each peer last agreed with another one and was last compared.
    fn showings(rings: &[&str], stakes: &[u64]) -> Vec<(Option<u64>, Option<u64>)> {
        let start = Instant::now();
        let rings: Vec<Ring> = rings.iter().map(|text| Ring::parse(text, start)).collect();
        let witnesses: Vec<_> = rings
            .iter()
            .zip(stakes)
            .map(|(ring, stake)| Witness {
                ring,
                since: start + Duration::from_secs(1),
                confirms: *stake > 0,
                stake: *stake,
            })
            .collect();
        let recent = RecentStates::new(&witnesses, true);
        let second = |at: Option<Instant>| at.map(|at| (at - start).as_secs());
        let found = witnesses.iter().enumerate();
        found
            .map(|(peer, witness)| recent.showing(peer, witness))
            .map(|showing| (second(showing.agreed), second(showing.compared)))
            .collect()
    }

    #[test]
    fn a_comparison_is_as_old_as_the_earlier_of_the_two_showings() {
        let both = |second| (Some(second), Some(second));
        let rings = ["1a 2a 3a", "1a 3a 4a"];
        assert_eq!(showings(&rings, &[1; 2]), [both(2), both(2)]);
    }

    #[test]
    fn what_was_shown_too_long_ago_and_differing_states_are_no_agreement() {
        assert_eq!(showings(&["5a 6a", "5a 7a"], &[1; 2]), [(None, None); 2]);
        let differ = (None, Some(2));
        assert_eq!(showings(&["1a 5a", "1a 5b"], &[1; 2]), [differ; 2]);
    }

    #[test]
    fn only_the_connected_group_with_the_most_stake_counts() {
        let rings = ["0x 5a", "0x 5a", "0x 6a 7a", "0x 9a 10a", "0x 6a 8a"];
        let found = |stakes: &[u64]| -> Vec<bool> {
            let showings = showings(&rings, stakes);
            showings
                .iter()
                .map(|(agreed, _)| agreed.is_some())
                .collect()
        };
        assert_eq!(found(&[1, 1, 2, 1, 1]), [false, false, true, false, true]);
        assert_eq!(found(&[9, 9, 1, 1, 1]), [true, true, false, false, false]);
    }

    #[test]
    fn peers_without_a_vote_are_confirmed_and_confirm_nobody() {
        let rings = ["1a 5a", "1a 5a", "1a 5a"];
        let agreed = |stakes: &[u64]| {
            let showings = showings(&rings, stakes);
            showings
                .iter()
                .filter(|(agreed, _)| agreed.is_some())
                .count()
        };
        assert_eq!(agreed(&[1, 1, 0]), 3);
        assert_eq!(agreed(&[1, 0, 0]), 0);
    }
}

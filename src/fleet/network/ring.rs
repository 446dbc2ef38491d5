//! What peers have shown of the state: a ring of blocks for each, and how many have shown which state at which block. Pure.

use std::collections::{HashMap, VecDeque};

use cad3::Hash;

use crate::fleet::bounded::make_room;

/// Blocks that a peer's ring remembers: a quarter of an hour of polls each 15 s.
const RING: usize = 64;

/// The first half of a state's hash: there can be ten thousand peers, and nobody finds two states with the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark([u8; 16]);

impl From<Hash> for Mark {
    fn from(hash: Hash) -> Self {
        let (first, _) = hash.as_bytes().split_at(16);
        Self(first.try_into().expect("a half of 32 bytes"))
    }
}

/// A state shown at a block.
pub type Sighting = (i64, Mark);

/// The last state blocks that a peer has shown, with their marks, in order of the blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ring(VecDeque<Sighting>);

impl Ring {
    /// Adds what a peer has shown, and gives what is no longer in the ring for it. A block shown again with another hash
    /// counts with the latest.
    pub fn add(&mut self, block: i64, mark: Mark) -> Option<Sighting> {
        let position = self.0.partition_point(|(known, _)| *known < block);
        if let Some(entry) = self.0.get_mut(position)
            && entry.0 == block
        {
            return Some(std::mem::replace(entry, (block, mark)));
        }
        if self.0.len() < RING {
            make_room(&mut self.0, RING);
            self.0.insert(position, (block, mark));
            return None;
        }
        // The lowest goes, also when an absurdly high one has just come.
        let Some(above_lowest) = position.checked_sub(1) else {
            return Some((block, mark));
        };
        let lowest = self.0.pop_front();
        self.0.insert(above_lowest, (block, mark));
        lowest
    }

    /// From the newest block down.
    pub fn newest_first(&self) -> impl Iterator<Item = Sighting> {
        self.0.iter().rev().copied()
    }

    /// Whether both have the same state at the newest block that both have; none without such a block.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> Option<bool> {
        self.common(other).next().map(|(_, equal)| equal)
    }

    /// The lowest block of the difference that is seen at the newest common one: down to where both were still equal.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<i64> {
        let differing = self.common(other).take_while(|(_, equal)| !equal);
        differing.last().map(|(block, _)| block)
    }

    /// Blocks that both have, from the newest down, and whether it is the same state.
    fn common(&self, other: &Self) -> impl Iterator<Item = (i64, bool)> {
        let mut theirs = other.newest_first().peekable();
        self.newest_first().filter_map(move |(block, mark)| {
            while theirs.next_if(|(their, _)| *their > block).is_some() {}
            let (_, their) = theirs.next_if(|(their, _)| *their == block)?;
            Some((block, their == mark))
        })
    }
}

/// How many rings hold which state at which block. Kept up with the rings, so that a network that agrees is known to agree
/// without comparing anything.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    /// By block; rarely more than one state each.
    holders: HashMap<i64, Vec<(Mark, u32)>>,
    /// Blocks with more than one state.
    contested: usize,
}

impl Sightings {
    /// Counts a state that a ring holds from now on.
    pub fn add(&mut self, (block, mark): Sighting) {
        let states = self.holders.entry(block).or_default();
        if let Some((_, count)) = states.iter_mut().find(|(state, _)| *state == mark) {
            *count += 1;
        } else {
            states.push((mark, 1));
            self.contested += usize::from(states.len() == 2);
        }
    }

    /// Takes back a state that was counted.
    pub fn remove(&mut self, (block, mark): Sighting) {
        let Some(states) = self.holders.get_mut(&block) else {
            return;
        };
        if let Some(at) = states.iter().position(|(state, _)| *state == mark) {
            states[at].1 -= 1;
            if states[at].1 == 0 {
                states.swap_remove(at);
                self.contested -= usize::from(states.len() == 1);
            }
        }
        if states.is_empty() {
            self.holders.remove(&block);
        }
    }

    /// Whether no block has two states.
    #[must_use]
    pub const fn agree(&self) -> bool {
        self.contested == 0
    }

    /// How many hold this state.
    #[must_use]
    pub fn of(&self, (block, mark): Sighting) -> u32 {
        let states = self.states(block).iter();
        let counts = states.filter(|(state, _)| *state == mark);
        counts.map(|(_, count)| *count).sum()
    }

    /// How many hold any state of the block.
    #[must_use]
    pub fn at(&self, block: i64) -> u32 {
        self.states(block).iter().map(|(_, count)| count).sum()
    }

    /// Whether as many hold this state as any other of its block; of equals the first.
    #[must_use]
    pub fn is_usual(&self, (block, mark): Sighting) -> bool {
        let states = self.states(block);
        let most = states.iter().map(|(_, count)| *count).max();
        let usual = states.iter().find(|(_, count)| Some(*count) == most);
        usual.is_some_and(|(state, _)| *state == mark)
    }

    fn states(&self, block: i64) -> &[(Mark, u32)] {
        self.holders.get(&block).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark(byte: u8) -> Mark {
        Hash::new([byte; 32]).into()
    }

    #[test]
    fn a_ring_is_bounded_and_keeps_the_newest_blocks() {
        let mut ring = Ring::default();
        for block in 0..1000 {
            ring.add(block, mark(1));
        }
        assert_eq!((ring.0.len(), ring.0[0].0), (RING, 1000 - 64));
        assert!(ring.0.capacity() <= RING);
        assert_eq!(ring.add(1, mark(2)), Some((1, mark(2))), "too old");
        assert_eq!(ring.add(i64::MAX, mark(1)), Some((936, mark(1))));
        assert_eq!(ring.add(i64::MAX, mark(2)), Some((i64::MAX, mark(1))));
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_the_rings_hold(
            shown in prop::collection::vec((0_usize..3, 0_i64..80, 0_u8..3), 0..400),
        ) {
            let mut rings = vec![Ring::default(); 3];
            let mut sightings = Sightings::default();
            for (peer, block, byte) in shown {
                sightings.add((block, mark(byte)));
                if let Some(gone) = rings[peer].add(block, mark(byte)) {
                    sightings.remove(gone);
                }
            }
            let held = || rings.iter().flat_map(Ring::newest_first);
            for sighting in held() {
                let same = held().filter(|other| *other == sighting).count();
                prop_assert_eq!(sightings.of(sighting) as usize, same);
                let at = held().filter(|other| other.0 == sighting.0).count();
                prop_assert_eq!(sightings.at(sighting.0) as usize, at);
            }
            let disagree = held().any(|(block, mark)| held().any(|other| other.0 == block && other.1 != mark));
            prop_assert_eq!(sightings.agree(), !disagree);
            for gone in held() {
                sightings.remove(gone);
            }
            prop_assert!(sightings.holders.is_empty() && sightings.agree());
        }
    }
}

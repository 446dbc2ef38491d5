//! The last states of peers: a ring of blocks for each, and how many peers have which state at
//! which block. Pure.

use std::collections::{HashMap, VecDeque};

use cad3::Hash;

use crate::fleet::reserve_bounded;

/// Number of blocks in a ring: a quarter of an hour of polls every 15 s.
pub(in crate::fleet) const MAX_BLOCKS: usize = 64;

/// The first half of a state hash, because there can be ten thousand rings: still too long for a
/// second state with the same one to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashPrefix([u8; 16]);

impl From<Hash> for HashPrefix {
    fn from(hash: Hash) -> Self {
        let (first, _) = hash.as_bytes().split_at(16);
        Self(first.try_into().expect("a half of 32 bytes"))
    }
}

/// A block and the state at it.
pub type BlockState = (i64, HashPrefix);

/// The states of a peer at its last blocks, in the order of the blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring(VecDeque<BlockState>);

// Without the lengths that a derived one hashes for every state: there can be ten thousand rings.
impl std::hash::Hash for Ring {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        for (block, hash) in &self.0 {
            hasher.write_i64(*block);
            hasher.write(&hash.0);
        }
    }
}

impl Ring {
    /// Adds a state and returns the one that it replaces: an earlier one at the same block, or the
    /// one at the lowest block.
    pub fn add(&mut self, block: i64, hash: HashPrefix) -> Option<BlockState> {
        let position = self.0.partition_point(|(known, _)| *known < block);
        if let Some(entry) = self.0.get_mut(position)
            && entry.0 == block
        {
            return Some(std::mem::replace(entry, (block, hash)));
        }
        if self.0.len() < MAX_BLOCKS {
            reserve_bounded(&mut self.0, MAX_BLOCKS);
            self.0.insert(position, (block, hash));
            return None;
        }
        // The lowest block is dropped, even if an absurdly high one was added.
        let Some(above_lowest) = position.checked_sub(1) else {
            return Some((block, hash));
        };
        let lowest = self.0.pop_front();
        self.0.insert(above_lowest, (block, hash));
        lowest
    }

    /// Returns the number of its blocks.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Iterates from the newest block down.
    pub fn newest_first(&self) -> impl Iterator<Item = BlockState> {
        self.0.iter().rev().copied()
    }
}

/// How many rings have which state at which block. Updated together with the rings, so that a
/// network without disagreement is recognized without comparing anything.
#[derive(Clone, Debug, Default)]
pub struct BlockStateCounts {
    /// By block; rarely more than one state each.
    counts: HashMap<i64, Vec<(HashPrefix, u32)>>,
    /// Number of blocks with more than one state.
    contested: usize,
}

impl BlockStateCounts {
    /// Counts a state that was added to a ring.
    pub fn add(&mut self, (block, hash): BlockState) {
        let states = self.counts.entry(block).or_default();
        if let Some((_, count)) = states.iter_mut().find(|(state, _)| *state == hash) {
            *count += 1;
        } else {
            states.push((hash, 1));
            self.contested += usize::from(states.len() == 2);
        }
    }

    /// Removes a state that was counted.
    pub fn remove(&mut self, (block, hash): BlockState) {
        let Some(states) = self.counts.get_mut(&block) else {
            return;
        };
        if let Some(at) = states.iter().position(|(state, _)| *state == hash) {
            states[at].1 -= 1;
            if states[at].1 == 0 {
                states.swap_remove(at);
                self.contested -= usize::from(states.len() == 1);
            }
        }
        if states.is_empty() {
            self.counts.remove(&block);
        }
    }

    /// Whether no block has two states.
    #[must_use]
    pub const fn all_agree(&self) -> bool {
        self.contested == 0
    }

    /// Returns how many rings have this state.
    #[must_use]
    pub fn with_state(&self, (block, hash): BlockState) -> u32 {
        let states = self.states(block).iter();
        let counts = states.filter(|(state, _)| *state == hash);
        counts.map(|(_, count)| *count).sum()
    }

    /// Returns how many rings have any state at the block.
    #[must_use]
    pub fn with_block(&self, block: i64) -> u32 {
        self.states(block).iter().map(|(_, count)| count).sum()
    }

    /// Iterates over the blocks that several rings have, with how many of them have which state.
    pub(super) fn shared(&self) -> impl Iterator<Item = (i64, &[(HashPrefix, u32)])> {
        let blocks = self.counts.iter();
        let blocks = blocks.map(|(block, states)| (*block, states.as_slice()));
        blocks.filter(|(_, states)| !matches!(states, [(_, 1)]))
    }

    fn states(&self, block: i64) -> &[(HashPrefix, u32)] {
        self.counts.get(&block).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(byte: u8) -> HashPrefix {
        Hash::new([byte; 32]).into()
    }

    #[test]
    fn a_ring_is_bounded_and_keeps_the_newest_blocks() {
        let mut ring = Ring::default();
        for block in 0..1000 {
            ring.add(block, hash(1));
        }
        assert_eq!((ring.0.len(), ring.0[0].0), (MAX_BLOCKS, 1000 - 64));
        assert!(ring.0.capacity() <= MAX_BLOCKS);
        assert_eq!(ring.add(1, hash(2)), Some((1, hash(2))), "too old");
        assert_eq!(ring.add(i64::MAX, hash(1)), Some((936, hash(1))));
        assert_eq!(ring.add(i64::MAX, hash(2)), Some((i64::MAX, hash(1))));
    }

    proptest! {
        #[test]
        fn the_counts_match_the_rings(
            polls in prop::collection::vec((0_usize..3, 0_i64..80, 0_u8..3), 0..400),
        ) {
            let mut rings = vec![Ring::default(); 3];
            let mut counts = BlockStateCounts::default();
            for (peer, block, byte) in polls {
                counts.add((block, hash(byte)));
                if let Some(dropped) = rings[peer].add(block, hash(byte)) {
                    counts.remove(dropped);
                }
            }
            let held = || rings.iter().flat_map(Ring::newest_first);
            for state in held() {
                let same = held().filter(|other| *other == state).count();
                prop_assert_eq!(counts.with_state(state) as usize, same);
                let at = held().filter(|other| other.0 == state.0).count();
                prop_assert_eq!(counts.with_block(state.0) as usize, at);
            }
            let disagree = held().any(|(block, hash)| held().any(|other| other.0 == block && other.1 != hash));
            prop_assert_eq!(counts.all_agree(), !disagree);
            for state in held() {
                counts.remove(state);
            }
            prop_assert!(counts.counts.is_empty() && counts.all_agree());
        }
    }
}

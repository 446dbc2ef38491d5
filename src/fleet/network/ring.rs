//! The last states of peers: a ring of blocks for each, and how many peers have which state at
//! which block. Pure.

use std::collections::{HashMap, VecDeque};

use cad3::Hash;
use tokio::time::Instant;

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

/// In hexadecimal; a precision is the number of bytes.
impl std::fmt::Display for HashPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = f.precision().unwrap_or(self.0.len());
        let mut shown = self.0.iter().take(bytes);
        shown.try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A block and the state at it.
pub type BlockState = (i64, HashPrefix);

/// A state that a peer showed, and when it last did.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// The state.
    pub state: BlockState,
    /// When the peer last showed it.
    pub at: Instant,
}

/// The states of a peer at its last blocks, in the order of the blocks. Two rings with the same
/// states are equal, whenever they were shown.
#[derive(Clone, Debug, Default)]
pub struct Ring(VecDeque<Shown>);

impl PartialEq for Ring {
    fn eq(&self, other: &Self) -> bool {
        self.newest_first().eq(other.newest_first())
    }
}

impl Eq for Ring {}

// Without the lengths that a derived one hashes for every state: there can be ten thousand rings.
impl std::hash::Hash for Ring {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        for (block, hash) in self.newest_first() {
            hasher.write_i64(block);
            hasher.write(&hash.0);
        }
    }
}

impl Ring {
    /// Adds a state that was shown later than all others, and passes the states that it replaces to
    /// `dropped`: those at the same block and above, because the peer has gone back, or the one at
    /// the lowest block of a full ring. Returns whether the state is new.
    pub fn add(&mut self, shown: Shown, mut dropped: impl FnMut(BlockState)) -> bool {
        while let Some(last) = self.0.back_mut()
            && last.state.0 >= shown.state.0
        {
            if last.state == shown.state {
                *last = shown;
                return false;
            }
            dropped(last.state);
            self.0.pop_back();
        }
        if self.0.len() >= MAX_BLOCKS
            && let Some(lowest) = self.0.pop_front()
        {
            dropped(lowest.state);
        }
        reserve_bounded(&mut self.0, MAX_BLOCKS);
        self.0.push_back(shown);
        true
    }

    /// Returns the number of its blocks.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Iterates from the newest block down.
    pub fn newest_first(&self) -> impl Iterator<Item = BlockState> {
        self.shown().map(|shown| shown.state)
    }

    /// Iterates from the newest block down, which is also from the last one shown.
    pub fn shown(&self) -> impl Iterator<Item = Shown> {
        self.0.iter().rev().copied()
    }
}

#[cfg(test)]
impl Ring {
    /// Parses a ring: `5a 6a` is hash a at blocks 5 and 6. Each is shown a second after the one
    /// before, the first one a second after `start`.
    pub(super) fn parse(text: &str, start: Instant) -> Self {
        let mut ring = Self::default();
        for (entry, second) in text.split_whitespace().zip(1..) {
            let (block, hash) = entry.split_at(entry.len() - 1);
            let hash = Hash::new([hash.as_bytes()[0]; 32]).into();
            let shown = Shown {
                state: (block.parse().expect("a number"), hash),
                at: start + std::time::Duration::from_secs(second),
            };
            ring.add(shown, |_| {});
        }
        ring
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

    /// Whether the block has more than one state.
    #[must_use]
    pub fn is_contested(&self, block: i64) -> bool {
        self.counts
            .get(&block)
            .is_some_and(|states| states.len() > 1)
    }

    /// Iterates over the blocks that several rings have, with how many of them have which state.
    pub(super) fn shared(&self) -> impl Iterator<Item = (i64, &[(HashPrefix, u32)])> {
        let blocks = self.counts.iter();
        let blocks = blocks.map(|(block, states)| (*block, states.as_slice()));
        blocks.filter(|(_, states)| !matches!(states, [(_, 1)]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(byte: u8) -> HashPrefix {
        Hash::new([byte; 32]).into()
    }

    /// Adds a state and returns those that it replaces.
    fn add(ring: &mut Ring, state: BlockState) -> Vec<BlockState> {
        let mut dropped = Vec::new();
        ring.add(shown(state), |state| dropped.push(state));
        dropped
    }

    fn shown(state: BlockState) -> Shown {
        let at = Instant::now();
        Shown { state, at }
    }

    #[test]
    fn a_ring_is_bounded_and_keeps_the_newest_blocks() {
        let mut ring = Ring::default();
        for block in 0..1000 {
            add(&mut ring, (block, hash(1)));
        }
        assert_eq!((ring.len(), ring.0[0].state.0), (MAX_BLOCKS, 1000 - 64));
        assert!(ring.0.capacity() <= MAX_BLOCKS);
    }

    #[test]
    fn a_peer_that_goes_back_loses_the_blocks_above() {
        let mut ring = Ring::default();
        for block in 1..=5 {
            add(&mut ring, (block, hash(1)));
        }
        assert_eq!(add(&mut ring, (5, hash(1))), [], "shown again");
        assert_eq!(add(&mut ring, (i64::MAX, hash(1))), []);
        let dropped = add(&mut ring, (4, hash(2)));
        let expected = [(i64::MAX, 1), (5, 1), (4, 1)];
        assert_eq!(dropped, expected.map(|(block, byte)| (block, hash(byte))));
        assert_eq!(add(&mut ring, (2, hash(1))), [(4, hash(2)), (3, hash(1))]);
        let left: Vec<_> = ring.newest_first().map(|(block, _)| block).collect();
        assert_eq!(left, [2, 1]);
    }

    proptest! {
        #[test]
        fn the_counts_match_the_rings(
            polls in prop::collection::vec((0_usize..3, 0_i64..80, 0_u8..3), 0..400),
        ) {
            let mut rings = vec![Ring::default(); 3];
            let mut counts = BlockStateCounts::default();
            for (peer, block, byte) in polls {
                let state = (block, hash(byte));
                if rings[peer].add(shown(state), |dropped| counts.remove(dropped)) {
                    counts.add(state);
                }
            }
            let held = || rings.iter().flat_map(Ring::newest_first);
            let is_contested = |state: BlockState| held().any(|other| other.0 == state.0 && other != state);
            for state in held() {
                prop_assert_eq!(counts.is_contested(state.0), is_contested(state));
            }
            prop_assert_eq!(counts.all_agree(), !held().any(is_contested));
            for state in held() {
                counts.remove(state);
            }
            prop_assert!(counts.counts.is_empty() && counts.all_agree());
        }
    }
}

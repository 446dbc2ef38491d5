//! Which peers of a network have the same states: compares their rings. Pure.
//!
//! Two peers agree or differ by their states at their newest common block; without a common block
//! neither. It takes more than half of the registered stake on the other side to call a peer
//! *diverged*, so that no liar can make another peer look wrong.

use std::collections::{HashMap, HashSet};

use super::relations::{Class, Relations};
use super::ring::{BlockStateCounts, HashPrefix, Ring};

/// The last states of a peer that answers.
#[derive(Clone, Copy, Debug)]
pub struct WeightedRing<'a> {
    /// Its states.
    pub ring: &'a Ring,
    /// Its stake in billionths of the registered stake. At least 1 for each peer that has a vote:
    /// its disagreement is seen, even if it decides nothing. 0 for a peer without a vote.
    pub weight: u64,
}

/// How the states of one peer compare with those of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RingVerdict {
    /// No peer with a vote has another state, except diverged ones.
    #[default]
    Undisputed,
    /// Another peer with a vote has another state, and nobody knows which is right.
    Disputed,
    /// Peers with more than half of the registered stake have another state.
    Diverged {
        /// The lowest known block at which it differs from one of them.
        first_block: i64,
    },
}

/// Result of comparing all rings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreement {
    /// One per ring, in the same order.
    pub verdicts: Vec<RingVerdict>,
    /// The newest block at which peers with a vote have different states.
    pub difference: Option<Difference>,
}

/// A block at which peers with a vote have different states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The newest such block.
    pub block: i64,
    /// The states at it, each with the position of a ring that has it.
    pub states: Vec<(HashPrefix, usize)>,
    /// Largest number of different states at one block.
    pub groups: usize,
}

impl Agreement {
    /// Compares all rings; `counts` are those of their states. `registered` is the whole registered
    /// stake in the unit of the weights; without it no peer can be found diverged.
    #[must_use]
    pub fn compare(
        rings: &[WeightedRing<'_>],
        counts: &BlockStateCounts,
        registered: Option<u128>,
    ) -> Self {
        if counts.all_agree() {
            return Self {
                verdicts: vec![RingVerdict::Undisputed; rings.len()],
                difference: None,
            };
        }
        let mut verdicts = vec![RingVerdict::Undisputed; rings.len()];
        let mut voters = rings.to_vec();
        if let Some(registered) = registered {
            let relations = Relations::new(rings, counts);
            let is_diverged = |class: &Class<'_>| class.against * 2 > registered;
            let classes = 0..relations.classes.len();
            let diverged: Vec<usize> = classes
                .filter(|class| is_diverged(&relations.classes[*class]))
                .collect();
            let first_blocks = relations.first_blocks(&diverged);
            let first_blocks: HashMap<_, _> = diverged.into_iter().zip(first_blocks).collect();
            for (peer, class) in relations.class_of.iter().enumerate() {
                if let Some(first_block) = first_blocks.get(class) {
                    let first_block = first_block.unwrap_or_default();
                    verdicts[peer] = RingVerdict::Diverged { first_block };
                    voters[peer].weight = 0;
                }
            }
        }
        // What diverged peers say is no dispute.
        let relations = Relations::new(&voters, counts);
        for (verdict, class) in verdicts.iter_mut().zip(&relations.class_of) {
            if *verdict == RingVerdict::Undisputed && relations.classes[*class].against > 0 {
                *verdict = RingVerdict::Disputed;
            }
        }
        let difference = difference(rings, &verdicts, counts);
        Self {
            verdicts,
            difference,
        }
    }
}

/// Returns the newest difference between peers with a vote.
fn difference(
    rings: &[WeightedRing<'_>],
    verdicts: &[RingVerdict],
    counts: &BlockStateCounts,
) -> Option<Difference> {
    let mut blocks: HashMap<i64, Vec<(HashPrefix, usize)>> = HashMap::new();
    // Earlier differences of peers that agree today are over.
    let mut apart = HashSet::new();
    for (peer, (ring, verdict)) in rings.iter().zip(verdicts).enumerate() {
        if ring.weight == 0 {
            continue;
        }
        for (block, hash) in ring.ring.newest_first() {
            if counts.is_contested(block) {
                let states = blocks.entry(block).or_default();
                if states.iter().all(|(known, _)| *known != hash) {
                    states.push((hash, peer));
                }
                if *verdict != RingVerdict::Undisputed {
                    apart.insert(block);
                }
            }
        }
    }
    blocks.retain(|block, states| states.len() > 1 && apart.contains(block));
    let groups = blocks.values().map(Vec::len).max()?;
    let (block, states) = blocks.into_iter().max_by_key(|(block, _)| *block)?;
    Some(Difference {
        block,
        states,
        groups,
    })
}

#[cfg(test)]
mod tests {
    use cad3::Hash;
    use proptest::prelude::*;
    use tokio::time::Instant;

    use crate::fleet::Shown;

    use super::*;

    fn add(ring: &mut Ring, block: i64, hash: u8) {
        let state = (block, Hash::new([hash; 32]).into());
        let at = Instant::now();
        ring.add(Shown { state, at }, |_| {});
    }

    fn ring(text: &str) -> Ring {
        Ring::parse(text, Instant::now())
    }

    /// Compares peers that hold the whole stake.
    fn compare(rings: &[Ring], weights: &[u64]) -> Agreement {
        let total = weights.iter().map(|weight| u128::from(*weight)).sum();
        compare_with(rings, weights, Some(total))
    }

    fn compare_with(rings: &[Ring], weights: &[u64], registered: Option<u128>) -> Agreement {
        let rings: Vec<WeightedRing<'_>> = rings
            .iter()
            .zip(weights)
            .map(|(ring, weight)| WeightedRing {
                ring,
                weight: *weight,
            })
            .collect();
        Agreement::compare(&rings, &counts(&rings), registered)
    }

    fn counts(rings: &[WeightedRing<'_>]) -> BlockStateCounts {
        let mut counts = BlockStateCounts::default();
        for state in rings.iter().flat_map(|ring| ring.ring.newest_first()) {
            counts.add(state);
        }
        counts
    }

    /// Verdicts as letters: u undisputed, d diverged, ? disputed.
    fn letters(agreement: &Agreement) -> String {
        let letter = |verdict: &RingVerdict| match verdict {
            RingVerdict::Undisputed => 'u',
            RingVerdict::Diverged { .. } => 'd',
            RingVerdict::Disputed => '?',
        };
        agreement.verdicts.iter().map(letter).collect()
    }

    fn groups(agreement: &Agreement) -> usize {
        let difference = agreement.difference.as_ref();
        difference.map_or(1, |difference| difference.groups)
    }

    #[test]
    fn only_those_against_whom_more_than_half_of_the_stake_stands_are_diverged() {
        for (rings, weights, expected, expected_groups) in [
            (vec!["5a", "5a", "5a"], vec![1; 3], "uuu", 1),
            (vec!["5a", "5a", "5b"], vec![1; 3], "uud", 2),
            (vec!["5a", "5b"], vec![1; 2], "??", 2),
            (vec!["5a", "5b"], vec![3, 1], "ud", 2),
            (vec!["5a", "5a", "5b", "5b"], vec![1; 4], "????", 2),
            (vec!["5a", "5b", "5c"], vec![1; 3], "ddd", 3),
            (vec!["5a", "5a", "5b"], vec![2, 1, 0], "uud", 1),
            (vec!["5a"], vec![1], "u", 1),
            (vec![], vec![], "", 1),
        ] {
            let rings: Vec<Ring> = rings.iter().map(|text| ring(text)).collect();
            let agreement = compare(&rings, &weights);
            let found = (letters(&agreement), groups(&agreement));
            assert_eq!(found, (expected.to_owned(), expected_groups), "{rings:?}");
        }
    }

    #[test]
    fn unwatched_stake_can_be_on_either_side_and_unknown_stake_accuses_nobody() {
        let rings = ["5a", "5a", "5b"].map(ring);
        for (registered, expected) in [(Some(3), "uud"), (Some(4), "???"), (None, "???")] {
            let agreement = compare_with(&rings, &[1; 3], registered);
            assert_eq!(letters(&agreement), expected, "{registered:?}");
        }
    }

    #[test]
    fn peers_without_a_common_block_do_not_disagree() {
        let agreement = compare(&[ring("5a"), ring("6b"), ring("7c")], &[1; 3]);
        assert_eq!(letters(&agreement), "uuu");
        assert_eq!(agreement.difference, None);
    }

    #[test]
    fn the_newest_common_block_decides_and_the_first_divergent_block_is_found() {
        let rings = [
            ring("1a 2a 3a 4a"),
            ring("1a 2a 3a 4a"),
            ring("1a 2a 3b 4b"),
        ];
        let agreement = compare(&rings, &[1; 3]);
        assert_eq!(
            agreement.verdicts[2],
            RingVerdict::Diverged { first_block: 3 }
        );
        let difference = agreement.difference.unwrap();
        let hash = |letter: u8| Hash::new([letter; 32]).into();
        assert_eq!(difference.block, 4);
        assert_eq!(difference.states, [(hash(b'a'), 0), (hash(b'b'), 2)]);
        let healed = [ring("3a 4a 5a"), ring("3a 4a 5a"), ring("3b 4b 5a")];
        let agreement = compare(&healed, &[1; 3]);
        assert_eq!(
            (letters(&agreement).as_str(), agreement.difference),
            ("uuu", None)
        );
    }

    #[test]
    fn one_liar_never_makes_another_peer_look_diverged() {
        // The liar shares its newest block with the first peer only.
        let rings = [ring("5a 6a"), ring("5a 7a"), ring("5a 8a"), ring("5a 6x")];
        assert_eq!(
            letters(&compare(&rings, &[1; 4])),
            "?uu?",
            "one against one does not show which of them lies"
        );
        let rings = [ring("5a 6a"), ring("5a 6a"), ring("5a 6a"), ring("5a 6x")];
        assert_eq!(letters(&compare(&rings, &[1; 4])), "uuud");
    }

    /// The common blocks of two rings, from the newest down, with whether both have the same state.
    fn common(ring: &Ring, other: &Ring) -> impl Iterator<Item = (i64, bool)> {
        let mut others = other.newest_first().peekable();
        ring.newest_first().filter_map(move |(block, hash)| {
            while others.next_if(|(other, _)| *other > block).is_some() {}
            let (_, other) = others.next_if(|(other, _)| *other == block)?;
            Some((block, other == hash))
        })
    }

    /// The lowest block of the difference at the newest common block: down to where both were still
    /// equal.
    fn first_difference(ring: &Ring, other: &Ring) -> Option<i64> {
        let differing = common(ring, other).take_while(|(_, equal)| !equal);
        differing.last().map(|(block, _)| block)
    }

    /// Verdicts from comparing every pair.
    fn compare_pairs(rings: &[WeightedRing<'_>], registered: u128) -> Vec<RingVerdict> {
        let differs = |peer: &usize, other: &usize| {
            common(rings[*peer].ring, rings[*other].ring)
                .next()
                .is_some_and(|(_, equal)| !equal)
        };
        let against = |peer: usize, others: &[usize]| -> u128 {
            let others = others.iter().filter(|other| differs(&peer, other));
            others.map(|other| u128::from(rings[*other].weight)).sum()
        };
        let all: Vec<usize> = (0..rings.len()).collect();
        let is_diverged = |peer: &usize| against(*peer, &all) * 2 > registered;
        let others: Vec<usize> = all
            .iter()
            .copied()
            .filter(|peer| !is_diverged(peer))
            .collect();
        let verdict = |peer: &usize| {
            if is_diverged(peer) {
                let first = all
                    .iter()
                    .filter_map(|other| first_difference(rings[*peer].ring, rings[*other].ring));
                RingVerdict::Diverged {
                    first_block: first.min().unwrap(),
                }
            } else if against(*peer, &others) > 0 {
                RingVerdict::Disputed
            } else {
                RingVerdict::Undisputed
            }
        };
        all.iter().map(verdict).collect()
    }

    #[test]
    fn more_rings_than_are_compared_at_once_give_the_same_result() {
        // Peers with distinct rings in two halves, as many as fill several sets of lanes.
        for apart in [0, 1, 700, 1299] {
            let rings: Vec<Ring> = (0..1300_u16)
                .map(|peer| {
                    let mut ring = Ring::default();
                    for block in [peer % 20, 20 + peer % 7, 40 + peer % 3] {
                        let hash = u8::from(peer < apart && block > 20);
                        add(&mut ring, block.into(), hash);
                    }
                    ring
                })
                .collect();
            let weighted: Vec<WeightedRing<'_>> = rings
                .iter()
                .zip(0..)
                .map(|(ring, peer)| WeightedRing {
                    ring,
                    weight: peer * 7 % 5,
                })
                .collect();
            let total = weighted.iter().map(|ring| u128::from(ring.weight)).sum();
            let agreement = Agreement::compare(&weighted, &counts(&weighted), Some(total));
            assert!(
                agreement.verdicts == compare_pairs(&weighted, total),
                "{apart}"
            );
        }
    }

    proptest! {
        #[test]
        fn comparing_classes_finds_the_same_as_comparing_all_pairs(
            mut states in prop::collection::vec((0_usize..8, 0_i64..8, 0_u8..3), 0..80),
            peers in prop::collection::vec((0_usize..8, 0_u64..4), 0..=12),
            unwatched in 0_u128..5,
        ) {
            let mut rings = vec![Ring::default(); 8];
            states.sort_by_key(|(_, block, _)| *block);
            for (ring, block, hash) in states {
                // Most of them agree.
                add(&mut rings[ring], block, hash / 2);
            }
            // Several peers have equal rings.
            let peers: Vec<WeightedRing<'_>> = peers
                .into_iter()
                .map(|(ring, weight)| WeightedRing { ring: &rings[ring], weight })
                .collect();
            let watched: u128 = peers.iter().map(|ring| u128::from(ring.weight)).sum();
            let registered = watched + unwatched;
            prop_assert_eq!(
                Agreement::compare(&peers, &counts(&peers), Some(registered)).verdicts,
                compare_pairs(&peers, registered)
            );
        }
    }
}

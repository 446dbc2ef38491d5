//! Which peers of a network agree on its state: compares their rings. Pure.
//!
//! Two peers agree or disagree by their states at their newest common block; without a common block
//! neither. A peer is *diverged* if peers with more than half of the weight disagree with it, so
//! that a single liar cannot make another peer look diverged.

use std::collections::HashSet;

use super::relations::{Class, Relations};
use super::ring::{BlockStateCounts, Ring};

/// The last states of a peer that answers.
#[derive(Clone, Copy, Debug)]
pub struct WeightedRing<'a> {
    /// Its states.
    pub ring: &'a Ring,
    /// Its decayed stake in billionths of the registered weight, or 1 for each peer if stake is
    /// unknown.
    pub weight: u64,
}

/// How one peer compares with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForkVerdict {
    /// Peers with less than half of the weight disagree with it.
    Majority {
        /// Whether another peer has an equal hash at a common block.
        confirmed: bool,
    },
    /// Peers with more than half of the weight disagree with it.
    Diverged {
        /// The lowest known block at which it differs from one that disagrees.
        first_block: i64,
    },
    /// Peers with half of the weight disagree with it, or could once all are polled.
    Undecided {
        /// Whether another peer has an equal hash at a common block.
        confirmed: bool,
    },
}

/// Result of comparing all rings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreement {
    /// One per ring, in the same order.
    pub verdicts: Vec<ForkVerdict>,
    /// Whether peers disagree and no group has more than half of the weight.
    pub split: bool,
    /// Number of different states at common blocks; 1 if all agree, 0 without rings.
    pub groups: usize,
}

impl Agreement {
    /// Compares all rings; `counts` are those of their states. `awaited_weight` is the weight of
    /// peers that were not polled yet: they may be on either side.
    #[must_use]
    pub fn compare(
        rings: &[WeightedRing<'_>],
        counts: &BlockStateCounts,
        awaited_weight: u128,
    ) -> Self {
        if counts.all_agree() {
            return Self::unanimous(rings, counts);
        }
        let total = rings.iter().map(|ring| u128::from(ring.weight)).sum();
        let relations = Relations::new(rings, counts);
        let verdicts = class_verdicts(&relations, total, awaited_weight);
        let classes = relations.classes.iter().zip(&verdicts);
        let majority =
            classes.filter(|(_, verdict)| matches!(verdict, ForkVerdict::Majority { .. }));
        let majority: u128 = majority.map(|(class, _)| class.weight).sum();
        let of_peer = |class: &usize| verdicts[*class];
        Self {
            split: majority * 2 <= total,
            groups: groups(&relations, &verdicts, counts),
            verdicts: relations.class_of.iter().map(of_peer).collect(),
        }
    }

    /// The result if no two peers disagree.
    fn unanimous(rings: &[WeightedRing<'_>], counts: &BlockStateCounts) -> Self {
        let verdict = |ring: &WeightedRing<'_>| {
            let mut states = ring.ring.newest_first();
            let confirmed = states.any(|state| counts.with_state(state) > 1);
            ForkVerdict::Majority { confirmed }
        };
        Self {
            split: !rings.is_empty() && rings.iter().all(|ring| ring.weight == 0),
            groups: usize::from(!rings.is_empty()),
            verdicts: rings.iter().map(verdict).collect(),
        }
    }
}

/// Returns one verdict per class of equal rings; `total` is the weight of all.
fn class_verdicts(
    relations: &Relations<'_>,
    total: u128,
    awaited_weight: u128,
) -> Vec<ForkVerdict> {
    let verdict = |class: &Class<'_>| {
        let (twice, confirmed) = (class.against * 2, class.confirmed);
        if twice > total + awaited_weight {
            ForkVerdict::Diverged { first_block: 0 }
        } else if twice >= total && twice > 0 {
            ForkVerdict::Undecided { confirmed }
        } else {
            ForkVerdict::Majority { confirmed }
        }
    };
    let mut verdicts: Vec<ForkVerdict> = relations.classes.iter().map(verdict).collect();
    let is_diverged = |class: &usize| matches!(verdicts[*class], ForkVerdict::Diverged { .. });
    let diverged: Vec<usize> = (0..verdicts.len()).filter(is_diverged).collect();
    for (class, first_block) in diverged.iter().zip(relations.first_blocks(&diverged)) {
        let first_block = first_block.unwrap_or_default();
        verdicts[*class] = ForkVerdict::Diverged { first_block };
    }
    verdicts
}

/// Number of groups. The majority is one; the others are grouped by their state at the newest block
/// that each shares with another peer.
fn groups(relations: &Relations<'_>, verdicts: &[ForkVerdict], counts: &BlockStateCounts) -> usize {
    let mut others = HashSet::new();
    let mut any_majority = false;
    for (class, verdict) in relations.classes.iter().zip(verdicts) {
        if matches!(verdict, ForkVerdict::Majority { .. }) {
            any_majority = true;
        } else {
            let mut states = class.ring.newest_first();
            others.extend(states.find(|(block, _)| counts.with_block(*block) > 1));
        }
    }
    usize::from(any_majority) + others.len()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cad3::Hash;
    use proptest::prelude::*;

    use super::*;

    /// Parses a ring: `5a 6a` is hash a at blocks 5 and 6.
    fn ring(text: &str) -> Ring {
        let mut ring = Ring::default();
        for entry in text.split_whitespace() {
            let (block, hash) = entry.split_at(entry.len() - 1);
            ring.add(
                block.parse().unwrap(),
                Hash::new([hash.as_bytes()[0]; 32]).into(),
            );
        }
        ring
    }

    fn compare(rings: &[Ring], weights: &[u64]) -> Agreement {
        let rings: Vec<WeightedRing<'_>> = rings
            .iter()
            .zip(weights)
            .map(|(ring, weight)| WeightedRing {
                ring,
                weight: *weight,
            })
            .collect();
        compare_weighted(&rings, 0)
    }

    fn compare_weighted(rings: &[WeightedRing<'_>], awaited_weight: u128) -> Agreement {
        let mut counts = BlockStateCounts::default();
        for state in rings.iter().flat_map(|ring| ring.ring.newest_first()) {
            counts.add(state);
        }
        Agreement::compare(rings, &counts, awaited_weight)
    }

    /// Verdicts as letters: m majority, M confirmed majority, d diverged, ? undecided.
    fn letters(agreement: &Agreement) -> String {
        let letter = |verdict: &ForkVerdict| match verdict {
            ForkVerdict::Majority { confirmed: true } => 'M',
            ForkVerdict::Majority { confirmed: false } => 'm',
            ForkVerdict::Diverged { .. } => 'd',
            ForkVerdict::Undecided { .. } => '?',
        };
        agreement.verdicts.iter().map(letter).collect()
    }

    #[test]
    fn the_heavier_side_of_a_fork_is_the_majority() {
        for (rings, weights, expected, split, groups) in [
            (vec!["5a", "5a", "5a"], vec![1; 3], "MMM", false, 1),
            (vec!["5a", "5a", "5b"], vec![1; 3], "MMd", false, 2),
            (vec!["5a", "5b"], vec![1; 2], "??", true, 2),
            (vec!["5a", "5b"], vec![3, 1], "md", false, 2),
            (vec!["5a", "5a", "5b", "5b"], vec![1; 4], "????", true, 2),
            (vec!["5a", "5b", "5c"], vec![1; 3], "ddd", true, 3),
            (vec!["5a"], vec![1], "m", false, 1),
            (vec![], vec![], "", false, 0),
        ] {
            let rings: Vec<Ring> = rings.iter().map(|text| ring(text)).collect();
            let agreement = compare(&rings, &weights);
            assert_eq!(
                (
                    letters(&agreement).as_str(),
                    agreement.split,
                    agreement.groups
                ),
                (expected, split, groups),
                "{rings:?}"
            );
        }
    }

    #[test]
    fn no_peer_is_diverged_while_unpolled_peers_could_change_the_verdict() {
        let rings = ["5a", "5a", "5b"].map(ring);
        let rings = rings
            .each_ref()
            .map(|ring| WeightedRing { ring, weight: 1 });
        for (awaited_weight, expected) in [(0, "MMd"), (1, "MM?")] {
            let agreement = compare_weighted(&rings, awaited_weight);
            assert_eq!(letters(&agreement), expected);
        }
    }

    #[test]
    fn peers_without_a_common_block_do_not_disagree() {
        let agreement = compare(&[ring("5a"), ring("6b"), ring("7c")], &[1; 3]);
        assert_eq!(
            (letters(&agreement).as_str(), agreement.split),
            ("mmm", false)
        );
    }

    #[test]
    fn the_newest_common_block_decides_and_the_first_divergent_block_is_found() {
        let rings = [
            ring("1a 2a 3a 4a"),
            ring("1a 2a 3a 4a"),
            ring("1a 2a 3b 4b"),
        ];
        assert_eq!(
            compare(&rings, &[1; 3]).verdicts[2],
            ForkVerdict::Diverged { first_block: 3 }
        );
        let healed = [ring("3a 4a 5a"), ring("3a 4a 5a"), ring("3b 4b 5a")];
        assert_eq!(letters(&compare(&healed, &[1; 3])), "MMM");
    }

    #[test]
    fn one_liar_never_makes_another_peer_look_diverged() {
        // The liar shares its newest block with the first peer only.
        let rings = [ring("5a 6a"), ring("5a 7a"), ring("5a 8a"), ring("5a 6x")];
        assert_eq!(
            letters(&compare(&rings, &[1; 4])),
            "MMMM",
            "one against one does not show which of them lies"
        );
        let rings = [ring("5a 6a"), ring("5a 6a"), ring("5a 6a"), ring("5a 6x")];
        assert_eq!(letters(&compare(&rings, &[1; 4])), "MMMd");
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
    fn compare_pairs(rings: &[WeightedRing<'_>], awaited_weight: u64) -> Vec<ForkVerdict> {
        let total: u64 = rings.iter().map(|ring| ring.weight).sum();
        let verdict = |peer: usize| {
            let ring = rings[peer].ring;
            let others = (0..rings.len()).filter(|other| *other != peer);
            let met: Vec<_> = others
                .filter_map(|other| Some((other, common(ring, rings[other].ring).next()?.1)))
                .collect();
            let confirmed = met.iter().any(|(_, equal)| *equal);
            let against = || met.iter().filter(|(_, equal)| !equal);
            let weight: u64 = against().map(|(other, _)| rings[*other].weight).sum();
            let first =
                against().filter_map(|(other, _)| first_difference(ring, rings[*other].ring));
            match weight * 2 {
                twice if twice > total + awaited_weight => ForkVerdict::Diverged {
                    first_block: first.min().unwrap(),
                },
                twice if twice >= total && twice > 0 => ForkVerdict::Undecided { confirmed },
                _ => ForkVerdict::Majority { confirmed },
            }
        };
        (0..rings.len()).map(verdict).collect()
    }

    #[test]
    fn a_large_network_is_compared_like_all_pairs() {
        for (peers, apart) in [(700_u64, 1), (700, 20), (1100, 550), (700, 400)] {
            // Every peer shows blocks of its own, and the first have another state above block 20.
            let rings: Vec<Ring> = (0..peers)
                .map(|peer| {
                    let mut ring = Ring::default();
                    for poll in 0..6_u8 {
                        let block =
                            poll * 6 + u8::try_from(peer * peer / (1 << poll) % 11).unwrap();
                        let hash = u8::from(peer < apart && block > 20);
                        ring.add(block.into(), Hash::new([hash; 32]).into());
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
            let agreement = compare_weighted(&weighted, 3);
            assert!(agreement.verdicts == compare_pairs(&weighted, 3), "{apart}");
        }
    }

    proptest! {
        #[test]
        fn comparing_classes_finds_the_same_as_comparing_all_pairs(
            states in prop::collection::vec((0_usize..8, 0_i64..8, 0_u8..3), 0..80),
            peers in prop::collection::vec((0_usize..8, 0_u64..4), 0..=12),
            awaited_weight in 0_u64..3,
        ) {
            let mut rings = vec![Ring::default(); 8];
            for (ring, block, hash) in states {
                // Most of them agree.
                rings[ring].add(block, Hash::new([hash / 2; 32]).into());
            }
            // Several peers have equal rings.
            let peers: Vec<WeightedRing<'_>> = peers
                .into_iter()
                .map(|(ring, weight)| WeightedRing { ring: &rings[ring], weight })
                .collect();
            prop_assert_eq!(
                compare_weighted(&peers, awaited_weight.into()).verdicts,
                compare_pairs(&peers, awaited_weight)
            );
        }

        #[test]
        fn the_order_of_polls_and_of_peers_does_not_change_the_result(
            entries in prop::collection::vec((0_usize..5, 0_i64..6, 0_u8..3), 0..40),
            seed in any::<u64>(),
        ) {
            // The last state of a peer at a block counts, so there is only one of each.
            let mut states: Vec<(usize, i64, u8)> =
                entries.iter().map(|(peer, block, hash)| ((*peer, *block), *hash)).collect::<BTreeMap<_, _>>()
                    .into_iter().map(|((peer, block), hash)| (peer, block, hash)).collect();
            let build = |states: &[(usize, i64, u8)], order: &[usize]| {
                let mut rings = vec![Ring::default(); 5];
                for (peer, block, hash) in states {
                    rings[order[*peer]].add(*block, Hash::new([*hash; 32]).into());
                }
                compare(&rings, &[1; 5])
            };
            let original = build(&states, &[0, 1, 2, 3, 4]);
            let shift = usize::try_from(seed % 5).unwrap();
            let middle = states.len() / 2;
            states.rotate_left(middle);
            states.reverse();
            let order: Vec<usize> = (0..5).map(|i| (i + shift) % 5).collect();
            let reordered = build(&states, &order);
            for (i, verdict) in original.verdicts.iter().enumerate() {
                prop_assert_eq!(verdict, &reordered.verdicts[order[i]]);
            }
            prop_assert_eq!((original.split, original.groups), (reordered.split, reordered.groups));
        }
    }
}

//! Which peers of a network agree on its state: compares their rings. Pure.
//!
//! Two peers agree or disagree by their states at their newest common block; without a common block
//! neither. A peer is *diverged* if peers with more than half of the weight disagree with it, so
//! that a single liar cannot make another peer look diverged.
//!
//! If two peers disagree, at least one of them has a state that is not the most common one at its
//! block. So only these dissenters are compared with all others: a large network that agrees, or
//! almost agrees, costs next to nothing. A dissenter is not compared pair by pair but, from its
//! newest block down, with all peers that have the block and were not met at a newer one.

use std::collections::{HashMap, HashSet};

use fixedbitset::FixedBitSet;

use super::ring::{BlockState, BlockStateCounts, Ring};

/// Number of disagreeing peers that the first divergent block is computed from.
const MAX_COMPARED_FOR_FIRST_BLOCK: usize = 64;

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
        let relations = relations(rings, counts);
        let total: u128 = rings.iter().map(|ring| u128::from(ring.weight)).sum();
        let mut verdicts = Vec::with_capacity(rings.len());
        for (ring, relation) in rings.iter().zip(&relations) {
            let against = relation.against;
            let confirmed = relation.confirmed;
            verdicts.push(if against * 2 > total + awaited_weight {
                let others = relation.some_against.iter();
                let differences =
                    others.filter_map(|other| ring.ring.first_difference(rings[*other].ring));
                let first_block = differences.min().unwrap_or_default();
                ForkVerdict::Diverged { first_block }
            } else if against * 2 >= total && against > 0 {
                ForkVerdict::Undecided { confirmed }
            } else {
                ForkVerdict::Majority { confirmed }
            });
        }
        let majority: u128 = verdicts
            .iter()
            .zip(rings)
            .filter(|(verdict, _)| matches!(verdict, ForkVerdict::Majority { .. }))
            .map(|(_, ring)| u128::from(ring.weight))
            .sum();
        Self {
            split: !rings.is_empty() && majority * 2 <= total,
            groups: groups(rings, &verdicts, counts),
            verdicts,
        }
    }
}

/// How one peer relates to all others.
#[derive(Clone, Debug, Default)]
struct Relation {
    /// Weight of the peers that disagree with it.
    against: u128,
    /// Some of the peers that disagree with it.
    some_against: Vec<usize>,
    /// Whether any other peer agrees with it.
    confirmed: bool,
}

impl Relation {
    fn add_against(&mut self, other: usize, weight: u64) {
        self.against += u128::from(weight);
        if self.some_against.len() < MAX_COMPARED_FOR_FIRST_BLOCK {
            self.some_against.push(other);
        }
    }
}

fn relations(rings: &[WeightedRing<'_>], counts: &BlockStateCounts) -> Vec<Relation> {
    let dissents = |ring: &WeightedRing<'_>| {
        let mut states = ring.ring.newest_first();
        !counts.all_agree() && states.any(|state| !counts.is_most_common(state))
    };
    let dissents: Vec<bool> = rings.iter().map(dissents).collect();
    let dissenters = || (0..rings.len()).filter(|peer| dissents[*peer]);
    let mut relations = vec![Relation::default(); rings.len()];
    let holders = Holders::new(rings, dissenters());
    let mut dissenter_counts: HashMap<BlockState, u32> = HashMap::new();
    let mut agreeing = FixedBitSet::with_capacity(rings.len());
    let mut met = FixedBitSet::with_capacity(rings.len());
    for peer in dissenters() {
        met.clear();
        met.insert(peer);
        for state in rings[peer].ring.newest_first() {
            *dissenter_counts.entry(state).or_default() += 1;
            let with_block = &holders.by_block[&state.0];
            let with_state = &holders.by_state[&state];
            for other in with_block.difference(&met) {
                if with_state.contains(other) {
                    agreeing.extend([peer, other]);
                    continue;
                }
                relations[peer].add_against(other, rings[other].weight);
                // Another dissenter gets a turn of its own.
                if !dissents[other] {
                    relations[other].add_against(peer, rings[peer].weight);
                }
            }
            met.union_with(with_block);
        }
    }
    for (peer, ring) in rings.iter().enumerate() {
        // Peers that do not dissent agree with each other wherever they meet.
        let is_shared = |state| {
            let dissenters = dissenter_counts.get(&state).copied().unwrap_or(0);
            counts.with_state(state) > 1 + dissenters
        };
        relations[peer].confirmed =
            agreeing.contains(peer) || (!dissents[peer] && ring.ring.newest_first().any(is_shared));
    }
    relations
}

/// The peers that have the blocks and states of dissenters.
struct Holders {
    /// Peers with any state at the block.
    by_block: HashMap<i64, FixedBitSet>,
    /// Peers with this state.
    by_state: HashMap<BlockState, FixedBitSet>,
}

impl Holders {
    fn new(rings: &[WeightedRing<'_>], dissenters: impl Iterator<Item = usize>) -> Self {
        let empty = || FixedBitSet::with_capacity(rings.len());
        let (mut by_block, mut by_state) = (HashMap::new(), HashMap::new());
        for state in dissenters.flat_map(|peer| rings[peer].ring.newest_first()) {
            by_block.entry(state.0).or_insert_with(empty);
            by_state.entry(state).or_insert_with(empty);
        }
        for (peer, ring) in rings.iter().enumerate() {
            for state in ring.ring.newest_first() {
                if let Some(set) = by_block.get_mut(&state.0) {
                    set.insert(peer);
                }
                if let Some(set) = by_state.get_mut(&state) {
                    set.insert(peer);
                }
            }
        }
        Self { by_block, by_state }
    }
}

/// Number of groups. The majority is one; the others are grouped by their state at the newest block
/// that each shares with another peer.
fn groups(
    rings: &[WeightedRing<'_>],
    verdicts: &[ForkVerdict],
    counts: &BlockStateCounts,
) -> usize {
    let mut others = HashSet::new();
    let mut any_majority = false;
    for (ring, verdict) in rings.iter().zip(verdicts) {
        if matches!(verdict, ForkVerdict::Majority { .. }) {
            any_majority = true;
        } else {
            let mut states = ring.ring.newest_first();
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

    /// Verdicts from comparing every pair.
    fn compare_pairs(rings: &[Ring], weights: &[u64]) -> Vec<ForkVerdict> {
        let total: u64 = weights.iter().sum();
        let verdict = |peer: usize| {
            let others = (0..rings.len()).filter(|other| *other != peer);
            let met: Vec<_> = others
                .filter_map(|other| Some((other, rings[peer].agrees_with(&rings[other])?)))
                .collect();
            let confirmed = met.iter().any(|(_, equal)| *equal);
            let against = || met.iter().filter(|(_, equal)| !equal);
            let weight: u64 = against().map(|(other, _)| weights[*other]).sum();
            let first =
                against().filter_map(|(other, _)| rings[peer].first_difference(&rings[*other]));
            match weight * 2 {
                twice if twice > total => ForkVerdict::Diverged {
                    first_block: first.min().unwrap(),
                },
                twice if twice == total && twice > 0 => ForkVerdict::Undecided { confirmed },
                _ => ForkVerdict::Majority { confirmed },
            }
        };
        (0..rings.len()).map(verdict).collect()
    }

    proptest! {
        #[test]
        fn comparing_only_dissenters_finds_the_same_as_comparing_all_pairs(
            states in prop::collection::vec((0_usize..6, 0_i64..8, 0_u8..3), 0..60),
            weights in prop::array::uniform6(0_u64..4),
        ) {
            let mut rings = vec![Ring::default(); 6];
            for (peer, block, hash) in states {
                // Most of them agree.
                rings[peer].add(block, Hash::new([hash / 2; 32]).into());
            }
            prop_assert_eq!(compare(&rings, &weights).verdicts, compare_pairs(&rings, &weights));
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

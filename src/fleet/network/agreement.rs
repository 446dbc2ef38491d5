//! Who agrees with whom on the state of a network: rings of sightings compared with each other. Pure.
//!
//! Two peers agree or disagree by their states at the newest block that both have shown; without a common block nothing
//! is claimed of them. A peer is *diverged* when peers with more than half of the weight disagree with it, so that no single
//! liar can make another peer look diverged.
//!
//! Where two disagree, at least one of them has shown a state that is not the usual one of its block. So only such
//! dissenters are compared with everybody: a large network in unison, or with a few that are off, costs next to nothing. They are not compared
//! pair by pair, but from their newest block down with the set of all that have shown it and were not met yet.

use std::collections::{HashMap, HashSet};

use fixedbitset::FixedBitSet;

use super::ring::{Ring, Sighting, Sightings};

/// Of those that disagree with a peer, so many are asked for the first block of the difference.
const ASKED_FOR_DIFFERENCE: usize = 64;

/// One peer that is heard.
#[derive(Clone, Copy, Debug)]
pub struct WeightedRing<'a> {
    /// What it has shown.
    pub ring: &'a Ring,
    /// What its word weighs: its decayed stake in copper, or 1 for each where stake is not known.
    pub weight: u64,
}

/// How one peer stands to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForkVerdict {
    /// Peers with less than half of the weight disagree with it. `proven`: somebody agrees.
    Majority {
        /// Whether an equal hash at a common block was seen.
        proven: bool,
    },
    /// Peers with more than half of the weight disagree with it.
    Diverged {
        /// The lowest known block at which it differs from one that disagrees.
        first_block: i64,
    },
    /// Half of the weight is against it, or would be: nobody can tell. `proven`: somebody agrees.
    Undecided {
        /// Whether an equal hash at a common block was seen.
        proven: bool,
    },
}

/// What the rings say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreement {
    /// By voice, in the order given.
    pub stands: Vec<ForkVerdict>,
    /// Whether peers disagree and no group holds more than half of the weight.
    pub split: bool,
    /// Distinct states at common blocks; 1 when nobody disagrees, 0 without voices.
    pub groups: usize,
}

impl Agreement {
    /// Compares the rings of all voices, of which `sightings` has counted what they hold. What those weigh that were not
    /// asked yet is `awaited`: they may be on either side.
    #[must_use]
    pub fn of(voices: &[WeightedRing<'_>], sightings: &Sightings, awaited: u128) -> Self {
        let relations = relations(voices, sightings);
        let total: u128 = voices.iter().map(|voice| u128::from(voice.weight)).sum();
        let mut stands = Vec::with_capacity(voices.len());
        for (voice, relation) in voices.iter().zip(&relations) {
            let against = relation.against;
            let proven = relation.anyone_agrees;
            stands.push(if against * 2 > total + awaited {
                let others = relation.some_against.iter();
                let differences =
                    others.filter_map(|other| voice.ring.first_difference(voices[*other].ring));
                let first_block = differences.min().unwrap_or_default();
                ForkVerdict::Diverged { first_block }
            } else if against * 2 >= total && against > 0 {
                ForkVerdict::Undecided { proven }
            } else {
                ForkVerdict::Majority { proven }
            });
        }
        let majority: u128 = stands
            .iter()
            .zip(voices)
            .filter(|(stand, _)| matches!(stand, ForkVerdict::Majority { .. }))
            .map(|(_, voice)| u128::from(voice.weight))
            .sum();
        Self {
            split: !voices.is_empty() && majority * 2 <= total,
            groups: groups(voices, &stands, sightings),
            stands,
        }
    }
}

/// How one voice stands to all others.
#[derive(Clone, Debug, Default)]
struct Relation {
    /// What those weigh that disagree with it.
    against: u128,
    /// Some of those that disagree.
    some_against: Vec<usize>,
    anyone_agrees: bool,
}

impl Relation {
    fn disagrees(&mut self, other: usize, weight: u64) {
        self.against += u128::from(weight);
        if self.some_against.len() < ASKED_FOR_DIFFERENCE {
            self.some_against.push(other);
        }
    }
}

fn relations(voices: &[WeightedRing<'_>], sightings: &Sightings) -> Vec<Relation> {
    let dissents = |voice: &WeightedRing<'_>| {
        let mut shown = voice.ring.newest_first();
        !sightings.agree() && shown.any(|sighting| !sightings.is_usual(sighting))
    };
    let dissents: Vec<bool> = voices.iter().map(dissents).collect();
    let dissenters = || (0..voices.len()).filter(|me| dissents[*me]);
    let mut relations = vec![Relation::default(); voices.len()];
    let shown = ShownState::of(voices, dissenters());
    let mut of_dissenters: HashMap<Sighting, u32> = HashMap::new();
    let mut agreeing = FixedBitSet::with_capacity(voices.len());
    let mut met = FixedBitSet::with_capacity(voices.len());
    for me in dissenters() {
        met.clear();
        met.insert(me);
        for sighting in voices[me].ring.newest_first() {
            *of_dissenters.entry(sighting).or_default() += 1;
            let everybody = &shown.at_block[&sighting.0];
            let equal = &shown.as_state[&sighting];
            // Of those that it has not met at a newer block.
            for other in everybody.difference(&met) {
                if equal.contains(other) {
                    agreeing.extend([me, other]);
                    continue;
                }
                relations[me].disagrees(other, voices[other].weight);
                // Another dissenter looks for itself.
                if !dissents[other] {
                    relations[other].disagrees(me, voices[me].weight);
                }
            }
            met.union_with(everybody);
        }
    }
    for (me, voice) in voices.iter().enumerate() {
        // Those that do not dissent are equal wherever they meet.
        let usual = |sighting| {
            let apart = of_dissenters.get(&sighting).copied().unwrap_or(0);
            sightings.of(sighting) > 1 + apart
        };
        relations[me].anyone_agrees =
            agreeing.contains(me) || (!dissents[me] && voice.ring.newest_first().any(usual));
    }
    relations
}

/// Who has shown what of that which some have shown, as sets of voices.
struct ShownState {
    /// Any state of a block.
    at_block: HashMap<i64, FixedBitSet>,
    as_state: HashMap<Sighting, FixedBitSet>,
}

impl ShownState {
    fn of(voices: &[WeightedRing<'_>], some: impl Iterator<Item = usize>) -> Self {
        let nobody = || FixedBitSet::with_capacity(voices.len());
        let (mut at_block, mut as_state) = (HashMap::new(), HashMap::new());
        for sighting in some.flat_map(|me| voices[me].ring.newest_first()) {
            at_block.entry(sighting.0).or_insert_with(nobody);
            as_state.entry(sighting).or_insert_with(nobody);
        }
        for (me, voice) in voices.iter().enumerate() {
            for sighting in voice.ring.newest_first() {
                if let Some(set) = at_block.get_mut(&sighting.0) {
                    set.insert(me);
                }
                if let Some(set) = as_state.get_mut(&sighting) {
                    set.insert(me);
                }
            }
        }
        Self { at_block, as_state }
    }
}

/// The majority is one group; those outside it are told apart by their state at the newest block that each shares.
fn groups(voices: &[WeightedRing<'_>], stands: &[ForkVerdict], sightings: &Sightings) -> usize {
    let mut others = HashSet::new();
    let mut any_majority = false;
    for (voice, stand) in voices.iter().zip(stands) {
        if matches!(stand, ForkVerdict::Majority { .. }) {
            any_majority = true;
        } else {
            let mut shown = voice.ring.newest_first();
            others.extend(shown.find(|(block, _)| sightings.at(*block) > 1));
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

    /// A ring from text: `5a 6a` is hash a at blocks 5 and 6.
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

    fn judge(rings: &[Ring], weights: &[u64]) -> Agreement {
        let voices: Vec<WeightedRing<'_>> = rings
            .iter()
            .zip(weights)
            .map(|(ring, weight)| WeightedRing {
                ring,
                weight: *weight,
            })
            .collect();
        agreement(&voices, 0)
    }

    fn agreement(voices: &[WeightedRing<'_>], awaited: u128) -> Agreement {
        let mut sightings = Sightings::default();
        for sighting in voices.iter().flat_map(|voice| voice.ring.newest_first()) {
            sightings.add(sighting);
        }
        Agreement::of(voices, &sightings, awaited)
    }

    /// Stands as letters: m majority, M proven, d diverged, ? undecided.
    fn stands(agreement: &Agreement) -> String {
        let letter = |stand: &ForkVerdict| match stand {
            ForkVerdict::Majority { proven: true } => 'M',
            ForkVerdict::Majority { proven: false } => 'm',
            ForkVerdict::Diverged { .. } => 'd',
            ForkVerdict::Undecided { .. } => '?',
        };
        agreement.stands.iter().map(letter).collect()
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
            let agreement = judge(&rings, &weights);
            assert_eq!(
                (
                    stands(&agreement).as_str(),
                    agreement.split,
                    agreement.groups
                ),
                (expected, split, groups),
                "{rings:?}"
            );
        }
    }

    #[test]
    fn nobody_is_accused_while_those_who_were_not_asked_yet_could_decide_otherwise() {
        let rings = ["5a", "5a", "5b"].map(ring);
        let voices = rings
            .each_ref()
            .map(|ring| WeightedRing { ring, weight: 1 });
        for (awaited, expected) in [(0, "MMd"), (1, "MM?")] {
            assert_eq!(stands(&agreement(&voices, awaited)), expected);
        }
    }

    #[test]
    fn without_a_common_block_nothing_is_claimed() {
        let agreement = judge(&[ring("5a"), ring("6b"), ring("7c")], &[1; 3]);
        assert_eq!(
            (stands(&agreement).as_str(), agreement.split),
            ("mmm", false)
        );
    }

    #[test]
    fn the_newest_common_block_decides_and_the_first_difference_is_found() {
        let rings = [
            ring("1a 2a 3a 4a"),
            ring("1a 2a 3a 4a"),
            ring("1a 2a 3b 4b"),
        ];
        assert_eq!(
            judge(&rings, &[1; 3]).stands[2],
            ForkVerdict::Diverged { first_block: 3 }
        );
        let healed = [ring("3a 4a 5a"), ring("3a 4a 5a"), ring("3b 4b 5a")];
        assert_eq!(stands(&judge(&healed, &[1; 3])), "MMM");
    }

    #[test]
    fn one_liar_never_makes_another_peer_look_diverged() {
        // It shares its newest block with the first peer alone.
        let rings = [ring("5a 6a"), ring("5a 7a"), ring("5a 8a"), ring("5a 6x")];
        assert_eq!(
            stands(&judge(&rings, &[1; 4])),
            "MMMM",
            "one against one is not enough to tell who lies"
        );
        let rings = [ring("5a 6a"), ring("5a 6a"), ring("5a 6a"), ring("5a 6x")];
        assert_eq!(stands(&judge(&rings, &[1; 4])), "MMMd");
    }

    /// Stands by comparing every pair.
    fn by_pairs(rings: &[Ring], weights: &[u64]) -> Vec<ForkVerdict> {
        let total: u64 = weights.iter().sum();
        let stand = |me: usize| {
            let others = (0..rings.len()).filter(|other| *other != me);
            let met: Vec<_> = others
                .filter_map(|other| Some((other, rings[me].agrees_with(&rings[other])?)))
                .collect();
            let proven = met.iter().any(|(_, equal)| *equal);
            let against = || met.iter().filter(|(_, equal)| !equal);
            let weight: u64 = against().map(|(other, _)| weights[*other]).sum();
            let first =
                against().filter_map(|(other, _)| rings[me].first_difference(&rings[*other]));
            match weight * 2 {
                twice if twice > total => ForkVerdict::Diverged {
                    first_block: first.min().unwrap(),
                },
                twice if twice == total && twice > 0 => ForkVerdict::Undecided { proven },
                _ => ForkVerdict::Majority { proven },
            }
        };
        (0..rings.len()).map(stand).collect()
    }

    proptest! {
        #[test]
        fn comparing_dissenters_alone_finds_what_comparing_all_does(
            shown in prop::collection::vec((0_usize..6, 0_i64..8, 0_u8..3), 0..60),
            weights in prop::array::uniform6(0_u64..4),
        ) {
            let mut rings = vec![Ring::default(); 6];
            for (peer, block, hash) in shown {
                // Mostly they agree.
                rings[peer].add(block, Hash::new([hash / 2; 32]).into());
            }
            prop_assert_eq!(judge(&rings, &weights).stands, by_pairs(&rings, &weights));
        }

        #[test]
        fn the_order_of_arrival_and_of_the_peers_changes_nothing(
            entries in prop::collection::vec((0_usize..5, 0_i64..6, 0_u8..3), 0..40),
            seed in any::<u64>(),
        ) {
            // The last word of a peer on a block counts, so each is said once.
            let mut said: Vec<(usize, i64, u8)> =
                entries.iter().map(|(peer, block, hash)| ((*peer, *block), *hash)).collect::<BTreeMap<_, _>>()
                    .into_iter().map(|((peer, block), hash)| (peer, block, hash)).collect();
            let build = |said: &[(usize, i64, u8)], order: &[usize]| {
                let mut rings = vec![Ring::default(); 5];
                for (peer, block, hash) in said {
                    rings[order[*peer]].add(*block, Hash::new([*hash; 32]).into());
                }
                judge(&rings, &[1; 5])
            };
            let straight = build(&said, &[0, 1, 2, 3, 4]);
            let turn = usize::try_from(seed % 5).unwrap();
            let middle = said.len() / 2;
            said.rotate_left(middle);
            said.reverse();
            let order: Vec<usize> = (0..5).map(|i| (i + turn) % 5).collect();
            let turned = build(&said, &order);
            for (i, stand) in straight.stands.iter().enumerate() {
                prop_assert_eq!(stand, &turned.stands[order[i]]);
            }
            prop_assert_eq!((straight.split, straight.groups), (turned.split, turned.groups));
        }
    }
}

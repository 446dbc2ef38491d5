//! Who agrees with whom on the state of a network: rings of (block, hash) compared pair by pair. Pure.
//!
//! Two peers agree or disagree by their hashes at the newest block that both have shown; without a common block nothing
//! is claimed of them. A peer is *diverged* when peers with more than half of the weight disagree with it, so that no single
//! liar can make another peer look diverged.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::cad3::Hash;

/// Blocks that a peer's ring remembers: a quarter of an hour of polls each 15 s.
const RING: usize = 64;

/// The last state blocks that a peer has shown, with their hashes, in order of the blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ring(VecDeque<(i64, Hash)>);

impl Ring {
    /// Adds what a peer has shown. A block shown again with another hash counts with the latest.
    pub fn add(&mut self, block: i64, hash: Hash) {
        let position = self.0.partition_point(|(known, _)| *known < block);
        match self.0.get_mut(position) {
            Some(entry) if entry.0 == block => entry.1 = hash,
            _ => self.0.insert(position, (block, hash)),
        }
        if self.0.len() > RING {
            // The lowest goes, also when an absurdly high one has just come.
            self.0.pop_front();
        }
    }

    /// Entries from the newest block down.
    fn newest_first(&self) -> impl Iterator<Item = (i64, Hash)> {
        self.0.iter().rev().copied()
    }
}

/// One peer that is heard.
#[derive(Clone, Copy, Debug)]
pub struct Voice<'a> {
    /// What it has shown.
    pub ring: &'a Ring,
    /// What its word weighs: its decayed stake in copper, or 1 for each where stake is not known.
    pub weight: u64,
}

/// How one peer stands to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
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
    pub stands: Vec<Stand>,
    /// Whether peers disagree and no group holds more than half of the weight.
    pub split: bool,
    /// Distinct states at common blocks; 1 when nobody disagrees, 0 without voices.
    pub groups: usize,
}

impl Agreement {
    /// Compares all rings. What those weigh that were not asked yet is `awaited`: they may be on either side.
    #[must_use]
    pub fn of(voices: &[Voice<'_>], awaited: u128) -> Self {
        if let Some(shown) = unanimous(voices) {
            return Self::in_unison(voices, &shown);
        }
        let holders = holders(voices);
        let total: u128 = voices.iter().map(|voice| u128::from(voice.weight)).sum();
        let mut stands = Vec::with_capacity(voices.len());
        for (me, voice) in voices.iter().enumerate() {
            let relations = relations(me, voice.ring, &holders, voices.len());
            let against: u128 = relations
                .disagree
                .iter()
                .map(|(other, _)| u128::from(voices[*other].weight))
                .sum();
            let proven = relations.anyone_agrees;
            stands.push(if against * 2 > total + awaited {
                let first_block = relations
                    .disagree
                    .iter()
                    .map(|(_, block)| *block)
                    .min()
                    .unwrap_or_default();
                Stand::Diverged { first_block }
            } else if against * 2 >= total && against > 0 {
                Stand::Undecided { proven }
            } else {
                Stand::Majority { proven }
            });
        }
        let majority: u128 = stands
            .iter()
            .zip(voices)
            .filter(|(stand, _)| matches!(stand, Stand::Majority { .. }))
            .map(|(_, voice)| u128::from(voice.weight))
            .sum();
        Self {
            split: !voices.is_empty() && majority * 2 <= total,
            groups: groups(voices, &stands, &holders),
            stands,
        }
    }
}

impl Agreement {
    /// No block has two hashes; `shown` says how many have shown each.
    fn in_unison(voices: &[Voice<'_>], shown: &HashMap<i64, (Hash, u32)>) -> Self {
        let shares = |voice: &Voice<'_>| {
            let mut entries = voice.ring.newest_first();
            entries.any(|(block, _)| shown[&block].1 > 1)
        };
        let stand = |voice| Stand::Majority {
            proven: shares(voice),
        };
        Self {
            stands: voices.iter().map(stand).collect(),
            split: false,
            groups: usize::from(!voices.is_empty()),
        }
    }
}

/// The hash of each block and how many have shown it; none when a block has two. The usual case, found without noting who
/// has shown what: in a large network that is a great deal.
fn unanimous(voices: &[Voice<'_>]) -> Option<HashMap<i64, (Hash, u32)>> {
    let mut shown = HashMap::new();
    for (block, hash) in voices.iter().flat_map(|voice| &voice.ring.0) {
        let (first, count) = shown.entry(*block).or_insert((*hash, 0));
        if first != hash {
            return None;
        }
        *count += 1;
    }
    Some(shown)
}

/// Who has shown which hash at a block.
type Holders = HashMap<i64, Vec<(usize, Hash)>>;

fn holders(voices: &[Voice<'_>]) -> Holders {
    let mut holders = Holders::new();
    for (me, voice) in voices.iter().enumerate() {
        for (block, hash) in &voice.ring.0 {
            holders.entry(*block).or_default().push((me, *hash));
        }
    }
    holders
}

struct Relations {
    /// Those that disagree, with the lowest block at which they are seen to.
    disagree: Vec<(usize, i64)>,
    anyone_agrees: bool,
}

/// How `me` stands to each other voice, by the newest block that both have shown.
fn relations(me: usize, ring: &Ring, holders: &Holders, voices: usize) -> Relations {
    let mut met = vec![false; voices];
    met[me] = true;
    let mut unmet = voices - 1;
    let mut disagree = BTreeMap::new();
    let mut anyone_agrees = false;
    for (block, hash) in ring.newest_first() {
        if unmet == 0 && disagree.is_empty() {
            break;
        }
        for (other, theirs) in &holders[&block] {
            if !met[*other] {
                met[*other] = true;
                unmet -= 1;
                if *theirs == hash {
                    anyone_agrees = true;
                } else {
                    disagree.insert(*other, (block, true));
                }
            } else if let Some((lowest, open)) = disagree.get_mut(other) {
                // Further down: the difference reaches to the first block where they were still equal.
                if *theirs == hash {
                    *open = false;
                } else if *open {
                    *lowest = block;
                }
            }
        }
    }
    Relations {
        disagree: disagree
            .into_iter()
            .map(|(other, (block, _))| (other, block))
            .collect(),
        anyone_agrees,
    }
}

/// The majority is one group; those outside it are told apart by their hash at the newest block that each shares.
fn groups(voices: &[Voice<'_>], stands: &[Stand], holders: &Holders) -> usize {
    let mut others = std::collections::HashSet::new();
    let mut any_majority = false;
    for (voice, stand) in voices.iter().zip(stands) {
        if matches!(stand, Stand::Majority { .. }) {
            any_majority = true;
        } else {
            others.extend(
                voice
                    .ring
                    .newest_first()
                    .find(|(block, _)| holders[block].len() > 1),
            );
        }
    }
    usize::from(any_majority) + others.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ring from text: `5a 6a` is hash a at blocks 5 and 6.
    fn ring(text: &str) -> Ring {
        let mut ring = Ring::default();
        for entry in text.split_whitespace() {
            let (block, hash) = entry.split_at(entry.len() - 1);
            ring.add(block.parse().unwrap(), Hash::new([hash.as_bytes()[0]; 32]));
        }
        ring
    }

    fn judge(rings: &[Ring], weights: &[u64]) -> Agreement {
        let voices: Vec<Voice<'_>> = rings
            .iter()
            .zip(weights)
            .map(|(ring, weight)| Voice {
                ring,
                weight: *weight,
            })
            .collect();
        Agreement::of(&voices, 0)
    }

    /// Stands as letters: m majority, M proven, d diverged, ? undecided.
    fn stands(agreement: &Agreement) -> String {
        let letter = |stand: &Stand| match stand {
            Stand::Majority { proven: true } => 'M',
            Stand::Majority { proven: false } => 'm',
            Stand::Diverged { .. } => 'd',
            Stand::Undecided { .. } => '?',
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
        let voices = rings.each_ref().map(|ring| Voice { ring, weight: 1 });
        for (awaited, expected) in [(0, "MMd"), (1, "MM?")] {
            assert_eq!(stands(&Agreement::of(&voices, awaited)), expected);
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
            Stand::Diverged { first_block: 3 }
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

    #[test]
    fn a_ring_is_bounded_and_keeps_the_newest_blocks() {
        let mut ring = Ring::default();
        for block in 0..1000 {
            ring.add(block, Hash::new([1; 32]));
        }
        assert_eq!((ring.0.len(), ring.0[0].0), (RING, 1000 - 64));
    }

    proptest! {
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
                    rings[order[*peer]].add(*block, Hash::new([*hash; 32]));
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

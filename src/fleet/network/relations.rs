//! How each ring relates to all others: who disagrees with it. Pure.
//!
//! Equal rings are one class. Each class is compared with a tile of up to 512 others at once, from
//! its newest block down: of those that have the block and were not met at a newer one, the ones
//! with another state disagree.
//!
//! If two rings disagree, at least one of them has a state that is not the most common one at its
//! block. So a class that has none is compared only with these dissenters: a large network that
//! almost agrees costs next to nothing.

use std::collections::HashMap;

use super::agreement::WeightedRing;
use super::lanes::{LANES, Lanes, Sums};
use super::ring::{BlockStateCounts, HashPrefix, Ring};

/// After how many blocks to look whether all others were met.
const STRIDE: usize = 8;

/// Equal rings.
#[derive(Debug)]
pub(super) struct Class<'a> {
    pub(super) ring: &'a Ring,
    /// Weight of the peers with such a ring.
    pub(super) weight: u128,
    /// Weight of the peers that disagree with it.
    pub(super) against: u128,
    /// Its states at blocks that another peer has too, from the newest down.
    states: Vec<Place>,
    /// Whether one of these is not the most common one at its block.
    dissents: bool,
}

/// All rings of a network.
#[derive(Debug)]
pub(super) struct Relations<'a> {
    pub(super) classes: Vec<Class<'a>>,
    /// The class of each ring.
    pub(super) class_of: Vec<usize>,
    blocks: SharedBlocks,
    /// The classes that have anything in common with others, dissenters first.
    order: Vec<usize>,
    /// Number of dissenting classes.
    dissenters: usize,
}

impl<'a> Relations<'a> {
    /// Compares all rings; `counts` are those of their states.
    pub(super) fn new(rings: &[WeightedRing<'a>], counts: &BlockStateCounts) -> Self {
        let blocks = SharedBlocks::new(counts);
        let (mut classes, class_of) = classes(rings);
        for class in &mut classes {
            (class.states, class.dissents) = blocks.find(class.ring);
        }
        let comparable = (0..classes.len()).filter(|class| !classes[*class].states.is_empty());
        let (mut order, others): (Vec<usize>, Vec<usize>) =
            comparable.partition(|class| classes[*class].dissents);
        let dissenters = order.len();
        order.extend(others);
        let mut relations = Self {
            classes,
            class_of,
            blocks,
            order,
            dissenters,
        };
        relations.compare();
        relations
    }

    /// Compares the dissenters with all, and the others with the dissenters.
    fn compare(&mut self) {
        let mut holders = Holders::new(self.blocks.sets);
        let (dissenters, others) = self.order.split_at(self.dissenters);
        let tiles = dissenters.chunks(LANES).map(|tile| (tile, &self.order[..]));
        let tiles = tiles.chain(others.chunks(LANES).map(|tile| (tile, dissenters)));
        for (tile, compared) in tiles {
            holders.fill(tile, &self.classes);
            let weights = Sums::new(tile.iter().map(|class| self.classes[*class].weight));
            for class in compared {
                let class = &mut self.classes[*class];
                class.against += weights.of(&holders.find_dissenters(&class.states));
            }
            holders.clear(tile, &self.classes);
        }
    }

    /// Returns for each of these classes the lowest block at which it differs from one that
    /// disagrees, down from where they disagree.
    pub(super) fn first_blocks(&self, classes: &[usize]) -> Vec<Option<i64>> {
        let mut lowest = vec![None; classes.len()];
        if classes.is_empty() {
            return lowest;
        }
        let mut holders = Holders::new(self.blocks.sets);
        for tile in self.order.chunks(LANES) {
            holders.fill(tile, &self.classes);
            for (class, lowest) in classes.iter().zip(&mut lowest) {
                let difference = holders.first_difference(&self.classes[*class].states);
                let block = difference.map(|place| self.blocks.numbers[place.block]);
                *lowest = [*lowest, block].into_iter().flatten().min();
            }
            holders.clear(tile, &self.classes);
        }
        lowest
    }
}

/// Takes equal rings together; also returns the class of each ring.
fn classes<'a>(rings: &[WeightedRing<'a>]) -> (Vec<Class<'a>>, Vec<usize>) {
    let mut known = HashMap::with_capacity(rings.len());
    let mut classes: Vec<Class<'a>> = Vec::new();
    let mut class_of = Vec::with_capacity(rings.len());
    for WeightedRing { ring, weight } in rings {
        let class = *known.entry(*ring).or_insert(classes.len());
        if class == classes.len() {
            classes.push(Class {
                ring,
                weight: 0,
                against: 0,
                states: Vec::new(),
                dissents: false,
            });
        }
        classes[class].weight += u128::from(*weight);
        class_of.push(class);
    }
    (classes, class_of)
}

/// The blocks that several rings have, and their states.
#[derive(Debug)]
struct SharedBlocks {
    /// Their numbers, ascending.
    numbers: Vec<i64>,
    blocks: Vec<SharedBlock>,
    /// Number of sets for all of them.
    sets: usize,
}

#[derive(Debug)]
struct SharedBlock {
    most_common: Option<HashPrefix>,
    /// All states in order, if there are several.
    contested: Vec<HashPrefix>,
    /// The set of the first of these states.
    first_set: usize,
}

/// Where the set of those that have a block is, and of those that have a state at it: the same one
/// if there is no other state.
#[derive(Clone, Copy, Debug)]
struct Place {
    block: usize,
    state: usize,
}

impl SharedBlocks {
    fn new(counts: &BlockStateCounts) -> Self {
        let mut shared: Vec<_> = counts.shared().collect();
        shared.sort_unstable_by_key(|(number, _)| *number);
        let numbers: Vec<i64> = shared.iter().map(|(number, _)| *number).collect();
        let mut sets = numbers.len();
        let mut blocks = Vec::with_capacity(shared.len());
        for (_, states) in shared {
            let most_common = states.iter().max_by_key(|(_, count)| *count);
            let mut contested = Vec::new();
            if states.len() > 1 {
                contested.extend(states.iter().map(|(hash, _)| *hash));
                contested.sort_unstable();
            }
            let first_set = sets;
            sets += contested.len();
            blocks.push(SharedBlock {
                most_common: most_common.map(|(hash, _)| *hash),
                contested,
                first_set,
            });
        }
        Self {
            numbers,
            blocks,
            sets,
        }
    }

    /// Returns what of a ring other rings have too, from the newest block down, and whether one of
    /// the states is not the most common one at its block.
    fn find(&self, ring: &Ring) -> (Vec<Place>, bool) {
        let mut dissents = false;
        let mut above = self.numbers.len();
        let mut places = Vec::with_capacity(ring.len());
        for (number, hash) in ring.newest_first() {
            let found = self.position(number, above);
            above = found.unwrap_or_else(|next| next);
            let Ok(at) = found else { continue };
            let block = &self.blocks[at];
            dissents |= block.most_common != Some(hash);
            let state = block.contested.binary_search(&hash);
            let state = state.map_or(at, |state| block.first_set + state);
            places.push(Place { block: at, state });
        }
        (places, dissents)
    }

    /// Searches a block below the one at `above`; without one returns where it would be.
    fn position(&self, number: i64, above: usize) -> Result<usize, usize> {
        // Mostly there is no gap in between.
        let distance = self.numbers.get(above).map(|above| above.abs_diff(number));
        let guess =
            distance.and_then(|distance| above.checked_sub(usize::try_from(distance).ok()?));
        match guess {
            Some(at) if self.numbers[at] == number => Ok(at),
            _ => self.numbers[..above].binary_search(&number),
        }
    }
}

/// Which classes of a tile have which blocks and states. Tiles take turns, so that the sets stay
/// small whatever the rings hold.
struct Holders {
    sets: Vec<Lanes>,
    /// All of the tile.
    all: Lanes,
}

impl Holders {
    fn new(sets: usize) -> Self {
        Self {
            sets: vec![Lanes::EMPTY; sets],
            all: Lanes::EMPTY,
        }
    }

    fn fill(&mut self, tile: &[usize], classes: &[Class<'_>]) {
        for (lane, class) in tile.iter().enumerate() {
            self.all.insert(lane);
            for place in &classes[*class].states {
                self.sets[place.block].insert(lane);
                self.sets[place.state].insert(lane);
            }
        }
    }

    fn clear(&mut self, tile: &[usize], classes: &[Class<'_>]) {
        self.all = Lanes::EMPTY;
        for place in tile.iter().flat_map(|class| &classes[*class].states) {
            self.sets[place.block] = Lanes::EMPTY;
            self.sets[place.state] = Lanes::EMPTY;
        }
    }

    /// Returns who disagrees with these states at the newest common block.
    fn find_dissenters(&self, states: &[Place]) -> Lanes {
        let (mut met, mut against) = (Lanes::EMPTY, Lanes::EMPTY);
        for some in states.chunks(STRIDE) {
            for place in some {
                let (with_block, with_state) = (&self.sets[place.block], &self.sets[place.state]);
                against |= *with_block & !*with_state & !met;
                met |= *with_block;
            }
            if met == self.all {
                break;
            }
        }
        against
    }

    /// Returns the last of these states at which one that disagrees still differs.
    fn first_difference(&self, states: &[Place]) -> Option<Place> {
        let (mut met, mut differing) = (Lanes::EMPTY, Lanes::EMPTY);
        let mut last = None;
        for place in states {
            let (with_block, with_state) = (&self.sets[place.block], &self.sets[place.state]);
            differing = (differing | *with_block & !met) & !*with_state;
            met |= *with_block;
            if differing & *with_block != Lanes::EMPTY {
                last = Some(*place);
            }
        }
        last
    }
}

//! Compares the blocks of two orders and finds the first difference, level by level of their trees.
//! Does no I/O.

use cad3::{Cell, Hash};

use super::blocks::{Blocks, SignedBlock};
use super::cells::{CheckedCells, Needed};
use super::error::{BeliefError, SignedError};

/// One of two orders that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first order.
    Left,
    /// The second order.
    Right,
}

impl Side {
    /// Both sides.
    pub const BOTH: [Self; 2] = [Self::Left, Self::Right];
}

/// How the blocks of two orders compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The orders have the same blocks as far as both have blocks.
    Same {
        /// Number of blocks that both have.
        blocks: u64,
    },
    /// The orders have different blocks at one position.
    Different(Box<Difference>),
}

/// The first difference of two orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// First position, from 0, at which the blocks differ.
    pub index: u64,
    /// Hashes of the signed blocks at that position, left and right.
    pub hashes: [Hash; 2],
    /// The signed blocks, left and right, or why one proves nothing. Absent if the peer does not
    /// have the block itself. The hashes alone prove the difference.
    pub blocks: [Option<Result<SignedBlock, SignedError>>; 2],
}

/// Compares the blocks of two orders round by round. Each level of the longer order takes one round
/// at most, and a level has 16 times as many blocks as the one below it.
///
/// Equal hashes of blocks at one position do not prove that those before are equal, because blocks
/// do not refer to each other. Equal nodes of the tree do.
#[derive(Clone, Debug)]
pub struct HistoryComparison {
    /// The orders, left and right.
    sides: [Blocks; 2],
    /// The received cells of each.
    cells: [CheckedCells; 2],
    /// Positions at which the first difference may be.
    start: u64,
    end: u64,
    /// Number of blocks in each part that is compared next, a power of 16.
    size: u64,
    needed: [Vec<Hash>; 2],
    /// The first blocks that differ, or their hashes.
    differing: Option<[Cell; 2]>,
    /// Whether the peer does not have that block, or what it consists of.
    gone: [bool; 2],
    result: Option<Comparison>,
}

impl HistoryComparison {
    /// Creates a comparison of the blocks of two orders.
    #[must_use]
    pub fn new(left: &Blocks, right: &Blocks) -> Self {
        let end = left.count().min(right.count());
        let mut size = 1;
        while size <= end / 16 {
            size *= 16;
        }
        let same = left == right || end == 0;
        Self {
            sides: [left.clone(), right.clone()],
            cells: Default::default(),
            start: 0,
            end,
            size,
            needed: Default::default(),
            differing: None,
            gone: [false; 2],
            result: same.then_some(Comparison::Same { blocks: end }),
        }
    }

    /// Returns the hashes of the cells to request next, of the left order and of the right one.
    /// Both are empty if the comparison is done. Any peer that has the order can be asked.
    ///
    /// # Errors
    /// The cells of this side are not the blocks of an order.
    pub fn needed(&mut self) -> Result<[&[Hash]; 2], (Side, BeliefError)> {
        let mut needed = <[Needed; 2]>::default();
        if self.result.is_none() {
            self.advance(&mut needed)?;
        }
        self.needed = needed.map(Needed::into_hashes);
        Ok(self.needed.each_ref().map(Vec::as_slice))
    }

    /// Adds the cells that a peer has for the hashes of one side that [`Self::needed`] returned, in
    /// their order.
    ///
    /// # Errors
    /// A cell is missing or is another one, or there are too many.
    pub fn add(&mut self, side: Side, received: Vec<Option<Cell>>) -> Result<(), BeliefError> {
        let side = side as usize;
        let requested = std::mem::take(&mut self.needed[side]);
        if self.differing.is_some() && received.iter().any(Option::is_none) {
            self.gone[side] = true;
            return Ok(());
        }
        self.cells[side].add(&requested, received)
    }

    /// Returns the result; none if more cells are needed.
    #[must_use]
    pub const fn result(&self) -> Option<&Comparison> {
        self.result.as_ref()
    }

    fn advance(&mut self, needed: &mut [Needed; 2]) -> Result<(), (Side, BeliefError)> {
        while self.differing.is_none() {
            if self.start + self.size > self.end {
                if self.size == 1 {
                    self.result = Some(Comparison::Same { blocks: self.end });
                    return Ok(());
                }
                self.size /= 16;
                continue;
            }
            let mut parts = [const { None }; 2];
            for side in Side::BOTH {
                let i = side as usize;
                parts[i] = self.sides[i]
                    .part(self.start, self.size, &self.cells[i], &mut needed[i])
                    .map_err(|error| (side, error))?;
            }
            let [Some(left), Some(right)] = parts else {
                return Ok(());
            };
            if left.hash() == right.hash() {
                self.start += self.size;
            } else if self.size == 1 {
                self.differing = Some([left, right]);
            } else {
                self.end = self.start + self.size;
                self.size /= 16;
            }
        }
        let Some(differing) = &self.differing else {
            return Ok(());
        };
        let mut blocks = [const { None }; 2];
        for side in Side::BOTH {
            let i = side as usize;
            if !self.gone[i] {
                blocks[i] = SignedBlock::read(&differing[i], &self.cells[i], &mut needed[i])
                    .map_err(|error| (side, error))?;
            }
        }
        if needed.iter().all(Needed::is_empty) {
            self.result = Some(Comparison::Different(Box::new(Difference {
                index: self.start,
                hashes: differing.each_ref().map(Cell::hash),
                blocks,
            })));
        }
        Ok(())
    }
}

//! The blocks of an order: a Vector of signed blocks, read by position (PEER-PROTOCOL, sections
//! 5.6, 5.9 and 15).

use std::ops::Range;

use cad3::{Cell, Hash, VectorParts};

use super::cells::{CheckedCells, Needed};
use super::error::{BeliefError, SignedError};
use super::message::to_message;
use super::signed::verify;

/// Record tag of a Block.
const BLOCK_TAG: u8 = 0xd6;

/// Maximum number of blocks that one [`BlockReader`] reads.
pub const MAX_BLOCKS_READ: u64 = 254;

/// The blocks of an order, which are read separately: the hash of their Vector, or the Vector
/// itself where it is embedded in the order.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocks {
    root: Cell,
    count: u64,
}

impl Blocks {
    /// Creates the blocks of an order with this Vector, or the hash of one, and this block point.
    /// Returns `None` if it is no Vector of so many elements.
    pub(super) fn new(root: Cell, block_point: i64) -> Option<Self> {
        let count = u64::try_from(block_point).ok()?;
        let fits = match root.as_missing() {
            Some(_) => true,
            None => root.kind() == "vector" && root.count() == Some(count),
        };
        fits.then_some(Self { root, count })
    }

    /// Returns the hash of the Vector. Orders with equal hashes have the same blocks.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.root.hash()
    }

    /// Returns the number of blocks that the order claims. That its Vector has as many is checked
    /// when it is read.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns what stands for the `size` blocks from `start` on, where `size` is a power of 16 and
    /// `start` a multiple of it: the block itself, or the node that holds exactly these. Either may
    /// be a hash. Returns nothing if a node on the way is needed first.
    ///
    /// Such a node is the same in every Vector that has these blocks at this position, whatever its
    /// height.
    pub(super) fn part(
        &self,
        start: u64,
        size: u64,
        cells: &CheckedCells,
        needed: &mut Needed,
    ) -> Result<Option<Cell>, BeliefError> {
        let (mut child, mut count, mut start) = (self.root.clone(), self.count, start);
        loop {
            // A block is never reached here, because Vectors of inner nodes have 16 or more.
            if start == 0 && count == size && size > 1 {
                return Ok(Some(child));
            }
            let Some(node) = load_vector(&child, count, cells, needed)? else {
                return Ok(None);
            };
            let inside = |start: u64, children: &[Cell]| {
                let child = usize::try_from(start).ok().and_then(|at| children.get(at));
                child.cloned().ok_or_else(|| too_short(&node))
            };
            match node.vector_parts() {
                Some(VectorParts::Elements(elements)) => return inside(start, elements).map(Some),
                Some(VectorParts::Tail { before, elements }) => {
                    let length = count - elements.len() as u64;
                    if start >= length {
                        return inside(start - length, elements).map(Some);
                    }
                    child = before.clone();
                    count = length;
                }
                Some(VectorParts::Nodes { nodes, span }) => {
                    child = inside(start / span, nodes)?;
                    count = span.min(count - start / span * span);
                    start %= span;
                }
                None => return Err(too_short(&node)),
            }
        }
    }
}

fn too_short(node: &Cell) -> BeliefError {
    BeliefError::Malformed {
        hash: node.hash(),
        problem: "it is not a vector of as many blocks as its place has",
    }
}

/// Returns a Vector of `count` elements; nothing if it is needed first.
fn load_vector(
    child: &Cell,
    count: u64,
    cells: &CheckedCells,
    needed: &mut Needed,
) -> Result<Option<Cell>, BeliefError> {
    match cells.resolve(child, needed)? {
        Some(node) if node.vector_parts().is_none() || node.count() != Some(count) => {
            Err(too_short(&node))
        }
        node => Ok(node),
    }
}

/// A block, signed by the peer that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBlock {
    /// Key of the peer that made the block and signed it.
    pub maker: Hash,
    /// Time of the block by the clock of its maker, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Number of transactions.
    pub transactions: u64,
    /// Keys that are said to have signed them, as far as the block shows that without another
    /// request: of up to 16 transactions that are small.
    pub signers: Vec<Hash>,
    /// The signed block as it was received, in the form of a message: its encoding, then its block
    /// as a branch if that is not embedded. Proves the block to anybody.
    pub message: Vec<u8>,
}

impl SignedBlock {
    /// Reads a signed block, or its hash. Returns nothing if more cells are needed first.
    pub(super) fn read(
        signed: &Cell,
        cells: &CheckedCells,
        needed: &mut Needed,
    ) -> Result<Option<Result<Self, SignedError>>, BeliefError> {
        let Some(signed) = cells.resolve(signed, needed)? else {
            return Ok(None);
        };
        let (maker, value) = match verify(&signed) {
            Ok(verified) => verified,
            Err(error) => return Ok(Some(Err(error))),
        };
        let Some(block) = cells.resolve(value, needed)? else {
            return Ok(None);
        };
        let (timestamp_ms, transactions) = match block_fields(&block) {
            Ok(fields) => fields,
            Err(error) => return Ok(Some(Err(error))),
        };
        let Some(transactions) = cells.resolve(transactions, needed)? else {
            return Ok(None);
        };
        let parts = transactions.vector_parts().zip(transactions.count());
        let Some((parts, count)) = parts else {
            let problem = "the transactions of the block are not a vector";
            return Ok(Some(Err(SignedError::Malformed(problem))));
        };
        let shown = match parts {
            VectorParts::Elements(elements) | VectorParts::Tail { elements, .. } => elements,
            VectorParts::Nodes { .. } => &[],
        };
        let signers = shown.iter().filter_map(Cell::signed_parts);
        Ok(Some(Ok(Self {
            maker,
            timestamp_ms,
            transactions: count,
            signers: signers.map(|signed| signed.key).collect(),
            message: to_message(&signed, &block),
        })))
    }
}

/// Returns the time and the transactions of a block; these can be a hash.
pub(super) fn block_fields(block: &Cell) -> Result<(i64, &Cell), SignedError> {
    let fields = block
        .record_fields(BLOCK_TAG)
        .filter(|fields| fields.len() == 2);
    let Some((timestamp, transactions)) = fields.and_then(|it| it.get(0).zip(it.get(1))) else {
        return Err(SignedError::Malformed("it is not a block of two fields"));
    };
    match timestamp.as_i64() {
        Some(timestamp_ms) => Ok((timestamp_ms, transactions)),
        None => Err(SignedError::Malformed(
            "the time of the block is not an integer",
        )),
    }
}

/// One block that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBlock {
    /// Position in the order, from 0.
    pub index: u64,
    /// Hash of the signed block, by which blocks are compared.
    pub hash: Hash,
    /// The block, or why it proves nothing.
    pub block: Result<SignedBlock, SignedError>,
}

/// Reads some blocks of an order round by round: who made them, when, and with how many
/// transactions. Does no I/O.
#[derive(Clone, Debug)]
pub struct BlockReader {
    blocks: Blocks,
    range: Range<u64>,
    cells: CheckedCells,
    needed: Vec<Hash>,
    read: Option<Vec<ReadBlock>>,
}

impl BlockReader {
    /// Creates a reader of the blocks at the positions `range`, as far as the order has them. Of
    /// more than [`MAX_BLOCKS_READ`] blocks it reads the last.
    #[must_use]
    pub fn new(blocks: &Blocks, range: Range<u64>) -> Self {
        let end = range.end.min(blocks.count());
        let start = range.start.max(end.saturating_sub(MAX_BLOCKS_READ));
        Self {
            blocks: blocks.clone(),
            range: start.min(end)..end,
            cells: CheckedCells::default(),
            needed: Vec::new(),
            read: None,
        }
    }

    /// Returns the hashes of the cells to request next; none if all blocks are read.
    ///
    /// # Errors
    /// The cells are not the blocks of an order.
    pub fn needed(&mut self) -> Result<&[Hash], BeliefError> {
        self.needed.clear();
        if self.read.is_none() {
            let mut needed = Needed::default();
            let mut read = Vec::new();
            for index in self.range.clone() {
                let part = self.blocks.part(index, 1, &self.cells, &mut needed)?;
                let Some(part) = part else { continue };
                if let Some(block) = SignedBlock::read(&part, &self.cells, &mut needed)? {
                    let hash = part.hash();
                    read.push(ReadBlock { index, hash, block });
                }
            }
            if needed.is_empty() {
                self.read = Some(read);
            }
            self.needed = needed.into_hashes();
        }
        Ok(&self.needed)
    }

    /// Adds the cells that the peer has for the hashes that [`Self::needed`] returned, in their
    /// order.
    ///
    /// # Errors
    /// A cell is missing or is another one, or there are too many.
    pub fn add(&mut self, received: Vec<Option<Cell>>) -> Result<(), BeliefError> {
        let requested = std::mem::take(&mut self.needed);
        self.cells.add(&requested, received)
    }

    /// Returns the blocks in the sequence of the order.
    ///
    /// # Errors
    /// The blocks are not valid, or not complete: [`BeliefError::Gone`].
    pub fn finish(mut self) -> Result<Vec<ReadBlock>, BeliefError> {
        let missing = self.needed()?.first().copied();
        let hash = missing.unwrap_or_else(|| self.blocks.hash());
        self.read.ok_or(BeliefError::Gone { hash })
    }
}

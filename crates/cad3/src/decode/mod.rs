//! Decoding of cells. Lengths are checked before memory is allocated, and children are checked
//! against the rules of their parent as soon as the parent is complete.

mod canonical;
mod cursor;
mod error;
mod leaf;

use std::sync::Arc;

use crate::cell::node::{HASHED_LEAF, Node, Shape, VECTOR_LEAF, chunk_span, small, vector_bits};
use crate::cell::{Cell, Chunk};
use crate::encode::{NO_ENTRY, OWN_ENTRY};
use crate::hash::Hash;
use crate::{MAX_CHUNK_BYTES, MAX_EMBEDDED_BYTES, tag};

use leaf::leaf;

pub(crate) use cursor::Cursor;
pub use error::{DecodeError, DecodeErrorKind};

/// Limits on a message to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum length of the message in bytes. Default: 50,000,000, the maximum that peers accept
    /// in one frame (section 2).
    pub max_bytes: usize,
    /// Maximum number of nested levels, across branches. Default: 128; larger values have no
    /// effect.
    pub max_depth: u16,
    /// Maximum number of cells. Default: 250,000. Each takes 24 bytes of memory, and about 100
    /// more if it has children.
    pub max_cells: usize,
    /// Maximum number of keys of Maps and Sets that are hashed to check their order. Default:
    /// 25,000. A hash takes as long as reading a hundred cells, and a key can be a single byte.
    pub max_key_hashes: usize,
}

impl Limits {
    /// Limits for a message that was not sent by a stranger, such as one in a file: what fits the
    /// memory of a workstation.
    pub const TRUSTED: Self = Self {
        max_bytes: 50_000_000,
        max_depth: MAX_DEPTH,
        max_cells: 10_000_000,
        max_key_hashes: 10_000_000,
    };
}

/// Maximum nesting that recursion over a cell (decoding, encoding, printing, dropping) supports on
/// a stack of 2 MiB in an unoptimised build. Within one branch nesting cannot exceed about 70; a
/// whole state has some 30 levels.
const MAX_DEPTH: u16 = 128;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 50_000_000,
            max_depth: MAX_DEPTH,
            max_cells: 250_000,
            max_key_hashes: 25_000,
        }
    }
}

/// A branch of the message: a cell that refs name by its hash.
pub(crate) struct Branch {
    pub(crate) hash: Hash,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The decoded cell, once it has been read.
    pub(crate) cell: Option<Cell>,
}

/// How many more keys may be hashed.
struct KeyHashes {
    limit: usize,
    left: usize,
}

impl KeyHashes {
    /// Counts the hash of a key of the collection at `offset`.
    fn take(&mut self, offset: usize) -> Result<(), DecodeError> {
        let limit = self.limit;
        self.left = (self.left.checked_sub(1))
            .ok_or_else(|| DecodeError::new(offset, DecodeErrorKind::TooManyKeys { limit }))?;
        Ok(())
    }
}

/// Decodes the cells of one message.
pub(crate) struct Decoder<'a> {
    content: &'a [u8],
    max_cells: usize,
    max_depth: u16,
    cells: usize,
    key_hashes: KeyHashes,
    /// In the order of their hashes.
    pub(crate) branches: Vec<Branch>,
    /// Hashes of refs without a branch, in the order in which they were read.
    pub(crate) missing: Vec<Hash>,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(content: &'a [u8], limits: &Limits) -> Self {
        Self {
            content,
            max_cells: limits.max_cells,
            max_depth: limits.max_depth.min(MAX_DEPTH),
            cells: 0,
            key_hashes: KeyHashes {
                limit: limits.max_key_hashes,
                left: limits.max_key_hashes,
            },
            branches: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Reads the cell at the cursor.
    pub(crate) fn cell(
        &mut self,
        cursor: &mut Cursor<'a>,
        level: u16,
    ) -> Result<Cell, DecodeError> {
        let start = cursor.position;
        if self.cells >= self.max_cells {
            return Err(DecodeError::new(
                start,
                DecodeErrorKind::TooManyCells {
                    limit: self.max_cells,
                },
            ));
        }
        if level > self.max_depth {
            return Err(self.too_deep(start));
        }
        self.cells += 1;
        let first = cursor.byte("cell")?;
        match first {
            tag::STRING | tag::BLOB => {
                let count = cursor.count()?;
                if count > MAX_CHUNK_BYTES as u64 {
                    return self.chunks(first, count, cursor, start, level);
                }
                let (what, cell): (_, fn(Chunk) -> Cell) = match first {
                    tag::STRING => ("string", Cell::String),
                    _ => ("blob", Cell::Blob),
                };
                Ok(cell(Chunk::new(cursor.take(small(count), what)?)))
            }
            0x80..=0x91 | 0xc0..=0xdf => self.tree(first, cursor, start, level),
            _ => leaf(first, cursor, start),
        }
    }

    fn too_deep(&self, offset: usize) -> DecodeError {
        DecodeError::new(
            offset,
            DecodeErrorKind::TooDeep {
                limit: self.max_depth.into(),
            },
        )
    }

    /// Reads a child: a short cell inline, or a ref to a longer one.
    fn child(&mut self, cursor: &mut Cursor<'a>, level: u16) -> Result<Cell, DecodeError> {
        let start = cursor.position;
        if cursor.peek() == Some(tag::REF) {
            cursor.position += 1;
            let hash = Hash::new(cursor.array("hash of a ref")?);
            return self.resolve(hash, level + 1);
        }
        let cell = self.cell(cursor, level + 1)?;
        match cursor.position - start {
            size if size > MAX_EMBEDDED_BYTES => Err(DecodeError::new(
                start,
                DecodeErrorKind::ChildTooLong { size },
            )),
            _ => Ok(cell),
        }
    }

    fn children(
        &mut self,
        number: usize,
        cursor: &mut Cursor<'a>,
        level: u16,
    ) -> Result<Vec<Cell>, DecodeError> {
        let mut children = Vec::with_capacity(number);
        for _ in 0..number {
            children.push(self.child(cursor, level)?);
        }
        Ok(children)
    }

    /// Returns the branch with this hash, or a ref if the message does not contain it. A branch is
    /// read only once.
    fn resolve(&mut self, hash: Hash, level: u16) -> Result<Cell, DecodeError> {
        let Ok(index) = self
            .branches
            .binary_search_by(|branch| branch.hash.cmp(&hash))
        else {
            self.missing.push(hash);
            return Ok(Cell::Ref(Arc::new(hash)));
        };
        self.branch(index, level)
    }

    /// Reads a branch, which must be exactly one cell.
    pub(crate) fn branch(&mut self, index: usize, level: u16) -> Result<Cell, DecodeError> {
        let Branch {
            hash,
            start,
            end,
            ref cell,
        } = self.branches[index];
        if let Some(cell) = cell {
            return Ok(cell.clone());
        }
        let mut cursor = Cursor {
            bytes: &self.content[..end],
            position: start,
        };
        let cell = self.cell(&mut cursor, level)?;
        if cursor.position != end {
            let problem = DecodeErrorKind::BranchTooLong {
                size: end - start,
                cell: cursor.position - start,
            };
            return Err(DecodeError::new(start, problem));
        }
        if let Cell::Tree(node) = &cell {
            node.set_hash(hash);
        }
        self.branches[index].cell = Some(cell.clone());
        Ok(cell)
    }

    fn tree(
        &mut self,
        first: u8,
        cursor: &mut Cursor<'a>,
        start: usize,
        level: u16,
    ) -> Result<Cell, DecodeError> {
        let shape = match first {
            tag::VECTOR | tag::LIST | 0xd0..=0xdf => self.vector(first, cursor, level)?,
            tag::MAP | tag::SET => self.hashed(first, cursor, level)?,
            tag::INDEX => self.index(cursor, level)?,
            tag::SYNTAX => {
                let datum = self.child(cursor, level)?;
                let at = cursor.position;
                // Metadata is always written inline.
                let metadata = self.cell(cursor, level + 1)?;
                canonical::metadata(&metadata, at)?;
                Shape::flat(first, 0, vec![datum, metadata])
            }
            tag::SIGNED => {
                let key = Cell::Blob(Chunk::new(cursor.take(32, "public key")?));
                let signature = Cell::Blob(Chunk::new(cursor.take(64, "signature")?));
                Shape::flat(first, 0, vec![key, signature, self.child(cursor, level)?])
            }
            tag::SIGNED_BARE => {
                let signature = Cell::Blob(Chunk::new(cursor.take(64, "signature")?));
                Shape::flat(first, 0, vec![signature, self.child(cursor, level)?])
            }
            0xc0..=0xcf => Shape::flat(first, 0, self.children(2, cursor, level)?),
            _ => return Err(DecodeError::new(start, DecodeErrorKind::Tag(first))),
        };
        self.finish(shape, cursor, start)
    }

    /// Creates the node whose bytes end at the cursor.
    fn finish(&self, shape: Shape, cursor: &Cursor<'a>, start: usize) -> Result<Cell, DecodeError> {
        let node = Node::read(shape, cursor.position - start);
        // A branch that was already read was checked at its first level, which may have been
        // shallower.
        if node.depth > self.max_depth {
            return Err(self.too_deep(start));
        }
        Ok(node.into_cell())
    }

    fn chunks(
        &mut self,
        first: u8,
        count: u64,
        cursor: &mut Cursor<'a>,
        start: usize,
        level: u16,
    ) -> Result<Cell, DecodeError> {
        // At most 16 children, regardless of the count.
        let number = small(count.div_ceil(chunk_span(count)));
        let children = self.children(number, cursor, level)?;
        let shape = Shape::flat(first, count, children);
        canonical::chunks(&shape, start)?;
        self.finish(shape, cursor, start)
    }

    /// Reads the body of a Vector, List or record (section 5.6), which has at most 17 children
    /// regardless of the count.
    fn vector(
        &mut self,
        first: u8,
        cursor: &mut Cursor<'a>,
        level: u16,
    ) -> Result<Shape, DecodeError> {
        let start = cursor.position;
        let count = cursor.count()?;
        let number = if count <= VECTOR_LEAF {
            count
        } else if count.is_multiple_of(VECTOR_LEAF) {
            count.div_ceil(1 << vector_bits(count))
        } else {
            count % VECTOR_LEAF + 1
        };
        let shape = Shape::flat(first, count, self.children(small(number), cursor, level)?);
        canonical::vector(&shape, start)?;
        Ok(shape)
    }

    /// Reads the body of a Map or Set (section 5.7).
    fn hashed(
        &mut self,
        first: u8,
        cursor: &mut Cursor<'a>,
        level: u16,
    ) -> Result<Shape, DecodeError> {
        let start = cursor.position;
        let count = cursor.count()?;
        if count > HASHED_LEAF {
            let (shift, mask) = cursor.radix()?;
            let children = self.children(mask.count_ones() as usize, cursor, level)?;
            let shape = Shape {
                tag: first,
                count,
                shift,
                mask,
                children,
            };
            canonical::hashed(&shape, start, &mut self.key_hashes)?;
            return Ok(shape);
        }
        let width = if first == tag::MAP { 2 } else { 1 };
        let number = small(count) * width;
        let mut children = Vec::with_capacity(number);
        let mut previous = None;
        for index in 0..number {
            let at = cursor.position;
            let child = self.child(cursor, level)?;
            // A single key needs no check of the order.
            if count > 1 && index % width == 0 {
                let hash = if child.is_embedded() {
                    self.key_hashes.take(at)?;
                    Hash::of(cursor.since(at))
                } else {
                    child.hash()
                };
                if previous.is_some_and(|previous| previous >= hash) {
                    let rule = "keys must be unique and in ascending order of their hashes";
                    return Err(DecodeError::new(
                        at,
                        DecodeErrorKind::NotCanonical { what: "key", rule },
                    ));
                }
                previous = Some(hash);
            }
            children.push(child);
        }
        Ok(Shape::flat(first, count, children))
    }

    /// Reads the body of an Index (section 5.7).
    fn index(&mut self, cursor: &mut Cursor<'a>, level: u16) -> Result<Shape, DecodeError> {
        let start = cursor.position;
        let count = cursor.count()?;
        if count <= 1 {
            let shape = Shape::flat(
                tag::INDEX,
                count,
                self.children(small(count) * 2, cursor, level)?,
            );
            canonical::index(&shape, start)?;
            return Ok(shape);
        }
        let at = cursor.position;
        let mut children = match cursor.byte("entry flag")? {
            OWN_ENTRY => self.children(2, cursor, level)?,
            NO_ENTRY => Vec::new(),
            _ => {
                let rule = "must be 80 before an entry, 00 without one";
                return Err(DecodeError::new(
                    at,
                    DecodeErrorKind::NotCanonical {
                        what: "entry flag",
                        rule,
                    },
                ));
            }
        };
        let (shift, mask) = cursor.radix()?;
        children.reserve_exact(mask.count_ones() as usize);
        for _ in 0..mask.count_ones() {
            children.push(self.child(cursor, level)?);
        }
        let shape = Shape {
            tag: tag::INDEX,
            count,
            shift,
            mask,
            children,
        };
        canonical::index(&shape, start)?;
        Ok(shape)
    }
}

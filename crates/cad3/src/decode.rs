//! Bytes to cells. Every length is checked before anything of that length is made, and every child against the rules
//! of its parent as soon as the parent is complete.

mod cursor;
mod leaf;

use std::sync::Arc;

use super::encode::{NO_ENTRY, OWN_ENTRY};
use super::error::{DecodeError, Problem};
use super::hash::Hash;
use super::leaf::Chunk;
use super::node::{HASHED_LEAF, Node, Shape, VECTOR_LEAF, chunk_span, small, tag, vector_bits};
use super::{Cell, MAX_CHUNK, MAX_EMBEDDED, canonical};
pub(super) use cursor::Cursor;
use leaf::leaf;

/// What a reader of bytes takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message. Default: what a peer takes in one frame (section 2).
    pub max_bytes: usize,
    /// Levels of cells in cells, across branches. Default, and never more: 128.
    pub max_depth: u16,
    /// Cells in all; each takes 24 bytes of memory and one with children about 100 more.
    pub max_cells: usize,
}

/// The deepest nesting that walks of a cell (decoding, encoding, printing, dropping) are made for, on a stack of 2 MiB
/// and unoptimised. Inside one branch nesting cannot exceed about 70; a whole state has some 30 levels.
const MAX_DEPTH: u16 = 128;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 50_000_000,
            max_depth: MAX_DEPTH,
            max_cells: 1_000_000,
        }
    }
}

/// A branch of the message being read: a cell that refs elsewhere ask for by hash.
pub(super) struct Branch {
    pub(super) hash: Hash,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) cell: Option<Cell>,
}

/// Reads cells of one message.
pub(super) struct Decoder<'a> {
    content: &'a [u8],
    max_cells: usize,
    max_depth: u16,
    cells: usize,
    /// In order of their hashes.
    pub(super) branches: Vec<Branch>,
    /// Hashes asked for that no branch has, as met.
    pub(super) missing: Vec<Hash>,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(content: &'a [u8], limits: &Limits) -> Self {
        Self {
            content,
            max_cells: limits.max_cells,
            max_depth: limits.max_depth.min(MAX_DEPTH),
            cells: 0,
            branches: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Reads the cell that stands at the cursor.
    pub(super) fn cell(
        &mut self,
        cursor: &mut Cursor<'a>,
        level: u16,
    ) -> Result<Cell, DecodeError> {
        let start = cursor.position;
        if self.cells >= self.max_cells {
            return Err(DecodeError::new(
                start,
                Problem::TooManyCells {
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
                if count > MAX_CHUNK as u64 {
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
            Problem::TooDeep {
                limit: self.max_depth.into(),
            },
        )
    }

    /// Reads what stands where a child does: a short cell inline, or the hash of a longer one.
    fn child(&mut self, cursor: &mut Cursor<'a>, level: u16) -> Result<Cell, DecodeError> {
        let start = cursor.position;
        if cursor.peek() == Some(tag::REF) {
            cursor.position += 1;
            let hash = Hash::new(cursor.array("hash of a ref")?);
            return self.resolve(hash, level + 1);
        }
        let cell = self.cell(cursor, level + 1)?;
        match cursor.position - start {
            size if size > MAX_EMBEDDED => {
                Err(DecodeError::new(start, Problem::ChildTooLong { size }))
            }
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

    /// The cell with this hash: a branch, read once however often it is asked for, or a ref to what is not carried.
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

    /// Reads a branch, which must be one cell from end to end.
    pub(super) fn branch(&mut self, index: usize, level: u16) -> Result<Cell, DecodeError> {
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
            let problem = Problem::BranchTooLong {
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
                // Never a ref, and whole however long.
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
            _ => return Err(DecodeError::new(start, Problem::Tag(first))),
        };
        self.finish(shape, cursor, start)
    }

    /// A node whose bytes end at the cursor.
    fn finish(&self, shape: Shape, cursor: &Cursor<'a>, start: usize) -> Result<Cell, DecodeError> {
        let node = Node::read(shape, cursor.position - start);
        // A branch met before may be deeper than the way that led to it.
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
        // At most 16 children, whatever the count.
        let number = small(count.div_ceil(chunk_span(count)));
        let children = self.children(number, cursor, level)?;
        let shape = Shape::flat(first, count, children);
        canonical::chunks(&shape, start)?;
        self.finish(shape, cursor, start)
    }

    /// The body of a Vector, List or record (section 5.6). At most 17 children, whatever the count.
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

    /// The body of a Map or Set (section 5.7).
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
            canonical::hashed(&shape, start)?;
            return Ok(shape);
        }
        let width = if first == tag::MAP { 2 } else { 1 };
        let number = small(count) * width;
        let mut children = Vec::with_capacity(number);
        let mut previous = None;
        for index in 0..number {
            let at = cursor.position;
            let child = self.child(cursor, level)?;
            // A lone key is in order without its hash.
            if count > 1 && index % width == 0 {
                let hash = if child.is_embedded() {
                    Hash::of(cursor.since(at))
                } else {
                    child.hash()
                };
                if previous.is_some_and(|previous| previous >= hash) {
                    let rule = "keys stand in ascending order of their hashes, each once";
                    return Err(DecodeError::new(
                        at,
                        Problem::NotCanonical { what: "key", rule },
                    ));
                }
                previous = Some(hash);
            }
            children.push(child);
        }
        Ok(Shape::flat(first, count, children))
    }

    /// The body of an Index (section 5.7).
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
                let rule = "is 80 before an entry, 00 for none";
                return Err(DecodeError::new(
                    at,
                    Problem::NotCanonical {
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

//! Bytes to cells. Every length is checked before anything of that length is made, and every child against the rules
//! of its parent as soon as the parent is complete.

use std::sync::Arc;

use super::encode::{NO_ENTRY, OWN_ENTRY};
use super::error::{DecodeError, Problem};
use super::hash::Hash;
use super::leaf::{BigInteger, Chunk, CodePoint, Extension, Flag, Name, is_shortest};
use super::node::{HASHED_LEAF, Node, Shape, VECTOR_LEAF, chunk_span, small, tag, vector_bits};
use super::{Cell, MAX_CHUNK, MAX_EMBEDDED, MAX_NAME, check, vlq};

/// What a reader of bytes takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message. Default: what a peer takes in one frame (section 2).
    pub max_bytes: usize,
    /// Levels of cells in cells, across branches. Default, and never more: 256.
    pub max_depth: u16,
    /// Cells in all; each takes 24 bytes of memory and one with children about 100 more.
    pub max_cells: usize,
}

/// The deepest nesting that walks of a cell (encoding, printing, dropping) are made for. Inside one branch nesting
/// cannot exceed about 70, and real states have far less than 100 in all.
const MAX_DEPTH: u16 = 256;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 50_000_000,
            max_depth: MAX_DEPTH,
            max_cells: 4_000_000,
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
                let bytes = cursor.take(small(count), "string")?;
                Ok(if first == tag::STRING {
                    Cell::String(Chunk::new(bytes))
                } else {
                    Cell::Blob(Chunk::new(bytes))
                })
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
                check::metadata(&metadata, at)?;
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
        check::chunks(&shape, start)?;
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
        check::vector(&shape, start)?;
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
            check::hashed(&shape, start)?;
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
            check::index(&shape, start)?;
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
        check::index(&shape, start)?;
        Ok(shape)
    }
}

/// A cell without children, after its first byte.
fn leaf(first: u8, cursor: &mut Cursor<'_>, start: usize) -> Result<Cell, DecodeError> {
    let broken = |what, rule| {
        Err(DecodeError::new(
            start,
            Problem::NotCanonical { what, rule },
        ))
    };
    Ok(match first {
        tag::NIL => Cell::Nil,
        tag::FALSE => Cell::Bool(false),
        tag::TRUE => Cell::Bool(true),
        0xb2..=0xbf => Cell::Flag(Flag::new(first)),
        tag::ZERO => Cell::Integer(0),
        0x11..=0x18 => {
            let bytes = cursor.take(usize::from(first - tag::ZERO), "integer")?;
            if !is_shortest(bytes) || bytes == [0] {
                return broken("integer", "must be as short as it can");
            }
            let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
            Cell::Integer(
                bytes
                    .iter()
                    .fold(sign, |value, byte| value << 8 | i64::from(*byte)),
            )
        }
        tag::BIG_INTEGER => {
            let size = cursor.count()?;
            if !(9..=MAX_CHUNK as u64).contains(&size) {
                let problem = Problem::Length {
                    what: "big integer",
                    size,
                    min: 9,
                    max: MAX_CHUNK,
                };
                return Err(DecodeError::new(start, problem));
            }
            match BigInteger::new(cursor.take(small(size), "big integer")?) {
                Some(big) => Cell::BigInteger(big),
                None => return broken("big integer", "must be as short as it can"),
            }
        }
        tag::DOUBLE => Cell::Double(f64::from_be_bytes(cursor.array("double")?)),
        tag::SYMBOL | tag::KEYWORD => {
            let what = if first == tag::SYMBOL {
                "symbol"
            } else {
                "keyword"
            };
            let size = cursor.byte(what)?;
            if !(1..=MAX_NAME).contains(&size.into()) {
                let problem = Problem::Length {
                    what,
                    size: size.into(),
                    min: 1,
                    max: MAX_NAME,
                };
                return Err(DecodeError::new(start, problem));
            }
            match Name::new(cursor.take(size.into(), what)?) {
                Some(name) if first == tag::SYMBOL => Cell::Symbol(name),
                Some(name) => Cell::Keyword(name),
                None => return broken(what, "must have a name"),
            }
        }
        tag::CHAR..=0x3f => {
            let bytes = cursor.take(usize::from(first - tag::CHAR) + 1, "character")?;
            if bytes.len() > 1 && bytes[0] == 0 {
                return broken("character", "must be as short as it can");
            }
            match CodePoint::new(
                bytes
                    .iter()
                    .fold(0, |value, byte| value << 8 | u32::from(*byte)),
            ) {
                Some(point) => Cell::Char(point),
                None => return broken("character", "ends at 10ffff"),
            }
        }
        0xe0..=0xef => Cell::Extension(Extension::new(first, cursor.count()?)),
        _ => return Err(DecodeError::new(start, Problem::Tag(first))),
    })
}

/// Where reading is, and where it must end. Positions count from the start of the message.
pub(super) struct Cursor<'a> {
    /// The message up to where the reader may go.
    pub(super) bytes: &'a [u8],
    pub(super) position: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(self.take(1, what)?[0])
    }

    fn take(&mut self, needed: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.position..];
        let Some(bytes) = rest.get(..needed) else {
            let left = rest.len();
            return Err(DecodeError::new(
                self.position,
                Problem::CutShort { what, needed, left },
            ));
        };
        self.position += needed;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    /// A count as VLQ.
    pub(super) fn count(&mut self) -> Result<u64, DecodeError> {
        match vlq::read(&self.bytes[self.position..]) {
            Ok((value, len)) => {
                self.position += len;
                Ok(value)
            }
            Err(error) => Err(DecodeError::new(self.position, Problem::Count(error))),
        }
    }

    /// Shift and mask of a radix node.
    fn radix(&mut self) -> Result<(u8, u16), DecodeError> {
        let [shift, high, low] = self.array("shift and mask")?;
        Ok((shift, u16::from_be_bytes([high, low])))
    }

    fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.position]
    }
}

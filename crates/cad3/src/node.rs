//! A cell with children, kept in the shape it has on the wire: encoding it again is a walk, and a node that a message
//! does not carry is just a child that is a ref.

use std::sync::{Arc, OnceLock};

use super::hash::Hash;
use super::{Cell, MAX_CHUNK, vlq};

pub(super) mod tag {
    //! The tag bytes of section 5.2 that need a name.
    pub(in super::super) const NIL: u8 = 0x00;
    pub(in super::super) const ZERO: u8 = 0x10;
    pub(in super::super) const BIG_INTEGER: u8 = 0x19;
    pub(in super::super) const DOUBLE: u8 = 0x1d;
    pub(in super::super) const REF: u8 = 0x20;
    pub(in super::super) const STRING: u8 = 0x30;
    pub(in super::super) const BLOB: u8 = 0x31;
    pub(in super::super) const SYMBOL: u8 = 0x32;
    pub(in super::super) const KEYWORD: u8 = 0x33;
    pub(in super::super) const CHAR: u8 = 0x3c;
    pub(in super::super) const VECTOR: u8 = 0x80;
    pub(in super::super) const LIST: u8 = 0x81;
    pub(in super::super) const MAP: u8 = 0x82;
    pub(in super::super) const SET: u8 = 0x83;
    pub(in super::super) const INDEX: u8 = 0x84;
    pub(in super::super) const SYNTAX: u8 = 0x88;
    pub(in super::super) const SIGNED: u8 = 0x90;
    pub(in super::super) const SIGNED_BARE: u8 = 0x91;
    pub(in super::super) const FALSE: u8 = 0xb0;
    pub(in super::super) const TRUE: u8 = 0xb1;
    pub(in super::super) const RESULT: u8 = 0xdd;
}

/// The most elements of a vector's leaf (section 5.6).
pub(super) const VECTOR_LEAF: u64 = 16;
/// The most entries of a map's or set's leaf (section 5.7).
pub(super) const HASHED_LEAF: u64 = 15;

/// A cell with children. What they mean follows from the tag:
///
/// | tag | children |
/// |---|---|
/// | String, Blob | Blobs, for more than 4096 bytes |
/// | Vector, List, record | elements; or tail and the vector before it; or vectors of equal size |
/// | Map, Set | entries in order of their key's hash; or one node for each bit of the mask |
/// | Index | the entry that ends here, if any, then one node for each bit of the mask |
/// | Syntax | datum, metadata |
/// | signed data | key (if any) and signature as Blobs, value |
/// | coded value | two cells |
pub struct Node {
    pub(super) tag: u8,
    /// Hex digits that all keys share, in a tree of a Map, Set or Index.
    pub(super) shift: u8,
    /// Which digits have a child, in such a tree.
    pub(super) mask: u16,
    /// Levels below and including this one.
    pub(super) depth: u16,
    /// Length of the encoding in bytes.
    size: u32,
    /// Bytes, elements or entries in the whole tree; 0 where the tag has none.
    pub(super) count: u64,
    pub(super) children: Box<[Cell]>,
    hash: OnceLock<Hash>,
}

/// What makes a node, before its size and depth are known.
pub(super) struct Shape {
    pub(super) tag: u8,
    pub(super) count: u64,
    pub(super) shift: u8,
    pub(super) mask: u16,
    pub(super) children: Vec<Cell>,
}

impl Shape {
    /// A node without shift and mask.
    pub(super) const fn flat(tag: u8, count: u64, children: Vec<Cell>) -> Self {
        Self {
            tag,
            count,
            shift: 0,
            mask: 0,
            children,
        }
    }
}

impl Node {
    pub(super) fn new(shape: Shape) -> Self {
        let mut node = Self::read(shape, 0);
        // A node has at most 33 children of at most 140 bytes, or a map of that size as metadata.
        node.size = u32::try_from(node.encoded_len()).unwrap_or(u32::MAX);
        node
    }

    /// A node that was read from `size` bytes.
    pub(super) fn read(shape: Shape, size: usize) -> Self {
        let Shape {
            tag,
            count,
            shift,
            mask,
            children,
        } = shape;
        let depth = children
            .iter()
            .map(Cell::depth)
            .max()
            .unwrap_or(0)
            .saturating_add(1);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        Self {
            tag,
            shift,
            mask,
            depth,
            size,
            count,
            children: children.into(),
            hash: OnceLock::new(),
        }
    }

    pub(super) fn into_cell(self) -> Cell {
        Cell::Tree(Arc::new(self))
    }

    /// Notes a hash that was computed from the received bytes.
    pub(super) fn set_hash(&self, hash: Hash) {
        self.hash.get_or_init(|| hash);
    }

    pub(super) fn hash_or(&self, compute: impl FnOnce() -> Hash) -> Hash {
        *self.hash.get_or_init(compute)
    }

    /// Length of the encoding in bytes.
    pub(super) fn size(&self) -> usize {
        self.size as usize
    }

    /// The tag byte.
    #[must_use]
    pub fn tag(&self) -> u8 {
        self.tag
    }

    pub(super) fn is_record(&self) -> bool {
        self.tag & 0xf0 == 0xd0
    }

    pub(super) fn is_vector_like(&self) -> bool {
        matches!(self.tag, tag::VECTOR | tag::LIST) || self.is_record()
    }

    /// Whether the children of a Map, Set or Index are nodes selected by hex digits.
    pub(super) fn is_radix(&self) -> bool {
        match self.tag {
            tag::MAP | tag::SET => self.count > HASHED_LEAF,
            tag::INDEX => self.count > 1,
            _ => false,
        }
    }

    /// The entry of an Index that ends at this node, or its only one.
    pub(super) fn own_entry(&self) -> Option<(&Cell, &Cell)> {
        let nodes = self.mask.count_ones() as usize;
        match (&*self.children, self.tag) {
            ([key, value, ..], tag::INDEX) if self.children.len() == nodes + 2 => {
                Some((key, value))
            }
            _ => None,
        }
    }

    /// The children of a radix node, each with the digit that selects it.
    pub(super) fn digits(&self) -> impl Iterator<Item = (u8, &Cell)> {
        let first = self.children.len() - self.mask.count_ones() as usize;
        (0..16)
            .filter(|digit| self.mask >> digit & 1 == 1)
            .zip(&self.children[first..])
    }

    /// Length of the encoding in bytes, from the children's.
    fn encoded_len(&self) -> usize {
        let header = match self.tag {
            // Key and signature stand bare, without the Blob's tag and count.
            tag::SIGNED => return 1 + 32 + 64 + inline_len(&self.children[2]),
            tag::SIGNED_BARE => return 1 + 64 + inline_len(&self.children[1]),
            // The metadata stands whole, however long.
            tag::SYNTAX => {
                return 1 + inline_len(&self.children[0]) + self.children[1].encoded_len();
            }
            0xc0..=0xcf => 1,
            _ if !self.is_radix() => 1 + vlq::len(self.count),
            // An Index has shift and mask too, and before them its own entry or 00; 80 is the entry's flag.
            tag::INDEX => 1 + vlq::len(self.count) + 1 + 3,
            _ => 1 + vlq::len(self.count) + 3,
        };
        header + self.children.iter().map(inline_len).sum::<usize>()
    }
}

/// Bytes of a cell where a child stands: inline, or as a ref.
fn inline_len(child: &Cell) -> usize {
    if child.is_embedded() {
        child.encoded_len()
    } else {
        33
    }
}

/// A number of children or bytes in one cell, which the rules keep small.
pub(super) fn small(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// The bit width s of a vector tree of `count` elements, a multiple of 16 above 16: each child has 2^s elements, the
/// last what is left (section 5.6).
pub(super) fn vector_bits(count: u64) -> u32 {
    let mut bits = 4;
    while bits < 60 && 1 << (bits + 4) < count {
        bits += 4;
    }
    bits
}

/// The bytes that each child but the last covers in a String or Blob of `count` bytes above 4096 (section 5.5).
pub(super) fn chunk_span(count: u64) -> u64 {
    let chunks = count.div_ceil(MAX_CHUNK as u64);
    let mut bits = 0;
    while bits < 48 && 16 << bits < chunks {
        bits += 4;
    }
    (MAX_CHUNK as u64) << bits
}

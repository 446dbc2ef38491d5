//! Cells with children, kept in the shape of their encoding. A node that a message does not contain
//! is simply a child that is a ref.

use std::sync::{Arc, OnceLock};

use crate::hash::Hash;
use crate::{MAX_CHUNK_BYTES, tag, vlq};

use super::Cell;
use super::leaf::Extension;

/// Maximum number of elements in a leaf of a vector (section 5.6).
pub(crate) const VECTOR_LEAF: u64 = 16;
/// Maximum number of entries in a leaf of a map or set (section 5.7).
pub(crate) const HASHED_LEAF: u64 = 15;

/// A cell with children. The tag determines the meaning of the children:
///
/// | tag | children |
/// |---|---|
/// | String, Blob | Blobs, for more than 4096 bytes |
/// | Vector, List, record | elements; or tail and the vector before it; or vectors of equal size |
/// | Map, Set | entries in the order of their keys' hashes; or one node for each bit of the mask |
/// | Index | the entry whose key ends here, if any, then one node for each bit of the mask |
/// | Syntax | datum, metadata |
/// | signed data | key (if present) and signature as Blobs, value |
/// | coded value | two cells |
///
/// Use the accessors of [`Cell`] to read it.
pub struct Node {
    pub(crate) tag: u8,
    /// Number of leading hex digits that all keys share, in a tree of a Map, Set or Index.
    pub(crate) shift: u8,
    /// Digits that have a child, in such a tree.
    pub(crate) mask: u16,
    /// Number of nested levels including this one.
    pub(crate) depth: u16,
    /// Length of the encoding in bytes.
    size: u32,
    /// Number of bytes, elements or entries in the whole tree; 0 if the tag has no count.
    pub(crate) count: u64,
    pub(crate) children: Box<[Cell]>,
    hash: OnceLock<Hash>,
}

/// The parts of a node before its size and depth are known.
pub(crate) struct Shape {
    pub(crate) tag: u8,
    pub(crate) count: u64,
    pub(crate) shift: u8,
    pub(crate) mask: u16,
    pub(crate) children: Vec<Cell>,
}

impl Shape {
    /// Creates a shape without shift and mask.
    pub(crate) const fn flat(tag: u8, count: u64, children: Vec<Cell>) -> Self {
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
    pub(crate) fn new(shape: Shape) -> Self {
        let mut node = Self::read(shape, 0);
        // A node has at most 33 children of at most 140 bytes, or a map of that size as metadata.
        node.size = u32::try_from(node.encoded_len()).unwrap_or(u32::MAX);
        node
    }

    /// Creates a node that was read from `size` bytes.
    pub(crate) fn read(shape: Shape, size: usize) -> Self {
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

    pub(crate) fn into_cell(self) -> Cell {
        Cell::Tree(Arc::new(self))
    }

    /// Stores a hash that was computed from the received bytes.
    pub(crate) fn set_hash(&self, hash: Hash) {
        self.hash.get_or_init(|| hash);
    }

    pub(crate) fn hash_or(&self, compute: impl FnOnce() -> Hash) -> Hash {
        *self.hash.get_or_init(compute)
    }

    /// Returns the length of the encoding in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size as usize
    }

    /// Returns the tag byte.
    #[must_use]
    pub fn tag(&self) -> u8 {
        self.tag
    }

    pub(crate) fn is_record(&self) -> bool {
        self.tag & 0xf0 == 0xd0
    }

    pub(crate) fn is_vector_like(&self) -> bool {
        matches!(self.tag, tag::VECTOR | tag::LIST) || self.is_record()
    }

    /// Returns whether the children of a Map, Set or Index are nodes that hex digits select.
    pub(crate) fn is_radix(&self) -> bool {
        match self.tag {
            tag::MAP | tag::SET => self.count > HASHED_LEAF,
            tag::INDEX => self.count > 1,
            _ => false,
        }
    }

    /// Returns the entry of an Index whose key ends at this node, or its only entry.
    pub(crate) fn own_entry(&self) -> Option<(&Cell, &Cell)> {
        let nodes = self.mask.count_ones() as usize;
        match (&*self.children, self.tag) {
            ([key, value, ..], tag::INDEX) if self.children.len() == nodes + 2 => {
                Some((key, value))
            }
            _ => None,
        }
    }

    /// Returns the children of a radix node, each with the digit that selects it.
    pub(crate) fn digits(&self) -> impl Iterator<Item = (u8, &Cell)> {
        let first = self.children.len() - self.mask.count_ones() as usize;
        (0..16)
            .filter(|digit| self.mask >> digit & 1 == 1)
            .zip(&self.children[first..])
    }

    /// Computes the length of the encoding in bytes from the children.
    fn encoded_len(&self) -> usize {
        let header = match self.tag {
            // Key and signature are written without the tag and count of a Blob.
            tag::SIGNED => return 1 + 32 + 64 + inline_len(&self.children[2]),
            tag::SIGNED_BARE => return 1 + 64 + inline_len(&self.children[1]),
            // Metadata is always written inline.
            tag::SYNTAX => {
                return 1 + inline_len(&self.children[0]) + self.children[1].encoded_len();
            }
            0xc0..=0xcf => 1,
            _ if !self.is_radix() => 1 + vlq::len(self.count),
            // An Index has its own entry (flag 80) or 00 before shift and mask.
            tag::INDEX => 1 + vlq::len(self.count) + 1 + 3,
            _ => 1 + vlq::len(self.count) + 3,
        };
        header + self.children.iter().map(inline_len).sum::<usize>()
    }
}

/// Returns the number of bytes a cell takes in its parent, inline or as a ref.
fn inline_len(child: &Cell) -> usize {
    if child.is_embedded() {
        child.encoded_len()
    } else {
        33
    }
}

/// Converts a number of children or bytes in one cell, which the encoding keeps small.
pub(crate) fn small(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Returns the bit width s of a vector tree of `count` elements, a multiple of 16 above 16. Each
/// child has 2^s elements, except that the last has the remainder (section 5.6).
pub(crate) fn vector_bits(count: u64) -> u32 {
    let mut bits = 4;
    while bits < 60 && 1 << (bits + 4) < count {
        bits += 4;
    }
    bits
}

/// Returns the number of bytes in each child but the last of a String or Blob of `count` bytes,
/// more than 4096 (section 5.5).
pub(crate) fn chunk_span(count: u64) -> u64 {
    let chunks = count.div_ceil(MAX_CHUNK_BYTES as u64);
    let mut bits = 0;
    while bits < 48 && 16 << bits < chunks {
        bits += 4;
    }
    (MAX_CHUNK_BYTES as u64) << bits
}

/// Returns the bytes by which an Index orders a key, at most 32; `None` for other kinds and if the
/// message does not contain them.
pub(crate) fn index_key_bytes(key: &Cell) -> Option<Vec<u8>> {
    let head = |bytes: &[u8]| Some(bytes[..bytes.len().min(32)].to_vec());
    match key {
        Cell::String(chunk) | Cell::Blob(chunk) => head(chunk.as_bytes()),
        Cell::Symbol(name) | Cell::Keyword(name) => head(name.as_bytes()),
        Cell::Extension(extension) if extension.tag() == Extension::ADDRESS => {
            head(&extension.value().to_be_bytes())
        }
        Cell::Tree(node) if matches!(node.tag, tag::STRING | tag::BLOB) => {
            index_key_bytes(node.children.first()?)
        }
        _ => None,
    }
}

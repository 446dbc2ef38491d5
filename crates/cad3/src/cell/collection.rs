//! Accessors for elements, entries, fields, and the bytes of long Strings and Blobs.

use std::borrow::Cow;

use crate::encode::leaf_hash;
use crate::tag;

use super::Cell;
use super::items::{Item, Items};
use super::leaf::Name;
use super::node::{Node, VECTOR_LEAF, vector_bits};

/// Maximum length, in bytes, of a String or Blob that [`Cell::as_text`] and [`Cell::as_blob`]
/// return. A hostile tree of shared chunks can claim 2^60 bytes.
pub const MAX_GATHERED_BYTES: usize = 1 << 20;

impl Cell {
    /// Returns the text of a String, with U+FFFD in place of invalid UTF-8. Returns `None` also if
    /// the String is longer than [`MAX_GATHERED_BYTES`] or the message does not contain all its
    /// chunks.
    #[must_use]
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::String(chunk) => Some(String::from_utf8_lossy(chunk.as_bytes())),
            Self::Tree(node) if node.tag == tag::STRING => {
                Some(String::from_utf8_lossy(&gather(node)?).into_owned().into())
            }
            _ => None,
        }
    }

    /// Returns the bytes of a Blob. Returns `None` also if the Blob is longer than
    /// [`MAX_GATHERED_BYTES`] or the message does not contain all its chunks.
    #[must_use]
    pub fn as_blob(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Blob(chunk) => Some(chunk.as_bytes().into()),
            Self::Tree(node) if node.tag == tag::BLOB => Some(gather(node)?.into()),
            _ => None,
        }
    }

    /// Returns the elements of a Vector or List, or the fields of a record.
    #[must_use]
    pub fn as_elements(&self) -> Option<Elements<'_>> {
        match self {
            Self::Tree(node) if node.is_vector_like() => Some(Elements { node }),
            _ => None,
        }
    }

    /// Returns the fields of a record with this tag byte.
    #[must_use]
    pub fn record_fields(&self, tag: u8) -> Option<Elements<'_>> {
        match self {
            Self::Tree(node) if node.tag == tag && node.is_record() => Some(Elements { node }),
            _ => None,
        }
    }

    /// Returns the number of bytes, elements or entries of a String, Blob or collection.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::String(chunk) | Self::Blob(chunk) => Some(chunk.as_bytes().len() as u64),
            Self::Tree(node)
                if matches!(node.tag, tag::STRING..=tag::INDEX) || node.is_record() =>
            {
                Some(node.count)
            }
            _ => None,
        }
    }

    /// Returns the value for a Keyword in a Map. `keyword` is the name without the colon.
    #[must_use]
    pub fn get(&self, keyword: &str) -> Option<&Self> {
        let Self::Tree(node) = self else { return None };
        if node.tag != tag::MAP {
            return None;
        }
        let mut node = node;
        if node.is_radix() {
            let hash = leaf_hash(&Self::Keyword(Name::new(keyword.as_bytes())?));
            while node.is_radix() {
                let digit = hash.digit(node.shift);
                let (_, child) = node.digits().find(|(d, _)| *d == digit)?;
                let Self::Tree(below) = child else {
                    return None;
                };
                node = below;
            }
        }
        node.children
            .chunks_exact(2)
            .find_map(|entry| match &entry[0] {
                Self::Keyword(name) if name.as_bytes() == keyword.as_bytes() => Some(&entry[1]),
                _ => None,
            })
    }

    /// Returns the entries of a Map or Index in the order of the encoding, without those in nodes
    /// that the message does not contain.
    #[must_use]
    pub fn entries(&self) -> Option<impl Iterator<Item = (&Self, &Self)>> {
        let Self::Tree(node) = self else { return None };
        if !matches!(node.tag, tag::MAP | tag::INDEX) {
            return None;
        }
        let mut items = Items::new(node).filter_map(|item| match item {
            Item::Value(cell) => Some(cell),
            Item::Missing(_) => None,
        });
        Some(std::iter::from_fn(move || {
            Some((items.next()?, items.next()?))
        }))
    }
}

/// Returns the bytes of a tree of chunks, unless some are missing or there are too many.
fn gather(node: &Node) -> Option<Vec<u8>> {
    let size = usize::try_from(node.count)
        .ok()
        .filter(|size| *size <= MAX_GATHERED_BYTES)?;
    let mut bytes = Vec::with_capacity(size);
    for item in Items::new(node) {
        match item {
            Item::Value(Cell::Blob(chunk)) => bytes.extend_from_slice(chunk.as_bytes()),
            _ => return None,
        }
    }
    Some(bytes)
}

/// The elements of a Vector, List or record, in the order of the value.
#[derive(Clone, Copy)]
pub struct Elements<'a> {
    node: &'a Node,
}

impl<'a> Elements<'a> {
    /// Returns the number of elements. Check it before iterating: a small message can contain a
    /// vector that repeats the same node 2^60 times.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.node.count).unwrap_or(usize::MAX)
    }

    /// Returns whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.node.count == 0
    }

    /// Returns the element at a zero-based position, or a ref if the message does not contain the
    /// node that holds it.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a Cell> {
        let index = u64::try_from(index)
            .ok()
            .filter(|index| *index < self.node.count)?;
        let mut index = if self.node.tag == tag::LIST {
            self.node.count - 1 - index
        } else {
            index
        };
        let mut node = self.node;
        loop {
            let (count, tail) = (node.count, node.count % VECTOR_LEAF);
            let below = if count <= VECTOR_LEAF {
                return node.children.get(usize::try_from(index).ok()?);
            } else if tail > 0 && index >= count - tail {
                return node
                    .children
                    .get(usize::try_from(index + tail - count).ok()?);
            } else if tail > 0 {
                node.children.last()?
            } else {
                let bits = vector_bits(count);
                let child = node.children.get(usize::try_from(index >> bits).ok()?)?;
                index &= (1 << bits) - 1;
                child
            };
            match below {
                Cell::Tree(below) => node = below,
                missing => return Some(missing),
            }
        }
    }

    /// Returns an iterator over the elements. A node that the message does not contain is one ref
    /// in place of all its elements.
    pub fn iter(&self) -> impl Iterator<Item = &'a Cell> + use<'a> {
        Items::new(self.node).map(|item| match item {
            Item::Value(cell) | Item::Missing(cell) => cell,
        })
    }
}

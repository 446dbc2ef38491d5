//! Constructors of collections, long Strings and Blobs, in the only shape that the encoding allows
//! (sections 5.5 to 5.7).

use crate::hash::{Hash, digit, shared_digits};
use crate::{MAX_CHUNK_BYTES, tag};

use super::Cell;
use super::leaf::{BigInteger, Chunk};
use super::node::{
    HASHED_LEAF, Node, Shape, VECTOR_LEAF, chunk_span, index_key_bytes, small, vector_bits,
};

impl Cell {
    /// Creates a String.
    #[must_use]
    pub fn string(text: &str) -> Self {
        chunked(tag::STRING, text.as_bytes())
    }

    /// Creates a Blob.
    #[must_use]
    pub fn blob(bytes: &[u8]) -> Self {
        chunked(tag::BLOB, bytes)
    }

    /// Creates an integer. Returns `None` if it needs more than [`MAX_CHUNK_BYTES`] bytes of two's
    /// complement.
    #[must_use]
    pub fn big_integer(value: &num_bigint::BigInt) -> Option<Self> {
        match i64::try_from(value) {
            Ok(small) => Some(Self::Integer(small)),
            Err(_) => BigInteger::new(&value.to_signed_bytes_be()).map(Self::BigInteger),
        }
    }

    /// Creates a Vector.
    #[must_use]
    pub fn vector(elements: impl IntoIterator<Item = Self>) -> Self {
        sequence(tag::VECTOR, &elements.into_iter().collect::<Vec<_>>())
    }

    /// Returns this Vector with one more element at its end, which shares all complete nodes with
    /// this one. Returns `None` if this is not a Vector, or if the nodes at its end are not in it.
    #[must_use]
    pub fn vector_with(&self, element: Self) -> Option<Self> {
        match self {
            Self::Tree(node) if node.tag == tag::VECTOR => append(self, node, element),
            _ => None,
        }
    }

    /// Creates a List.
    #[must_use]
    pub fn list(elements: impl IntoIterator<Item = Self>) -> Self {
        let mut elements: Vec<_> = elements.into_iter().collect();
        elements.reverse();
        sequence(tag::LIST, &elements)
    }

    /// Creates a record with a tag byte from `d0` to `df`.
    ///
    /// # Panics
    /// Panics if the tag is not `d0` to `df`.
    #[must_use]
    pub fn record(tag: u8, fields: impl IntoIterator<Item = Self>) -> Self {
        assert!(tag & 0xf0 == 0xd0, "the tag of a record is d0 to df");
        sequence(tag, &fields.into_iter().collect::<Vec<_>>())
    }

    /// Creates a Map. Of entries with equal keys, the last is kept.
    #[must_use]
    pub fn map(entries: impl IntoIterator<Item = (Self, Self)>) -> Self {
        hashed(
            tag::MAP,
            entries.into_iter().map(|(key, value)| vec![key, value]),
        )
    }

    /// Creates a Set.
    #[must_use]
    pub fn set(elements: impl IntoIterator<Item = Self>) -> Self {
        hashed(tag::SET, elements.into_iter().map(|element| vec![element]))
    }

    /// Creates an Index. Returns `None` if a key is not a Blob, String, Symbol, Keyword or Address.
    /// Of entries whose keys have equal first 32 bytes, the last is kept.
    #[must_use]
    pub fn index(entries: impl IntoIterator<Item = (Self, Self)>) -> Option<Self> {
        let mut entries = entries
            .into_iter()
            .map(|(key, value)| Some((index_key_bytes(&key)?, vec![key, value])))
            .collect::<Option<Vec<_>>>()?;
        sort_and_keep_last(&mut entries);
        Some(index_node(&entries))
    }

    /// Returns an Index with another value for a key that it has, which shares all other entries
    /// with this one. Returns `None` if this is not an Index, or if the key or its entry is not in
    /// it.
    #[must_use]
    pub fn index_with(&self, key: &Self, value: Self) -> Option<Self> {
        match self {
            Self::Tree(node) if node.tag == tag::INDEX => {
                replace_in_index(node, &index_key_bytes(key)?, value)
            }
            _ => None,
        }
    }

    /// Creates a Syntax object. Empty metadata becomes nil.
    #[must_use]
    pub fn syntax(datum: Self, metadata: impl IntoIterator<Item = (Self, Self)>) -> Self {
        let metadata = match Self::map(metadata) {
            map if map.count() == Some(0) => Self::Nil,
            map => map,
        };
        Node::new(Shape::flat(tag::SYNTAX, 0, vec![datum, metadata])).into_cell()
    }

    /// Creates signed data from a public key, a signature over the value's encoding as a child, and
    /// the value. The signature is not verified.
    #[must_use]
    pub fn signed(key: &Hash, signature: &[u8; 64], value: Self) -> Self {
        let children = vec![Self::from(*key), Self::Blob(Chunk::new(signature)), value];
        Node::new(Shape::flat(tag::SIGNED, 0, children)).into_cell()
    }
}

fn chunked(tag: u8, bytes: &[u8]) -> Cell {
    if bytes.len() <= MAX_CHUNK_BYTES {
        let chunk = Chunk::new(bytes);
        return if tag == tag::STRING {
            Cell::String(chunk)
        } else {
            Cell::Blob(chunk)
        };
    }
    let span = small(chunk_span(bytes.len() as u64));
    let children = bytes
        .chunks(span)
        .map(|chunk| chunked(tag::BLOB, chunk))
        .collect();
    Node::new(Shape::flat(tag, bytes.len() as u64, children)).into_cell()
}

/// Creates a node with a Vector's body from `elements` in the order of the encoding.
fn sequence(tag: u8, elements: &[Cell]) -> Cell {
    let count = elements.len() as u64;
    let tail = small(count % VECTOR_LEAF);
    let children = if count <= VECTOR_LEAF {
        elements.to_vec()
    } else if tail > 0 {
        let (before, tail) = elements.split_at(elements.len() - tail);
        let mut children = tail.to_vec();
        children.push(sequence(tag::VECTOR, before));
        children
    } else {
        elements
            .chunks(1 << vector_bits(count))
            .map(|part| sequence(tag::VECTOR, part))
            .collect()
    };
    Node::new(Shape::flat(tag, count, children)).into_cell()
}

/// Returns `vector`, whose node is `node`, with one more element.
fn append(vector: &Cell, node: &Node, element: Cell) -> Option<Cell> {
    let count = node.count;
    let tail = small(count % VECTOR_LEAF);
    if count < VECTOR_LEAF {
        let elements = node.children.iter().cloned().chain([element]);
        return Some(vector_node(count + 1, elements.collect()));
    }
    let (elements, before) = if tail == 0 {
        (&[][..], vector.clone())
    } else {
        let (before, elements) = node.children.split_last()?;
        (elements, before.clone())
    };
    let mut elements: Vec<_> = elements.iter().cloned().chain([element]).collect();
    if elements.len() as u64 == VECTOR_LEAF {
        return append_leaf(&before, vector_node(VECTOR_LEAF, elements));
    }
    elements.push(before);
    Some(vector_node(count + 1, elements))
}

/// Returns a Vector of a multiple of 16 elements with 16 more.
fn append_leaf(before: &Cell, leaf: Cell) -> Option<Cell> {
    let Cell::Tree(node) = before else {
        return None;
    };
    let count = node.count + VECTOR_LEAF;
    let span = 1 << vector_bits(node.count);
    if node.count == VECTOR_LEAF || node.count == span << 4 {
        return Some(vector_node(count, vec![before.clone(), leaf]));
    }
    let mut children = node.children.to_vec();
    if node.count.is_multiple_of(span) {
        children.push(leaf);
    } else {
        let last = children.pop()?;
        children.push(append_leaf(&last, leaf)?);
    }
    Some(vector_node(count, children))
}

fn vector_node(count: u64, children: Vec<Cell>) -> Cell {
    Node::new(Shape::flat(tag::VECTOR, count, children)).into_cell()
}

/// Sorts by key. Of entries with equal keys, the last is kept.
fn sort_and_keep_last<K: Ord>(entries: &mut Vec<(K, Vec<Cell>)>) {
    entries.reverse();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.dedup_by(|a, b| a.0 == b.0);
}

fn hashed(tag: u8, entries: impl Iterator<Item = Vec<Cell>>) -> Cell {
    let mut entries: Vec<_> = entries.map(|entry| (entry[0].hash(), entry)).collect();
    sort_and_keep_last(&mut entries);
    hashed_node(tag, &entries)
}

fn hashed_node(tag: u8, entries: &[(Hash, Vec<Cell>)]) -> Cell {
    let count = entries.len() as u64;
    let (Some((first, _)), Some((last, _)), true) =
        (entries.first(), entries.last(), count > HASHED_LEAF)
    else {
        let children = entries
            .iter()
            .flat_map(|(_, entry)| entry.clone())
            .collect();
        return Node::new(Shape::flat(tag, count, children)).into_cell();
    };
    let shift = shared_digits(first.as_bytes(), last.as_bytes());
    let (mut mask, mut children) = (0, Vec::new());
    for part in entries.chunk_by(|(a, _), (b, _)| a.digit(shift) == b.digit(shift)) {
        mask |= 1 << part[0].0.digit(shift);
        children.push(hashed_node(tag, part));
    }
    Node::new(Shape {
        tag,
        count,
        shift,
        mask,
        children,
    })
    .into_cell()
}

fn index_node(entries: &[(Vec<u8>, Vec<Cell>)]) -> Cell {
    let count = entries.len() as u64;
    let [(first, own), rest @ ..] = entries else {
        return Node::new(Shape::flat(tag::INDEX, 0, Vec::new())).into_cell();
    };
    let Some((last, _)) = rest.last() else {
        return Node::new(Shape::flat(tag::INDEX, 1, own.clone())).into_cell();
    };
    let shift = shared_digits(first, last);
    // A key that ends where the others diverge is the first in order.
    let ends_here = first.len() * 2 == usize::from(shift);
    let (mut children, below) = if ends_here {
        (own.clone(), rest)
    } else {
        (Vec::new(), entries)
    };
    let mut mask = 0;
    for part in below.chunk_by(|(a, _), (b, _)| digit(a, shift) == digit(b, shift)) {
        mask |= 1 << digit(&part[0].0, shift);
        children.push(index_node(part));
    }
    Node::new(Shape {
        tag: tag::INDEX,
        count,
        shift,
        mask,
        children,
    })
    .into_cell()
}

fn replace_in_index(node: &Node, key: &[u8], value: Cell) -> Option<Cell> {
    let mut children = node.children.to_vec();
    let own = children.len() - node.mask.count_ones() as usize;
    if own > 0 && index_key_bytes(&children[0])? == key {
        children[1] = value;
    } else if node.mask == 0 || key.len() * 2 <= usize::from(node.shift) {
        return None;
    } else {
        let digit = digit(key, node.shift);
        if node.mask & (1 << digit) == 0 {
            return None;
        }
        let before = node.mask & ((1 << digit) - 1);
        let child = &mut children[own + before.count_ones() as usize];
        let Cell::Tree(below) = &*child else {
            return None;
        };
        *child = replace_in_index(below, key, value)?;
    }
    let shape = Shape {
        tag: node.tag,
        count: node.count,
        shift: node.shift,
        mask: node.mask,
        children,
    };
    Some(Node::new(shape).into_cell())
}

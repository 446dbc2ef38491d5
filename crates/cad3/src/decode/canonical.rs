//! Checks of a node's children against the canonical form (sections 5.5 to 5.8). A child that the
//! message does not contain is assumed to be valid; the others must be consistent with it.

use crate::cell::Cell;
use crate::cell::node::{
    HASHED_LEAF, Node, Shape, VECTOR_LEAF, chunk_span, index_key_bytes, vector_bits,
};
use crate::hash::{digit, shared_digits};
use crate::tag;

use super::KeyHashes;
use super::error::{DecodeError, DecodeErrorKind};

/// Number of hex digits in a hash, and in the significant part of an Index key.
const DIGITS: u8 = 64;

fn require(
    holds: bool,
    offset: usize,
    what: &'static str,
    rule: &'static str,
) -> Result<(), DecodeError> {
    if holds {
        Ok(())
    } else {
        Err(DecodeError::new(
            offset,
            DecodeErrorKind::NotCanonical { what, rule },
        ))
    }
}

/// Checks the metadata of a Syntax object.
pub(super) fn metadata(cell: &Cell, offset: usize) -> Result<(), DecodeError> {
    let holds = match cell {
        Cell::Nil => true,
        Cell::Tree(node) => node.tag == tag::MAP && node.count > 0,
        _ => false,
    };
    require(
        holds,
        offset,
        "metadata of a syntax object",
        "must be a map with entries or nil",
    )
}

/// Checks the chunks of a long String or Blob.
pub(super) fn chunks(shape: &Shape, offset: usize) -> Result<(), DecodeError> {
    let span = chunk_span(shape.count);
    let mut left = shape.count;
    for child in &shape.children {
        let size = span.min(left);
        left -= size;
        let holds = match child {
            Cell::Blob(_) | Cell::Tree(_) => {
                child.tag() == tag::BLOB && child.count() == Some(size)
            }
            other => matches!(other, Cell::Ref(_)),
        };
        require(
            holds,
            offset,
            "long string or blob",
            "chunks must be blobs of the sizes that follow from the length",
        )?;
    }
    Ok(())
}

/// Checks the inner nodes of a Vector's body.
pub(super) fn vector(shape: &Shape, offset: usize) -> Result<(), DecodeError> {
    let is_vector = |cell: &Cell, count| match cell {
        Cell::Tree(node) => node.tag == tag::VECTOR && node.count == count,
        other => matches!(other, Cell::Ref(_)),
    };
    let count = shape.count;
    let holds = if count <= VECTOR_LEAF {
        true
    } else if !count.is_multiple_of(VECTOR_LEAF) {
        shape
            .children
            .last()
            .is_some_and(|prefix| is_vector(prefix, count - count % VECTOR_LEAF))
    } else {
        let span = 1 << vector_bits(count);
        let mut left = count;
        shape.children.iter().all(|child| {
            let size = span.min(left);
            left -= size;
            is_vector(child, size)
        })
    };
    require(
        holds,
        offset,
        "vector",
        "inner nodes must be vectors of the sizes that follow from the count",
    )
}

/// Checks the nodes of a Map or Set of 16 entries or more.
pub(super) fn hashed(
    shape: &Shape,
    offset: usize,
    key_hashes: &mut KeyHashes,
) -> Result<(), DecodeError> {
    radix_node(shape, offset)?;
    let mut sample = None;
    for (wanted, child) in digits(shape) {
        let Some(node) = inner(child, shape, offset)? else {
            continue;
        };
        // Entries are in the order of their hashes, so all entries of a leaf share the digits that
        // the first and the last share. A deeper tree was found to share more digits than its
        // shift.
        for end in [first_key(node), last_key_of_leaf(node)]
            .into_iter()
            .flatten()
        {
            key_hashes.take(offset)?;
            let hash = end.hash();
            let sample = *sample.get_or_insert(hash);
            let holds = shared_digits(sample.as_bytes(), hash.as_bytes()) >= shape.shift
                && hash.digit(shape.shift) == wanted;
            require(
                holds,
                offset,
                "tree of a map or set",
                "shift and mask must follow from the hashes of the keys",
            )?;
        }
    }
    Ok(())
}

/// Checks the entry and the nodes of an Index.
pub(super) fn index(shape: &Shape, offset: usize) -> Result<(), DecodeError> {
    let own = match &*shape.children {
        [key, ..] if shape.children.len() > shape.mask.count_ones() as usize => Some(key),
        _ => None,
    };
    if let Some(key) = own {
        let holds = index_key_bytes(key).is_some() || matches!(key, Cell::Ref(_));
        let rule = "must be a blob, string, symbol, keyword or address";
        require(holds, offset, "key of an index", rule)?;
    }
    if shape.count <= 1 {
        return Ok(());
    }
    radix_node(shape, offset)?;
    let rule = "entry, shift and mask must follow from the keys";
    let own = own.and_then(index_key_bytes);
    if let Some(bytes) = &own {
        require(
            bytes.len() * 2 == usize::from(shape.shift),
            offset,
            "node of an index",
            rule,
        )?;
    }
    let mut sample = own;
    for (wanted, child) in digits(shape) {
        let Some(node) = inner(child, shape, offset)? else {
            continue;
        };
        let Some(bytes) = first_key(node).and_then(index_key_bytes) else {
            continue;
        };
        let holds = bytes.len() * 2 > usize::from(shape.shift)
            && shared_digits(sample.as_deref().unwrap_or(&bytes), &bytes) >= shape.shift
            && digit(&bytes, shape.shift) == wanted;
        require(holds, offset, "node of an index", rule)?;
        sample.get_or_insert(bytes);
    }
    Ok(())
}

/// Checks shift, mask and counts of any radix node.
fn radix_node(shape: &Shape, offset: usize) -> Result<(), DecodeError> {
    require(shape.shift < DIGITS, offset, "shift", "must be at most 63")?;
    let nodes = shape.mask.count_ones() as usize;
    let own = shape.children.len() > nodes;
    require(
        nodes + usize::from(own) > 1,
        offset,
        "mask",
        "a node must have at least two parts",
    )?;
    // A node that the message does not contain has at least one entry.
    let mut sum = u64::from(own);
    let mut exact = true;
    for (_, child) in digits(shape) {
        sum = sum.saturating_add(match child {
            Cell::Tree(node) => node.count,
            _ => 1,
        });
        exact &= matches!(child, Cell::Tree(_));
    }
    let holds = if exact {
        sum == shape.count
    } else {
        sum <= shape.count
    };
    require(
        holds,
        offset,
        "count",
        "must be the sum of the counts of the nodes",
    )
}

/// Returns the nodes of a radix shape, each with the digit that selects it.
fn digits(shape: &Shape) -> impl Iterator<Item = (u8, &Cell)> {
    let first = shape.children.len() - shape.mask.count_ones() as usize;
    (0..16)
        .filter(|digit| shape.mask >> digit & 1 == 1)
        .zip(&shape.children[first..])
}

/// Checks a child of a radix node and returns it, if the message contains it.
fn inner<'a>(
    child: &'a Cell,
    parent: &Shape,
    offset: usize,
) -> Result<Option<&'a Node>, DecodeError> {
    let holds = match child {
        Cell::Tree(node) => {
            node.tag == parent.tag
                && node.count > 0
                && (!node.is_radix() || node.shift > parent.shift)
        }
        other => matches!(other, Cell::Ref(_)),
    };
    require(
        holds,
        offset,
        "child of a tree",
        "must be a non-empty node of the same kind that splits at a later digit",
    )?;
    Ok(match child {
        Cell::Tree(node) => Some(node),
        _ => None,
    })
}

/// Returns the first key below a node, if the message contains it. Shifts increase with depth, so
/// this takes at most 64 steps.
fn first_key(mut node: &Node) -> Option<&Cell> {
    loop {
        if !node.is_radix() || node.own_entry().is_some() {
            return node.children.first();
        }
        match node.children.first()? {
            Cell::Tree(below) => node = below,
            _ => return None,
        }
    }
}

fn last_key_of_leaf(node: &Node) -> Option<&Cell> {
    let width = if node.tag == tag::MAP { 2 } else { 1 };
    if node.count > HASHED_LEAF {
        None
    } else {
        node.children.get(node.children.len().checked_sub(width)?)
    }
}

//! The rules that a node's children obey (sections 5.5 to 5.8). A child that is not carried is taken on trust; what is
//! known of the others must still add up.

use super::Cell;
use super::error::{DecodeError, Problem};
use super::hash::{digit, shared_digits};
use super::leaf::Extension;
use super::node::{HASHED_LEAF, Node, Shape, VECTOR_LEAF, chunk_span, tag, vector_bits};

/// Hex digits of a hash, and of an Index key as far as it counts.
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
            Problem::NotCanonical { what, rule },
        ))
    }
}

/// A Syntax's metadata.
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
        "is a map with entries, or nil",
    )
}

/// The chunks of a long String or Blob.
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
            "its chunks are blobs of the sizes that its length gives",
        )?;
    }
    Ok(())
}

/// The inner nodes of a Vector body.
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
        "elements",
        "those before the last up to 16 are vectors of the sizes that the count gives",
    )
}

/// The nodes of a Map or Set of 16 entries or more.
pub(super) fn hashed(shape: &Shape, offset: usize) -> Result<(), DecodeError> {
    radix_frame(shape, offset)?;
    let mut sample = None;
    for (wanted, child) in digits(shape) {
        let Some(node) = inner(child, shape, offset)? else {
            continue;
        };
        // Entries stand in order of their hashes: what the first and the last of a leaf share, all share. A deeper
        // tree was checked to share more digits than its shift.
        for end in [first_key(node), last_key_of_leaf(node)]
            .into_iter()
            .flatten()
        {
            let hash = end.hash();
            let sample = *sample.get_or_insert(hash);
            let holds = shared_digits(sample.as_bytes(), hash.as_bytes()) >= shape.shift
                && hash.digit(shape.shift) == wanted;
            require(
                holds,
                offset,
                "tree of a map or set",
                "shift and mask follow from the hashes of the keys",
            )?;
        }
    }
    Ok(())
}

/// The entry and the nodes of an Index.
pub(super) fn index(shape: &Shape, offset: usize) -> Result<(), DecodeError> {
    let own = match &*shape.children {
        [key, ..] if shape.children.len() > shape.mask.count_ones() as usize => Some(key),
        _ => None,
    };
    if let Some(key) = own {
        let holds = key_bytes(key).is_some() || matches!(key, Cell::Ref(_));
        let rule = "is a blob, string, symbol, keyword or address";
        require(holds, offset, "key of an index", rule)?;
    }
    if shape.count <= 1 {
        return Ok(());
    }
    radix_frame(shape, offset)?;
    let rule = "entry, depth and mask follow from the keys";
    let own = own.and_then(key_bytes);
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
        let Some(bytes) = first_key(node).and_then(key_bytes) else {
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

/// What holds for shift, mask and counts of any radix node.
fn radix_frame(shape: &Shape, offset: usize) -> Result<(), DecodeError> {
    require(shape.shift < DIGITS, offset, "shift", "is at most 63")?;
    let nodes = shape.mask.count_ones() as usize;
    let own = shape.children.len() > nodes;
    require(
        nodes + usize::from(own) > 1,
        offset,
        "mask",
        "a node has two parts at least",
    )?;
    // A node that is not carried has one entry at least.
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
    require(holds, offset, "count", "is the sum of the nodes' counts")
}

/// The nodes of a radix shape, each with the digit that selects it.
fn digits(shape: &Shape) -> impl Iterator<Item = (u8, &Cell)> {
    let first = shape.children.len() - shape.mask.count_ones() as usize;
    (0..16)
        .filter(|digit| shape.mask >> digit & 1 == 1)
        .zip(&shape.children[first..])
}

/// A child of a radix node, if it is carried.
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
        "is of the tree's kind, not empty, and splits at a later digit",
    )?;
    Ok(match child {
        Cell::Tree(node) => Some(node),
        _ => None,
    })
}

/// The first key below a node, if it is carried. Shifts grow on the way down, so there are at most 64 steps.
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

/// The bytes by which an Index orders a key, at most 32; nothing for other kinds or when they are not carried.
pub(super) fn key_bytes(key: &Cell) -> Option<Vec<u8>> {
    let head = |bytes: &[u8]| Some(bytes[..bytes.len().min(32)].to_vec());
    match key {
        Cell::String(chunk) | Cell::Blob(chunk) => head(chunk.as_bytes()),
        Cell::Symbol(name) | Cell::Keyword(name) => head(name.as_bytes()),
        Cell::Extension(extension) if extension.tag() == Extension::ADDRESS => {
            head(&extension.value().to_be_bytes())
        }
        Cell::Tree(node) if matches!(node.tag, tag::STRING | tag::BLOB) => {
            key_bytes(node.children.first()?)
        }
        _ => None,
    }
}

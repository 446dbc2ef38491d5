//! Canonical encoding of cells.

use crate::cell::{Cell, Node};
use crate::hash::Hash;
use crate::{tag, vlq};

/// Returns the encoding of one cell. Children longer than [`MAX_EMBEDDED_BYTES`] are encoded as
/// refs.
///
/// [`MAX_EMBEDDED_BYTES`]: crate::MAX_EMBEDDED_BYTES
#[must_use]
pub fn encode(cell: &Cell) -> Vec<u8> {
    let mut out = Vec::with_capacity(cell.encoded_len());
    write(cell, &mut out);
    out
}

impl Cell {
    /// Returns the hash of the value, the SHA3-256 hash of its encoding. It is cached if the cell
    /// has children.
    #[must_use]
    pub fn hash(&self) -> Hash {
        match self {
            Self::Tree(node) => node.hash_or(|| Hash::of(&encode(self))),
            Self::Ref(hash) => **hash,
            leaf => leaf_hash(leaf),
        }
    }
}

/// Returns the hash of a cell without children.
pub(crate) fn leaf_hash(cell: &Cell) -> Hash {
    Hash::of(&encode(cell))
}

/// Appends the encoding. A top-level ref is encoded as the 33 bytes it has as a child.
fn write(cell: &Cell, out: &mut Vec<u8>) {
    match cell {
        Cell::Tree(node) => return write_node(node, out),
        Cell::Ref(hash) => return write_ref(hash, out),
        leaf => out.push(leaf.tag()),
    }
    match cell {
        Cell::Integer(value) => {
            let len = usize::from(integer_len(*value));
            out.extend(&value.to_be_bytes()[8 - len..]);
        }
        Cell::BigInteger(big) => write_bytes(big.as_bytes(), out),
        Cell::Double(value) => out.extend(value.to_be_bytes()),
        Cell::Char(point) => out.extend(point.bytes()),
        Cell::String(chunk) | Cell::Blob(chunk) => write_bytes(chunk.as_bytes(), out),
        // The length of a name is a plain byte and not a VLQ: 128 is `80`.
        Cell::Symbol(name) | Cell::Keyword(name) => {
            out.push(u8::try_from(name.as_bytes().len()).unwrap_or(u8::MAX));
            out.extend(name.as_bytes());
        }
        Cell::Extension(extension) => vlq::write(extension.value(), out),
        Cell::Nil | Cell::Bool(_) | Cell::Flag(_) | Cell::Tree(_) | Cell::Ref(_) => {}
    }
}

/// Returns the length, in bytes, of the encoding of a cell without children.
pub(crate) fn leaf_len(cell: &Cell) -> usize {
    1 + match cell {
        Cell::Integer(value) => integer_len(*value).into(),
        Cell::BigInteger(big) => vlq::len(big.as_bytes().len() as u64) + big.as_bytes().len(),
        Cell::Double(_) => 8,
        Cell::Char(point) => point.len().into(),
        Cell::String(chunk) | Cell::Blob(chunk) => {
            vlq::len(chunk.as_bytes().len() as u64) + chunk.as_bytes().len()
        }
        Cell::Symbol(name) | Cell::Keyword(name) => 1 + name.as_bytes().len(),
        Cell::Extension(extension) => vlq::len(extension.value()),
        Cell::Nil | Cell::Bool(_) | Cell::Flag(_) | Cell::Tree(_) | Cell::Ref(_) => 0,
    }
}

/// Returns the number of bytes after the tag of an integer: 0 for zero, otherwise 1 to 8. The tag
/// is `10` plus this number.
pub(crate) const fn integer_len(value: i64) -> u8 {
    // One of the leading bits that equal the sign must be kept.
    let bits = 65
        - if value < 0 {
            value.leading_ones()
        } else {
            value.leading_zeros()
        };
    match (value, bits) {
        (0, _) => 0,
        (_, ..=8) => 1,
        (_, ..=16) => 2,
        (_, ..=24) => 3,
        (_, ..=32) => 4,
        (_, ..=40) => 5,
        (_, ..=48) => 6,
        (_, ..=56) => 7,
        _ => 8,
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    vlq::write(bytes.len() as u64, out);
    out.extend(bytes);
}

fn write_ref(hash: &Hash, out: &mut Vec<u8>) {
    out.push(tag::REF);
    out.extend(hash.as_bytes());
}

/// Appends a child: inline if it is short, otherwise as a ref (section 5.3).
fn write_child(cell: &Cell, out: &mut Vec<u8>) {
    if cell.is_embedded() {
        write(cell, out);
    } else {
        write_ref(&cell.hash(), out);
    }
}

fn write_node(node: &Node, out: &mut Vec<u8>) {
    out.push(node.tag);
    let mut children = &*node.children;
    match node.tag {
        tag::SYNTAX => {
            write_child(&children[0], out);
            return write(&children[1], out);
        }
        tag::SIGNED | tag::SIGNED_BARE => {
            for bare in &children[..children.len() - 1] {
                if let Cell::Blob(chunk) = bare {
                    out.extend(chunk.as_bytes());
                }
            }
            children = &children[children.len() - 1..];
        }
        0xc0..=0xcf => {}
        _ => vlq::write(node.count, out),
    }
    if node.is_radix() {
        if let Some((key, value)) = node.own_entry() {
            out.push(OWN_ENTRY);
            write_child(key, out);
            write_child(value, out);
            children = &children[2..];
        } else if node.tag == tag::INDEX {
            out.push(NO_ENTRY);
        }
        out.push(node.shift);
        out.extend(node.mask.to_be_bytes());
    }
    for child in children {
        write_child(child, out);
    }
}

/// Flag before the entry whose key ends at a node of an Index (section 5.7).
pub(crate) const OWN_ENTRY: u8 = 0x80;

/// Flag of a node of an Index without such an entry.
pub(crate) const NO_ENTRY: u8 = 0x00;

//! The parts of one node, for programs that get the nodes of a large value one by one.

use crate::hash::Hash;
use crate::tag;

use super::Cell;
use super::node::{Node, VECTOR_LEAF, vector_bits};

/// The children of one node of a Vector (section 5.6).
#[derive(Clone, Copy, Debug)]
pub enum VectorParts<'a> {
    /// All elements, at most 16.
    Elements(&'a [Cell]),
    /// The last 1 to 15 elements, and the Vector of all elements before them.
    Tail {
        /// A Vector whose number of elements is a multiple of 16.
        before: &'a Cell,
        /// The elements after it.
        elements: &'a [Cell],
    },
    /// Vectors of the elements in order.
    Nodes {
        /// At most 16 Vectors. The last may have fewer elements than the others.
        nodes: &'a [Cell],
        /// Number of elements in each Vector but the last.
        span: u64,
    },
}

/// One node of an Index (section 5.7).
#[derive(Clone, Copy)]
pub struct IndexNode<'a>(&'a Node);

impl<'a> IndexNode<'a> {
    /// Returns the number of entries in this node and all nodes below it.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.0.count
    }

    /// Returns the entry whose key ends at this node, or the only entry.
    #[must_use]
    pub fn entry(&self) -> Option<(&'a Cell, &'a Cell)> {
        self.0.own_entry()
    }

    /// Returns the number of leading hex digits that all keys share; `None` if there is at most one
    /// entry.
    #[must_use]
    pub fn depth(&self) -> Option<u8> {
        self.0.is_radix().then_some(self.0.shift)
    }

    /// Returns the nodes below this one, each with the digit that its keys have after those that
    /// they share.
    pub fn nodes(&self) -> impl Iterator<Item = (u8, &'a Cell)> + use<'a> {
        self.0.digits()
    }
}

/// The parts of signed data (section 5.8).
#[derive(Clone, Copy, Debug)]
pub struct SignedParts<'a> {
    /// The public key of the signer.
    pub key: Hash,
    /// The Ed25519 signature over the value's encoding as a child.
    pub signature: &'a [u8],
    /// The value.
    pub value: &'a Cell,
}

impl Cell {
    /// Returns the children of this node of a Vector; `None` if it is not a Vector.
    #[must_use]
    pub fn vector_parts(&self) -> Option<VectorParts<'_>> {
        let Self::Tree(node) = self else { return None };
        if node.tag != tag::VECTOR {
            return None;
        }
        Some(if node.count <= VECTOR_LEAF {
            VectorParts::Elements(&node.children)
        } else if node.count.is_multiple_of(VECTOR_LEAF) {
            VectorParts::Nodes {
                nodes: &node.children,
                span: 1 << vector_bits(node.count),
            }
        } else {
            let (before, elements) = node.children.split_last()?;
            VectorParts::Tail { before, elements }
        })
    }

    /// Returns this node of an Index; `None` if it is not an Index.
    #[must_use]
    pub fn index_node(&self) -> Option<IndexNode<'_>> {
        match self {
            Self::Tree(node) if node.tag == tag::INDEX => Some(IndexNode(node)),
            _ => None,
        }
    }

    /// Returns the parts of signed data that has its key; `None` if it is something else.
    #[must_use]
    pub fn signed_parts(&self) -> Option<SignedParts<'_>> {
        let Self::Tree(node) = self else { return None };
        match &*node.children {
            [key, Self::Blob(signature), value] if node.tag == tag::SIGNED => Some(SignedParts {
                key: key.as_hash()?,
                signature: signature.as_bytes(),
                value,
            }),
            _ => None,
        }
    }
}

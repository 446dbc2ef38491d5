//! Iteration over the items of a tree, without its inner nodes and without recursion.

use crate::tag;

use super::Cell;
use super::node::{HASHED_LEAF, Node, VECTOR_LEAF};

/// The next item of a tree.
pub(crate) enum Item<'a> {
    /// An element, a key, a value, or a chunk.
    Value(&'a Cell),
    /// A node of the tree itself that the message does not contain.
    Missing(&'a Cell),
}

/// Iterates over Strings and Blobs (chunks), Vectors, Lists, records and Sets (elements), and Maps
/// and Indexes (keys and values alternately), in the order of the value.
pub(crate) struct Items<'a> {
    /// The nodes from the root to the current one, each with the number of children already
    /// visited.
    path: Vec<(&'a Node, usize)>,
    reversed: bool,
}

impl<'a> Items<'a> {
    pub(crate) fn new(node: &'a Node) -> Self {
        Self {
            path: vec![(node, 0)],
            reversed: node.tag == tag::LIST,
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let (node, done) = self.path.last_mut()?;
            let Some(mut position) = (*done < node.children.len()).then_some(*done) else {
                self.path.pop();
                continue;
            };
            *done += 1;
            if self.reversed {
                position = node.children.len() - 1 - position;
            }
            let (cell, inner) = child_at(node, position);
            match cell {
                _ if !inner => return Some(Item::Value(cell)),
                Cell::Tree(below) => self.path.push((below, 0)),
                Cell::Ref(_) => return Some(Item::Missing(cell)),
                chunk => return Some(Item::Value(chunk)),
            }
        }
    }
}

/// Returns the child of a node at a position in the order of the value, and whether it is a node of
/// the tree itself.
fn child_at(node: &Node, position: usize) -> (&Cell, bool) {
    let children = &node.children;
    match node.tag {
        tag::STRING | tag::BLOB => (&children[position], true),
        tag::MAP | tag::SET => (&children[position], node.count > HASHED_LEAF),
        tag::INDEX => {
            let own = children.len() - node.mask.count_ones() as usize;
            (&children[position], position >= own)
        }
        _ if node.count <= VECTOR_LEAF => (&children[position], false),
        _ if node.count.is_multiple_of(VECTOR_LEAF) => (&children[position], true),
        // The encoding puts the tail first, but the tail is the end of the vector.
        _ => match position {
            0 => (&children[children.len() - 1], true),
            _ => (&children[position - 1], false),
        },
    }
}

//! What a tree holds, one after another, without its inner nodes and without recursion.

use super::Cell;
use super::node::{HASHED_LEAF, Node, VECTOR_LEAF, tag};

/// What stands next in a tree.
pub(super) enum Item<'a> {
    /// An element, a key, a value, or a chunk.
    Value(&'a Cell),
    /// A node of the tree itself that the message does not carry.
    Missing(&'a Cell),
}

/// Walks Strings and Blobs (chunks), Vectors, Lists, records and Sets (elements), Maps and Indexes (keys and values in
/// turn), in the order of the value.
pub(super) struct Items<'a> {
    /// The nodes on the way, each with how many of its parts are done.
    path: Vec<(&'a Node, usize)>,
    reversed: bool,
}

impl<'a> Items<'a> {
    pub(super) fn of(node: &'a Node) -> Self {
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
            let (cell, inner) = part(node, position);
            match cell {
                _ if !inner => return Some(Item::Value(cell)),
                Cell::Tree(below) => self.path.push((below, 0)),
                Cell::Ref(_) => return Some(Item::Missing(cell)),
                chunk => return Some(Item::Value(chunk)),
            }
        }
    }
}

/// The part of a node at a position in the order of the value, and whether it is a node of the tree itself.
fn part(node: &Node, position: usize) -> (&Cell, bool) {
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
        // Written tail first, but the tail comes after.
        _ => match position {
            0 => (&children[children.len() - 1], true),
            _ => (&children[position - 1], false),
        },
    }
}

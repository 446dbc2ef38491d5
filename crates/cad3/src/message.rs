//! Whole messages (section 5.4): a top cell, then every longer cell below it once, found by its hash.

use std::collections::HashSet;
use std::fmt;

use super::decode::{Branch, Cursor, Decoder, Limits};
use super::error::{DecodeError, Problem};
use super::hash::Hash;
use super::{Cell, MAX_EMBEDDED, encode, vlq};

/// The content of a frame, or the body of a raw reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The top cell, with the branches that are carried in their places.
    pub top: Cell,
    /// Hashes below the top cell that no branch has, each once, in ascending order. Normal in replies to data
    /// requests, an error elsewhere.
    pub missing: Vec<Hash>,
}

impl Message {
    /// Whether all that the top cell refers to is carried.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

impl fmt::Display for Message {
    /// The top cell. A partial one is printed with the names of its records and all their fields: the peer's own
    /// library cannot print it, and a reader has only the names to go by.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printed = self.top.printed(super::PRINT_LIMIT);
        let printed = if self.is_complete() {
            printed
        } else {
            printed.with_record_names()
        };
        fmt::Display::fmt(&printed, f)
    }
}

/// Reads a message.
///
/// # Errors
/// When the bytes are no message, are not in canonical form or exceed `limits`; the error says where.
pub fn decode_message(content: &[u8], limits: &Limits) -> Result<Message, DecodeError> {
    if content.len() > limits.max_bytes {
        let problem = Problem::MessageTooLong {
            size: content.len(),
            limit: limits.max_bytes,
        };
        return Err(DecodeError::new(limits.max_bytes, problem));
    }
    let mut decoder = Decoder::new(content, limits);
    // Where the branches begin is known once the top cell has been read, which needs the branches. So the top cell is
    // read twice when there are some: first without.
    let mut cursor = Cursor {
        bytes: content,
        position: 0,
    };
    let mut top = decoder.cell(&mut cursor, 1)?;
    if cursor.position < content.len() {
        let branches = split(content, cursor.position)?;
        decoder = Decoder::new(content, limits);
        decoder.branches = branches;
        top = decoder.cell(
            &mut Cursor {
                bytes: content,
                position: 0,
            },
            1,
        )?;
    }
    let mut missing = std::mem::take(&mut decoder.missing);
    missing.sort_unstable();
    missing.dedup();
    // Branches that nobody refers to are harmless, but must be cells.
    for index in 0..decoder.branches.len() {
        decoder.branch(index, 1)?;
    }
    Ok(Message { top, missing })
}

/// The branches from `start` on, in order of their hashes.
fn split(content: &[u8], start: usize) -> Result<Vec<Branch>, DecodeError> {
    let mut branches = Vec::new();
    let mut cursor = Cursor {
        bytes: content,
        position: start,
    };
    while cursor.position < content.len() {
        let at = cursor.position;
        let size = cursor.count()?;
        let left = content.len() - cursor.position;
        if size <= MAX_EMBEDDED as u64 {
            return Err(DecodeError::new(at, Problem::BranchTooShort { size }));
        }
        let Some(size) = usize::try_from(size).ok().filter(|size| *size <= left) else {
            let needed = usize::try_from(size).unwrap_or(usize::MAX);
            return Err(DecodeError::new(
                cursor.position,
                Problem::CutShort {
                    what: "branch",
                    needed,
                    left,
                },
            ));
        };
        let start = cursor.position;
        cursor.position += size;
        branches.push(Branch {
            hash: Hash::of(&content[start..start + size]),
            start,
            end: start + size,
            cell: None,
        });
    }
    branches.sort_unstable_by_key(|branch| branch.hash);
    branches.dedup_by(|a, b| a.hash == b.hash);
    Ok(branches)
}

/// The content of a frame: the cell, then every longer cell below it, each once. Branches that the cell itself lacks
/// stay away.
#[must_use]
pub fn encode_message(cell: &Cell) -> Vec<u8> {
    let mut out = encode(cell);
    let mut seen = HashSet::new();
    let mut waiting = vec![cell];
    while let Some(cell) = waiting.pop() {
        let Cell::Tree(node) = cell else { continue };
        for child in node.children.iter().rev() {
            let is_branch = !child.is_embedded() && !matches!(child, Cell::Ref(_));
            // Metadata stands inline however long.
            let is_metadata = node.tag == super::node::tag::SYNTAX
                && std::ptr::eq(child, &raw const node.children[1]);
            if is_branch && !is_metadata {
                if !seen.insert(child.hash()) {
                    continue;
                }
                let branch = encode(child);
                vlq::write(branch.len() as u64, &mut out);
                out.extend(branch);
            }
            waiting.push(child);
        }
    }
    out
}

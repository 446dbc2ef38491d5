//! Messages (section 5.4): the top cell, then each branch below it once. Branches are found by
//! hash.

use std::collections::HashSet;
use std::fmt;

use crate::cell::Cell;
use crate::decode::{Branch, Cursor, DecodeError, DecodeErrorKind, Decoder, Limits};
use crate::encode::encode;
use crate::hash::Hash;
use crate::{MAX_EMBEDDED_BYTES, MAX_PRINTED_BYTES, tag, vlq};

/// The content of a frame of the binary protocol, or the body of a raw REST reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The top cell, with the contained branches in their places.
    pub top: Cell,
    /// Hashes of branches that the message refers to but does not contain, each once, in ascending
    /// order. Normal in replies to data requests; an error elsewhere.
    pub missing: Vec<Hash>,
}

impl Message {
    /// Returns whether the message contains all branches that the top cell refers to.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

impl fmt::Display for Message {
    /// Writes the top cell. If branches are missing, records are printed with their names and all
    /// fields: the peer's library cannot print such a cell, so there is no text to match.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printed = self.top.printed(MAX_PRINTED_BYTES);
        let printed = if self.is_complete() {
            printed
        } else {
            printed.with_record_names()
        };
        fmt::Display::fmt(&printed, f)
    }
}

/// Decodes the content of a message, without a frame length.
///
/// # Errors
/// The bytes are not a message, have a branch that nothing refers to, are not in canonical form or
/// exceed `limits`. The error names the offset.
pub fn decode_message(content: &[u8], limits: &Limits) -> Result<Message, DecodeError> {
    if content.len() > limits.max_bytes {
        let problem = DecodeErrorKind::MessageTooLong {
            size: content.len(),
            limit: limits.max_bytes,
        };
        return Err(DecodeError::new(limits.max_bytes, problem));
    }
    let mut decoder = Decoder::new(content, limits);
    // The branches start where the top cell ends, but reading the top cell needs the branches. So
    // with branches the top cell is read twice, first to find its end.
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
    // A peer sends none, and reading one would cost time for nothing.
    let unused = decoder.branches.iter().filter(|it| it.cell.is_none());
    if let Some(offset) = unused.map(|branch| branch.start).min() {
        return Err(DecodeError::new(offset, DecodeErrorKind::UnusedBranch));
    }
    Ok(Message { top, missing })
}

/// Returns the branches from `start` to the end, in the order of their hashes.
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
        if size <= MAX_EMBEDDED_BYTES as u64 {
            return Err(DecodeError::new(
                at,
                DecodeErrorKind::BranchTooShort { size },
            ));
        }
        let Some(size) = usize::try_from(size).ok().filter(|size| *size <= left) else {
            let needed = usize::try_from(size).unwrap_or(usize::MAX);
            return Err(DecodeError::new(
                cursor.position,
                DecodeErrorKind::CutShort {
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

/// Encodes a cell as the content of a message: the cell, then each branch below it once. Branches
/// that are missing in the cell are missing in the message too.
#[must_use]
pub fn encode_message(cell: &Cell) -> Vec<u8> {
    let mut out = encode(cell);
    let mut seen = HashSet::new();
    let mut pending = vec![cell];
    while let Some(cell) = pending.pop() {
        let Cell::Tree(node) = cell else { continue };
        for child in node.children.iter().rev() {
            let is_branch = !child.is_embedded() && !matches!(child, Cell::Ref(_));
            // Metadata is always written inline.
            let is_metadata =
                node.tag == tag::SYNTAX && std::ptr::eq(child, &raw const node.children[1]);
            if is_branch && !is_metadata {
                if !seen.insert(child.hash()) {
                    continue;
                }
                let branch = encode(child);
                vlq::write(branch.len() as u64, &mut out);
                out.extend(branch);
            }
            pending.push(child);
        }
    }
    out
}

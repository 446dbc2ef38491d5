//! Errors of decoding.

use std::fmt;

use crate::MAX_EMBEDDED_BYTES;
use crate::vlq::VlqError;

/// Reason why bytes are not a cell or message, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Position of the problem in bytes from the start of the input.
    pub offset: usize,
    /// The problem.
    pub kind: DecodeErrorKind,
}

/// Reason why bytes do not decode. All sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The message is longer than the limit.
    MessageTooLong {
        /// Size of the message.
        size: usize,
        /// [`Limits::max_bytes`](crate::Limits::max_bytes)
        limit: usize,
    },
    /// The message has more cells than the limit.
    TooManyCells {
        /// [`Limits::max_cells`](crate::Limits::max_cells)
        limit: usize,
    },
    /// More keys of Maps and Sets must be hashed than the limit.
    TooManyKeys {
        /// [`Limits::max_key_hashes`](crate::Limits::max_key_hashes)
        limit: usize,
    },
    /// Cells are nested deeper than the limit.
    TooDeep {
        /// [`Limits::max_depth`](crate::Limits::max_depth)
        limit: usize,
    },
    /// The input ends too early.
    CutShort {
        /// The item that is cut short.
        what: &'static str,
        /// Size that it needs.
        needed: usize,
        /// Size of the rest of the input.
        left: usize,
    },
    /// A count is invalid.
    Count(VlqError),
    /// The first byte of a cell is an unknown tag.
    Tag(u8),
    /// A length is outside the range that its kind allows.
    Length {
        /// The kind of cell.
        what: &'static str,
        /// Its size.
        size: u64,
        /// Minimum size.
        min: usize,
        /// Maximum size.
        max: usize,
    },
    /// An inline child is longer than [`MAX_EMBEDDED_BYTES`].
    ChildTooLong {
        /// Size of the child.
        size: usize,
    },
    /// A branch is not longer than [`MAX_EMBEDDED_BYTES`], so it should be inline.
    BranchTooShort {
        /// Size of the branch.
        size: u64,
    },
    /// A branch has bytes after its cell.
    BranchTooLong {
        /// Size of the branch.
        size: usize,
        /// Size of its cell.
        cell: usize,
    },
    /// No cell of the message refers to a branch.
    UnusedBranch,
    /// A rule of the canonical form is violated.
    NotCanonical {
        /// What violates the rule.
        what: &'static str,
        /// The rule.
        rule: &'static str,
    },
}

impl DecodeError {
    pub(crate) const fn new(offset: usize, kind: DecodeErrorKind) -> Self {
        Self { offset, kind }
    }

    /// Returns the same error for an input with `bytes` more bytes before the decoded ones.
    #[must_use]
    pub fn shifted(mut self, bytes: usize) -> Self {
        self.offset += bytes;
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = format!("at offset {}", self.offset);
        match &self.kind {
            DecodeErrorKind::MessageTooLong { size, limit } => {
                write!(f, "message of {size} bytes, at most {limit}")
            }
            DecodeErrorKind::TooManyCells { limit } => {
                write!(f, "too many cells {at}, at most {limit}")
            }
            DecodeErrorKind::TooManyKeys { limit } => {
                write!(
                    f,
                    "too many keys of maps and sets to check {at}, at most {limit}"
                )
            }
            DecodeErrorKind::TooDeep { limit } => {
                write!(f, "nested too deep {at}, at most {limit} levels")
            }
            DecodeErrorKind::CutShort { what, needed, left } => {
                write!(f, "{what} {at} needs {needed} bytes, {left} are left")
            }
            DecodeErrorKind::Count(error) => write!(f, "{error} {at}"),
            DecodeErrorKind::Tag(tag) => write!(f, "unknown tag {tag:02x} {at}"),
            DecodeErrorKind::Length {
                what,
                size,
                min,
                max,
            } if min == max => {
                write!(f, "{what} of {size} bytes {at}, must be {max}")
            }
            DecodeErrorKind::Length {
                what, size, max, ..
            } if *size > *max as u64 => {
                write!(f, "{what} of {size} bytes {at}, at most {max}")
            }
            DecodeErrorKind::Length {
                what, size, min, ..
            } => write!(f, "{what} of {size} bytes {at}, at least {min}"),
            DecodeErrorKind::ChildTooLong { size } => {
                write!(
                    f,
                    "inline child of {size} bytes {at}, at most {MAX_EMBEDDED_BYTES}"
                )
            }
            DecodeErrorKind::BranchTooShort { size } => {
                write!(
                    f,
                    "branch of {size} bytes {at}, at least {}",
                    MAX_EMBEDDED_BYTES + 1
                )
            }
            DecodeErrorKind::BranchTooLong { size, cell } => {
                write!(
                    f,
                    "branch of {size} bytes {at} has a cell of only {cell} bytes"
                )
            }
            DecodeErrorKind::UnusedBranch => {
                write!(f, "nothing refers to the branch {at}")
            }
            DecodeErrorKind::NotCanonical { what, rule } => write!(f, "{what} {at}: {rule}"),
        }
    }
}

impl std::error::Error for DecodeError {}

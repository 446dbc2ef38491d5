//! Why bytes are no message, and where.

use std::fmt;

use super::vlq::VlqError;

/// Why bytes are no cell or message, and where from the start of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Bytes from the start of the input to what is wrong.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// More bytes than the reader takes.
    MessageTooLong {
        /// Bytes there are.
        size: usize,
        /// [`super::Limits::max_bytes`]
        limit: usize,
    },
    /// More cells than the reader takes.
    TooManyCells {
        /// [`super::Limits::max_cells`]
        limit: usize,
    },
    /// Deeper nesting than the reader takes.
    TooDeep {
        /// [`super::Limits::max_depth`]
        limit: usize,
    },
    /// The input ends inside something.
    CutShort {
        /// What.
        what: &'static str,
        /// Bytes it needs.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// A count that cannot be read.
    Count(VlqError),
    /// A first byte that begins no cell.
    Tag(u8),
    /// A length outside what the kind allows.
    Length {
        /// The kind.
        what: &'static str,
        /// Its length in bytes.
        size: u64,
        /// The shortest.
        min: usize,
        /// The longest.
        max: usize,
    },
    /// A child of more than 140 bytes written inline.
    ChildTooLong {
        /// Its bytes.
        size: usize,
    },
    /// A branch of 140 bytes or less, which belongs inline.
    BranchTooShort {
        /// Its bytes.
        size: u64,
    },
    /// A branch whose cell ends before the branch does.
    BranchTooLong {
        /// Bytes of the branch.
        size: usize,
        /// Bytes of its cell.
        cell: usize,
    },
    /// What breaks a rule of the canonical form.
    NotCanonical {
        /// What stands there.
        what: &'static str,
        /// What the rule is.
        rule: &'static str,
    },
}

impl DecodeError {
    pub(super) const fn new(offset: usize, problem: Problem) -> Self {
        Self { offset, problem }
    }

    /// The same error in an input that has `bytes` more before it.
    #[must_use]
    pub fn shifted(mut self, bytes: usize) -> Self {
        self.offset += bytes;
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = format!("at offset {}", self.offset);
        match &self.problem {
            Problem::MessageTooLong { size, limit } => {
                write!(f, "message of {size} bytes, at most {limit}")
            }
            Problem::TooManyCells { limit } => write!(f, "too many cells {at}, at most {limit}"),
            Problem::TooDeep { limit } => write!(f, "nested too deep {at}, at most {limit} levels"),
            Problem::CutShort { what, needed, left } => {
                write!(f, "{what} {at} needs {needed} bytes, {left} are left")
            }
            Problem::Count(error) => write!(f, "{error} {at}"),
            Problem::Tag(tag) => write!(f, "no cell begins with {tag:02x} {at}"),
            Problem::Length {
                what,
                size,
                min,
                max,
            } if min == max => {
                write!(f, "{what} of {size} bytes {at}, must be {max}")
            }
            Problem::Length {
                what, size, max, ..
            } if *size > *max as u64 => {
                write!(f, "{what} of {size} bytes {at}, at most {max}")
            }
            Problem::Length {
                what, size, min, ..
            } => write!(f, "{what} of {size} bytes {at}, at least {min}"),
            Problem::ChildTooLong { size } => {
                write!(
                    f,
                    "inline child of {size} bytes {at}, at most {}",
                    super::MAX_EMBEDDED
                )
            }
            Problem::BranchTooShort { size } => {
                write!(
                    f,
                    "branch of {size} bytes {at}, at least {}",
                    super::MAX_EMBEDDED + 1
                )
            }
            Problem::BranchTooLong { size, cell } => {
                write!(f, "branch of {size} bytes {at} has a cell of {cell}")
            }
            Problem::NotCanonical { what, rule } => write!(f, "{what} {at}: {rule}"),
        }
    }
}

impl std::error::Error for DecodeError {}

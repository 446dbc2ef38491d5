//! The value itself: what kinds there are and how they are read. Cheap to clone: what has a size is shared.

use std::fmt;
use std::sync::Arc;

use super::encode::{integer_len, leaf_len};
use super::hash::Hash;
use super::leaf::{BigInteger, Chunk, CodePoint, Extension, Flag, Name};
use super::node::{Node, tag};
use super::{MAX_CHUNK, MAX_EMBEDDED};

/// A Convex value. Two cells are equal when their encodings are, whether or not a branch below them is carried.
#[derive(Clone)]
pub enum Cell {
    /// `nil`
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// An integer of 64 bits.
    Integer(i64),
    /// A larger one.
    BigInteger(BigInteger),
    /// An IEEE 754 double; all bits of a NaN are kept.
    Double(f64),
    /// A character.
    Char(CodePoint),
    /// A String of at most 4096 bytes; a longer one is a tree.
    String(Chunk),
    /// A Blob of at most 4096 bytes; a longer one is a tree.
    Blob(Chunk),
    /// A Symbol.
    Symbol(Name),
    /// A Keyword.
    Keyword(Name),
    /// A code of the peer's compiled operations.
    Flag(Flag),
    /// An Address, core function, special operation or other tagged number.
    Extension(Extension),
    /// All that has children: collections, records, long Strings and Blobs, signed data, code.
    Tree(Arc<Node>),
    /// A branch that the message does not carry, by its hash.
    Ref(Arc<Hash>),
}

impl Cell {
    /// An integer.
    #[must_use]
    pub const fn integer(value: i64) -> Self {
        Self::Integer(value)
    }

    /// An Address. A peer rejects one of 2^63 or more.
    #[must_use]
    pub const fn address(value: u64) -> Self {
        Self::Extension(Extension::new(Extension::ADDRESS, value))
    }

    /// A Keyword, named without its colon.
    ///
    /// # Panics
    /// When the name is empty or longer than 128 bytes.
    #[must_use]
    pub fn keyword(name: &str) -> Self {
        Self::Keyword(Name::new(name.as_bytes()).expect("a keyword's name has 1 to 128 bytes"))
    }

    /// A Symbol.
    ///
    /// # Panics
    /// When the name is empty or longer than 128 bytes.
    #[must_use]
    pub fn symbol(name: &str) -> Self {
        Self::Symbol(Name::new(name.as_bytes()).expect("a symbol's name has 1 to 128 bytes"))
    }

    /// The tag byte that its encoding begins with.
    #[must_use]
    pub fn tag(&self) -> u8 {
        match self {
            Self::Nil => tag::NIL,
            Self::Bool(false) => tag::FALSE,
            Self::Bool(true) => tag::TRUE,
            Self::Integer(value) => tag::ZERO + integer_len(*value),
            Self::BigInteger(_) => tag::BIG_INTEGER,
            Self::Double(_) => tag::DOUBLE,
            Self::Char(point) => tag::CHAR + point.len() - 1,
            Self::String(_) => tag::STRING,
            Self::Blob(_) => tag::BLOB,
            Self::Symbol(_) => tag::SYMBOL,
            Self::Keyword(_) => tag::KEYWORD,
            Self::Flag(flag) => flag.tag(),
            Self::Extension(extension) => extension.tag(),
            Self::Tree(node) => node.tag,
            Self::Ref(_) => tag::REF,
        }
    }

    /// What it is, in one word: `int`, `bigint`, `vector`; for records `result`, `account`, `tx` and so on.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.tag() {
            tag::NIL => "nil",
            tag::ZERO..=0x18 => "int",
            tag::BIG_INTEGER => "bigint",
            tag::DOUBLE => "double",
            tag::REF => "ref",
            tag::STRING => "string",
            tag::BLOB => "blob",
            tag::SYMBOL => "symbol",
            tag::KEYWORD => "keyword",
            tag::CHAR..=0x3f => "char",
            tag::VECTOR => "vector",
            tag::LIST => "list",
            tag::MAP => "map",
            tag::SET => "set",
            tag::INDEX => "index",
            tag::SYNTAX => "syntax",
            tag::SIGNED | tag::SIGNED_BARE => "signed",
            tag::FALSE | tag::TRUE => "bool",
            0xb2..=0xbf => "flag",
            0xc0..=0xc3 | 0xcd | 0xda..=0xdc | Extension::LOCAL => "op",
            0xc4..=0xcf => "coded",
            0xd0..=0xd3 => "tx",
            0xd4 => "belief",
            0xd5 => "state",
            0xd6 => "block",
            0xd7 => "order",
            0xd8 => "account",
            0xd9 => "peer",
            tag::RESULT => "result",
            0xde => "block-result",
            0xdf => "fn",
            Extension::ADDRESS => "address",
            Extension::CORE => "core",
            Extension::SPECIAL => "special",
            _ => "ext",
        }
    }

    /// Whether it is nil.
    #[must_use]
    pub const fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// The truth value of a boolean.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number of an integer of 64 bits.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The number of a double, or of an integer that a double holds exactly.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the way back proves exactness"
    )]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Double(value) => Some(*value),
            // 2^63 as a double would come back as i64::MAX, one less.
            Self::Integer(value) => {
                let double = *value as f64;
                (double < 2f64.powi(63) && double as i64 == *value).then_some(double)
            }
            _ => None,
        }
    }

    /// The number of an Address.
    #[must_use]
    pub fn as_address(&self) -> Option<u64> {
        match self {
            Self::Extension(extension) if extension.tag() == Extension::ADDRESS => {
                Some(extension.value())
            }
            _ => None,
        }
    }

    /// The name of a Keyword, without its colon.
    #[must_use]
    pub fn as_keyword(&self) -> Option<&str> {
        match self {
            Self::Keyword(name) => name.as_str(),
            _ => None,
        }
    }

    /// The name of a Symbol.
    #[must_use]
    pub fn as_symbol(&self) -> Option<&str> {
        match self {
            Self::Symbol(name) => name.as_str(),
            _ => None,
        }
    }

    /// The 32 bytes of a Blob of that size: a hash or a key.
    #[must_use]
    pub fn as_hash(&self) -> Option<Hash> {
        match self {
            Self::Blob(chunk) => chunk.as_bytes().try_into().ok().map(Hash::new),
            _ => None,
        }
    }

    /// The hash of a branch that the message does not carry.
    #[must_use]
    pub fn as_missing(&self) -> Option<Hash> {
        match self {
            Self::Ref(hash) => Some(**hash),
            _ => None,
        }
    }

    /// Levels of nesting, 1 for a cell without children.
    pub(super) fn depth(&self) -> u16 {
        match self {
            Self::Tree(node) => node.depth,
            _ => 1,
        }
    }

    /// Length of the encoding in bytes; of a ref, the shortest that what it stands for can have.
    pub(super) fn encoded_len(&self) -> usize {
        match self {
            Self::Tree(node) => node.size(),
            Self::Ref(_) => MAX_EMBEDDED + 1,
            leaf => leaf_len(leaf),
        }
    }

    /// Whether it stands inline where a child does.
    pub(super) fn is_embedded(&self) -> bool {
        self.encoded_len() <= MAX_EMBEDDED
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nil, Self::Nil) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::BigInteger(a), Self::BigInteger(b)) => a == b,
            (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
            (Self::Char(a), Self::Char(b)) => a == b,
            (Self::String(a), Self::String(b)) | (Self::Blob(a), Self::Blob(b)) => a == b,
            (Self::Symbol(a), Self::Symbol(b)) | (Self::Keyword(a), Self::Keyword(b)) => a == b,
            (Self::Flag(a), Self::Flag(b)) => a == b,
            (Self::Extension(a), Self::Extension(b)) => a == b,
            (Self::Ref(hash), cell) | (cell, Self::Ref(hash)) => {
                !cell.is_embedded() && cell.hash() == **hash
            }
            (Self::Tree(a), Self::Tree(b)) => {
                if Arc::ptr_eq(a, b) {
                    true
                } else if a.size() != b.size() || a.tag != b.tag || a.count != b.count {
                    false
                } else if a.size() > MAX_EMBEDDED {
                    // By hash, so that comparing what is shared many times stays one look each.
                    self.hash() == other.hash()
                } else {
                    a.shift == b.shift && a.mask == b.mask && a.children == b.children
                }
            }
            _ => false,
        }
    }
}

impl Eq for Cell {}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<Hash> for Cell {
    /// The Blob of 32 bytes.
    fn from(hash: Hash) -> Self {
        Self::Blob(Chunk::new(hash.as_bytes()))
    }
}

const _: () = assert!(MAX_CHUNK > 32, "a hash is one chunk");

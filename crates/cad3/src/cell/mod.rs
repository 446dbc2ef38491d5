//! Convex values: their kinds, constructors and accessors.

mod build;
mod collection;
pub(crate) mod items;
pub(crate) mod leaf;
pub(crate) mod node;
mod parts;

use std::fmt;
use std::sync::Arc;

use crate::encode::{integer_len, leaf_len};
use crate::hash::Hash;
use crate::{MAX_CHUNK_BYTES, MAX_EMBEDDED_BYTES, tag};

pub use collection::{Elements, MAX_GATHERED_BYTES};
pub use leaf::{BigInteger, Chunk, CodePoint, Extension, Flag, Name};
pub use node::Node;
pub use parts::{IndexNode, SignedParts, VectorParts};

/// A Convex value. Cloning is cheap because everything of variable size is shared.
///
/// Two cells are equal if their encodings are equal, whether or not a message contained all the
/// branches below them.
#[derive(Clone)]
pub enum Cell {
    /// `nil`
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// An integer that fits 64 bits.
    Integer(i64),
    /// An integer that does not fit 64 bits.
    BigInteger(BigInteger),
    /// An IEEE 754 double. All bits of a NaN are kept.
    Double(f64),
    /// A character.
    Char(CodePoint),
    /// A String of at most [`MAX_CHUNK_BYTES`] bytes; a longer one is a tree.
    String(Chunk),
    /// A Blob of at most [`MAX_CHUNK_BYTES`] bytes; a longer one is a tree.
    Blob(Chunk),
    /// A Symbol.
    Symbol(Name),
    /// A Keyword.
    Keyword(Name),
    /// An opcode of a compiled operation.
    Flag(Flag),
    /// An Address, core function, special operation or other tagged number.
    Extension(Extension),
    /// A cell with children: a collection, record, long String or Blob, signed data, or code.
    Tree(Arc<Node>),
    /// The hash of a branch that the message does not contain.
    Ref(Arc<Hash>),
}

impl Cell {
    /// Creates an integer.
    #[must_use]
    pub const fn integer(value: i64) -> Self {
        Self::Integer(value)
    }

    /// Creates an Address. Peers reject addresses of 2^63 or more.
    #[must_use]
    pub const fn address(value: u64) -> Self {
        Self::Extension(Extension::new(Extension::ADDRESS, value))
    }

    /// Creates a special operation by its number, such as 7 for `*timestamp*`.
    #[must_use]
    pub const fn special(number: u64) -> Self {
        Self::Extension(Extension::new(Extension::SPECIAL, number))
    }

    /// Creates a Keyword from its name without the colon.
    ///
    /// # Panics
    /// Panics if the name is empty or longer than [`MAX_NAME_BYTES`](crate::MAX_NAME_BYTES).
    #[must_use]
    pub fn keyword(name: &str) -> Self {
        Self::Keyword(Name::new(name.as_bytes()).expect("the name of a keyword has 1 to 128 bytes"))
    }

    /// Creates a Symbol.
    ///
    /// # Panics
    /// Panics if the name is empty or longer than [`MAX_NAME_BYTES`](crate::MAX_NAME_BYTES).
    #[must_use]
    pub fn symbol(name: &str) -> Self {
        Self::Symbol(Name::new(name.as_bytes()).expect("the name of a symbol has 1 to 128 bytes"))
    }

    /// Returns the tag byte, the first byte of the encoding.
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

    /// Returns the kind of value as one word, such as `int`, `bigint` or `vector`; for records
    /// `result`, `account`, `tx` and so on.
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

    /// Returns whether the value is nil.
    #[must_use]
    pub const fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// Returns the value of a boolean.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the value of an integer that fits 64 bits.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the value of a double, or of an integer that a double represents exactly.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "converting back proves that the double is exact"
    )]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Double(value) => Some(*value),
            // The double 2^63 would convert back to i64::MAX, which is one less.
            Self::Integer(value) => {
                let double = *value as f64;
                (double < 2f64.powi(63) && double as i64 == *value).then_some(double)
            }
            _ => None,
        }
    }

    /// Returns the number of an Address.
    #[must_use]
    pub fn as_address(&self) -> Option<u64> {
        match self {
            Self::Extension(extension) if extension.tag() == Extension::ADDRESS => {
                Some(extension.value())
            }
            _ => None,
        }
    }

    /// Returns the name of a Keyword without the colon, if it is UTF-8.
    #[must_use]
    pub fn as_keyword(&self) -> Option<&str> {
        match self {
            Self::Keyword(name) => name.as_str(),
            _ => None,
        }
    }

    /// Returns the name of a Symbol, if it is UTF-8.
    #[must_use]
    pub fn as_symbol(&self) -> Option<&str> {
        match self {
            Self::Symbol(name) => name.as_str(),
            _ => None,
        }
    }

    /// Returns a Blob of exactly 32 bytes as a hash or public key.
    #[must_use]
    pub fn as_hash(&self) -> Option<Hash> {
        match self {
            Self::Blob(chunk) => chunk.as_bytes().try_into().ok().map(Hash::new),
            _ => None,
        }
    }

    /// Returns the hash of a branch that the message does not contain.
    #[must_use]
    pub fn as_missing(&self) -> Option<Hash> {
        match self {
            Self::Ref(hash) => Some(**hash),
            _ => None,
        }
    }

    /// Returns the number of nested levels; 1 for a cell without children.
    pub(crate) fn depth(&self) -> u16 {
        match self {
            Self::Tree(node) => node.depth,
            _ => 1,
        }
    }

    /// Returns the length of the encoding in bytes. For a ref it is the minimum length of the
    /// branch that the ref stands for.
    pub(crate) fn encoded_len(&self) -> usize {
        match self {
            Self::Tree(node) => node.size(),
            Self::Ref(_) => MAX_EMBEDDED_BYTES + 1,
            leaf => leaf_len(leaf),
        }
    }

    /// Returns whether the cell is written inline in its parent.
    pub(crate) fn is_embedded(&self) -> bool {
        self.encoded_len() <= MAX_EMBEDDED_BYTES
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
                } else if a.size() > MAX_EMBEDDED_BYTES {
                    // Hashes are cached, so comparing a node that is shared many times stays cheap.
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
    /// Creates the Blob of the 32 bytes.
    fn from(hash: Hash) -> Self {
        Self::Blob(Chunk::new(hash.as_bytes()))
    }
}

const _: () = assert!(MAX_CHUNK_BYTES > 32, "a hash fits one chunk");

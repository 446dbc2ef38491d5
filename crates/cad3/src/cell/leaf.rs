//! Payloads of cells without children. Each type upholds the rules of its encoding, so that every
//! cell encodes canonically.

use std::fmt;
use std::sync::Arc;

use num_bigint::BigInt;

use crate::{MAX_CHUNK_BYTES, MAX_NAME_BYTES};

/// The bytes of a String or Blob cell of at most [`MAX_CHUNK_BYTES`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk(Arc<[u8]>);

impl Chunk {
    /// Creates a chunk. `bytes` must not be longer than [`MAX_CHUNK_BYTES`].
    pub(crate) fn new(bytes: &[u8]) -> Self {
        debug_assert!(
            bytes.len() <= MAX_CHUNK_BYTES,
            "longer Strings and Blobs are trees"
        );
        Self(bytes.into())
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The name of a Symbol or Keyword: 1 to [`MAX_NAME_BYTES`] bytes. Usually UTF-8, but peers do not
/// check that.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Arc<[u8]>);

impl Name {
    /// Creates a name, or returns `None` if it is empty or too long.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        (1..=MAX_NAME_BYTES)
            .contains(&bytes.len())
            .then(|| Self(bytes.into()))
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the name as text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// An integer that does not fit 64 bits, as its shortest big-endian two's complement of 9 to
/// [`MAX_CHUNK_BYTES`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct BigInteger(Arc<[u8]>);

impl BigInteger {
    /// Creates an integer from two's complement bytes, or returns `None` if they are not the
    /// shortest form, fit 64 bits or exceed [`MAX_CHUNK_BYTES`].
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let fits = (9..=MAX_CHUNK_BYTES).contains(&bytes.len());
        (fits && is_shortest(bytes)).then(|| Self(bytes.into()))
    }

    /// Returns the big-endian two's complement bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the number.
    #[must_use]
    pub fn to_bigint(&self) -> BigInt {
        BigInt::from_signed_bytes_be(&self.0)
    }
}

/// Returns whether two's complement `bytes` have no redundant first byte.
pub(crate) fn is_shortest(bytes: &[u8]) -> bool {
    match bytes {
        [0x00, second, ..] => *second >= 0x80,
        [0xff, second, ..] => *second < 0x80,
        _ => true,
    }
}

/// A code point up to 10ffff. Unlike a `char` it may be a surrogate, because peers accept those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodePoint(u32);

impl CodePoint {
    /// Creates a code point, or returns `None` above 10ffff.
    pub(crate) fn new(value: u32) -> Option<Self> {
        (value <= 0x0010_ffff).then_some(Self(value))
    }

    /// Returns the number of the code point.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// Returns the big-endian bytes without leading zeros, but at least one byte.
    pub(crate) fn bytes(self) -> impl Iterator<Item = u8> {
        let skip = usize::from(4 - self.len());
        self.0.to_be_bytes().into_iter().skip(skip)
    }

    /// Returns the number of bytes in the encoding, 1 to 3.
    pub(crate) const fn len(self) -> u8 {
        match self.0 {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            _ => 3,
        }
    }
}

/// One of the byte flags `b2` to `bf`, which are opcodes of compiled operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag(u8);

impl Flag {
    /// Creates a flag. `tag` must be `b2` to `bf`.
    pub(crate) const fn new(tag: u8) -> Self {
        Self(tag)
    }

    /// Returns the tag byte.
    #[must_use]
    pub const fn tag(self) -> u8 {
        self.0
    }
}

/// A tag from `e0` to `ef` with a number: an Address, core function, special operation or local
/// variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    tag: u8,
    value: u64,
}

impl Extension {
    /// Tag of an Address.
    pub const ADDRESS: u8 = 0xea;
    /// Tag of a core function.
    pub const CORE: u8 = 0xed;
    /// Tag of a special operation such as `*timestamp*`.
    pub const SPECIAL: u8 = 0xe5;
    /// Tag of a local variable, numbered by position.
    pub const LOCAL: u8 = 0xe6;

    /// Creates a tagged number. `tag` must be `e0` to `ef`.
    pub(crate) const fn new(tag: u8, value: u64) -> Self {
        Self { tag, value }
    }

    /// Returns the tag byte.
    #[must_use]
    pub const fn tag(self) -> u8 {
        self.tag
    }

    /// Returns the number.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.value
    }
}

macro_rules! debug_as_hex {
    ($($kind:ident),*) => {$(
        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($kind), hex::encode(&self.0))
            }
        }
    )*};
}
debug_as_hex!(Chunk, Name, BigInteger);

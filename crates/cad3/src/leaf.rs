//! The payloads of cells without children. Each keeps what its encoding demands, so that any cell encodes canonically.

use std::fmt;
use std::sync::Arc;

use num_bigint::BigInt;

use super::{MAX_CHUNK, MAX_NAME};

/// The bytes of a String or Blob cell of at most [`MAX_CHUNK`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk(Arc<[u8]>);

impl Chunk {
    /// The caller has checked that `bytes` are at most [`MAX_CHUNK`].
    pub(super) fn new(bytes: &[u8]) -> Self {
        debug_assert!(bytes.len() <= MAX_CHUNK, "longer ones are trees");
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The name of a Symbol or Keyword: 1 to [`MAX_NAME`] bytes, nearly always UTF-8 (a peer does not check it).
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Arc<[u8]>);

impl Name {
    /// A name, or nothing when it is empty or too long.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        (1..=MAX_NAME)
            .contains(&bytes.len())
            .then(|| Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// An integer beyond 64 bits: its shortest two's complement, big-endian, 9 to [`MAX_CHUNK`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct BigInteger(Arc<[u8]>);

impl BigInteger {
    /// From two's complement bytes; nothing when they are not the shortest form, fit 64 bits or exceed
    /// [`MAX_CHUNK`].
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let fits = (9..=MAX_CHUNK).contains(&bytes.len());
        (fits && is_shortest(bytes)).then(|| Self(bytes.into()))
    }

    /// The two's complement bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The number.
    #[must_use]
    pub fn to_bigint(&self) -> BigInt {
        BigInt::from_signed_bytes_be(&self.0)
    }
}

/// Whether two's complement `bytes` carry no superfluous first byte.
pub(super) fn is_shortest(bytes: &[u8]) -> bool {
    match bytes {
        [0x00, second, ..] => *second >= 0x80,
        [0xff, second, ..] => *second < 0x80,
        _ => true,
    }
}

/// A code point up to 10ffff. Unlike a `char` it may be a surrogate: the peer lets them through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodePoint(u32);

impl CodePoint {
    /// A code point, or nothing above 10ffff.
    pub(super) fn new(value: u32) -> Option<Self> {
        (value <= 0x0010_ffff).then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The big-endian bytes without leading zeros, at least one.
    pub(super) fn bytes(self) -> impl Iterator<Item = u8> {
        let skip = usize::from(4 - self.len());
        self.0.to_be_bytes().into_iter().skip(skip)
    }

    /// How many bytes that is: 1 to 3.
    pub(super) const fn len(self) -> u8 {
        match self.0 {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            _ => 3,
        }
    }
}

/// One of the byte flags `b2` to `bf`, codes of the peer's compiled operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag(u8);

impl Flag {
    /// The caller has matched the tag.
    pub(super) const fn new(tag: u8) -> Self {
        Self(tag)
    }

    /// The tag byte.
    #[must_use]
    pub const fn tag(self) -> u8 {
        self.0
    }
}

/// A tag from `e0` to `ef` with a number: addresses, core functions, special operations, locals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    tag: u8,
    value: u64,
}

impl Extension {
    /// The tag of an Address.
    pub const ADDRESS: u8 = 0xea;
    /// The tag of a core function.
    pub const CORE: u8 = 0xed;
    /// The tag of a special operation such as `*timestamp*`.
    pub const SPECIAL: u8 = 0xe5;
    /// The tag of a local variable by position.
    pub const LOCAL: u8 = 0xe6;

    /// The caller has matched the tag.
    pub(super) const fn new(tag: u8, value: u64) -> Self {
        Self { tag, value }
    }

    /// The tag byte.
    #[must_use]
    pub const fn tag(self) -> u8 {
        self.tag
    }

    /// The number behind it.
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

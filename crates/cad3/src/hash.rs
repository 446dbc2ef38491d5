//! The identity of a cell: SHA3-256 of its encoding.

use std::fmt;
use std::str::FromStr;

use sha3::{Digest, Sha3_256};

/// SHA3-256 of an encoding: the identity of a cell, a state or a network. Peer keys have the same shape.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl Hash {
    /// A hash, or a key, given by its 32 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha3_256::digest(bytes).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hex digit (0 to 15) at a position from 0 to 63, high nibble first, as maps and sets count them.
    pub(super) fn digit(&self, position: u8) -> u8 {
        digit(&self.0, position)
    }
}

/// The hex digit (0 to 15) of `bytes` at a position, high nibble first. The position must lie inside.
pub(super) fn digit(bytes: &[u8], position: u8) -> u8 {
    let byte = bytes[usize::from(position / 2)];
    if position.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 0x0f
    }
}

/// How many leading hex digits two byte strings share, at most 64.
pub(super) fn shared_digits(a: &[u8], b: &[u8]) -> u8 {
    let mut shared = 0;
    for (x, y) in a.iter().zip(b).take(32) {
        if x == y {
            shared += 2;
        } else {
            return shared + u8::from(x >> 4 == y >> 4);
        }
    }
    shared
}

/// Why a text is no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Too few or too many digits.
    #[error("a hash has 64 hex digits, this has {digits}")]
    Length {
        /// How many characters were there, without `0x`.
        digits: usize,
    },
    /// A character that is no hex digit.
    #[error("a hash has only hex digits, {found:?} is the character {position} after any 0x")]
    Digit {
        /// What was found.
        found: char,
        /// Which character, from 1, not counting `0x`.
        position: usize,
    },
}

impl FromStr for Hash {
    type Err = HashError;

    /// Reads 64 hex digits of either case, with or without `0x` before them.
    fn from_str(text: &str) -> Result<Self, HashError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if let Some((index, found)) = digits
            .chars()
            .enumerate()
            .find(|(_, c)| !c.is_ascii_hexdigit())
        {
            return Err(HashError::Digit {
                found,
                position: index + 1,
            });
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| HashError::Length {
            digits: digits.len(),
        })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{self:x}")
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::LowerHex for Hash {
    /// The digits alone, without `0x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

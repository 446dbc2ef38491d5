//! SHA3-256 hashes, which identify cells.

use std::fmt;
use std::str::FromStr;

use sha3::{Digest, Sha3_256};

/// 32 bytes: the SHA3-256 hash of an encoding, which identifies a cell, a state or a network, or an
/// Ed25519 public key, such as the key of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Creates a hash or key from its bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the SHA3-256 hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha3_256::digest(bytes).into())
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the hex digit (0 to 15) at a position from 0 to 63, high nibble first.
    ///
    /// # Panics
    /// The position is above 63.
    #[must_use]
    pub fn digit(&self, position: u8) -> u8 {
        digit(&self.0, position)
    }
}

/// Returns the hex digit (0 to 15) of `bytes` at a position, high nibble first. The position must
/// be less than twice the number of bytes.
pub(super) fn digit(bytes: &[u8], position: u8) -> u8 {
    let byte = bytes[usize::from(position / 2)];
    if position.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 0x0f
    }
}

/// Returns the number of leading hex digits that two byte strings share, at most 64.
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

/// Reason why a text is not a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The number of digits is not 64.
    #[error("a hash has 64 hex digits, found {digits}")]
    Length {
        /// Number of characters without `0x`.
        digits: usize,
    },
    /// A character is not a hex digit.
    #[error("{found:?} at position {position} after any 0x is not a hex digit")]
    Digit {
        /// The character.
        found: char,
        /// Position of the character from 1, without `0x`.
        position: usize,
    },
}

impl FromStr for Hash {
    type Err = HashError;

    /// Parses 64 hex digits of either case, with or without a leading `0x`.
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
    /// Writes the digits without `0x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

//! The form in which signed data proves itself to anybody: its encoding, then its value as a branch
//! if that is not embedded.

use cad3::{Cell, Hash, Limits, decode_message, encode, vlq};

use super::blocks::block_fields;
use super::error::SignedError;
use super::order::SignedOrder;
use super::signed::verify;

/// Returns signed data as a message.
pub(super) fn to_message(signed: &Cell, value: &Cell) -> Vec<u8> {
    let mut message = encode(signed);
    let is_branch = signed
        .signed_parts()
        .is_some_and(|parts| parts.value.as_missing().is_some());
    if is_branch {
        let branch = encode(value);
        vlq::write(branch.len() as u64, &mut message);
        message.extend(branch);
    }
    message
}

/// Returns the signed data in a message, with its value alone.
///
/// # Errors
/// The bytes are not a message of signed data and its value, and nothing else.
fn from_message(message: &[u8]) -> Result<(Cell, Cell), SignedError> {
    let decode = |bytes: &[u8]| {
        let message = decode_message(bytes, &Limits::default());
        message.map_err(|_| SignedError::Malformed("it does not decode"))
    };
    let linked = decode(message)?.top;
    let value = match linked.signed_parts() {
        Some(parts) if parts.value.as_missing().is_none() => parts.value.clone(),
        Some(_) => return Err(SignedError::Malformed("the signed value is missing")),
        None => return Err(SignedError::Malformed("it is not signed data with a key")),
    };
    let signed = decode(&encode(&linked))?.top;
    if to_message(&signed, &value) != message {
        return Err(SignedError::Malformed("it has more than the signed value"));
    }
    Ok((signed, value))
}

impl SignedOrder {
    /// Reads a signed order from its [`SignedOrder::message`] and checks the signature. Needs
    /// nothing else, so it proves the order to anybody, at any time.
    ///
    /// # Errors
    /// The bytes are not the message of a signed order, or the signature is not valid.
    pub fn from_message(message: &[u8]) -> Result<Self, SignedError> {
        let (signed, order) = from_message(message)?;
        let (key, _) = verify(&signed)?;
        Self::read(key, &signed, &order)
    }
}

/// A signed block that was read from its [`SignedBlock::message`](super::SignedBlock::message).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvenBlock {
    /// Hash of the signed block, by which blocks are compared.
    pub hash: Hash,
    /// Key of the peer that made the block and signed it.
    pub maker: Hash,
    /// Time of the block by the clock of its maker, in milliseconds since the epoch.
    pub timestamp_ms: i64,
}

impl ProvenBlock {
    /// Reads a signed block from its message and checks the signature. The number of transactions
    /// is not read, because the message of a large block does not have them.
    ///
    /// # Errors
    /// The bytes are not the message of a signed block, or the signature is not valid.
    pub fn from_message(message: &[u8]) -> Result<Self, SignedError> {
        let (signed, block) = from_message(message)?;
        let (maker, _) = verify(&signed)?;
        let (timestamp_ms, _) = block_fields(&block)?;
        Ok(Self {
            hash: signed.hash(),
            maker,
            timestamp_ms,
        })
    }
}

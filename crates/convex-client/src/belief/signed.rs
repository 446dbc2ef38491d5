//! Signed data and its signature (PEER-PROTOCOL, section 5.8).

use cad3::{Cell, Hash, encode};
use ring::signature::{ED25519, UnparsedPublicKey};

use super::error::SignedError;
use crate::signing::VALUE_OFFSET;

/// Checks that `cell` is signed data with a valid signature, and returns its signer and its value,
/// which may be the hash of a cell.
///
/// The signature is over the value as it is encoded in the signed data: inline if that takes at
/// most 140 bytes, otherwise as a reference, `20` and its hash.
///
/// Peers verify with RFC 8032 implementations (`Ed25519.verify` of Bouncy Castle by default), and
/// so does this.
pub(crate) fn verify(cell: &Cell) -> Result<(Hash, &Cell), SignedError> {
    let parts = cell
        .signed_parts()
        .ok_or(SignedError::Malformed("it is not signed data with a key"))?;
    let encoding = encode(cell);
    let signed = encoding.get(VALUE_OFFSET..).unwrap_or_default();
    UnparsedPublicKey::new(&ED25519, parts.key.as_bytes())
        .verify(signed, parts.signature)
        .map_err(|_| SignedError::BadSignature)?;
    Ok((parts.key, parts.value))
}

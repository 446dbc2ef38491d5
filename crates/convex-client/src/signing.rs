//! Signed data (PEER-PROTOCOL, section 5.8).

use cad3::{Cell, Hash, encode};

/// Bytes before the value in the encoding of signed data: tag, key and signature.
pub(crate) const VALUE_OFFSET: usize = 1 + 32 + 64;

/// Signs a value over its encoding as a child: inline if that takes at most 140 bytes, otherwise as
/// a reference.
pub(crate) fn sign(key: &Hash, value: Cell, signature: impl FnOnce(&[u8]) -> [u8; 64]) -> Cell {
    let unsigned = encode(&Cell::signed(key, &[0; 64], value.clone()));
    Cell::signed(key, &signature(&unsigned[VALUE_OFFSET..]), value)
}

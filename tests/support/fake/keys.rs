//! Keys of the scripted peer, and its answers to challenges.

use cad3::{Cell, Hash, encode};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// Bytes before the value in the encoding of signed data: tag, key and signature.
const VALUE_OFFSET: usize = 1 + 32 + 64;

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// Returns the public key of a seed.
pub(crate) fn public_key(seed: u8) -> Hash {
    Hash::new(pair(seed).public_key().as_ref().try_into().unwrap())
}

/// Answers a challenge, `[token key-or-nil network]`, with the key of a seed.
pub(super) fn answer(seed: u8, challenge: &Cell) -> Option<Cell> {
    let parts = challenge.signed_parts()?;
    let content = parts.value.as_elements()?;
    let (token, network) = (content.get(0)?.clone(), content.get(2)?.clone());
    let value = Cell::vector([token, parts.key.into(), network]);
    let key = public_key(seed);
    let unsigned = encode(&Cell::signed(&key, &[0; 64], value.clone()));
    let signature = pair(seed).sign(&unsigned[VALUE_OFFSET..]);
    Some(Cell::signed(
        &key,
        signature.as_ref().try_into().unwrap(),
        value,
    ))
}

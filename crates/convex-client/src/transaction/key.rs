//! The private key of an account.

use std::fmt;

use cad3::Hash;
use ed25519_dalek::{Signer, SigningKey};

/// The private key of an account, Ed25519. It is wiped from memory when it is dropped, and is never
/// shown: [`Debug`](fmt::Debug) writes the public key.
///
/// Read it from a file with [`AccountKey::from_file`].
pub struct AccountKey(SigningKey);

impl AccountKey {
    /// Creates the key with this seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Returns the public key, which the account has on chain.
    #[must_use]
    pub fn public_key(&self) -> Hash {
        Hash::new(self.0.verifying_key().to_bytes())
    }

    /// Signs a message.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl From<SigningKey> for AccountKey {
    fn from(key: SigningKey) -> Self {
        Self(key)
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKey")
            .field("public_key", &self.public_key())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use zeroize::ZeroizeOnDrop;

    use super::*;

    #[test]
    fn the_private_key_is_wiped_when_it_is_dropped() {
        /// Without the feature `zeroize` of `ed25519-dalek` this does not compile.
        fn is_wiped<T: ZeroizeOnDrop>(_: &T) {}
        let AccountKey(key) = AccountKey::from_seed(&[7; 32]);
        is_wiped(&key);
    }
}

//! Accounts for clients that make transactions.

use cad3::Hash;

use super::registered::parse_cvm;
use super::state::FIRST_CONTROLLER;

/// Highest balance of an account, in copper: 1,000,000 CVM, far less than what remains of all
/// coins.
const MAX_BALANCE: i64 = 1_000_000_000_000_000;

/// Balance of an account unless another is given, in copper: 1 CVM.
const DEFAULT_BALANCE: i64 = 1_000_000_000;

/// An account that the network has from its genesis on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// The public key that signs its transactions.
    pub key: Hash,
    /// Its balance in copper.
    pub balance_copper: i64,
}

/// A text is not a balance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a balance of up to 1000000 CVM, such as 0.01")]
pub struct NewAccountError(String);

impl NewAccount {
    /// Creates an account with 1 CVM.
    #[must_use]
    pub const fn new(key: Hash) -> Self {
        Self {
            key,
            balance_copper: DEFAULT_BALANCE,
        }
    }

    /// Returns the account with this balance, in CVM.
    ///
    /// # Errors
    /// The text is not an amount, or too large.
    pub fn with_cvm(self, text: &str) -> Result<Self, NewAccountError> {
        let copper = parse_cvm(text).filter(|copper| *copper <= MAX_BALANCE);
        let copper = copper.ok_or_else(|| NewAccountError(text.to_owned()))?;
        Ok(Self {
            balance_copper: copper,
            ..self
        })
    }
}

/// Returns the number of the `i`-th of these accounts, counted from 0, in a network of `peers`.
pub(super) const fn number_of_account(peers: usize, i: usize) -> u64 {
    FIRST_CONTROLLER + peers as u64 + i as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_a_balance() {
        let account = NewAccount::new(Hash::new([5; 32]));
        assert_eq!(account.balance_copper, 1_000_000_000);
        for (text, copper) in [("0", 0), ("0.01", 10_000_000), ("1000000", MAX_BALANCE)] {
            assert_eq!(account.with_cvm(text).unwrap().balance_copper, copper);
        }
        for text in ["", "x", "-1", "NaN", "1000001"] {
            let error = account.with_cvm(text).unwrap_err().to_string();
            assert!(error.contains("is not a balance"), "{error}");
        }
    }
}

//! What the chain says about an account, in one state.

use cad3::{Cell, Elements, Hash};

use super::SignedTransaction;
use crate::query::Query;

/// Maximum number of bytes of a value in an error.
const MAX_PRINTED_BYTES: usize = 80;

/// An account, in one state of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountState {
    /// Index of the last applied block of the state; −1 before the first.
    pub block: i64,
    /// The time of the state: that of its last block, in milliseconds since 1970.
    pub time_ms: i64,
    /// The price of juice in copper.
    pub juice_price: u64,
    /// The sequence number: that of the last executed transaction; 0 before the first.
    pub sequence: i64,
    /// The public key that signs for the account; none if nothing can.
    pub key: Option<Hash>,
    /// The balance in copper.
    pub balance: u64,
    /// Whether a peer with the same key is registered.
    pub has_key_of_peer: bool,
}

impl AccountState {
    /// Returns the sequence number of the next transaction.
    #[must_use]
    pub const fn next_sequence(&self) -> i64 {
        self.sequence.saturating_add(1)
    }

    /// Returns whether the peer has executed this transaction of the account, or another one with
    /// its sequence number.
    #[must_use]
    pub const fn has_executed(&self, transaction: &SignedTransaction) -> bool {
        self.sequence >= transaction.sequence()
    }
}

/// Returns the query for an account. It costs a peer about 17,000 juice.
#[expect(clippy::missing_panics_doc, reason = "the text is always a form")]
#[must_use]
pub fn account_query(account: u64) -> Query {
    let text = format!(
        "(let [found (account #{account}) \
               key (if found (:key found) nil)] \
           [(nth (:globals *state*) 5) \
            *timestamp* \
            *juice-price* \
            (if found \
              [(:sequence found) key (:balance found) \
               (if key (if (get (:peers *state*) key) true false) false)] \
              nil)])"
    );
    Query::read(&text).expect("the text consists of constants and a number")
}

/// Reads the answer to [`account_query`]. Returns nothing if there is no such account.
///
/// # Errors
/// The value is not an answer to the query; the text says why.
pub fn read_account(value: &Cell) -> Result<Option<AccountState>, String> {
    let elements = value.as_elements().filter(|elements| elements.len() == 4);
    if elements.and_then(|elements| elements.get(3)) == Some(&Cell::Nil) {
        return Ok(None);
    }
    let account = elements.and_then(answer);
    account.map(Some).ok_or_else(|| {
        let found = value.printed(MAX_PRINTED_BYTES);
        format!("{found} is not a block, a time, a price of juice and an account")
    })
}

fn answer(elements: Elements<'_>) -> Option<AccountState> {
    let account = elements.get(3)?.as_elements()?;
    if account.len() != 4 {
        return None;
    }
    let key = account.get(1)?;
    Some(AccountState {
        block: elements.get(0)?.as_i64().filter(|block| *block >= -1)?,
        time_ms: elements.get(1)?.as_i64()?,
        juice_price: amount(elements.get(2)?)?,
        sequence: account.get(0)?.as_i64().filter(|number| *number >= 0)?,
        key: if key.is_nil() {
            None
        } else {
            Some(key.as_hash()?)
        },
        balance: amount(account.get(2)?)?,
        has_key_of_peer: account.get(3)?.as_bool()?,
    })
}

fn amount(value: &Cell) -> Option<u64> {
    u64::try_from(value.as_i64()?).ok()
}

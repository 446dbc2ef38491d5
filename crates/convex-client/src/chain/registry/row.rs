//! Row of the registry: the query text that produces it, and its parser.

use std::borrow::Cow;

use cad3::{Cell, Hash};

use crate::chain::economics::{MAX_SUPPLY_COPPER, split_balance};

use super::RegisteredPeer;

/// Maximum length of an advertised URL in bytes. Enough for a scheme, the longest host name and a
/// port. The query omits longer ones, because anyone can put megabytes on chain.
pub const MAX_URL_BYTES: usize = 300;

/// Maximum number of bytes of a value in an error.
const MAX_PRINTED_BYTES: usize = 60;

/// Returns the query text of a function from an entry of `(:peers *state*)` to its row. The
/// metadata can be anything that the owner of the peer wrote.
pub(super) fn function() -> String {
    format!(
        "(fn [[k p]] \
           (let [u (try (get-in p [:metadata :url]) nil)] \
             [k (:controller p) (:stake p) (:delegated-stake p) (:balance p) (:timestamp p) \
              (if (str? u) (if (<= (count u) {MAX_URL_BYTES}) u nil) nil)]))"
    )
}

/// Parses a row.
///
/// # Errors
/// The row is malformed; the text says how.
pub(super) fn read(row: &Cell) -> Result<(Hash, RegisteredPeer), String> {
    let not_a = |kind: &str, cell: &Cell| {
        let found = cell.printed(MAX_PRINTED_BYTES);
        format!("{found} is not {kind}")
    };
    let elements = row.as_elements().filter(|elements| elements.len() == 7);
    let elements = elements.ok_or_else(|| not_a("a row of 7", row))?;
    let [key, controller, own, delegated, balance, timestamp, url] =
        std::array::from_fn(|i| elements.get(i).unwrap_or(&Cell::Nil));
    let key = key.as_hash().ok_or_else(|| not_a("a peer key", key))?;
    let controller = match controller {
        Cell::Nil => None,
        cell => Some(
            cell.as_address()
                .filter(|address| i64::try_from(*address).is_ok())
                .ok_or_else(|| not_a("a controller", cell))?,
        ),
    };
    let own_shares = amount("stake", own)?;
    let delegated_shares = amount("delegated stake", delegated)?;
    let (own_copper, delegated_copper) =
        split_balance(amount("balance", balance)?, own_shares, delegated_shares);
    let last_block_ms = match timestamp.as_i64() {
        // CPoSConstants.INITIAL_PEER_TIMESTAMP: no block yet.
        Some(-1) => None,
        Some(ms) if ms >= 0 => Some(ms),
        _ => return Err(not_a("a timestamp", timestamp)),
    };
    let url = url
        .as_text()
        .filter(|text| text.len() <= MAX_URL_BYTES)
        .map(Cow::into_owned);
    let peer = RegisteredPeer {
        controller,
        own_copper,
        delegated_copper,
        shares: own_shares.saturating_add(delegated_shares),
        last_block_ms,
        url,
    };
    Ok((key, peer))
}

/// Parses an amount of coin or shares, which cannot exceed the coin supply.
pub(super) fn amount(what: &str, cell: &Cell) -> Result<i64, String> {
    let amount = cell
        .as_i64()
        .filter(|amount| (0..=MAX_SUPPLY_COPPER).contains(amount));
    amount.ok_or_else(|| {
        let found = cell.printed(MAX_PRINTED_BYTES);
        format!("{found} is not a {what}, expected 0 to {MAX_SUPPLY_COPPER}")
    })
}

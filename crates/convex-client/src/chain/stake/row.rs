//! One row of the registry: the form that makes it in the peer, and how it is read.

use std::borrow::Cow;

use cad3::{Cell, Hash};

use crate::chain::economics::{MAX_SUPPLY_COPPER, split};

use super::RegisteredPeer;

/// The longest advertised URL that is read, bytes: a scheme, the longest host name and a port are less. A stranger may
/// have put megabytes on chain, so the peer is asked to leave a longer one out.
pub const MAX_URL_BYTES: usize = 300;

/// What of a wrong value is shown, characters.
const SHOWN: usize = 60;

/// The function from an entry of `(:peers *state*)` to its row, as query text. Metadata is whatever its owner wrote.
pub(super) fn function() -> String {
    format!(
        "(fn [[k p]] \
           (let [u (try (get-in p [:metadata :url]) nil)] \
             [k (:controller p) (:stake p) (:delegated-stake p) (:balance p) (:timestamp p) \
              (if (str? u) (if (<= (count u) {MAX_URL_BYTES}) u nil) nil)]))"
    )
}

/// Reads a row.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(row: &Cell) -> Result<(Hash, RegisteredPeer), String> {
    let elements = row.as_elements().filter(|elements| elements.len() == 7);
    let elements = elements.ok_or_else(|| format!("{} is no row of 7", row.printed(SHOWN)))?;
    let [key, controller, own, delegated, balance, timestamp, url] =
        std::array::from_fn(|i| elements.get(i).unwrap_or(&Cell::Nil));
    let key = key
        .as_hash()
        .ok_or_else(|| format!("{} is no peer key", key.printed(SHOWN)))?;
    let controller = match controller {
        Cell::Nil => None,
        cell => Some(
            cell.as_address()
                .filter(|address| i64::try_from(*address).is_ok())
                .ok_or_else(|| format!("{} is no controller", cell.printed(SHOWN)))?,
        ),
    };
    let own_shares = amount("stake", own)?;
    let delegated_shares = amount("delegated stake", delegated)?;
    let (own_copper, delegated_copper) =
        split(amount("balance", balance)?, own_shares, delegated_shares);
    let last_block_ms = match timestamp.as_i64() {
        // CPoSConstants.INITIAL_PEER_TIMESTAMP
        Some(-1) => None,
        Some(ms) if ms >= 0 => Some(ms),
        _ => return Err(format!("{} is no timestamp", timestamp.printed(SHOWN))),
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

/// An amount of coin or shares: none of it can be more than all coin.
pub(super) fn amount(what: &str, cell: &Cell) -> Result<i64, String> {
    let amount = cell
        .as_i64()
        .filter(|amount| (0..=MAX_SUPPLY_COPPER).contains(amount));
    amount.ok_or_else(|| {
        let found = cell.printed(SHOWN);
        format!("{found} is no {what}, which is 0 to {MAX_SUPPLY_COPPER}")
    })
}

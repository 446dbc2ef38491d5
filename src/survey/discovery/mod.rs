//! Turns peers that are registered on chain into watched references. Their URLs were written by
//! strangers, so they are parsed strictly, limited in number, resolved and checked, and only a
//! checked address is dialed.

mod address;
mod candidates;
mod scanner;
mod watchlist;

use cad3::Hash;

pub use address::may_dial;
pub use candidates::{Candidate, ConfiguredPeers, candidates};
pub use scanner::{ResolvedPeer, ScanResult, Scanner};
pub use watchlist::{Watchlist, WatchlistChange};

/// Returns the name of a discovered peer: `chain-` and the first 12 hex digits of its key.
#[must_use]
pub fn discovered_name(key: &Hash) -> String {
    let digits: String = format!("{key:x}").chars().take(12).collect();
    format!("chain-{digits}")
}

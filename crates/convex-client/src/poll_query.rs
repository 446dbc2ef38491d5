//! The query of a poll and its answer.
//!
//! The query is one vector form, which a peer evaluates on one immutable state. Each member is
//! wrapped in `try`, so that a member that a peer cannot answer does not affect the others.

use std::sync::LazyLock;

use cad3::{Cell, Hash};

use crate::failure::{Failure, FailureReason};
use crate::query::Query;

/// Members of the form, in the order in which [`PollAnswer::from_cell`] reads them.
const MEMBERS: [&str; 6] = [
    "(hash (encoding *state*))",
    "(:globals *state*)",
    "(count (:accounts *state*))",
    "(count (:peers *state*))",
    "*memory-price*",
    "(coin-supply)",
];

/// The query of a poll, whose value [`PollAnswer::from_cell`] reads.
pub static POLL_QUERY: LazyLock<Query> = LazyLock::new(|| {
    let guarded: Vec<String> = MEMBERS
        .iter()
        .map(|member| format!("(try {member} nil)"))
        .collect();
    let source = format!("[{}]", guarded.join(" "));
    Query::read(&source).expect("the members are constant forms")
});

/// Answer to the query of a poll. All fields belong to the same state. A field that the peer could
/// not answer, or answered with an unexpected type, is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PollAnswer {
    /// Hash of the state.
    pub state_hash: Option<Hash>,
    /// Index of the last applied block; −1 before the first.
    pub state_block: Option<i64>,
    /// Time of the last applied block, in milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// Fees not yet distributed, in copper.
    pub fees_copper: Option<i64>,
    /// Price of one unit of juice, in copper.
    pub juice_price_copper: Option<i64>,
    /// Memory for sale in the memory pool, in bytes.
    pub memory_pool_bytes: Option<i64>,
    /// Coins in the memory pool, in copper.
    pub memory_pool_copper: Option<i64>,
    /// Number of accounts.
    pub accounts: Option<i64>,
    /// Number of registered peers.
    pub registered_peers: Option<i64>,
    /// Price of one byte of memory, in copper.
    pub memory_price_copper: Option<f64>,
    /// Coins in existence, in copper.
    pub coin_supply_copper: Option<i64>,
    /// Version of the protocol, and its upgrades.
    pub protocol: Option<ProtocolState>,
}

/// Version of the protocol that a state has, and the upgrades that are scheduled on chain
/// (PEER-PROTOCOL, section 14). Before release 0.8.7 a state has neither: version 0, no upgrades.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtocolState {
    /// Number of upgrades that were applied.
    pub version: i64,
    /// Consensus times, in milliseconds since the epoch, at which the versions from 1 on take
    /// effect, those included that were applied. At most [`MAX_UPGRADES`].
    pub activations_ms: Vec<i64>,
}

/// Maximum number of upgrades that are read.
pub const MAX_UPGRADES: usize = 254;

impl ProtocolState {
    /// Reads elements 6 and 7 of the globals. Returns nothing if one has another type.
    fn from_globals(globals: &Cell) -> Option<Self> {
        let elements = globals.as_elements()?;
        let version = match elements.get(6) {
            None => 0,
            Some(version) => version.as_i64().filter(|version| *version >= 0)?,
        };
        let activations_ms = match elements.get(7) {
            None => Vec::new(),
            Some(times) => {
                let times = times.as_elements()?;
                let times = times.iter().take(MAX_UPGRADES).map(Cell::as_i64);
                times.collect::<Option<_>>()?
            }
        };
        Some(Self {
            version,
            activations_ms,
        })
    }

    /// Returns the versions that were not applied yet with their times, in milliseconds since the
    /// epoch, the next one first.
    pub fn pending(&self) -> impl Iterator<Item = (i64, i64)> {
        let versions = (1..).zip(self.activations_ms.iter().copied());
        versions.filter(|(version, _)| *version > self.version)
    }
}

impl PollAnswer {
    /// Reads the value of [`POLL_QUERY`].
    ///
    /// # Errors
    /// The value is not a vector with one element per member of the query:
    /// [`FailureReason::Malformed`].
    pub fn from_cell(cell: &Cell) -> Result<Self, Failure> {
        let elements = cell
            .as_elements()
            .filter(|elements| elements.len() == MEMBERS.len());
        let Some(members) =
            elements.map(|elements| std::array::from_fn(|i| elements.get(i).unwrap_or(&Cell::Nil)))
        else {
            return Err(Failure::new(
                FailureReason::Malformed,
                format!(
                    "the value of the query is not a vector of {}: {}",
                    MEMBERS.len(),
                    cell.printed(80)
                ),
            ));
        };
        let [hash, globals, accounts, peers, memory_price, supply]: [&Cell; MEMBERS.len()] =
            members;
        let global = |i: usize| {
            globals
                .as_elements()
                .and_then(|g| g.get(i))
                .and_then(Cell::as_i64)
        };
        let count = |cell: &Cell| cell.as_i64().filter(|n| *n >= 0);
        Ok(Self {
            state_hash: hash.as_hash(),
            state_block: global(5).filter(|block| *block >= -1),
            timestamp_ms: global(0),
            fees_copper: global(1),
            juice_price_copper: global(2),
            memory_pool_bytes: global(3),
            memory_pool_copper: global(4),
            accounts: count(accounts),
            registered_peers: count(peers),
            memory_price_copper: memory_price.as_f64().filter(|price| price.is_finite()),
            coin_supply_copper: count(supply),
            protocol: ProtocolState::from_globals(globals),
        })
    }
}

#[cfg(test)]
mod tests {
    use cad3::reader;

    use super::*;

    #[test]
    fn the_version_and_the_upgrades_are_absent_before_release_0_8_7() {
        let protocol = |globals: &str| {
            let value = reader::read(&format!("[nil {globals} 132 nil nil nil]")).unwrap();
            PollAnswer::from_cell(&value).unwrap().protocol
        };
        let state = |version, activations_ms: &[i64]| {
            Some(ProtocolState {
                version,
                activations_ms: activations_ms.to_vec(),
            })
        };
        assert_eq!(protocol("[0 0 2 0 0 7]"), state(0, &[]));
        assert_eq!(protocol("[0 0 2 0 0 7 1]"), state(1, &[]));
        assert_eq!(protocol("[0 0 2 0 0 7 1 [5 9]]"), state(1, &[5, 9]));
        assert_eq!(protocol("[0 0 2 0 0 7 1 [5 9] :later]"), state(1, &[5, 9]));
        for invalid in [
            "nil",
            "[0 0 2 0 0 7 -1]",
            "[0 0 2 0 0 7 nil]",
            "[0 0 2 0 0 7 1 [5 nil]]",
        ] {
            assert_eq!(protocol(invalid), None, "{invalid}");
        }
        let pending = |version| {
            let state = state(version, &[5, 9, 12]).unwrap();
            state.pending().collect::<Vec<_>>()
        };
        assert_eq!(pending(1), [(2, 9), (3, 12)]);
        assert_eq!(pending(4), []);
    }

    #[test]
    fn a_price_that_is_not_finite_is_absent() {
        let price = |text: &str| {
            let value = reader::read(&format!("[nil nil 132 nil {text} nil]")).unwrap();
            PollAnswer::from_cell(&value).unwrap().memory_price_copper
        };
        assert_eq!(price("1.5"), Some(1.5));
        for text in ["##Inf", "##-Inf", "##NaN"] {
            assert_eq!(price(text), None, "{text}");
        }
    }
}

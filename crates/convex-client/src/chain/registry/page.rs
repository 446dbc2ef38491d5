//! Pages of the registry: the query text of each kind of page, and its parser. Every page starts
//! with the state that it was read from and the number of registered peers in it.

use std::collections::BTreeMap;

use cad3::{Cell, Hash};

use crate::chain::economics::MAX_SUPPLY_COPPER;

use super::{RegisteredPeer, row};

/// Maximum number of bytes of a value in an error.
const MAX_PRINTED_BYTES: usize = 80;

/// Query text of the elements that every page starts with.
const HEADER: &str =
    "(try (hash (encoding *state*)) nil) (nth (:globals *state*) 5) *timestamp* (count peers)";

/// The state that a page was read from, and the number of registered peers in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Hash of the state; absent if the peer does not say it.
    hash: Option<Hash>,
    /// Index of the last applied block; −1 before the first.
    pub(super) block: i64,
    /// Time of the state, in milliseconds since the epoch.
    pub(super) time_ms: i64,
    /// Number of registered peers.
    pub(super) registered: u64,
}

impl Header {
    /// Returns how many of the positions from `from` to `to` are in the registry.
    fn rows_between(&self, from: usize, to: usize) -> u64 {
        let clamp = |position: usize| self.registered.min(position as u64);
        clamp(to) - clamp(from)
    }
}

/// Query text of the rows of the registry between two positions.
pub(super) fn rows_source(from: usize, to: usize) -> String {
    let row = row::function();
    format!(
        "(let [peers (:peers *state*)] [{HEADER} (mapv {row} {})])",
        slice(from, to)
    )
}

/// Reads the answer to [`rows_source`].
pub(super) fn read_rows(
    value: &Cell,
    from: usize,
    to: usize,
) -> Result<(Header, BTreeMap<Hash, RegisteredPeer>), String> {
    let (header, [rows]) = read_page(value)?;
    let expected = header.rows_between(from, to);
    let rows = rows
        .as_elements()
        .filter(|rows| rows.len() as u64 == expected);
    let rows = rows.ok_or_else(|| {
        let registered = header.registered;
        format!("expected {expected} of {registered} peers from position {from}")
    })?;
    let mut peers = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        let in_row = |problem| format!("row {}: {problem}", from + i);
        let (key, peer) = row::read(row).map_err(in_row)?;
        if peers.insert(key, peer).is_some() {
            return Err(in_row(format!("{key} is on the page twice")));
        }
    }
    Ok((header, peers))
}

/// Sums over all rows between two positions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    /// Stake, own and delegated, with rewards, in copper.
    pub(super) stake_copper: i64,
    /// Weight in consensus, in shares.
    pub(super) weight: f64,
}

/// Query text of the sums of stake and weight between two positions. The decay is that of
/// [`economics`](crate::chain::economics); a peer without a block, as most are in a large registry,
/// skips the exponential, which halves the juice.
pub(super) fn sums_source(from: usize, to: usize) -> String {
    let slice = slice(from, to);
    format!(
        "(let [peers (:peers *state*) part {slice} now *timestamp*] \
           [{HEADER} \
            (reduce (fn [s [k p]] (+ s (:balance p))) 0 part) \
            (reduce (fn [w [k p]] \
              (+ w (* (+ (:stake p) (:delegated-stake p)) \
                      (if (= (:timestamp p) -1) 0.001 \
                        (max 0.001 (exp (/ (min 0 (- (:timestamp p) now -180000)) 300000.0))))))) \
              0.0 part)])"
    )
}

/// Reads the answer to [`sums_source`].
pub(super) fn read_sums(value: &Cell) -> Result<(Header, Sums), String> {
    let (header, [stake, weight]) = read_page(value)?;
    let stake_copper = row::amount("total stake", stake)?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a bound, which need not be exact"
    )]
    let max = MAX_SUPPLY_COPPER as f64;
    let weight = weight
        .as_f64()
        .filter(|weight| (0.0..=max).contains(weight));
    let weight = weight.ok_or("the total weight is not between 0 and the coin supply")?;
    Ok((
        header,
        Sums {
            stake_copper,
            weight,
        },
    ))
}

/// Query text of the rows of some keys.
pub(super) fn keys_source(keys: &[Hash]) -> String {
    let row = row::function();
    let keys: Vec<String> = keys.iter().map(Hash::to_string).collect();
    format!(
        "(let [peers (:peers *state*) row {row}] \
           [{HEADER} (mapv (fn [k] (let [p (get peers k)] (if p (row [k p]) nil))) [{}])])",
        keys.join(" ")
    )
}

/// Reads the answer to [`keys_source`]: for each key its entry, or none if it is not registered.
pub(super) fn read_keys(
    value: &Cell,
    keys: &[Hash],
) -> Result<(Header, Vec<Option<RegisteredPeer>>), String> {
    let (header, [rows]) = read_page(value)?;
    let rows = rows.as_elements().filter(|rows| rows.len() == keys.len());
    let rows = rows.ok_or_else(|| format!("expected the rows of {} keys", keys.len()))?;
    let read = |(key, row): (&Hash, &Cell)| {
        if row.is_nil() {
            return Ok(None);
        }
        match row::read(row)? {
            (found, peer) if found == *key => Ok(Some(peer)),
            (found, _) => Err(format!("expected the row of {key}, found that of {found}")),
        }
    };
    let entries = keys.iter().zip(rows.iter()).map(read);
    Ok((header, entries.collect::<Result<_, _>>()?))
}

/// Query text of the balances of accounts, nil for an account that does not exist.
pub(super) fn balances_source(addresses: &[u64]) -> String {
    let addresses: Vec<String> = addresses.iter().map(|a| format!("#{a}")).collect();
    format!(
        "(mapv (fn [a] (try (balance a) nil)) [{}])",
        addresses.join(" ")
    )
}

/// Reads the answer to [`balances_source`], without the accounts that do not exist.
pub(super) fn read_balances(value: &Cell, addresses: &[u64]) -> Result<Vec<(u64, i64)>, String> {
    let balances = value.as_elements().filter(|it| it.len() == addresses.len());
    let balances = balances.ok_or_else(|| {
        let (expected, found) = (addresses.len(), value.printed(MAX_PRINTED_BYTES));
        format!("{found} is not a vector of {expected} balances")
    })?;
    let known = addresses
        .iter()
        .zip(balances.iter())
        .filter(|(_, balance)| !balance.is_nil());
    known
        .map(|(address, balance)| Ok((*address, row::amount("balance", balance)?)))
        .collect()
}

fn slice(from: usize, to: usize) -> String {
    format!("(slice peers (min {from} (count peers)) (min {to} (count peers)))")
}

/// Splits a page into its header and the `N` elements after it.
fn read_page<const N: usize>(value: &Cell) -> Result<(Header, [&Cell; N]), String> {
    let not_a_page = || {
        let found = value.printed(MAX_PRINTED_BYTES);
        format!(
            "{found} is not a page: a vector of {}, with state, block, time and count",
            4 + N
        )
    };
    let elements = value
        .as_elements()
        .filter(|elements| elements.len() == 4 + N);
    let elements = elements.ok_or_else(not_a_page)?;
    let integer = |i: usize, min: i64| {
        let number = elements.get(i).and_then(Cell::as_i64);
        number
            .filter(|number| *number >= min)
            .ok_or_else(not_a_page)
    };
    let header = Header {
        hash: elements.get(0).and_then(Cell::as_hash),
        block: integer(1, -1)?,
        time_ms: integer(2, 0)?,
        registered: integer(3, 0)?.unsigned_abs(),
    };
    Ok((
        header,
        std::array::from_fn(|i| elements.get(4 + i).unwrap_or(&Cell::Nil)),
    ))
}

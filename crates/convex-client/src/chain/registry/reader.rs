//! Reads the registry page by page. Does no I/O: it returns the next query and handles its answer.

use std::collections::{BTreeMap, BTreeSet};

use cad3::{Cell, Hash};

use crate::chain::economics::MAX_SUPPLY_COPPER;
use crate::query::{Query, QueryError};

use super::{RegisteredPeer, Registry, row};

/// Maximum number of peers in a [`Registry`]. Further peers are only counted.
pub const MAX_PEERS: usize = 1000;

/// Number of peers or balances in one query. A row costs about 1,100 juice and at most 400 bytes,
/// so a page stays far below a peer's limit of 10,000,000 juice (PEER-PROTOCOL, section 3.2) and
/// below the default limit of the size of a reply.
const PAGE_ROWS: usize = 250;

/// Minimum number of rows in a page, for peers with lower limits.
const MIN_PAGE_ROWS: usize = 10;

/// Maximum number of bytes of a value in an error.
const MAX_PRINTED_BYTES: usize = 80;

/// Reads the registry of peers with several queries, page by page.
///
/// ```no_run
/// # use convex_client::TcpClient;
/// # use convex_client::chain::{Registry, RegistryError, RegistryReader};
/// # use tokio::time::{Duration, Instant};
/// # async fn read(client: &mut TcpClient) -> Result<Option<Registry>, RegistryError> {
/// let mut reader = RegistryReader::default();
/// while let Some(query) = reader.next_query() {
///     let deadline = Instant::now() + Duration::from_secs(5);
///     reader.handle_answer(client.query(&query, deadline).await)?;
/// }
/// # Ok(reader.finish())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RegistryReader {
    step: Step,
    page_rows: usize,
    /// Time of the state, and number of registered peers, after the first page.
    header: Option<(i64, u64)>,
    peers: BTreeMap<Hash, RegisteredPeer>,
    controllers: BTreeMap<u64, i64>,
}

/// The next query.
#[derive(Clone, Debug)]
enum Step {
    /// Rows of peers, starting at this position.
    Peers(usize),
    /// Balances of the first of these addresses.
    Balances(Vec<u64>),
    /// Everything is read.
    Done,
}

/// Reason why an answer cannot be used. What was read before is kept, and the same query can be
/// sent to another peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The value is not an answer to the query. The text says why.
    #[error("malformed registry: {0}")]
    Malformed(String),
    /// The query has no value.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl Default for RegistryReader {
    /// Creates a reader that starts with the first peer.
    fn default() -> Self {
        Self {
            step: Step::Peers(0),
            page_rows: PAGE_ROWS,
            header: None,
            peers: BTreeMap::new(),
            controllers: BTreeMap::new(),
        }
    }
}

impl RegistryReader {
    /// Returns the next query to send, or `None` if the registry is complete.
    #[must_use]
    pub fn next_query(&self) -> Option<Query> {
        let text = match &self.step {
            Step::Peers(from) => peers_source(*from, self.page_end(*from)),
            Step::Balances(addresses) => balances_source(self.page(addresses)),
            Step::Done => return None,
        };
        Some(query(&text))
    }

    /// Handles the answer to the query that [`next_query`](Self::next_query) returned. If the query
    /// exceeds a limit, the next query is smaller; if it cannot be smaller, the rest of the peers
    /// or balances is left out.
    ///
    /// # Errors
    /// The query has no value, or the value is not an answer to it. The next query is then the
    /// same.
    pub fn handle_answer(&mut self, answer: Result<Cell, QueryError>) -> Result<(), RegistryError> {
        let value = match answer {
            Ok(value) => value,
            Err(error) if error.exceeds_limit() && self.page_rows > MIN_PAGE_ROWS => {
                self.page_rows = (self.page_rows / 5).max(MIN_PAGE_ROWS);
                return Ok(());
            }
            Err(error) if error.exceeds_limit() && self.header.is_some() => {
                self.step = match self.step {
                    Step::Peers(_) => self.balances_step(),
                    _ => Step::Done,
                };
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        match &self.step {
            Step::Peers(from) => self.add_peers(*from, &value),
            Step::Balances(addresses) => {
                let page = self.page(addresses).to_vec();
                let rest = addresses[page.len()..].to_vec();
                self.add_balances(&page, &value)?;
                self.step = balances_or_done(rest);
                Ok(())
            }
            Step::Done => Ok(()),
        }
    }

    /// Returns the registry, or `None` if not even the first page was read.
    #[must_use]
    pub fn finish(self) -> Option<Registry> {
        let (state_time_ms, registered) = self.header?;
        Some(Registry {
            state_time_ms,
            registered,
            complete: self.peers.len() as u64 == registered,
            // Each page was checked against the coin supply, so this fits.
            total_stake_copper: i64::try_from(stake_of(self.peers.values())).unwrap_or(i64::MAX),
            peers: self.peers,
            controllers: self.controllers,
        })
    }

    fn page_end(&self, from: usize) -> usize {
        (from + self.page_rows).min(MAX_PEERS)
    }

    fn page<'a>(&self, addresses: &'a [u64]) -> &'a [u64] {
        &addresses[..self.page_rows.min(addresses.len())]
    }

    fn add_peers(&mut self, from: usize, value: &Cell) -> Result<(), RegistryError> {
        let to = self.page_end(from);
        let page = Page::read(value, from, to).map_err(RegistryError::Malformed)?;
        // If the registry changed after the previous page, a peer may be on both pages.
        let mut peers = self.peers.clone();
        peers.extend(page.peers);
        if stake_of(peers.values()) > i128::from(MAX_SUPPLY_COPPER) {
            let problem = "the stake of the peers exceeds the coin supply";
            return Err(RegistryError::Malformed(problem.to_owned()));
        }
        self.peers = peers;
        self.header = Some((page.state_time_ms, page.registered));
        self.step = if (to as u64) < page.registered && to < MAX_PEERS {
            Step::Peers(to)
        } else {
            self.balances_step()
        };
        Ok(())
    }

    fn balances_step(&self) -> Step {
        let controllers = self.peers.values().filter_map(|peer| peer.controller);
        let distinct: BTreeSet<u64> = controllers.collect();
        balances_or_done(distinct.into_iter().collect())
    }

    fn add_balances(&mut self, addresses: &[u64], value: &Cell) -> Result<(), RegistryError> {
        let elements = value
            .as_elements()
            .filter(|elements| elements.len() == addresses.len());
        let elements = elements.ok_or_else(|| {
            let (expected, found) = (addresses.len(), value.printed(MAX_PRINTED_BYTES));
            RegistryError::Malformed(format!("{found} is not a vector of {expected} balances"))
        })?;
        let mut balances = Vec::new();
        for (address, balance) in addresses.iter().zip(elements.iter()) {
            // Nil: the account does not exist.
            if !balance.is_nil() {
                let balance = row::amount("balance", balance).map_err(RegistryError::Malformed)?;
                balances.push((*address, balance));
            }
        }
        self.controllers.extend(balances);
        Ok(())
    }
}

fn query(text: &str) -> Query {
    Query::read(text).expect("the text consists of constants and numbers")
}

fn balances_or_done(addresses: Vec<u64>) -> Step {
    if addresses.is_empty() {
        Step::Done
    } else {
        Step::Balances(addresses)
    }
}

fn stake_of<'a>(peers: impl Iterator<Item = &'a RegisteredPeer>) -> i128 {
    peers
        .map(|peer| i128::from(peer.own_copper) + i128::from(peer.delegated_copper))
        .sum()
}

/// Returns the query text for time, size and some rows of the registry, all of one state.
fn peers_source(from: usize, to: usize) -> String {
    let row = row::function();
    format!(
        "(let [peers (:peers *state*) n (count peers)] \
           [*timestamp* n (mapv {row} (slice peers (min {from} n) (min {to} n)))])"
    )
}

/// Returns the query text for the balances of accounts, nil for an account that does not exist.
fn balances_source(addresses: &[u64]) -> String {
    let addresses: Vec<String> = addresses.iter().map(|a| format!("#{a}")).collect();
    format!(
        "(mapv (fn [a] (try (balance a) nil)) [{}])",
        addresses.join(" ")
    )
}

/// One page of peers.
struct Page {
    state_time_ms: i64,
    registered: u64,
    peers: BTreeMap<Hash, RegisteredPeer>,
}

impl Page {
    /// Parses the rows from one position to another. Their number must follow from the size of the
    /// registry.
    fn read(value: &Cell, from: usize, to: usize) -> Result<Self, String> {
        let not_a_page = || {
            let found = value.printed(MAX_PRINTED_BYTES);
            format!("{found} is not a vector of time, count and rows")
        };
        let elements = value.as_elements().filter(|elements| elements.len() == 3);
        let elements = elements.ok_or_else(not_a_page)?;
        let [time, registered, rows] =
            std::array::from_fn(|i| elements.get(i).unwrap_or(&Cell::Nil));
        let state_time_ms = time.as_i64().filter(|ms| *ms >= 0).ok_or_else(not_a_page)?;
        let registered = registered.as_i64().and_then(|n| u64::try_from(n).ok());
        let registered = registered.ok_or_else(not_a_page)?;
        let rows = rows.as_elements().ok_or_else(not_a_page)?;
        let clamp = |position: usize| registered.min(position as u64);
        let expected = clamp(to) - clamp(from);
        if rows.len() as u64 != expected {
            return Err(format!(
                "expected {expected} of {registered} peers from position {from}, found {}",
                rows.len()
            ));
        }
        let mut peers = BTreeMap::new();
        for (i, row) in rows.iter().enumerate() {
            let in_row = |problem| format!("row {}: {problem}", from + i);
            let (key, peer) = row::read(row).map_err(in_row)?;
            if peers.insert(key, peer).is_some() {
                return Err(in_row(format!("{key} is on the page twice")));
            }
        }
        Ok(Self {
            state_time_ms,
            registered,
            peers,
        })
    }
}

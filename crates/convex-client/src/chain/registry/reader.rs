//! Reads the registry page by page. Does no I/O: it returns the next query and handles its answer.

use std::collections::{BTreeMap, BTreeSet};

use cad3::{Cell, Hash};

use crate::chain::economics::MAX_SUPPLY_COPPER;
use crate::query::{Query, QueryError};

use super::page::{self, Header, Sums};
use super::{Coverage, RegisteredPeer, Registry, Totals};

/// Maximum number of peers in a [`Registry`], at most about 400 bytes each. Of a larger registry
/// only totals and the watched peers are read.
pub const MAX_PEERS: usize = 100_000;

/// Number of peers in one page of rows. A row costs about 1,100 juice and usually 100 bytes, so
/// that a page takes less than half of a peer's limit of 10,000,000 juice (PEER-PROTOCOL, section
/// 3.2) and of the default limit of the size of a reply. The fewer pages, the likelier all are of
/// one state.
const ROWS: usize = 4000;

/// Number of peers in one page of sums. A peer without a block costs about 340 juice, one with a
/// block 500.
const SUMMED: usize = 25_000;

/// Number of keys or addresses in one page: a query of at most 20 kB.
const KEYS: usize = 250;

/// Minimum number of peers in a page, for peers with lower limits.
const MIN_PAGE: usize = 10;

/// How often all pages are read again because they were not of one state.
const MAX_RESTARTS: u32 = 3;

/// Maximum number of answers for one registry. More are needed only for one of millions of peers.
const MAX_ANSWERS: u32 = 400;

/// Maximum number of controllers whose balances are read; those of watched peers come first.
const MAX_BALANCES: usize = 1000;

/// Reads the registry of peers with several queries, page by page, all of one state. If blocks are
/// made faster than pages are read, or if the registry is too large, it reads totals and the
/// watched peers instead.
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
    watched: Vec<Hash>,
    step: Step,
    /// Maximum number of peers in the next page.
    page: usize,
    max_page: usize,
    restarts: u32,
    answers: u32,
    /// State of the pages read so far; of the last page, after the pages of one state.
    header: Option<Header>,
    rows: BTreeMap<Hash, RegisteredPeer>,
    sums: Sums,
    coverage: Coverage,
    absent: BTreeSet<Hash>,
    controllers: BTreeMap<u64, i64>,
}

/// The next query.
#[derive(Clone, Debug)]
enum Step {
    /// Rows of peers, starting at this position.
    Rows(usize),
    /// Sums over peers, starting at this position.
    Sums(usize),
    /// Rows of the watched keys, starting at this position.
    Watched(usize),
    /// Balances of the first of these addresses.
    Balances(Vec<u64>),
    /// Everything is read.
    Done,
}

/// Reason why an answer cannot be used. Earlier pages are kept, and the same query can be
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
    /// Creates a reader without watched peers.
    fn default() -> Self {
        Self::new([])
    }
}

impl RegistryReader {
    /// Creates a reader that reads at least the entries of `watched` keys.
    #[must_use]
    pub fn new(watched: impl IntoIterator<Item = Hash>) -> Self {
        let watched: BTreeSet<Hash> = watched.into_iter().collect();
        Self {
            watched: watched.into_iter().collect(),
            step: Step::Rows(0),
            page: ROWS,
            max_page: usize::MAX,
            restarts: 0,
            answers: 0,
            header: None,
            rows: BTreeMap::new(),
            sums: Sums::default(),
            coverage: Coverage::Watched,
            absent: BTreeSet::new(),
            controllers: BTreeMap::new(),
        }
    }

    /// Limits the number of peers in a page, for a peer whose limits are known to be low.
    #[must_use]
    pub fn with_max_page(mut self, peers: usize) -> Self {
        self.max_page = peers.max(1);
        self.page = self.page.min(self.max_page);
        self
    }

    /// Returns the next query to send, or `None` if everything is read.
    #[must_use]
    pub fn next_query(&self) -> Option<Query> {
        let text = match &self.step {
            Step::Rows(from) => page::rows_source(*from, self.page_end(*from)),
            Step::Sums(from) => page::sums_source(*from, self.page_end(*from)),
            Step::Watched(from) => page::keys_source(self.page_of(&self.watched[*from..])),
            Step::Balances(addresses) => page::balances_source(self.page_of(addresses)),
            Step::Done => return None,
        };
        Some(query(&text))
    }

    /// Handles the answer to the query that [`next_query`](Self::next_query) returned. If the query
    /// exceeds a limit, the next query is smaller; if it cannot be smaller, less is read.
    ///
    /// # Errors
    /// The query has no value, or the value is not an answer to it. The next query is then the
    /// same.
    pub fn handle_answer(&mut self, answer: Result<Cell, QueryError>) -> Result<(), RegistryError> {
        self.answers += 1;
        if self.answers > MAX_ANSWERS {
            if matches!(self.step, Step::Rows(_) | Step::Sums(_)) {
                self.forget();
            }
            self.step = Step::Done;
            return Ok(());
        }
        let value = match answer {
            Ok(value) => value,
            Err(error) if error.exceeds_limit() && self.page > MIN_PAGE => {
                self.page = (self.page / 2).max(MIN_PAGE);
                return Ok(());
            }
            Err(error) if error.exceeds_limit() && self.header.is_some() => {
                self.read_less();
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let step = self.step.clone();
        let handled = match &step {
            Step::Rows(from) => self.add_rows(*from, &value),
            Step::Sums(from) => self.add_sums(*from, &value),
            Step::Watched(from) => self.add_watched(*from, &value),
            Step::Balances(addresses) => self.add_balances(addresses, &value),
            Step::Done => Ok(()),
        };
        handled.map_err(RegistryError::Malformed)
    }

    /// Returns the registry, or `None` if not even the first page was read.
    #[must_use]
    pub fn finish(self) -> Option<Registry> {
        let header = self.header?;
        Some(Registry {
            state_time_ms: header.time_ms,
            state_block: header.block,
            registered: header.registered,
            coverage: self.coverage,
            peers: self.rows,
            absent: self.absent,
            controllers: self.controllers,
        })
    }

    fn page_end(&self, from: usize) -> usize {
        from.saturating_add(self.page)
    }

    fn page_of<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        &all[..self.page.min(all.len())]
    }

    fn add_rows(&mut self, from: usize, value: &Cell) -> Result<(), String> {
        let to = self.page_end(from);
        let (header, page) = page::read_rows(value, from, to)?;
        if header.registered > MAX_PEERS as u64 {
            self.header = Some(header);
            self.read_less();
            return Ok(());
        }
        if from > 0 && self.header != Some(header) {
            self.header = Some(header);
            self.restart(Step::Rows(0));
            return Ok(());
        }
        if let Some(key) = page.keys().find(|key| self.rows.contains_key(*key)) {
            return Err(format!("{key} is on two pages"));
        }
        let stake = add_stake(self.sums.stake_copper, stake_of(page.values()))?;
        self.sums.stake_copper = stake;
        self.rows.extend(page);
        self.header = Some(header);
        if (to as u64) < header.registered {
            self.step = Step::Rows(to);
        } else {
            let weight = |peer: &RegisteredPeer| peer.weight(header.time_ms);
            self.sums.weight = self.rows.values().map(weight).sum();
            self.coverage = Coverage::Complete(self.totals());
            self.read_balances();
        }
        Ok(())
    }

    fn add_sums(&mut self, from: usize, value: &Cell) -> Result<(), String> {
        let (header, sums) = page::read_sums(value)?;
        if from > 0 && self.header != Some(header) {
            self.header = Some(header);
            self.restart(Step::Sums(0));
            return Ok(());
        }
        self.sums.stake_copper = add_stake(self.sums.stake_copper, sums.stake_copper.into())?;
        self.sums.weight += sums.weight;
        self.header = Some(header);
        let to = self.page_end(from);
        if (to as u64) < header.registered {
            self.step = Step::Sums(to);
        } else {
            self.coverage = Coverage::Totals(self.totals());
            self.start(Step::Watched(0), KEYS);
        }
        Ok(())
    }

    fn add_watched(&mut self, from: usize, value: &Cell) -> Result<(), String> {
        let keys = self.page_of(&self.watched[from..]).to_vec();
        let (header, entries) = page::read_keys(value, &keys)?;
        if self.coverage == Coverage::Watched {
            self.header = Some(header);
        }
        for (key, entry) in keys.iter().zip(entries) {
            match entry {
                Some(peer) => drop(self.rows.insert(*key, peer)),
                None => drop(self.absent.insert(*key)),
            }
        }
        self.step = Step::Watched(from + keys.len());
        self.skip_empty_step();
        Ok(())
    }

    fn add_balances(&mut self, addresses: &[u64], value: &Cell) -> Result<(), String> {
        let page = self.page_of(addresses);
        self.controllers.extend(page::read_balances(value, page)?);
        self.step = Step::Balances(addresses[page.len()..].to_vec());
        self.skip_empty_step();
        Ok(())
    }

    fn totals(&self) -> Totals {
        Totals {
            stake_copper: self.sums.stake_copper,
            weight: self.sums.weight,
        }
    }

    /// Reads all pages again, because the last one is of another state; less, after several times.
    fn restart(&mut self, first: Step) {
        self.restarts += 1;
        if self.restarts > MAX_RESTARTS {
            self.read_less();
        } else {
            self.forget();
            self.step = first;
        }
    }

    /// Goes on to what takes fewer queries.
    fn read_less(&mut self) {
        self.restarts = 0;
        match self.step {
            Step::Rows(_) => {
                self.forget();
                self.start(Step::Sums(0), SUMMED);
            }
            Step::Sums(_) => {
                self.forget();
                self.start(Step::Watched(0), KEYS);
            }
            Step::Watched(_) => self.read_balances(),
            Step::Balances(_) | Step::Done => self.step = Step::Done,
        }
    }

    fn read_balances(&mut self) {
        let watched = self.watched.iter().filter_map(|key| self.rows.get(key));
        let mut addresses: Vec<u64> = Vec::new();
        let mut known = BTreeSet::new();
        for peer in watched.chain(self.rows.values()) {
            if let Some(address) = peer.controller
                && addresses.len() < MAX_BALANCES
                && known.insert(address)
            {
                addresses.push(address);
            }
        }
        self.start(Step::Balances(addresses), KEYS);
    }

    fn start(&mut self, step: Step, page: usize) {
        self.step = step;
        self.page = page.min(self.max_page);
        self.skip_empty_step();
    }

    fn skip_empty_step(&mut self) {
        match &self.step {
            Step::Watched(from) if *from == self.watched.len() => self.read_balances(),
            Step::Balances(addresses) if addresses.is_empty() => self.step = Step::Done,
            _ => {}
        }
    }

    fn forget(&mut self) {
        self.rows.clear();
        self.sums = Sums::default();
    }
}

fn query(text: &str) -> Query {
    Query::read(text).expect("the text consists of constants and numbers")
}

fn stake_of<'a>(peers: impl Iterator<Item = &'a RegisteredPeer>) -> i128 {
    peers
        .map(|peer| i128::from(peer.own_copper) + i128::from(peer.delegated_copper))
        .sum()
}

fn add_stake(sum: i64, more: i128) -> Result<i64, String> {
    let sum = i64::try_from(i128::from(sum) + more).ok();
    let within = sum.filter(|sum| *sum <= MAX_SUPPLY_COPPER);
    within.ok_or_else(|| "the stake of the peers exceeds the coin supply".to_owned())
}

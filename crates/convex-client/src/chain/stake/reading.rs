//! Reading the registry in as many questions as it takes. Sans-IO: gives the next question, takes its answer.

use std::collections::{BTreeMap, BTreeSet};

use cad3::{Cell, Hash};

use crate::chain::economics::MAX_SUPPLY_COPPER;
use crate::{Query, QueryError};

use super::{RegisteredPeer, Registry, row};

/// How many peers are kept of a registry; the rest is counted.
pub const MAX_PEERS: usize = 1000;

/// Peers or balances in one question. A row costs some 1,100 juice and at most 400 bytes, so this stays a long way below
/// a peer's limit of 10,000,000 (PEER-PROTOCOL, section 3.2) and below the accepted size of a reply.
const PAGE: usize = 250;

/// Where that is too much for a peer all the same, less is asked down to this.
const SMALLEST_PAGE: usize = 10;

/// What of a wrong value is shown, characters.
const SHOWN: usize = 80;

/// A reading of the registry under way.
///
/// ```no_run
/// # use crate::chain::stake::{Reading, Registry, RegistryError};
/// # use convex_peer_monitor::poller::prober::Prober;
/// # async fn read(prober: &mut Prober) -> Result<Option<Registry>, RegistryError> {
/// let mut reading = Reading::default();
/// while let Some(question) = reading.next_question() {
///     reading.take(prober.ask(&question).await)?;
/// }
/// # Ok(reading.finish())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Reading {
    step: Step,
    page: usize,
    /// Time and size of the registry, once a page has told.
    seen: Option<(i64, u64)>,
    peers: BTreeMap<Hash, RegisteredPeer>,
    controllers: BTreeMap<u64, i64>,
}

/// What is asked next.
#[derive(Clone, Debug)]
enum Step {
    /// Rows from this position on.
    Peers(usize),
    /// Balances of the first of these addresses.
    Balances(Vec<u64>),
    Done,
}

/// Why a question brought the reading no further. What was read before is kept, and the same question can be asked of
/// another peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The peer says something that is no answer to this question.
    #[error("the registry is not as a peer tells it: {0}")]
    Malformed(String),
    /// There is no answer.
    #[error(transparent)]
    QueryError(#[from] QueryError),
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            step: Step::Peers(0),
            page: PAGE,
            seen: None,
            peers: BTreeMap::new(),
            controllers: BTreeMap::new(),
        }
    }
}

impl Reading {
    /// What to ask next; nothing when all is read.
    #[must_use]
    pub fn next_question(&self) -> Option<Query> {
        let text = match &self.step {
            Step::Peers(from) => peers_source(*from, self.page_end(*from)),
            Step::Balances(addresses) => balances_source(self.first(addresses)),
            Step::Done => return None,
        };
        Some(question(&text))
    }

    /// Takes the answer to that question. One that is too much for the peer is no error as long as less can be asked, or
    /// something is known that can be gone on with.
    ///
    /// # Errors
    /// The answer is missing or not usable.
    pub fn take(&mut self, answer: Result<Cell, QueryError>) -> Result<(), RegistryError> {
        let value = match answer {
            Ok(value) => value,
            Err(why) if why.is_too_much() && self.page > SMALLEST_PAGE => {
                self.page = (self.page / 5).max(SMALLEST_PAGE);
                return Ok(());
            }
            Err(why) if why.is_too_much() && self.seen.is_some() => {
                self.step = match self.step {
                    Step::Peers(_) => self.balances_step(),
                    _ => Step::Done,
                };
                return Ok(());
            }
            Err(why) => return Err(why.into()),
        };
        match &self.step {
            Step::Peers(from) => self.take_peers(*from, &value),
            Step::Balances(addresses) => {
                let asked = self.first(addresses).to_vec();
                let rest = addresses[asked.len()..].to_vec();
                self.take_balances(&asked, &value)?;
                self.step = balances_or_done(rest);
                Ok(())
            }
            Step::Done => Ok(()),
        }
    }

    /// What was read; nothing if not a single page was.
    #[must_use]
    pub fn finish(self) -> Option<Registry> {
        let (state_time_ms, registered) = self.seen?;
        Some(Registry {
            state_time_ms,
            registered,
            complete: self.peers.len() as u64 == registered,
            // Checked with each page that it fits.
            total_stake_copper: i64::try_from(stake_of(self.peers.values())).unwrap_or(i64::MAX),
            peers: self.peers,
            controllers: self.controllers,
        })
    }

    fn page_end(&self, from: usize) -> usize {
        (from + self.page).min(MAX_PEERS)
    }

    fn first<'a>(&self, addresses: &'a [u64]) -> &'a [u64] {
        &addresses[..self.page.min(addresses.len())]
    }

    fn take_peers(&mut self, from: usize, value: &Cell) -> Result<(), RegistryError> {
        let to = self.page_end(from);
        let page = Page::read(value, from, to).map_err(RegistryError::Malformed)?;
        // Peers that came or went since the page before may have moved one into both.
        let mut peers = self.peers.clone();
        peers.extend(page.peers);
        if stake_of(peers.values()) > i128::from(MAX_SUPPLY_COPPER) {
            let problem = "the peers have more stake than there is coin";
            return Err(RegistryError::Malformed(problem.to_owned()));
        }
        self.peers = peers;
        self.seen = Some((page.state_time_ms, page.registered));
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

    fn take_balances(&mut self, asked: &[u64], value: &Cell) -> Result<(), RegistryError> {
        let malformed = |problem: String| RegistryError::Malformed(problem);
        let answers = value.as_elements().filter(|all| all.len() == asked.len());
        let answers = answers.ok_or_else(|| {
            let (wanted, found) = (asked.len(), value.printed(SHOWN));
            malformed(format!("{found} is no vector of {wanted} balances"))
        })?;
        let mut balances = Vec::new();
        for (address, balance) in asked.iter().zip(answers.iter()) {
            // Nil: there is no such account.
            if !balance.is_nil() {
                let balance = row::amount("balance", balance).map_err(malformed)?;
                balances.push((*address, balance));
            }
        }
        self.controllers.extend(balances);
        Ok(())
    }
}

fn question(text: &str) -> Query {
    Query::read(text).expect("made of constants and numbers, as tests read it")
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

/// Time, size and some rows of the registry, all of one state: one vector form.
fn peers_source(from: usize, to: usize) -> String {
    let row = row::function();
    format!(
        "(let [peers (:peers *state*) n (count peers)] \
           [*timestamp* n (mapv {row} (slice peers (min {from} n) (min {to} n)))])"
    )
}

/// The balances of these accounts, nil for one that is not there.
fn balances_source(addresses: &[u64]) -> String {
    let addresses: Vec<String> = addresses.iter().map(|a| format!("#{a}")).collect();
    format!(
        "(mapv (fn [a] (try (balance a) nil)) [{}])",
        addresses.join(" ")
    )
}

/// The answer to one question for peers.
struct Page {
    state_time_ms: i64,
    registered: u64,
    peers: BTreeMap<Hash, RegisteredPeer>,
}

impl Page {
    /// Reads the rows from a position up to another, of which there must be as many as the size of the registry says.
    fn read(value: &Cell, from: usize, to: usize) -> Result<Self, String> {
        let no_page = || {
            let found = value.printed(SHOWN);
            format!("{found} is no vector of time, count and rows")
        };
        let elements = value.as_elements().filter(|elements| elements.len() == 3);
        let elements = elements.ok_or_else(no_page)?;
        let [time, registered, rows] =
            std::array::from_fn(|i| elements.get(i).unwrap_or(&Cell::Nil));
        let state_time_ms = time.as_i64().filter(|ms| *ms >= 0).ok_or_else(no_page)?;
        let registered = registered.as_i64().and_then(|n| u64::try_from(n).ok());
        let registered = registered.ok_or_else(no_page)?;
        let rows = rows.as_elements().ok_or_else(no_page)?;
        let position = |position: usize| registered.min(position as u64);
        let expected = position(to) - position(from);
        if rows.len() as u64 != expected {
            return Err(format!(
                "{} rows from {from} on where {expected} of {registered} peers are asked for",
                rows.len()
            ));
        }
        let mut peers = BTreeMap::new();
        for (i, row) in rows.iter().enumerate() {
            let at = |problem| format!("row {}: {problem}", from + i);
            let (key, peer) = row::read(row).map_err(at)?;
            if peers.insert(key, peer).is_some() {
                return Err(at(format!("{key} comes twice")));
            }
        }
        Ok(Self {
            state_time_ms,
            registered,
            peers,
        })
    }
}

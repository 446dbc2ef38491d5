//! The simulated network: its peers, its blocks, and what each peer knows at a given time. Does no
//! I/O and reads no clock.

mod block;
mod frozen;
mod heard;
mod history;
mod states;
#[cfg(test)]
mod tests;
mod transactions;
mod view;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cad3::{Cell, Hash};

use super::ledger::{Ledger, OrderKey, Signer};
use super::network::Options;
use super::peers::PeerSet;
use super::script::{ActiveFaults, Script};
use super::state::{State, accounts};
use super::traffic::Traffic;

pub(crate) use self::block::Block;
use self::history::StateId;
use self::transactions::Transactions;

pub(super) use self::history::History;
pub(super) use self::transactions::{COMMAND_JUICE, Executed, Ticket};
pub(super) use self::view::View;

/// Number of blocks at the start, which is how far peers can lag or fall back.
const INITIAL_BLOCKS: usize = 1000;
/// Time in which every peer makes one of the initial blocks. A peer's stake loses weight three
/// minutes after its last block, so all of them have full weight at the start.
const INITIAL_ROUND_MS: i64 = 120_000;
/// Traffic stops at this number of blocks, which bounds the memory of a network that runs for very
/// long.
const MAX_BLOCKS: usize = 1_000_000;
/// Time from making a block to each level: block, proposal, consensus, finality.
const LEVEL_DELAYS_MS: [i64; 4] = [10, 120, 240, 360];
/// Time from making a block to the state after it.
const STATE_DELAY_MS: i64 = 380;
/// Peers learn of a block at different times, at most this far apart.
const MAX_JITTER_MS: i64 = 40;
/// How often a stalled peer adds a block to its own order, as observed on real peers.
const STALLED_BLOCK_INTERVAL_MS: i64 = 8000;
/// Time of the genesis state, in milliseconds since the epoch. Fixed, so that a seed gives one
/// genesis.
const GENESIS_MS: i64 = 1_700_000_000_000;
/// Own stake of each peer, in copper: 66,600 CVM.
const STAKE: i64 = 66_600_000_000_000;
/// How long a restarted peer takes to catch up with one block.
const CATCH_UP_MS: i64 = 100;
/// Reward for making a block, in copper.
const BLOCK_REWARD: i64 = 1000;
/// Age of the last block with `silent-stake`.
const SILENT_STAKE_AGE_MS: i64 = 3_600_000;
/// Bounds the cached states to this many registry entries in total, at about 1 kB each.
const MAX_CACHED_ENTRIES: usize = 50_000;
/// Cached states: at least and at most.
const CACHED_STATES: (usize, usize) = (8, 256);

/// The peers of a network, its blocks so far, and its script.
#[derive(Debug)]
pub(super) struct World {
    /// Keys of the peers, then of those that are only registered.
    keys: Arc<[Hash]>,
    /// Number of peers that answer and make blocks.
    served: usize,
    /// Own stake of each of the others, in copper.
    registered_stake: i64,
    by_key: Arc<HashMap<Hash, usize>>,
    transactions: Transactions,
    urls: Vec<Arc<str>>,
    jitter_ms: Vec<i64>,
    script: Arc<Script>,
    traffic: Option<Traffic>,
    /// Wall-clock time of the start, in milliseconds since the epoch.
    start_ms: i64,
    blocks: Vec<Block>,
    /// Indexes of the blocks of each peer, in order.
    made_by: Vec<Vec<i64>>,
    next_traffic: Option<Duration>,
    next_maker: usize,
    chain_changes: VecDeque<Duration>,
    /// The most recently made states.
    states: VecDeque<(StateId, Arc<State>)>,
    /// What the peers have signed.
    ledger: Arc<Mutex<Ledger>>,
    /// Genesis states. Kept forever, because every view needs one.
    genesis_states: Vec<(StateId, Arc<State>)>,
}

/// Where the order of a peer is at one time.
struct Position {
    /// Number of blocks at each level.
    levels: [i64; 4],
    /// Index of the last executed block.
    block: i64,
    /// History of the executed blocks.
    history: History,
    /// First block of a history of its own.
    fork_first: Option<i64>,
}

impl World {
    /// Creates a network that starts at `start_ms`, in milliseconds since the epoch. Keys and
    /// genesis depend only on the seed and the numbers of peers.
    pub(super) fn new(options: Options, start_ms: i64) -> Self {
        let Options {
            peers: count,
            seed,
            registered,
            script,
            traffic,
            release,
            accounts: more,
            ..
        } = options;
        let script = Arc::new(script.with_release(release));
        let derive = |what: &str, i: usize| Hash::of(format!("{what} {seed} {i}").as_bytes());
        let all = count + registered.count;
        let signers: Vec<_> = (0..count)
            .map(|i| Signer::new(&derive("peer", i)))
            .collect();
        // Those that are only registered sign nothing.
        let keys: Arc<[Hash]> = (signers.iter().map(Signer::key))
            .chain((count..all).map(|i| derive("peer", i)))
            .collect();
        let by_key = keys.iter().enumerate().map(|(i, key)| (*key, i)).collect();
        let staked = STAKE.saturating_mul(to_i64(count))
            + registered
                .stake_copper
                .saturating_mul(to_i64(registered.count));
        let jitter = |i| i64::from(derive("jitter", i).as_bytes()[0]) * MAX_JITTER_MS / 256;
        let mut world = Self {
            transactions: Transactions::new(accounts(&keys[..count], staked, &more)),
            served: count,
            registered_stake: registered.stake_copper,
            by_key: Arc::new(by_key),
            urls: Vec::new(),
            jitter_ms: (0..count).map(jitter).collect(),
            start_ms,
            blocks: Vec::new(),
            made_by: vec![Vec::new(); count],
            next_traffic: traffic.as_ref().map(|traffic| traffic.interval(0)),
            traffic,
            next_maker: 0,
            chain_changes: script.chain_changes(count).into(),
            states: VecDeque::new(),
            genesis_states: Vec::new(),
            ledger: Arc::new(Mutex::new(Ledger::new(signers))),
            keys,
            script,
        };
        world.make_initial_blocks();
        world
    }

    /// Sets the URLs that the peers register on chain with their first block.
    pub(super) fn register_urls(&mut self, urls: Vec<Arc<str>>) {
        self.urls = urls;
        self.states.clear();
    }

    /// Returns the genesis hash, which identifies the network.
    pub(super) fn genesis(&mut self) -> Hash {
        self.state(StateId::genesis(History::Common)).hash
    }

    pub(super) fn key(&self, peer: usize) -> Hash {
        self.keys[peer]
    }

    fn make_initial_blocks(&mut self) {
        let peers = self.served;
        let blocks = INITIAL_BLOCKS.max(peers);
        let period_ms = (INITIAL_ROUND_MS / to_i64(peers)).clamp(1, 1000);
        let all = PeerSet::all(peers);
        for left in (1..=blocks).rev() {
            let maker = self.pick_maker(&all, Duration::ZERO).unwrap_or(0);
            self.add_block(maker, -period_ms * to_i64(left) - 1000, None);
        }
    }

    /// Lets `peer` make a block at `now`.
    pub(super) fn make_block(&mut self, peer: usize, now: Duration) {
        self.advance(now);
        self.add_block(peer, to_ms(now), None);
    }

    /// Adds a block, of this transaction if there is one. Returns false if there are too many
    /// blocks.
    fn add_block(&mut self, maker: usize, made_ms: i64, transaction: Option<Cell>) -> bool {
        if self.blocks.len() >= MAX_BLOCKS {
            return false;
        }
        // Faults begin with the start.
        let made = u64::try_from(made_ms).map(Duration::from_millis);
        let ahead_ms = made.map_or(0, |made| self.script.active_faults(maker, made).ahead_ms);
        let dated_ms = made_ms + ahead_ms;
        let before = self.blocks.last().map(|block| block.confirmed);
        self.made_by[maker].push(to_i64(self.blocks.len()));
        self.blocks.push(Block {
            made: made_ms,
            dated: dated_ms,
            confirmed: before.map_or(dated_ms, |before| before.max(dated_ms)),
        });
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.add_block(maker, self.start_ms + dated_ms, transaction);
        true
    }

    /// Returns the next of `makers` in turn that can make a block.
    fn pick_maker(&mut self, makers: &PeerSet, now: Duration) -> Option<usize> {
        let count = self.served;
        let maker = (0..count)
            .map(|step| (self.next_maker + step) % count)
            .find(|peer| {
                makers.contains(*peer)
                    && self.script.makes_blocks(*peer, now)
                    && !self.is_frozen(*peer, now)
            })?;
        self.next_maker = (maker + 1) % count;
        Some(maker)
    }

    /// Makes the blocks that are due by `now`: those of the traffic, one for each change on chain,
    /// and one for each transaction that waited for its peer.
    pub(super) fn advance(&mut self, now: Duration) {
        self.make_due_blocks(now);
        self.execute_waiting(now);
    }

    fn make_due_blocks(&mut self, now: Duration) {
        loop {
            let traffic = self.next_traffic.filter(|at| *at <= now);
            let change = self.chain_changes.front().copied().filter(|at| *at <= now);
            let Some(at) = [traffic, change].into_iter().flatten().min() else {
                return;
            };
            let makers = match &self.traffic {
                Some(traffic) if change != Some(at) => {
                    self.next_traffic = Some(at + traffic.interval(self.blocks.len()));
                    traffic.makers.clone()
                }
                _ => {
                    self.chain_changes.pop_front();
                    PeerSet::all(self.served)
                }
            };
            if let Some(maker) = self.pick_maker(&makers, at) {
                self.add_block(maker, to_ms(at), None);
            }
        }
    }

    /// Returns the number of blocks that reach a level, this long after they were made, by `at_ms`,
    /// in milliseconds since the start.
    fn blocks_at(&self, at_ms: i64, delay_ms: i64) -> i64 {
        let reaches = |block: &Block| block.reaches_ms(delay_ms) <= at_ms;
        to_i64(self.blocks.partition_point(reaches))
    }

    /// Returns what `peer` knows at `now`.
    pub(super) fn view(&mut self, peer: usize, now: Duration) -> View {
        self.advance(now);
        let faults = self.script.active_faults(peer, now);
        let now_ms = to_ms(now);
        let Position {
            levels,
            block,
            history,
            fork_first,
        } = self.position(peer, &faults, now);
        // A fork has the genesis of the network.
        let genesis_history = match history {
            History::Foreign => History::Foreign,
            History::Common | History::Fork(_) => History::Common,
        };
        let genesis_state = self.state(StateId::genesis(genesis_history));
        let state = self.state(StateId {
            block,
            history,
            claim: faults.claim,
        });
        let order_key = order_key(peer, &faults);
        let key = self
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .key(order_key);
        View {
            genesis: genesis_state.hash,
            genesis_state,
            heard: self.heard(peer, now),
            ledger: Arc::clone(&self.ledger),
            key,
            order_key,
            levels,
            history: match fork_first {
                _ if faults.wrong_genesis => History::Foreign,
                Some(first) => History::Fork(first),
                None => History::Common,
            },
            state,
            protocol: self.script.upgrades().supported(peer),
            clock_ms: self.start_ms + now_ms + faults.skew_ms,
            faults,
        }
    }

    /// Returns where the order of `peer` is at `now` with these faults.
    fn position(&self, peer: usize, faults: &ActiveFaults, now: Duration) -> Position {
        // An isolated peer learns nothing more.
        let now = faults
            .isolated
            .map_or(now, |isolated| now.min(isolated.since));
        let frozen = self.frozen(peer, faults);
        let now_ms = frozen.map_or(to_ms(now), |frozen| to_ms(now).min(frozen.since_ms));
        // The time at which the peer's consensus stopped, and by how many blocks it is behind.
        let (stopped_ms, behind) = match (faults.stall, faults.recede) {
            (Some(since), _) => (to_ms(since), faults.lag),
            (None, Some((blocks, since))) => (to_ms(since), faults.lag + blocks),
            (None, None) => (now_ms, faults.lag),
        };
        let behind = behind
            + faults.restart.map_or(0, |(blocks, since)| {
                (blocks - (now_ms - to_ms(since)) / CATCH_UP_MS).max(0)
            });
        let fork_first = faults.fork.map(|fork| {
            let first = fork.first;
            first.unwrap_or_else(|| self.blocks_at(to_ms(fork.since), 0))
        });
        // A peer alone on its history finalises no block after the first.
        let stands = faults.fork.is_some_and(|fork| fork.stands);
        let last = fork_first
            .filter(|_| stands)
            .map_or(i64::MAX, |first| first + 1);
        let known = |at_ms: i64, delay_ms: i64| {
            let at_ms = at_ms - faults.late_ms - self.jitter_ms[peer];
            (self.blocks_at(at_ms, delay_ms) - behind).clamp(0, last)
        };
        let mut levels = LEVEL_DELAYS_MS.map(|delay_ms| known(stopped_ms, delay_ms));
        if let Some(since) = faults.stall {
            let own_blocks = 1 + (now_ms - to_ms(since)) / STALLED_BLOCK_INTERVAL_MS;
            levels[0] = known(now_ms, LEVEL_DELAYS_MS[0]).max(levels[3] + own_blocks);
        }
        let executed =
            known(stopped_ms, STATE_DELAY_MS).min(frozen.map_or(i64::MAX, |it| it.block));
        let block = executed - 1;
        if stands && block + 1 == last {
            let first_ms = usize::try_from(block).ok().and_then(|i| self.blocks.get(i));
            let standing_ms = now_ms - first_ms.map_or(now_ms, |first| first.made).max(0);
            levels[0] = last + standing_ms / STALLED_BLOCK_INTERVAL_MS;
        }
        if let Some(claim) = faults.claim {
            levels = [claim.saturating_add(1); 4];
        }
        let history = match fork_first {
            _ if faults.wrong_genesis => History::Foreign,
            Some(first) if block >= first => History::Fork(first),
            _ => History::Common,
        };
        Position {
            levels,
            block,
            history,
            fork_first,
        }
    }
}

/// Returns the key with which `peer` signs.
const fn order_key(peer: usize, faults: &ActiveFaults) -> OrderKey {
    match faults.duplicate_of {
        Some(first) => OrderKey::Usual(first),
        None if faults.wrong_key => OrderKey::Other(peer),
        None => OrderKey::Usual(peer),
    }
}

fn to_ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

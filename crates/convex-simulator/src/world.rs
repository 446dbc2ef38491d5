//! The simulated network: its peers, its blocks, and what each peer knows at a given time. Does no
//! I/O and reads no clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cad3::Hash;
use convex_client::StatePair;

use super::network::Options;
use super::peers::PeerSet;
use super::script::{ActiveFaults, Script};
use super::state::{FIRST_CONTROLLER, GENESIS_USER, PeerEntry, State, accounts};
use super::traffic::Traffic;

/// Number of blocks at the start, which is how far peers can lag or fall back.
const INITIAL_BLOCKS: usize = 1000;
/// Time in which every peer makes one of the initial blocks. A peer's stake loses weight three
/// minutes after its last block, so all of them have full weight at the start.
const INITIAL_ROUND_MS: i64 = 120_000;
/// Traffic stops at this number of blocks, which bounds the memory of a network that runs for very
/// long.
const MAX_BLOCKS: usize = 10_000_000;
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
/// Own stake with `low-stake`, in copper: 500 CVM, half the minimum that avoids eviction.
const LOW_STAKE: i64 = 500_000_000_000;
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
    accounts: cad3::Cell,
    urls: Vec<Arc<str>>,
    jitter_ms: Vec<i64>,
    script: Arc<Script>,
    traffic: Option<Traffic>,
    /// Wall-clock time of the start, in milliseconds since the epoch.
    start_ms: i64,
    /// Time of each block, in milliseconds since the start.
    blocks: Vec<i64>,
    /// Indexes of the blocks of each peer, in order.
    made_by: Vec<Vec<i64>>,
    next_traffic: Option<Duration>,
    next_maker: usize,
    registry_changes: VecDeque<Duration>,
    /// The most recently made states.
    states: VecDeque<(StateId, Arc<State>)>,
    /// Genesis states. Kept forever, because every view needs one.
    genesis_states: Vec<(StateId, Arc<State>)>,
}

/// What determines a state: its last block, and the history that led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StateId {
    block: i64,
    history: History,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    /// The history of the network.
    Common,
    /// One that differs from this block on.
    Fork(i64),
    /// The history of another network.
    Foreign,
}

/// What one peer knows at one time, and what is wrong with it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) genesis: Hash,
    pub(super) genesis_state: Arc<State>,
    pub(super) key: Hash,
    pub(super) belief: Hash,
    /// Number of blocks at each level: block, proposal, consensus, finality.
    pub(super) levels: [i64; 4],
    pub(super) state: Arc<State>,
    /// The peer's clock, in milliseconds since the epoch.
    pub(super) clock_ms: i64,
    pub(super) faults: ActiveFaults,
}

impl View {
    /// Returns the block and the hash of the state.
    pub(super) fn state_pair(&self) -> StatePair {
        StatePair {
            block: self.state.block,
            hash: self.state.hash,
        }
    }
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
            ..
        } = options;
        let script = Arc::new(script);
        let derive = |what: &str, i: usize| Hash::of(format!("{what} {seed} {i}").as_bytes());
        let all = count + registered.count;
        let keys: Arc<[Hash]> = (0..all).map(|i| derive("peer", i)).collect();
        let by_key = keys.iter().enumerate().map(|(i, key)| (*key, i)).collect();
        let staked = STAKE.saturating_mul(to_i64(count))
            + registered
                .stake_copper
                .saturating_mul(to_i64(registered.count));
        let jitter = |i| i64::from(derive("jitter", i).as_bytes()[0]) * MAX_JITTER_MS / 256;
        let mut world = Self {
            accounts: accounts(&keys[..count], staked),
            served: count,
            registered_stake: registered.stake_copper,
            by_key: Arc::new(by_key),
            urls: Vec::new(),
            jitter_ms: (0..count).map(jitter).collect(),
            start_ms,
            blocks: Vec::new(),
            made_by: vec![Vec::new(); count],
            next_traffic: traffic.as_ref().map(|traffic| traffic.period),
            traffic,
            next_maker: 0,
            registry_changes: script.registry_changes().into(),
            states: VecDeque::new(),
            genesis_states: Vec::new(),
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
            self.add_block(maker, -period_ms * to_i64(left) - 1000);
        }
    }

    /// Lets `peer` make a block at `now`.
    pub(super) fn make_block(&mut self, peer: usize, now: Duration) {
        self.advance(now);
        self.add_block(peer, to_ms(now));
    }

    fn add_block(&mut self, maker: usize, made_ms: i64) {
        if self.blocks.len() < MAX_BLOCKS {
            self.made_by[maker].push(to_i64(self.blocks.len()));
            self.blocks.push(made_ms);
        }
    }

    /// Returns the next of `makers` in turn that can make a block.
    fn pick_maker(&mut self, makers: &PeerSet, now: Duration) -> Option<usize> {
        let count = self.served;
        let maker = (0..count)
            .map(|step| (self.next_maker + step) % count)
            .find(|peer| makers.contains(*peer) && self.script.makes_blocks(*peer, now))?;
        self.next_maker = (maker + 1) % count;
        Some(maker)
    }

    /// Makes the blocks that are due by `now`: those of the traffic, and one for each change of the
    /// registry.
    pub(super) fn advance(&mut self, now: Duration) {
        loop {
            let traffic = self.next_traffic.filter(|at| *at <= now);
            let change = self
                .registry_changes
                .front()
                .copied()
                .filter(|at| *at <= now);
            let Some(at) = [traffic, change].into_iter().flatten().min() else {
                return;
            };
            let makers = match &self.traffic {
                Some(traffic) if change != Some(at) => {
                    self.next_traffic = Some(at + traffic.period);
                    traffic.makers.clone()
                }
                _ => {
                    self.registry_changes.pop_front();
                    PeerSet::all(self.served)
                }
            };
            if let Some(maker) = self.pick_maker(&makers, at) {
                self.add_block(maker, to_ms(at));
            }
        }
    }

    /// Returns the number of blocks made by `at_ms`, in milliseconds since the start.
    fn blocks_at(&self, at_ms: i64) -> i64 {
        to_i64(self.blocks.partition_point(|made| *made <= at_ms))
    }

    /// Returns what `peer` knows at `now`.
    pub(super) fn view(&mut self, peer: usize, now: Duration) -> View {
        self.advance(now);
        let faults = self.script.active_faults(peer, now);
        let now_ms = to_ms(now);
        // The time at which the peer's consensus stopped, and by how many blocks it is behind.
        let (stopped_ms, behind) = match (faults.stall, faults.recede) {
            (Some(since), _) => (to_ms(since), faults.lag),
            (None, Some((blocks, since))) => (to_ms(since), faults.lag + blocks),
            (None, None) => (now_ms, faults.lag),
        };
        let known = |at_ms: i64, delay_ms: i64| {
            (self.blocks_at(at_ms - delay_ms - self.jitter_ms[peer]) - behind).max(0)
        };
        let mut levels = LEVEL_DELAYS_MS.map(|delay_ms| known(stopped_ms, delay_ms));
        if let Some(since) = faults.stall {
            let own_blocks = 1 + (now_ms - to_ms(since)) / STALLED_BLOCK_INTERVAL_MS;
            levels[0] = known(now_ms, LEVEL_DELAYS_MS[0]).max(levels[3] + own_blocks);
        }
        let block = known(stopped_ms, STATE_DELAY_MS) - 1;
        let history = match faults.fork {
            _ if faults.wrong_genesis => History::Foreign,
            Some((first, since)) => {
                let first = first.unwrap_or_else(|| self.blocks_at(to_ms(since)));
                if block >= first {
                    History::Fork(first)
                } else {
                    History::Common
                }
            }
            None => History::Common,
        };
        // A fork has the genesis of the network.
        let genesis_history = match history {
            History::Foreign => History::Foreign,
            History::Common | History::Fork(_) => History::Common,
        };
        let genesis_state = self.state(StateId::genesis(genesis_history));
        let state = self.state(StateId { block, history });
        let key = if faults.wrong_key {
            Hash::of(self.keys[peer].as_bytes())
        } else {
            self.keys[peer]
        };
        View {
            genesis: genesis_state.hash,
            genesis_state,
            belief: Hash::of(format!("belief {key} {levels:?} {history:?}").as_bytes()),
            key,
            levels,
            state,
            clock_ms: self.start_ms + now_ms + faults.skew_ms,
            faults,
        }
    }

    fn state(&mut self, id: StateId) -> Arc<State> {
        let mut cached = self.genesis_states.iter().chain(&self.states);
        if let Some((_, state)) = cached.find(|(cached, _)| *cached == id) {
            return Arc::clone(state);
        }
        let state = Arc::new(self.make_state(id));
        if id.block < 0 {
            self.genesis_states.push((id, Arc::clone(&state)));
            return state;
        }
        let (min, max) = CACHED_STATES;
        let capacity = (MAX_CACHED_ENTRIES / self.keys.len()).clamp(min, max);
        if self.states.len() >= capacity {
            self.states.pop_front();
        }
        self.states.push_back((id, Arc::clone(&state)));
        state
    }

    fn make_state(&self, id: StateId) -> State {
        let made_ms = usize::try_from(id.block)
            .ok()
            .and_then(|block| self.blocks.get(block).copied());
        let timestamp = made_ms.map_or(GENESIS_MS, |made| self.start_ms + made);
        let made = made_ms.map(|made| Duration::from_millis(u64::try_from(made).unwrap_or(0)));
        let faults_at = made.filter(|at| self.script.has_stake_faults(*at));
        let entries: Vec<_> = (0..self.keys.len())
            .map(|peer| self.entry(peer, id.block, timestamp, faults_at))
            .collect();
        // Fees that differ make the states of the histories differ.
        let fees = match id.history {
            History::Common => 0,
            History::Fork(first) => first + 1,
            History::Foreign => i64::from(u32::MAX),
        };
        let globals = (id.block, timestamp, fees);
        let by_key = Arc::clone(&self.by_key);
        State::new(self.accounts.clone(), &self.keys, by_key, &entries, globals)
    }

    /// Returns a peer's entry in the registry after `block`, which was made at `timestamp`, with
    /// the stake faults that are active at `faults_at`.
    fn entry(
        &self,
        peer: usize,
        block: i64,
        timestamp: i64,
        faults_at: Option<Duration>,
    ) -> PeerEntry {
        if peer >= self.served {
            return PeerEntry {
                controller: GENESIS_USER,
                stake: self.registered_stake,
                balance: self.registered_stake,
                timestamp: -1,
                url: None,
            };
        }
        let blocks = &self.made_by[peer];
        let made = blocks.partition_point(|made| *made <= block);
        let last_block_ms = made.checked_sub(1).and_then(|last| {
            let block = usize::try_from(blocks[last]).ok()?;
            Some(self.start_ms + self.blocks[block])
        });
        let faults = faults_at
            .map(|at| self.script.stake_faults(peer, at))
            .unwrap_or_default();
        let stake = if faults.low { LOW_STAKE } else { STAKE };
        PeerEntry {
            controller: FIRST_CONTROLLER + peer as u64,
            stake,
            balance: stake + BLOCK_REWARD * to_i64(made),
            timestamp: if faults.silent {
                timestamp - SILENT_STAKE_AGE_MS
            } else {
                last_block_ms.unwrap_or(-1)
            },
            url: (block >= 0).then(|| self.urls.get(peer).cloned()).flatten(),
        }
    }
}

impl StateId {
    const fn genesis(history: History) -> Self {
        Self { block: -1, history }
    }
}

fn to_ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: i64 = 1_800_000_000_000;
    const SECOND: Duration = Duration::from_secs(1);

    fn world(faults: &[&str], traffic: bool) -> World {
        let traffic = traffic.then(|| Traffic {
            period: SECOND,
            makers: PeerSet::all(4),
        });
        let options = Options {
            peers: 4,
            seed: 7,
            script: Script::parse(faults.iter().copied(), 4).unwrap(),
            traffic,
            ..Options::default()
        };
        World::new(options, START_MS)
    }

    /// The levels, the last executed block and the state hash of a peer.
    fn status(world: &mut World, peer: usize, seconds: u64) -> ([i64; 4], i64, Hash) {
        let view = world.view(peer, SECOND * u32::try_from(seconds).unwrap());
        (view.levels, executed(&view), view.state.hash)
    }

    /// Index of the last executed block.
    fn executed(view: &View) -> i64 {
        let globals = view.state.field("globals").unwrap();
        globals
            .as_elements()
            .unwrap()
            .get(5)
            .unwrap()
            .as_i64()
            .unwrap()
    }

    #[test]
    fn an_idle_network_does_not_move_and_all_peers_agree() {
        let mut world = world(&[], false);
        let first = status(&mut world, 0, 1);
        assert_eq!((first.0, first.1), ([1000; 4], 999));
        for peer in 0..4 {
            assert_eq!(status(&mut world, peer, 3600), first);
        }
    }

    #[test]
    fn a_block_passes_all_levels_before_it_is_executed() {
        let mut world = world(&[], false);
        world.make_block(2, SECOND);
        let mut seen = Vec::new();
        for ms in (1000..1500).step_by(5) {
            let view = world.view(0, Duration::from_millis(ms));
            let [block, proposal, consensus, finality] = view.levels;
            assert!(block >= proposal && proposal >= consensus && consensus >= finality);
            assert!(finality > executed(&view));
            let step = (view.levels, executed(&view));
            if seen.last() != Some(&step) {
                seen.push(step);
            }
        }
        assert_eq!(
            seen,
            [
                ([1000, 1000, 1000, 1000], 999),
                ([1001, 1000, 1000, 1000], 999),
                ([1001, 1001, 1000, 1000], 999),
                ([1001, 1001, 1001, 1000], 999),
                ([1001, 1001, 1001, 1001], 999),
                ([1001, 1001, 1001, 1001], 1000),
            ]
        );
    }

    #[test]
    fn traffic_makes_a_block_per_period_and_the_peers_take_turns() {
        let mut world = world(&[], true);
        assert_eq!(status(&mut world, 1, 10).1, 999 + 9);
        let entry = |world: &World, peer| world.entry(peer, 1009, 0, None).timestamp - START_MS;
        let mut last: Vec<_> = (0..4).map(|peer| entry(&world, peer)).collect();
        last.sort_unstable();
        assert_eq!(last, [7000, 8000, 9000, 10_000]);
    }

    #[test]
    fn a_seed_always_gives_the_same_network_and_another_seed_a_different_one() {
        let identity = |seed, start_ms| {
            let options = Options {
                peers: 4,
                seed,
                ..Options::default()
            };
            let mut world = World::new(options, start_ms);
            (world.genesis(), world.key(3))
        };
        assert_eq!(identity(7, START_MS), identity(7, START_MS + 1));
        assert_ne!(identity(7, START_MS).0, identity(8, START_MS).0);
        assert_ne!(identity(7, START_MS).1, identity(8, START_MS).1);
        let mut worlds = [world(&["fork:2:5s"], true), world(&["fork:2:5s"], true)];
        let [first, second] = worlds.each_mut().map(|world| status(world, 1, 60));
        assert_eq!(first, second);
    }

    #[test]
    fn a_stalled_peer_collects_blocks_that_do_not_become_final_and_recovers() {
        let mut world = world(&["stall:1:10s..100s"], true);
        let (before, ..) = status(&mut world, 0, 10);
        let (early, block, _) = status(&mut world, 0, 11);
        let (late, late_block, _) = status(&mut world, 0, 90);
        assert_eq!((early[3], late[3]), (before[3], before[3]));
        assert_eq!((block, late_block), (before[3] - 1, before[3] - 1));
        assert!(early[0] > early[3] && late[0] > early[0]);
        assert_eq!(status(&mut world, 0, 101), status(&mut world, 1, 101));
    }

    #[test]
    fn a_stall_of_an_idle_network_is_visible_too() {
        let mut world = world(&["stall:all"], false);
        assert_eq!(status(&mut world, 0, 1).0, [1001, 1000, 1000, 1000]);
        assert_eq!(status(&mut world, 0, 17).0, [1003, 1000, 1000, 1000]);
    }

    #[test]
    fn lag_keeps_its_distance_and_recede_stays_where_it_fell_back_to() {
        let mut world = world(&["lag=40:1", "recede=5:2:10s"], true);
        for at in [5, 50] {
            let honest = status(&mut world, 3, at).1;
            assert_eq!(status(&mut world, 0, at).1, honest - 40);
        }
        let fell = status(&mut world, 1, 10);
        assert_eq!(fell.1, status(&mut world, 3, 10).1 - 5);
        assert_eq!(status(&mut world, 1, 60), fell);
        assert_eq!(
            status(&mut world, 0, 60).2,
            status(&mut world, 3, 20).2,
            "the chain is the same"
        );
    }

    #[test]
    fn a_fork_starts_with_its_block_and_not_before() {
        let mut world = world(&["fork:1:10s", "fork=990:2"], true);
        assert_eq!(status(&mut world, 0, 10), status(&mut world, 3, 10));
        let (levels, block, hash) = status(&mut world, 0, 12);
        let honest = status(&mut world, 3, 12);
        assert_eq!((levels, block), (honest.0, honest.1));
        assert_ne!(hash, honest.2);
        assert_ne!(status(&mut world, 1, 12).2, honest.2);
        assert_ne!(status(&mut world, 1, 12).2, hash, "two different forks");
    }

    #[test]
    fn wrong_genesis_changes_genesis_and_state_and_wrong_key_only_the_key() {
        let mut world = world(&["wrong-genesis:1", "wrong-key:2"], false);
        let [foreign, masked, honest] = [0, 1, 3].map(|peer| world.view(peer, SECOND));
        assert_ne!(foreign.genesis, honest.genesis);
        assert_ne!(foreign.state.hash, honest.state.hash);
        assert_eq!(masked.genesis, honest.genesis);
        assert_ne!(masked.key, world.key(1));
    }

    #[test]
    fn a_change_of_stake_takes_a_block_and_all_peers_report_it() {
        let mut world = world(&["low-stake:1:5s", "silent-stake:2"], false);
        let before = status(&mut world, 3, 4);
        let after = status(&mut world, 3, 7);
        assert_eq!(after.1, before.1 + 1);
        assert_eq!(status(&mut world, 0, 7), after);
        let at = Some(SECOND * 5);
        assert_eq!(world.entry(0, 1000, START_MS, at).stake, LOW_STAKE);
        assert_eq!(
            world.entry(1, 1000, START_MS, at).timestamp,
            START_MS - SILENT_STAKE_AGE_MS
        );
        assert_eq!(world.entry(2, 1000, START_MS, at).stake, STAKE);
        assert!(world.made_by[1].is_empty(), "a silent peer makes no blocks");
    }
}

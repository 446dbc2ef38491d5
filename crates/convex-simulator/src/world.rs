//! The simulated network itself: peers, blocks, and what each peer knows at a time. Pure: the time is given, nothing is sent.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cad3::Hash;

use super::kind::duration;
use super::peers::{PeerSet, PeerSetError};
use super::script::{Ailments, Script};
use super::state::{FIRST_CONTROLLER, PeerEntry, State, accounts};

/// Blocks that a network has when it starts: room to lag and to fall back.
const HISTORY: usize = 1000;
/// A peer's stake begins to lose weight three minutes after its last block: at the start all have made one lately.
const HISTORY_ROUND_MS: i64 = 120_000;
/// Traffic ends there: a network that runs for very long does not take all memory.
const MAX_BLOCKS: usize = 10_000_000;
/// A block more often than that would measure the simulation.
const MIN_PERIOD: Duration = Duration::from_millis(10);
/// From making a block to each level: block, proposal, consensus, finality; and to the state that has it applied.
const LEVEL_DELAYS_MS: [i64; 4] = [10, 120, 240, 360];
const STATE_DELAY_MS: i64 = 380;
/// Peers hear of a block up to so much one after another.
const JITTER_MS: i64 = 40;
/// How often a peer adds a block of its own when its consensus stands, as seen of real peers.
const STALLED_BLOCK_MS: i64 = 8000;
/// The time of the genesis state, milliseconds since the epoch; fixed, so that a seed gives one genesis.
const GENESIS_MS: i64 = 1_700_000_000_000;
/// Own stake of each peer, copper: 66,600 CVM.
const STAKE: i64 = 66_600_000_000_000;
/// With `low-stake`, copper: 500 CVM, half of what keeps a peer from being evicted.
const LOW_STAKE: i64 = 500_000_000_000;
/// What a peer earns by a block, copper.
const REWARD: i64 = 1000;
/// With `silent-stake` the last block is so old, milliseconds.
const SILENCE_MS: i64 = 3_600_000;
/// How many peers all kept states have together, at about 1 kB each; and how many states are kept at least and at most.
const KEPT_PEERS: usize = 50_000;
const KEPT_STATES: (usize, usize) = (8, 256);

/// Where the blocks come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// From block to block.
    pub period: Duration,
    /// The peers that make them, in turn.
    pub makers: PeerSet,
}

/// Why a text says no traffic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// The period.
    #[error("{0:?} is no period of at least 10ms; expected PERIOD[:PEERS], such as 1s or 1s:2,5")]
    Period(String),
    /// The peers.
    #[error(transparent)]
    Makers(#[from] PeerSetError),
}

impl Traffic {
    /// Reads `PERIOD[:PEERS]` for a network of `count` peers; without peers all make blocks.
    ///
    /// # Errors
    /// The text says no period of at least 10 ms, or names no peers of the network.
    pub fn parse(text: &str, count: usize) -> Result<Self, TrafficError> {
        let (period, makers) = match text.split_once(':') {
            Some((period, makers)) => (period, PeerSet::parse(makers, count)?),
            None => (text, PeerSet::all(count)),
        };
        match duration(period) {
            Ok(period) if period >= MIN_PERIOD => Ok(Self { period, makers }),
            _ => Err(TrafficError::Period(text.to_owned())),
        }
    }
}

/// All that happens in the network.
#[derive(Debug)]
pub(super) struct World {
    keys: Arc<[Hash]>,
    by_key: Arc<HashMap<Hash, usize>>,
    accounts: cad3::Cell,
    urls: Vec<Arc<str>>,
    jitter_ms: Vec<i64>,
    script: Arc<Script>,
    traffic: Option<Traffic>,
    /// Wall time of the start, milliseconds since the epoch.
    start_ms: i64,
    /// When each block was made, milliseconds since the start.
    blocks: Vec<i64>,
    /// The blocks of each peer, in order.
    made_by: Vec<Vec<i64>>,
    next_traffic: Option<Duration>,
    next_maker: usize,
    registry_changes: VecDeque<Duration>,
    states: VecDeque<(StateId, Arc<State>)>,
    /// Genesis states are asked for all the time.
    roots: Vec<(StateId, Arc<State>)>,
}

/// A state is decided by its block and by the history that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StateId {
    block: i64,
    history: History,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    Common,
    /// Another one from this block on.
    Fork(i64),
    /// That of another network.
    Foreign,
}

/// What one peer knows, and what is wrong with it, at one time.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) genesis: Hash,
    pub(super) genesis_state: Arc<State>,
    pub(super) key: Hash,
    pub(super) belief: Hash,
    /// Points by level: block, proposal, consensus, finality.
    pub(super) levels: [i64; 4],
    pub(super) state: Arc<State>,
    /// The peer's own clock, milliseconds since the epoch.
    pub(super) clock_ms: i64,
    pub(super) ailments: Ailments,
}

impl World {
    /// A network of `count` peers that starts at `start_ms`. Keys and genesis depend on `seed` and `count` alone.
    pub(super) fn new(
        count: usize,
        seed: u64,
        start_ms: i64,
        script: Arc<Script>,
        traffic: Option<Traffic>,
    ) -> Self {
        let of_seed = |what: &str, i: usize| Hash::of(format!("{what} {seed} {i}").as_bytes());
        let keys: Arc<[Hash]> = (0..count).map(|i| of_seed("peer", i)).collect();
        let by_key = keys.iter().enumerate().map(|(i, key)| (*key, i)).collect();
        let staked = STAKE.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX));
        let jitter = |i| i64::from(of_seed("jitter", i).as_bytes()[0]) * JITTER_MS / 256;
        let mut world = Self {
            accounts: accounts(&keys, staked),
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
            roots: Vec::new(),
            keys,
            script,
        };
        world.make_history();
        world
    }

    /// Tells where the peers are found; they write it on chain with their first block.
    pub(super) fn publish(&mut self, urls: Vec<Arc<str>>) {
        self.urls = urls;
        self.states.clear();
    }

    /// The identity of the network.
    pub(super) fn genesis(&mut self) -> Hash {
        self.state(StateId::genesis(History::Common)).hash
    }

    pub(super) fn key(&self, peer: usize) -> Hash {
        self.keys[peer]
    }

    fn make_history(&mut self) {
        let count = self.keys.len();
        let blocks = HISTORY.max(count);
        let (in_ms, peers) = (HISTORY_ROUND_MS, i64::try_from(count).unwrap_or(i64::MAX));
        let apart = (in_ms / peers).clamp(1, 1000);
        let all = PeerSet::all(count);
        for left in (1..=blocks).rev() {
            let maker = self.pick_maker(&all, Duration::ZERO).unwrap_or(0);
            let made = -apart * i64::try_from(left).unwrap_or(i64::MAX) - 1000;
            self.add_block(maker, made);
        }
    }

    /// Makes a block through `peer` at `now`.
    pub(super) fn make_block(&mut self, peer: usize, now: Duration) {
        self.advance(now);
        self.add_block(peer, ms(now));
    }

    fn add_block(&mut self, maker: usize, made_ms: i64) {
        if self.blocks.len() < MAX_BLOCKS {
            self.made_by[maker].push(count(self.blocks.len()));
            self.blocks.push(made_ms);
        }
    }

    /// The next peer in turn that is fit to make a block.
    fn pick_maker(&mut self, makers: &PeerSet, now: Duration) -> Option<usize> {
        let count = self.keys.len();
        let turn = (0..count).map(|step| (self.next_maker + step) % count);
        let maker = turn
            .into_iter()
            .find(|peer| makers.has(*peer) && self.script.makes_blocks(*peer, now))?;
        self.next_maker = (maker + 1) % count;
        Some(maker)
    }

    /// Lets happen what happens up to `now`: traffic, and blocks that say how the registry changed.
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
                    PeerSet::all(self.keys.len())
                }
            };
            if let Some(maker) = self.pick_maker(&makers, at) {
                self.add_block(maker, ms(at));
            }
        }
    }

    /// How many blocks were made up to a time, milliseconds since the start.
    fn made_until(&self, at_ms: i64) -> i64 {
        count(self.blocks.partition_point(|made| *made <= at_ms))
    }

    /// What `peer` knows at `now`.
    pub(super) fn view(&mut self, peer: usize, now: Duration) -> View {
        self.advance(now);
        let ailments = self.script.ailments(peer, now);
        let now_ms = ms(now);
        // The time at which a peer's consensus stopped, and by how many blocks it is behind.
        let (stands_at, behind) = match (ailments.stall, ailments.recede) {
            (Some(since), _) => (ms(since), ailments.lag),
            (None, Some((blocks, since))) => (ms(since), ailments.lag + blocks),
            (None, None) => (now_ms, ailments.lag),
        };
        let known = |at: i64, delay: i64| {
            (self.made_until(at - delay - self.jitter_ms[peer]) - behind).max(0)
        };
        let mut levels = LEVEL_DELAYS_MS.map(|delay| known(stands_at, delay));
        if let Some(since) = ailments.stall {
            let own = levels[3] + 1 + (now_ms - ms(since)) / STALLED_BLOCK_MS;
            levels[0] = known(now_ms, LEVEL_DELAYS_MS[0]).max(own);
        }
        let block = known(stands_at, STATE_DELAY_MS) - 1;
        let history = match ailments.fork {
            _ if ailments.wrong_genesis => History::Foreign,
            Some((first, since)) => {
                let first = first.unwrap_or_else(|| self.made_until(ms(since)));
                if block >= first {
                    History::Fork(first)
                } else {
                    History::Common
                }
            }
            None => History::Common,
        };
        let root = match history {
            History::Foreign => History::Foreign,
            _ => History::Common,
        };
        let genesis_state = self.state(StateId::genesis(root));
        let state = self.state(StateId { block, history });
        let key = if ailments.wrong_key {
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
            clock_ms: self.start_ms + now_ms + ailments.skew_ms,
            ailments,
        }
    }

    fn state(&mut self, id: StateId) -> Arc<State> {
        let mut kept = self.roots.iter().chain(&self.states);
        if let Some((_, state)) = kept.find(|(kept, _)| *kept == id) {
            return Arc::clone(state);
        }
        let state = Arc::new(self.make_state(id));
        if id.block < 0 {
            self.roots.push((id, Arc::clone(&state)));
            return state;
        }
        let room = (KEPT_PEERS / self.keys.len()).clamp(KEPT_STATES.0, KEPT_STATES.1);
        if self.states.len() >= room {
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
        let made_at = made_ms.map(|made| Duration::from_millis(u64::try_from(made).unwrap_or(0)));
        let troubled = made_at.filter(|at| self.script.touches_registry(*at));
        let entries: Vec<_> = (0..self.keys.len())
            .map(|peer| self.entry(peer, id.block, timestamp, troubled))
            .collect();
        let fees = match id.history {
            History::Common => 0,
            History::Fork(first) => first + 1,
            History::Foreign => i64::from(u32::MAX),
        };
        let globals = (id.block, timestamp, fees);
        let by_key = Arc::clone(&self.by_key);
        State::new(self.accounts.clone(), &self.keys, by_key, &entries, globals)
    }

    /// A peer's entry in the registry after `block`; the faults of stake are those at `troubled`.
    fn entry(&self, peer: usize, block: i64, now_ms: i64, troubled: Option<Duration>) -> PeerEntry {
        let own = &self.made_by[peer];
        let made = own.partition_point(|own| *own <= block);
        let last = made.checked_sub(1).and_then(|last| {
            let block = usize::try_from(own[last]).ok()?;
            Some(self.start_ms + self.blocks[block])
        });
        let faults = troubled
            .map(|at| self.script.registered(peer, at))
            .unwrap_or_default();
        let stake = if faults.low { LOW_STAKE } else { STAKE };
        PeerEntry {
            controller: FIRST_CONTROLLER + peer as u64,
            stake,
            balance: stake + REWARD * count(made),
            timestamp: if faults.silent {
                now_ms - SILENCE_MS
            } else {
                last.unwrap_or(-1)
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

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn count(blocks: usize) -> i64 {
    i64::try_from(blocks).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: i64 = 1_800_000_000_000;
    const SECOND: Duration = Duration::from_secs(1);

    fn world(faults: &[&str], traffic: bool) -> World {
        let script = Script::parse(faults.iter().copied(), 4).unwrap();
        let traffic = traffic.then(|| Traffic {
            period: SECOND,
            makers: PeerSet::all(4),
        });
        World::new(4, 7, START_MS, Arc::new(script), traffic)
    }

    fn told(world: &mut World, peer: usize, seconds: u64) -> ([i64; 4], i64, Hash) {
        let view = world.view(peer, SECOND * u32::try_from(seconds).unwrap());
        (view.levels, applied(&view), view.state.hash)
    }

    /// Index of the last applied block.
    fn applied(view: &View) -> i64 {
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
    fn an_idle_network_stands_and_all_its_peers_agree() {
        let mut world = world(&[], false);
        let first = told(&mut world, 0, 1);
        assert_eq!((first.0, first.1), ([1000; 4], 999));
        for peer in 0..4 {
            assert_eq!(told(&mut world, peer, 3600), first);
        }
    }

    #[test]
    fn a_block_goes_through_all_levels_and_then_the_state_has_it() {
        let mut world = world(&[], false);
        world.make_block(2, SECOND);
        let mut seen = Vec::new();
        for ms in (1000..1500).step_by(5) {
            let view = world.view(0, Duration::from_millis(ms));
            let [block, proposal, consensus, finality] = view.levels;
            assert!(block >= proposal && proposal >= consensus && consensus >= finality);
            assert!(finality > applied(&view));
            let step = (view.levels, applied(&view));
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
    fn traffic_makes_a_block_each_period_and_the_peers_take_turns() {
        let mut world = world(&[], true);
        assert_eq!(told(&mut world, 1, 10).1, 999 + 9);
        let entry = |world: &World, peer| world.entry(peer, 1009, 0, None).timestamp - START_MS;
        let mut last: Vec<_> = (0..4).map(|peer| entry(&world, peer)).collect();
        last.sort_unstable();
        assert_eq!(last, [7000, 8000, 9000, 10_000]);
    }

    #[test]
    fn a_seed_gives_the_same_network_each_time_and_another_seed_another_one() {
        let of = |seed, start_ms| {
            let script = Arc::new(Script::default());
            let mut world = World::new(4, seed, start_ms, script, None);
            (world.genesis(), world.key(3))
        };
        assert_eq!(of(7, START_MS), of(7, START_MS + 1));
        assert_ne!(of(7, START_MS).0, of(8, START_MS).0);
        assert_ne!(of(7, START_MS).1, of(8, START_MS).1);
        let mut again = [world(&["fork:2:5s"], true), world(&["fork:2:5s"], true)];
        let [one, other] = again.each_mut().map(|world| told(world, 1, 60));
        assert_eq!(one, other);
    }

    #[test]
    fn a_stalled_peer_gathers_blocks_that_do_not_become_final_and_heals() {
        let mut world = world(&["stall:1:10s..100s"], true);
        let (before, ..) = told(&mut world, 0, 10);
        let (early, block, _) = told(&mut world, 0, 11);
        let (late, late_block, _) = told(&mut world, 0, 90);
        assert_eq!((early[3], late[3]), (before[3], before[3]));
        assert_eq!((block, late_block), (before[3] - 1, before[3] - 1));
        assert!(early[0] > early[3] && late[0] > early[0]);
        assert_eq!(told(&mut world, 0, 101), told(&mut world, 1, 101));
    }

    #[test]
    fn a_stall_of_an_idle_network_is_seen_too() {
        let mut world = world(&["stall:all"], false);
        assert_eq!(told(&mut world, 0, 1).0, [1001, 1000, 1000, 1000]);
        assert_eq!(told(&mut world, 0, 17).0, [1003, 1000, 1000, 1000]);
    }

    #[test]
    fn lag_keeps_its_distance_and_recede_stands_where_it_fell() {
        let mut world = world(&["lag=40:1", "recede=5:2:10s"], true);
        for at in [5, 50] {
            let honest = told(&mut world, 3, at).1;
            assert_eq!(told(&mut world, 0, at).1, honest - 40);
        }
        let fell = told(&mut world, 1, 10);
        assert_eq!(fell.1, told(&mut world, 3, 10).1 - 5);
        assert_eq!(told(&mut world, 1, 60), fell);
        assert_eq!(
            told(&mut world, 0, 60).2,
            told(&mut world, 3, 20).2,
            "the chain is the same"
        );
    }

    #[test]
    fn a_fork_begins_with_its_block_and_not_before() {
        let mut world = world(&["fork:1:10s", "fork=990:2"], true);
        assert_eq!(told(&mut world, 0, 10), told(&mut world, 3, 10));
        let (levels, block, hash) = told(&mut world, 0, 12);
        let honest = told(&mut world, 3, 12);
        assert_eq!((levels, block), (honest.0, honest.1));
        assert_ne!(hash, honest.2);
        assert_ne!(told(&mut world, 1, 12).2, honest.2);
        assert_ne!(told(&mut world, 1, 12).2, hash, "two forks");
    }

    #[test]
    fn another_network_has_another_genesis_and_another_state() {
        let mut world = world(&["wrong-genesis:1", "wrong-key:2"], false);
        let [foreign, masked, honest] = [0, 1, 3].map(|peer| world.view(peer, SECOND));
        assert_ne!(foreign.genesis, honest.genesis);
        assert_ne!(foreign.state.hash, honest.state.hash);
        assert_eq!(masked.genesis, honest.genesis);
        assert_ne!(masked.key, world.key(1));
    }

    #[test]
    fn a_change_of_stake_takes_a_block_and_all_peers_tell_of_it() {
        let mut world = world(&["low-stake:1:5s", "silent-stake:2"], false);
        let before = told(&mut world, 3, 4);
        let after = told(&mut world, 3, 7);
        assert_eq!(after.1, before.1 + 1);
        assert_eq!(told(&mut world, 0, 7), after);
        let at = Some(SECOND * 5);
        assert_eq!(world.entry(0, 1000, START_MS, at).stake, LOW_STAKE);
        assert_eq!(
            world.entry(1, 1000, START_MS, at).timestamp,
            START_MS - SILENCE_MS
        );
        assert_eq!(world.entry(2, 1000, START_MS, at).stake, STAKE);
        assert!(world.made_by[1].is_empty(), "a silent peer makes no blocks");
    }
}

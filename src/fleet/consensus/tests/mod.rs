//! Networks in which peers sign orders, hear each other or do not, and are walked once a minute.

mod hearing;
mod histories;
mod registered;
mod votes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::OrderPoints;
use convex_client::belief::{Comparison, Difference};
use convex_client::chain::economics::MINIMUM_OWN_STAKE_COPPER;
use convex_client::chain::{RegisteredPeer, Registry};
use tokio::time::Instant;

use super::comparing::Comparing;
use super::facts::{BlocksFacts, HeldFact, OrderFacts, RoundFacts, WalkFacts};
use super::verdict::ConsensusVerdict;
use super::watch::ConsensusWatch;

/// Time between two walks of a peer.
const EVERY: Duration = Duration::from_secs(60);

/// Number of blocks that a busy network makes in that time.
const BLOCKS_A_ROUND: i64 = 30;

/// What a peer's order is built from.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Order {
    facts: OrderFacts,
    /// The index from which on it has blocks of its own, and whose they are.
    branch: Option<(u64, char)>,
}

/// A peer of the network.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent faults of one peer"
)]
struct Peer {
    order: Order,
    /// Its orders at the end of each round.
    past: Vec<Order>,
    held: BTreeMap<char, Order>,
    /// The peers that its own state lacks.
    lacks: BTreeSet<char>,
    stake: i64,
    is_walked: bool,
    /// Whether walks of it fail.
    fails: bool,
    hears: bool,
    is_heard: bool,
    /// Hears the others only this many rounds later, because its clock is behind.
    behind: usize,
    /// Its orders are dated this many seconds ahead.
    ahead: i64,
    /// How many blocks it is behind the network; none if it stands still.
    lag: Option<i64>,
}

/// A simulated network and what is found about it.
struct Net {
    peers: BTreeMap<char, Peer>,
    /// The groups that do not hear each other; none if all do.
    groups: Vec<String>,
    head: i64,
    is_busy: bool,
    start: Instant,
    at: Duration,
    watch: ConsensusWatch,
    /// Comparisons that fail.
    incomparable: bool,
    blocks: Option<BlocksFacts>,
}

fn key(name: char) -> Hash {
    Hash::new([name as u8; 32])
}

fn name(key: &Hash) -> char {
    char::from(key.as_bytes()[0])
}

impl Order {
    fn new(peer: char, signed_s: i64, points: [i64; 4], branch: Option<(u64, char)>) -> Self {
        let [block, proposal, consensus, finality] = points;
        let count = u64::try_from(block).unwrap();
        let branch_within = branch.filter(|(index, _)| *index < count);
        let hash = |text: String| Hash::of(text.as_bytes());
        let facts = OrderFacts {
            key: key(peer),
            hash: hash(format!("{peer} {signed_s} {points:?} {branch:?}")),
            blocks: hash(format!("{count} {branch_within:?}")),
            signed_ms: signed_s * 1_000,
            points: OrderPoints {
                block,
                proposal,
                consensus,
                finality,
            },
        };
        Self { facts, branch }
    }

    /// Compares with another order as reading the blocks of both would.
    fn compare(&self, other: &Self) -> Comparison {
        let branches = [self.branch, other.branch];
        let shorter = self.facts.points.block.min(other.facts.points.block);
        let blocks = u64::try_from(shorter).unwrap();
        let indices = branches.into_iter().flatten().map(|(index, _)| index);
        match indices.min().filter(|index| *index < blocks) {
            Some(index) if self.branch != other.branch => {
                Comparison::Different(Box::new(Difference {
                    index,
                    hashes: [self.facts.blocks, other.facts.blocks],
                    blocks: [None, None],
                }))
            }
            _ => Comparison::Same { blocks },
        }
    }
}

impl Net {
    /// A network of peers with these stakes, such as `a25 b25`, in units of 1,000 CVM. A star marks
    /// a peer that is not watched.
    fn new(peers: &str) -> Self {
        let mut net = Self {
            peers: BTreeMap::new(),
            groups: Vec::new(),
            head: 100,
            is_busy: false,
            start: Instant::now(),
            at: Duration::ZERO,
            watch: ConsensusWatch::default(),
            incomparable: false,
            blocks: None,
        };
        for peer in peers.split(' ') {
            let mut letters = peer.chars();
            let name = letters.next().unwrap();
            let stake = letters.as_str().trim_end_matches('*').parse().unwrap();
            net.add(name, stake, !peer.ends_with('*'), 100);
        }
        net.spread();
        net
    }

    fn add(&mut self, name: char, stake: i64, is_walked: bool, head: i64) {
        let peer = Peer {
            order: Order::new(name, self.now_s(), [head, head, head, head], None),
            past: Vec::new(),
            held: BTreeMap::new(),
            lacks: BTreeSet::new(),
            stake,
            is_walked,
            fails: false,
            hears: true,
            is_heard: true,
            behind: 0,
            ahead: 0,
            lag: Some(0),
        };
        self.peers.insert(name, peer);
        self.update_stakes();
    }

    fn update_stakes(&mut self) {
        let peers = self.peers.iter().map(|(name, peer)| {
            let entry = RegisteredPeer {
                controller: None,
                own_copper: peer.stake * MINIMUM_OWN_STAKE_COPPER,
                delegated_copper: 0,
                shares: peer.stake,
                last_block_ms: Some(0),
                url: None,
            };
            (key(*name), entry)
        });
        let registry = Registry::complete(0, peers);
        self.watch.set_stakes(Some(&registry), &BTreeSet::new());
    }

    fn now(&self) -> Instant {
        self.start + self.at
    }

    fn now_s(&self) -> i64 {
        1_000_000 + i64::try_from(self.at.as_secs()).unwrap()
    }

    fn peer(&mut self, name: char) -> &mut Peer {
        self.peers.get_mut(&name).unwrap()
    }

    /// Replaces the order of a peer by one with these points.
    fn sign(&mut self, name: char, points: [i64; 4], branch: Option<(u64, char)>) {
        let signed_s = self.now_s() + self.peer(name).ahead;
        self.peer(name).order = Order::new(name, signed_s, points, branch);
    }

    /// Whether what `from` signs reaches `to`.
    fn reaches(&self, from: char, to: char) -> bool {
        let group = |name: char| self.groups.iter().position(|group| group.contains(name));
        self.peers[&from].is_heard
            && self.peers[&to].hears
            && !self.peers[&to].lacks.contains(&from)
            && group(from) == group(to)
    }

    fn spread(&mut self) {
        let names: Vec<char> = self.peers.keys().copied().collect();
        for (from, to) in names
            .iter()
            .flat_map(|from| names.iter().map(move |to| (from, to)))
        {
            if from == to || self.reaches(*from, *to) {
                let sender = &self.peers[from];
                let behind = if from == to { 0 } else { self.peers[to].behind };
                let order = match behind.checked_sub(1) {
                    None => sender.order,
                    Some(rounds) => sender
                        .past
                        .iter()
                        .rev()
                        .nth(rounds)
                        .copied()
                        .unwrap_or(sender.order),
                };
                self.peer(*to).held.insert(*from, order);
            }
        }
    }

    /// Lets a minute pass and walks all peers.
    fn round(&mut self) {
        self.pass(1.0);
    }

    /// Lets some minutes pass and walks all peers.
    fn pass(&mut self, minutes: f64) {
        for peer in self.peers.values_mut() {
            peer.past.push(peer.order);
        }
        self.at += EVERY.mul_f64(minutes);
        if self.is_busy {
            self.make_blocks();
        }
        self.spread();
        let walks: Vec<WalkFacts> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.is_walked)
            .map(|(name, peer)| self.walk(*name, peer))
            .collect();
        let comparisons = self.compare(&walks);
        let round = RoundFacts {
            at: self.now(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(self.now_s().unsigned_abs()),
            walks,
            comparisons,
            blocks: self.blocks.take(),
        };
        let behind: BTreeMap<String, Duration> = self
            .peers
            .iter()
            .map(|(name, peer)| {
                (
                    name.to_string(),
                    EVERY * u32::try_from(peer.behind).unwrap(),
                )
            })
            .collect();
        self.watch.take_facts(&round, |name| behind[name]);
    }

    /// A network whose peers do not all hear each other finalises nothing: each adds a block of its
    /// own.
    fn make_blocks(&mut self) {
        let names: Vec<char> = self.peers.keys().copied().collect();
        if !self.groups.is_empty() {
            for name in names {
                let OrderPoints {
                    block, consensus, ..
                } = self.peers[&name].order.facts.points;
                let branch = u64::try_from(consensus).unwrap();
                let points = [block + 1, consensus, consensus, consensus];
                self.sign(name, points, Some((branch, name)));
            }
            return;
        }
        self.head += BLOCKS_A_ROUND;
        for name in names {
            let peer = &self.peers[&name];
            if let Some(lag) = peer
                .lag
                .filter(|_| peer.hears && peer.order.branch.is_none())
            {
                let head = self.head - lag;
                self.sign(name, [head + 2, head + 1, head, head], None);
            }
        }
    }

    fn walk(&self, name: char, peer: &Peer) -> WalkFacts {
        let held = peer
            .held
            .iter()
            .map(|(of, order)| (key(*of), HeldFact::Order(order.facts)));
        let held: BTreeMap<Hash, HeldFact> = held.collect();
        let asked = self.watch.keys_to_confirm(
            (&name.to_string(), &key(name)),
            |key| held.get(key).copied(),
            self.now(),
        );
        let answer = |asked: Hash| (asked, !peer.lacks.contains(&self::name(&asked)));
        WalkFacts {
            name: name.to_string(),
            key: Some(key(name)),
            at: self.now(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(self.now_s().unsigned_abs()),
            every: EVERY,
            held: if peer.fails {
                Err("as scripted".to_owned())
            } else {
                Ok(held)
            },
            registered: asked.into_iter().map(answer).collect(),
            problem: None,
        }
    }

    /// Compares what has to be compared.
    fn compare(&self, walks: &[WalkFacts]) -> Vec<super::OrderComparison> {
        let orders = self.peers.values().flat_map(|peer| peer.held.values());
        let orders: BTreeMap<Hash, &Order> =
            orders.map(|order| (order.facts.hash, order)).collect();
        let mut comparing = Comparing::new(walks, Arc::clone(self.watch.stakes()));
        while let Some([left, right]) = comparing.next_pair() {
            let result = orders[&left.hash].compare(orders[&right.hash]);
            comparing.record((!self.incomparable).then_some(result));
        }
        comparing.finish()
    }

    fn verdict(&self) -> ConsensusVerdict {
        self.watch.verdict(self.now())
    }

    /// Returns who is accused of what, such as `d:isolated`.
    fn accused(&self) -> Vec<String> {
        let verdict = self.verdict();
        let hearing = verdict.hearing.iter().flat_map(|hearing| {
            let isolated = hearing.is_isolated.then_some("isolated");
            let unheard = hearing.is_unheard.then_some("unheard");
            let found = isolated.into_iter().chain(unheard);
            found.map(|what| format!("{}:{what}", hearing.name))
        });
        let forks: BTreeMap<Hash, _> = verdict.forks().collect();
        let is_forked = |name: char| forks.get(&key(name)).is_some_and(Option::is_some);
        let peers = self.peers.keys().filter(|name| is_forked(**name));
        let forked = peers.map(|name| format!("{name}:forked"));
        hearing.chain(forked).collect()
    }
}

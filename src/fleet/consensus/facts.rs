//! What the judgement needs of a round of walks: plain values without the cells that prove them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::OrderPoints;
use convex_client::belief::{Belief, Held, SignedOrder};
use tokio::time::Instant;

use super::round::{BlocksRead, OrderComparison, Round, Walk};

/// A signed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OrderFacts {
    /// Key of the peer that signed it.
    pub(super) key: Hash,
    /// Hash of the signed order.
    pub(super) hash: Hash,
    /// Hash of its blocks: orders with equal ones have the same blocks.
    pub(super) blocks: Hash,
    /// When it was signed, by the clock of its peer.
    pub(super) signed_ms: i64,
    pub(super) points: OrderPoints,
}

impl OrderFacts {
    /// Whether this order replaces `other`, which the same peer signed.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        let age = |order: &Self| (order.signed_ms, order.points.by_level(), order.hash);
        age(self) > age(other)
    }
}

impl From<&SignedOrder> for OrderFacts {
    fn from(order: &SignedOrder) -> Self {
        Self {
            key: order.key,
            hash: order.hash,
            blocks: order.blocks.hash(),
            signed_ms: order.timestamp_ms,
            points: order.points,
        }
    }
}

/// What a belief has under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldFact {
    Order(OrderFacts),
    /// An order that proves nothing.
    Invalid,
    /// The belief has more orders than were read.
    Unread,
}

impl HeldFact {
    pub(super) const fn order(&self) -> Option<&OrderFacts> {
        match self {
            Self::Order(order) => Some(order),
            Self::Invalid | Self::Unread => None,
        }
    }
}

/// One walk.
#[derive(Clone, Debug)]
pub(super) struct WalkFacts {
    pub(super) name: String,
    /// The key that the peer shows; none if it did not answer.
    pub(super) key: Option<Hash>,
    pub(super) at: Instant,
    pub(super) wall: SystemTime,
    pub(super) every: Duration,
    /// What the belief has under the keys that are judged and under the peer's own, or why it was
    /// not read. Without an entry it has no order of that key.
    pub(super) held: Result<BTreeMap<Hash, HeldFact>, String>,
    pub(super) registered: BTreeMap<Hash, bool>,
    /// What the belief has that no honest peer sends, if anything.
    pub(super) problem: Option<String>,
}

impl WalkFacts {
    /// Takes what a walk found under the keys `judged`.
    pub(super) fn new(walk: &Walk, judged: &BTreeSet<Hash>) -> Self {
        let held = walk.belief.as_ref().map(|belief| {
            let keys = judged.iter().chain(&walk.key);
            let held = keys.filter_map(|key| {
                let fact = match belief.held(key) {
                    Held::Order(order) => HeldFact::Order(order.into()),
                    Held::Rejected(_) => HeldFact::Invalid,
                    Held::Unread => HeldFact::Unread,
                    Held::Nothing => return None,
                };
                Some((*key, fact))
            });
            held.collect()
        });
        Self {
            name: walk.name.clone(),
            key: walk.key,
            at: walk.at,
            wall: walk.wall,
            every: walk.every,
            held: held.map_err(Clone::clone),
            registered: walk.registered.clone(),
            problem: walk.belief.as_ref().ok().and_then(problem),
        }
    }

    /// Returns the order of the peer with `key` that the belief has.
    pub(super) fn order_of(&self, key: &Hash) -> Option<&OrderFacts> {
        self.held.as_ref().ok()?.get(key)?.order()
    }

    /// Returns the order that the peer signed itself.
    pub(super) fn own_order(&self) -> Option<&OrderFacts> {
        self.order_of(&self.key?)
    }

    /// Returns until when what was read counts.
    pub(super) fn counts_until(&self) -> Instant {
        self.at + self.every * WALKS_THAT_COUNT
    }
}

/// Says what a belief has that no honest peer sends.
fn problem(belief: &Belief) -> Option<String> {
    let (key, error) = belief.rejected.first_key_value()?;
    let count = belief.rejected.len();
    Some(format!(
        "{count} of its orders prove nothing; that of {key} is {error}"
    ))
}

/// What a walk found counts until the peer was due for this many more.
const WALKS_THAT_COUNT: u32 = 3;

/// One block that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockFacts {
    pub(super) index: u64,
    /// What it shows; none if it proves nothing.
    pub(super) made: Option<MadeBlock>,
}

/// What a block shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MadeBlock {
    /// Key of its maker.
    pub(super) maker: Hash,
    pub(super) timestamp_ms: i64,
    /// Number of transactions.
    pub(super) transactions: u64,
    /// How many of them are the canary's.
    pub(super) of_canary: u64,
}

/// The blocks that a round read.
#[derive(Clone, Debug)]
pub(super) struct BlocksFacts {
    /// Number of final blocks of the order.
    pub(super) finality: u64,
    pub(super) blocks: Vec<BlockFacts>,
    pub(super) skipped: u64,
}

impl From<&BlocksRead> for BlocksFacts {
    fn from(read: &BlocksRead) -> Self {
        let of_canary = |signers: &[Hash]| {
            let signed = signers.iter().filter(|key| Some(**key) == read.canary_key);
            signed.count() as u64
        };
        let blocks = read.blocks.iter().map(|block| {
            let made = block.block.as_ref().ok();
            let made = made.map(|made| MadeBlock {
                maker: made.maker,
                timestamp_ms: made.timestamp_ms,
                transactions: made.transactions,
                of_canary: of_canary(&made.signers),
            });
            BlockFacts {
                index: block.index,
                made,
            }
        });
        Self {
            finality: u64::try_from(read.order.points.finality).unwrap_or_default(),
            blocks: blocks.collect(),
            skipped: read.skipped,
        }
    }
}

/// A round of walks.
#[derive(Clone, Debug)]
pub(super) struct RoundFacts {
    pub(super) at: Instant,
    pub(super) wall: SystemTime,
    pub(super) walks: Vec<WalkFacts>,
    pub(super) comparisons: Vec<OrderComparison>,
    pub(super) blocks: Option<BlocksFacts>,
}

impl RoundFacts {
    /// Takes what a round found under the keys `judged`.
    pub(super) fn new(round: &Round, judged: &BTreeSet<Hash>) -> Self {
        let walks = round.walks.iter();
        Self {
            at: round.at,
            wall: round.wall,
            walks: walks.map(|walk| WalkFacts::new(walk, judged)).collect(),
            comparisons: round.comparisons.clone(),
            blocks: round.blocks.as_ref().map(BlocksFacts::from),
        }
    }
}

/// An order whose history is compared, and until when it counts.
pub(super) type Counted = (OrderFacts, Instant);

/// Returns the orders whose histories are compared: of each walked peer its own order from its own
/// belief, of every other judged key the newest in any belief.
pub(super) fn compared_orders(
    walks: &[WalkFacts],
    judged: &BTreeSet<Hash>,
) -> BTreeMap<Hash, Counted> {
    let mut orders: BTreeMap<Hash, Counted> = BTreeMap::new();
    for key in judged {
        let of_walked = walks.iter().filter(|walk| walk.key == Some(*key));
        let mut found: Vec<_> = of_walked
            .filter(|walk| walk.own_order().is_some())
            .collect();
        if found.is_empty() {
            found = walks.iter().collect();
        }
        for walk in found {
            let Some(order) = walk.order_of(key) else {
                continue;
            };
            let (known, until) = orders.entry(*key).or_insert((*order, walk.counts_until()));
            if order.is_newer_than(known) {
                (*known, *until) = (*order, walk.counts_until());
            } else if order.hash == known.hash {
                *until = walk.counts_until().max(*until);
            }
        }
    }
    orders
}

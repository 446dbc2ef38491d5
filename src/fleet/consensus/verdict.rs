//! The verdict on a network from the orders and beliefs that were read.

use std::collections::BTreeMap;
use std::time::SystemTime;

use cad3::Hash;
use convex_client::{ORDER_LEVELS, OrderPoints};
use tokio::time::Instant;

use crate::label_enum::label_enum;

/// What the orders and beliefs of a network say, as far as they were read recently. Peers stand by
/// their keys: most are not watched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsensusVerdict {
    /// What came of the last walk of each watched peer, by its name.
    pub walks: BTreeMap<String, WalkResult>,
    /// The newest signed order of each registered peer of which one was read recently, the heaviest
    /// first.
    pub votes: Vec<Vote>,
    /// Number of registered peers whose orders were not read, because there are more than one
    /// belief is read for.
    pub unread: u64,
    /// Share of the registered stake whose orders have reached [`Self::deciding`] at each level, in
    /// the order of [`ORDER_LEVELS`]; none while stake or orders are unknown.
    pub levels: Option<[f64; ORDER_LEVELS.len()]>,
    /// Index of the block that the levels are about: the first after the head, or the head itself
    /// if no order has a later one.
    pub deciding: Option<i64>,
    /// The different histories; none if no two orders were compared recently.
    pub histories: Option<Histories>,
    /// Who hears whom: one row for each peer that was walked recently.
    pub hearing: Vec<Hearing>,
    /// Who made the last blocks; none if no blocks were read recently.
    pub production: Option<Production>,
    /// Configured peers that sign with one key and are not one process.
    pub duplicate_keys: Vec<DuplicateKey>,
}

/// Two peers that sign with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateKey {
    /// The key.
    pub key: Hash,
    /// Their names.
    pub peers: [String; 2],
}

/// What came of the last walk of one peer.
#[derive(Clone, Debug, PartialEq)]
pub struct WalkResult {
    /// When its belief was last read.
    pub read: Option<(Instant, SystemTime)>,
    /// Why the last walk failed; none if it did not. What a peer sent that no honest peer sends
    /// stands here too.
    pub failure: Option<String>,
}

/// The newest signed order of one peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    /// Key of the peer that signed it.
    pub key: Hash,
    /// Its share of the registered stake, 0 to 1; none while that is unknown.
    pub stake: Option<f64>,
    /// Number of blocks at each level.
    pub points: OrderPoints,
    /// When the order was signed by the clock of its peer, in milliseconds since the epoch. On an
    /// idle network it stands still.
    pub signed_ms: i64,
    /// When the agent first saw this order.
    pub first_seen: Instant,
    /// Number of the walked peers that hold this order, and that hold any order of this peer.
    pub held_by: (usize, usize),
}

/// The different histories of a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histories {
    /// The histories, the one with most stake first.
    pub groups: Vec<History>,
    /// The first block at which histories differ; none while there is one history.
    pub fork: Option<Fork>,
    /// Keys of the peers whose orders could not be compared.
    pub not_compared: Vec<Hash>,
    /// Share of the registered stake whose orders were compared; none while stake is unknown.
    pub compared_stake: Option<f64>,
}

/// Peers with one history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Keys of the peers, the heaviest first.
    pub peers: Vec<Hash>,
    /// Their share of the registered stake, 0 to 1; none while that is unknown.
    pub stake: Option<f64>,
    /// Whether they have more than half of the registered stake: who has another history is forked.
    pub is_majority: bool,
    /// The first block at which this history differs from the first one; none for the first.
    pub fork: Option<Fork>,
}

/// The first block at which two histories differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Fork {
    /// Index of the block.
    pub block: u64,
    /// The block in the heavier history, and in the other one.
    pub blocks: [ForkedBlock; 2],
}

/// One of two different blocks at one position.
#[derive(Clone, Debug, PartialEq)]
pub struct ForkedBlock {
    /// Hash of the signed block.
    pub hash: Hash,
    /// Key of the peer that made the block, and its time in milliseconds since the epoch by the
    /// clock of that peer; none if no peer has the block itself any more.
    pub made: Option<(Hash, i64)>,
}

/// What one peer hears of the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Hearing {
    /// Key of the peer that was walked.
    pub key: Hash,
    /// Name of the peer that was walked.
    pub name: String,
    /// When it was walked.
    pub read: Instant,
    /// What it holds of each registered peer, by that peer's key.
    pub cells: BTreeMap<Hash, HearingCell>,
    /// Share of the others' registered stake that it hears, 0 to 1: what it does not miss. None
    /// while stake is unknown or nobody can be judged.
    pub heard_stake: Option<f64>,
    /// Whether it misses more than a third of the others' stake, in two walks in a row.
    pub is_isolated: bool,
    /// Whether others with more than two thirds of the others' stake miss its own newer order, in
    /// two walks in a row.
    pub is_unheard: bool,
}

/// What one peer holds of another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HearingCell {
    /// What it holds.
    pub heard: Heard,
    /// Whether the peer should hold the reference order, so that to miss it is evidence.
    pub is_judged: bool,
}

label_enum! {
    /// How the order that one peer holds of another compares with the newest that others hold.
    pub enum Heard {
        Current = "current", "As new as what others hold, or newer.";
        Older = "older", "Older than what others have held for more than a minute.";
        Nothing = "nothing", "None.";
        Invalid = "invalid", "An order that proves nothing: the signature or the form is wrong.";
        Unread = "unread", "The belief has more orders than are read.";
    }
}

/// Who made the last blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Production {
    /// The last blocks of the network's history that were read, the newest last; at most 100.
    pub last: Vec<LastBlock>,
    /// The oldest block that is not final; none if all are.
    pub pending: Option<Pending>,
    /// Number of transactions in the final blocks that were read since the agent started, without
    /// those of the canary.
    pub transactions: u64,
    /// Number of final blocks made by each peer that were read since the agent started, by key.
    pub made: BTreeMap<Hash, u64>,
    /// Number of final blocks that were made faster than they are read since the agent started.
    pub skipped: u64,
    /// Transactions a second in final blocks, over the last five minutes; none before the second
    /// reading, and after blocks that were not read.
    pub transactions_per_second: Option<f64>,
    /// Time in seconds from the date of a block until its maker had it final, both by the clock of
    /// the maker; of the last block whose maker's order shows it.
    pub finality_seconds: Option<f64>,
}

/// One of the last blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct LastBlock {
    /// Index of the block.
    pub index: u64,
    /// Key of the peer that made it.
    pub maker: Hash,
    /// Its time in milliseconds since the epoch, by the clock of its maker.
    pub timestamp_ms: i64,
    /// Number of transactions.
    pub transactions: u64,
    /// How many of them are said to be the canary's.
    pub of_canary: u64,
    /// Whether it was final when it was read.
    pub is_final: bool,
    /// Time in seconds from its date until its maker had it final, both by the clock of the maker;
    /// none unless an order that was read shows it.
    pub finality_seconds: Option<f64>,
}

/// The oldest block that is not final.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// The block.
    pub block: LastBlock,
    /// Its age in seconds when it was read: by the clock of its maker, but no older than the block
    /// before it. Negative if it is dated ahead of this host's clock: peers do not confirm it
    /// before that time.
    pub age_seconds: f64,
}

impl ConsensusVerdict {
    /// Returns the key of each peer whose history is known, with where that leaves the history of
    /// the majority: none if it does not, or if there is no majority.
    pub fn forks(&self) -> impl Iterator<Item = (Hash, Option<&Fork>)> {
        let groups = self.histories.as_ref().map_or(&[][..], |it| &it.groups);
        let has_majority = groups.first().is_some_and(|first| first.is_majority);
        groups.iter().flat_map(move |group| {
            let fork = group.fork.as_ref().filter(|_| has_majority);
            group.peers.iter().map(move |key| (*key, fork))
        })
    }
}

impl Production {
    /// Returns how many of the last blocks each peer made, by key.
    #[must_use]
    pub fn last_made(&self) -> BTreeMap<Hash, usize> {
        let mut made = BTreeMap::new();
        for block in &self.last {
            *made.entry(block.maker).or_default() += 1;
        }
        made
    }
}

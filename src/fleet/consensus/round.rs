//! Readings from the peers of a network in one round of walks, handed to its judgement.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::belief::{Belief, Comparison, ReadBlock, SignedOrder};
use tokio::time::Instant;

/// What one round of walks found in a network.
#[derive(Clone, Debug)]
pub struct Round {
    /// When the round ended.
    pub at: Instant,
    /// The same time by the agent's clock.
    pub wall: SystemTime,
    /// The walks of the round, one for each peer that was asked.
    pub walks: Vec<Walk>,
    /// The orders that were compared.
    pub comparisons: Vec<OrderComparison>,
    /// The blocks that were read; none if none were.
    pub blocks: Option<BlocksRead>,
}

/// One walk: the belief of one peer.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Name of the peer.
    pub name: String,
    /// The key that its status shows; none if it did not answer.
    pub key: Option<Hash>,
    /// When its belief was read, or the walk failed.
    pub at: Instant,
    /// The same time by the agent's clock.
    pub wall: SystemTime,
    /// How long after it the peer is walked next. Its readings count three times as long.
    pub every: Duration,
    /// The belief, or why it could not be read.
    pub belief: Result<Belief, String>,
    /// The encoding of the status that shows the belief, as it was received; empty without one.
    pub status: Vec<u8>,
    /// Whether the peer's own state has these keys with at least 1,000 CVM of own stake, as far as
    /// it was asked.
    pub registered: BTreeMap<Hash, bool>,
}

/// Two orders of one round that were compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderComparison {
    /// Hashes of the signed orders, left and right.
    pub orders: [Hash; 2],
    /// How their blocks compare; none if that could not be read: not compared.
    pub result: Option<Comparison>,
}

/// Which blocks of the network's history are read next.
#[derive(Clone, Debug, PartialEq)]
pub struct BlocksToRead {
    /// The order that has them.
    pub order: SignedOrder,
    /// Names of the walked peers that hold this order.
    pub holders: Vec<String>,
    /// Their positions: at most [`MAX_BLOCKS_IN_ROUND`].
    pub range: Range<u64>,
    /// Number of final blocks before these that are not read, because there were too many.
    pub skipped: u64,
    /// The key that signs the transactions of the canary, which are not throughput.
    pub canary_key: Option<Hash>,
}

/// The blocks that a round read.
#[derive(Clone, Debug, PartialEq)]
pub struct BlocksRead {
    /// The order that has them.
    pub order: SignedOrder,
    /// The blocks in its sequence, without gaps.
    pub blocks: Vec<ReadBlock>,
    /// Number of final blocks before these that were not read, because there were too many.
    pub skipped: u64,
    /// The key that signs the transactions of the canary, which are not throughput.
    pub canary_key: Option<Hash>,
}

/// Maximum number of blocks that one round reads: four requests of as many as a reader takes.
pub const MAX_BLOCKS_IN_ROUND: u64 = 4 * convex_client::belief::MAX_BLOCKS_READ;

impl Walk {
    /// Returns the order that the peer signed itself.
    #[must_use]
    pub fn own_order(&self) -> Option<&SignedOrder> {
        Some(self.belief.as_ref().ok()?.orders.get(&self.key?)?)
    }
}

//! What orders and beliefs say about a peer, as JSON.

use cad3::Hash;
use convex_client::{seconds_from_ms, seconds_since_epoch};
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::{Fork, ForkedBlock, PeerConsensus};

use super::{ExactInteger, OrderPointsJson};

/// What the peer's belief says, and what other peers hold of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PeerConsensusReport)]
pub(super) struct PeerConsensusJson<'a> {
    /// When the belief of the peer was last read, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    belief_read: Option<f64>,
    /// Why it could not be read last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    belief_failure: Option<&'a str>,
    /// Share of the other peers' stake whose newest orders the peer holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_stake_ratio: Option<f64>,
    /// The newest order that the peer signed, whoever holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_order: Option<OrderPointsJson>,
    /// When the peer signed that order by its own clock, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<f64>,
    /// Where the peer's history leaves that of the majority, if that was read recently.
    #[serde(skip_serializing_if = "Option::is_none")]
    fork: Option<ForkJson>,
    /// Final blocks that the peer made, of those that were read since the agent started.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_made: Option<u64>,
    /// How many of the last blocks the peer made.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_blocks_made: Option<usize>,
    /// How many blocks those are.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_blocks: Option<usize>,
}

/// The first block at which two histories differ.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ForkReport)]
pub(crate) struct ForkJson {
    block: ExactInteger,
    /// The block in the heavier history, then the one in the other history.
    blocks: [ForkedBlockJson; 2],
}

/// One of two different blocks at one position.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ForkedBlockReport)]
struct ForkedBlockJson {
    /// Hash of the signed block.
    hash: String,
    /// Key of the peer that made the block.
    #[serde(skip_serializing_if = "Option::is_none")]
    maker: Option<String>,
    /// Its time by the clock of its maker, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<f64>,
}

impl<'a> PeerConsensusJson<'a> {
    /// None if nothing is known.
    pub(super) fn new(consensus: PeerConsensus<'a>) -> Option<Self> {
        let read = consensus.walk.and_then(|walk| walk.read);
        let json = Self {
            belief_read: read.map(|(_, wall)| seconds_since_epoch(wall)),
            belief_failure: consensus.walk.and_then(|walk| walk.failure.as_deref()),
            heard_stake_ratio: consensus.hearing.and_then(|hearing| hearing.heard_stake),
            signed_order: consensus.vote.map(|vote| OrderPointsJson::new(vote.points)),
            signed: consensus.vote.map(|vote| seconds_from_ms(vote.signed_ms)),
            fork: consensus.fork.map(ForkJson::new),
            blocks_made: consensus.blocks_made,
            last_blocks_made: consensus.last_blocks.map(|(made, _)| made),
            last_blocks: consensus.last_blocks.map(|(_, all)| all),
        };
        let is_known = consensus.walk.is_some()
            || consensus.hearing.is_some()
            || consensus.vote.is_some()
            || consensus.blocks_made.is_some();
        is_known.then_some(json)
    }
}

impl ForkJson {
    pub(crate) fn new(fork: &Fork) -> Self {
        let [heavier, other] = &fork.blocks;
        Self {
            block: ExactInteger::from_count(fork.block),
            blocks: [ForkedBlockJson::new(heavier), ForkedBlockJson::new(other)],
        }
    }
}

impl ForkedBlockJson {
    fn new(block: &ForkedBlock) -> Self {
        Self {
            hash: block.hash.to_string(),
            maker: block.made.map(|(maker, _): (Hash, i64)| maker.to_string()),
            timestamp: block.made.map(|(_, ms)| seconds_from_ms(ms)),
        }
    }
}

//! The record of one incident, as JSON.

use std::time::SystemTime;

use cad3::Hash;
use convex_client::belief::{Comparison, SignedBlock, SignedOrder};
use serde::{Deserialize, Serialize};

use crate::fleet::{Condition, Round, Walk};
use crate::history::event::Label;

/// Maximum number of walks whose status and orders are kept.
const MAX_WALKS: usize = 16;

/// Maximum size of a status that is kept, in bytes. A peer's takes about 300.
const MAX_STATUS_BYTES: usize = 16 << 10;

/// The beginning of a condition of a peer, with what proves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Name of the network.
    pub network: String,
    /// Name of the peer.
    pub peer: String,
    /// The condition. One of a later version is kept unchanged.
    pub condition: Label,
    /// When the trouble began, as far as the agent saw it.
    #[serde(with = "rfc3339")]
    pub began: SystemTime,
    /// The peers that were walked.
    #[serde(default)]
    pub walks: Vec<WalkEvidence>,
    /// The orders in their beliefs, each once.
    #[serde(default)]
    pub orders: Vec<OrderEvidence>,
    /// The compared orders or states.
    #[serde(default)]
    pub compared: Vec<Compared>,
}

/// The walk of one peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WalkEvidence {
    /// Name of the peer.
    pub peer: String,
    /// The key that its status shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Hash>,
    /// When its belief was read, by the agent's clock.
    #[serde(with = "rfc3339")]
    pub read: SystemTime,
    /// Hash of its belief, which the status shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub belief: Option<Hash>,
    /// Its status as it was received, without a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Bytes>,
    /// Why its belief could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A signed order, and the peers that hold it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderEvidence {
    /// Hash of the signed order.
    pub hash: Hash,
    /// Key of the peer that signed it.
    pub key: Hash,
    /// Its time in milliseconds since the epoch, by the clock of that peer.
    pub timestamp_ms: i64,
    /// Number of blocks at each level: block, proposal, consensus, finality.
    pub points: [i64; 4],
    /// Hash of the Vector of its blocks.
    pub blocks: Hash,
    /// Names of the walked peers in whose beliefs it is.
    pub held_by: Vec<String>,
    /// The signed order: a message that proves it.
    pub message: Bytes,
}

/// A block of one of two orders, at the first position where they differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockEvidence {
    /// Hash of the signed block.
    pub hash: Hash,
    /// The signed block: a message that proves it. Absent if no peer has it any more, or if its
    /// signature is not valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Bytes>,
}

/// One comparison, and its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Compared {
    /// Two orders have the same blocks as far as both have blocks.
    SameBlocks {
        /// Hashes of the signed orders.
        orders: [Hash; 2],
        /// Number of blocks that both have.
        blocks: u64,
    },
    /// Two orders have different blocks.
    DifferentBlocks {
        /// Hashes of the signed orders.
        orders: [Hash; 2],
        /// First position, from 0, at which they differ.
        index: u64,
        /// The blocks at that position.
        blocks: [BlockEvidence; 2],
    },
    /// Peers have different states after one block.
    DifferentStates {
        /// Index of the block.
        block: i64,
        /// Name of a peer that has the state, and the beginning of the hash of the state.
        states: Vec<(String, String)>,
    },
    /// The finality of the peer went back.
    Finality {
        /// Number of final blocks before.
        before: i64,
        /// Number of final blocks now.
        now: i64,
    },
}

/// Bytes that are written in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(#[serde(with = "hex::serde")] pub Vec<u8>);

impl Incident {
    /// Creates an incident of a peer without evidence.
    #[must_use]
    pub fn new(network: &str, peer: &str, condition: Condition, began: SystemTime) -> Self {
        Self {
            network: network.to_owned(),
            peer: peer.to_owned(),
            condition: condition.as_str().into(),
            began,
            walks: Vec::new(),
            orders: Vec::new(),
            compared: Vec::new(),
        }
    }

    /// Adds what a round read from the peers: that of the peer first, then of at most
    /// 15 others.
    pub fn add_round(&mut self, round: &Round) {
        let (own, others): (Vec<&Walk>, Vec<&Walk>) =
            round.walks.iter().partition(|walk| walk.name == self.peer);
        for walk in own.into_iter().chain(others).take(MAX_WALKS) {
            self.add_walk(walk);
        }
        for comparison in &round.comparisons {
            let is_kept = |hash| self.orders.iter().any(|order| order.hash == hash);
            if let Some(result) = &comparison.result
                && comparison.orders.into_iter().all(is_kept)
            {
                self.compared.push(compared(comparison.orders, result));
            }
        }
    }

    fn add_walk(&mut self, walk: &Walk) {
        let has_status = !walk.status.is_empty() && walk.status.len() <= MAX_STATUS_BYTES;
        let belief = walk.belief.as_ref();
        self.walks.push(WalkEvidence {
            peer: walk.name.clone(),
            key: walk.key,
            read: walk.wall,
            belief: belief.ok().map(|belief| belief.hash),
            status: has_status.then(|| Bytes(walk.status.clone())),
            error: belief.err().cloned(),
        });
        for order in belief.iter().flat_map(|belief| belief.orders.values()) {
            let name = walk.name.clone();
            match self.orders.iter_mut().find(|it| it.hash == order.hash) {
                Some(known) => known.held_by.push(name),
                None => self.orders.push(OrderEvidence::new(order, vec![name])),
            }
        }
    }
}

impl OrderEvidence {
    /// Describes an order that these peers hold.
    pub(super) fn new(order: &SignedOrder, held_by: Vec<String>) -> Self {
        Self {
            hash: order.hash,
            key: order.key,
            timestamp_ms: order.timestamp_ms,
            points: order.points.by_level(),
            blocks: order.blocks.hash(),
            held_by,
            message: Bytes(order.message.clone()),
        }
    }
}

fn compared(orders: [Hash; 2], result: &Comparison) -> Compared {
    match result {
        Comparison::Same { blocks } => Compared::SameBlocks {
            orders,
            blocks: *blocks,
        },
        Comparison::Different(difference) => {
            let block = |side: usize| BlockEvidence {
                hash: difference.hashes[side],
                message: match &difference.blocks[side] {
                    Some(Ok(SignedBlock { message, .. })) => Some(Bytes(message.clone())),
                    Some(Err(_)) | None => None,
                },
            };
            Compared::DifferentBlocks {
                orders,
                index: difference.index,
                blocks: [block(0), block(1)],
            }
        }
    }
}

/// Times as text, such as `2026-11-29T19:00:00.123Z`.
pub(super) mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in super::super) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        // A clock without a battery can be before the epoch, which the format is not.
        let time = (*time).max(SystemTime::UNIX_EPOCH);
        serializer.collect_str(&humantime::format_rfc3339_millis(time))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(de::Error::custom)
    }
}

//! Who makes the blocks.

use std::collections::BTreeMap;

use convex_client::seconds_from_ms;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::peer_json::ExactInteger;
use crate::fleet::{LastBlock, Pending, Production};
use crate::web::peer_names::PeerNames;

use super::consensus::KeyReport;

/// Who makes the blocks of the network's history.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductionReport<'a> {
    /// The last blocks, at most 100, the newest last.
    last_blocks: Vec<BlockReport<'a>>,
    /// The oldest block that is not final; absent if all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<PendingReport<'a>>,
    /// Transactions in the final blocks that were read since the agent started.
    transactions: u64,
    /// Final blocks that were read since the agent started, by the key of their maker.
    blocks_made: BTreeMap<String, u64>,
    /// Final blocks that were made faster than they are read since the agent started.
    unread_blocks: u64,
    /// Time from the date of a block until its maker had it final, by the clock of the maker: of
    /// the last block whose maker's order shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    finality_seconds: Option<f64>,
}

/// A block.
#[derive(Debug, Serialize, ToSchema)]
struct BlockReport<'a> {
    block: ExactInteger,
    maker: KeyReport<'a>,
    /// Its time by the clock of its maker, seconds since the epoch.
    timestamp: f64,
    transactions: u64,
    /// Whether it was final when it was read.
    is_final: bool,
    /// Time from its date until its maker had it final, by the clock of the maker; absent unless an
    /// order that was read shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    finality_seconds: Option<f64>,
}

/// The oldest block that is not final.
#[derive(Debug, Serialize, ToSchema)]
struct PendingReport<'a> {
    #[serde(flatten)]
    block: BlockReport<'a>,
    /// Its age when it was read; negative if it is dated ahead of this host's clock.
    age_seconds: f64,
}

impl<'a> ProductionReport<'a> {
    pub(super) fn new(production: &Production, names: &PeerNames<'a>) -> Self {
        let last = production.last.iter();
        let made = production.made.iter();
        Self {
            last_blocks: last.map(|block| BlockReport::new(block, names)).collect(),
            pending: production
                .pending
                .as_ref()
                .map(|pending| PendingReport::new(pending, names)),
            transactions: production.transactions,
            blocks_made: made.map(|(key, count)| (key.to_string(), *count)).collect(),
            unread_blocks: production.skipped,
            finality_seconds: production.finality_seconds,
        }
    }
}

impl<'a> BlockReport<'a> {
    fn new(block: &LastBlock, names: &PeerNames<'a>) -> Self {
        Self {
            block: ExactInteger::from_count(block.index),
            maker: KeyReport::new(&block.maker, names),
            timestamp: seconds_from_ms(block.timestamp_ms),
            transactions: block.transactions,
            is_final: block.is_final,
            finality_seconds: block.finality_seconds,
        }
    }
}

impl<'a> PendingReport<'a> {
    fn new(pending: &Pending, names: &PeerNames<'a>) -> Self {
        Self {
            block: BlockReport::new(&pending.block, names),
            age_seconds: pending.age_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fleet::example;

    #[test]
    fn production_has_the_last_blocks_and_the_one_that_waits() {
        let snapshot = example::snapshot(4, 4);
        let production = snapshot.networks[0].verdict.consensus.production.as_ref();
        let names = PeerNames::of("n", &snapshot);
        let report = ProductionReport::new(production.unwrap(), &names);
        let production = serde_json::to_value(report).unwrap();
        let maker = json!({ "key": example::key(1).to_string(), "peer": "p1" });
        let newest = json!({ "block": 1000, "maker": maker, "timestamp": 1_799_999_999.0, "transactions": 3, "is_final": false });
        assert_eq!(production["last_blocks"][3], newest);
        assert_eq!(production["pending"]["maker"], maker);
        assert_eq!(production["pending"]["age_seconds"], 1.0);
        assert_eq!(
            (&production["transactions"], &production["unread_blocks"]),
            (&json!(2997), &json!(7))
        );
        assert_eq!(production["blocks_made"][example::key(2).to_string()], 500);
    }
}

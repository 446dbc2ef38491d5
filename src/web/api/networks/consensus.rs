//! What the orders and beliefs of a network's peers say.

use std::collections::BTreeMap;

use cad3::Hash;
use convex_client::{ORDER_LEVELS, seconds_from_ms, seconds_since_epoch};
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::peer_json::{ExactInteger, ForkJson, OrderPointsJson};
use crate::fleet::{
    ConsensusVerdict, Heard, Hearing, HearingCell, Histories, History, NetworkSnapshot, Snapshot,
    Vote, WalkResult,
};
use crate::web::peer_names::PeerNames;

use super::production::ProductionReport;

/// What the signed orders and the beliefs of the peers say, as far as they were read recently.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConsensusReport<'a> {
    /// What came of the last walk of each watched peer, ordered by name.
    walks: Vec<WalkReport<'a>>,
    /// The newest signed order of each registered peer, the heaviest first.
    votes: Vec<VoteReport<'a>>,
    /// Number of registered peers whose orders are not read, because there are too many.
    unread_votes: u64,
    /// Share of the registered stake whose orders have `deciding_block` at each level.
    #[serde(skip_serializing_if = "Option::is_none")]
    levels: Option<BTreeMap<&'static str, f64>>,
    /// The first block after the head; the head itself if no order has a later block.
    #[serde(skip_serializing_if = "Option::is_none")]
    deciding_block: Option<ExactInteger>,
    /// Absent if no two orders were compared recently.
    #[serde(skip_serializing_if = "Option::is_none")]
    histories: Option<HistoriesReport<'a>>,
    /// Who hears whom: a row for each peer whose belief was read recently.
    hearing: Vec<HearingReport<'a>>,
    /// Who makes the blocks; absent if none were read recently.
    #[serde(skip_serializing_if = "Option::is_none")]
    production: Option<ProductionReport<'a>>,
}

/// A registered peer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyReport<'a> {
    key: String,
    /// The name of the watched peer with this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
}

/// What came of the last walk of a watched peer.
#[derive(Debug, Serialize, ToSchema)]
struct WalkReport<'a> {
    peer: &'a str,
    /// When its belief was last read, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<f64>,
    /// Why the last walk failed, or what the peer sent that no honest peer sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
}

/// The newest signed order of a registered peer.
#[derive(Debug, Serialize, ToSchema)]
struct VoteReport<'a> {
    #[serde(flatten)]
    key: KeyReport<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stake_ratio: Option<f64>,
    order: OrderPointsJson,
    /// When the peer signed it by its own clock, seconds since the epoch. Stands still on an idle
    /// network.
    signed: f64,
    /// Number of walked peers that hold this order.
    held_by: usize,
    /// Number of walked peers that hold any order of this peer.
    heard_by: usize,
}

/// The different histories of blocks.
#[derive(Debug, Serialize, ToSchema)]
struct HistoriesReport<'a> {
    /// The histories, the one with most stake first.
    groups: Vec<BlockHistoryReport<'a>>,
    /// The first block at which histories differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    fork: Option<ForkJson>,
    /// Peers whose orders could not be compared.
    not_compared: Vec<KeyReport<'a>>,
    /// Share of the registered stake whose orders were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    compared_stake_ratio: Option<f64>,
}

/// One history.
#[derive(Debug, Serialize, ToSchema)]
struct BlockHistoryReport<'a> {
    /// The peers that have it, the heaviest first.
    peers: Vec<KeyReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stake_ratio: Option<f64>,
    /// Whether they have more than half of the registered stake.
    majority: bool,
    /// Where it leaves the first history.
    #[serde(skip_serializing_if = "Option::is_none")]
    fork: Option<ForkJson>,
}

/// What one peer hears of the others.
#[derive(Debug, Serialize, ToSchema)]
struct HearingReport<'a> {
    /// The peer whose belief was read.
    peer: &'a str,
    key: String,
    /// Share of the others' stake whose newest orders it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_stake_ratio: Option<f64>,
    isolated: bool,
    unheard: bool,
    /// What it holds of each registered peer, by key.
    holds: BTreeMap<String, HeldReport>,
}

/// What one peer holds of another.
#[derive(Debug, Serialize, ToSchema)]
struct HeldReport {
    order: Heard,
    /// Whether the peer should hold the newest order, so that to lack it is evidence.
    judged: bool,
}

impl<'a> ConsensusReport<'a> {
    pub(super) fn new(network: &'a NetworkSnapshot, snapshot: &'a Snapshot) -> Self {
        let verdict: &ConsensusVerdict = &network.verdict.consensus;
        let names = &PeerNames::of(&network.name, snapshot);
        Self {
            walks: verdict
                .walks
                .iter()
                .map(|(peer, walk)| WalkReport::new(peer, walk))
                .collect(),
            votes: verdict
                .votes
                .iter()
                .map(|vote| VoteReport::new(vote, names))
                .collect(),
            unread_votes: verdict.unread,
            levels: verdict
                .levels
                .map(|shares| ORDER_LEVELS.into_iter().zip(shares).collect()),
            deciding_block: verdict.deciding.map(ExactInteger),
            histories: verdict
                .histories
                .as_ref()
                .map(|histories| HistoriesReport::new(histories, names)),
            hearing: verdict.hearing.iter().map(HearingReport::new).collect(),
            production: verdict
                .production
                .as_ref()
                .map(|production| ProductionReport::new(production, names)),
        }
    }
}

impl<'a> KeyReport<'a> {
    pub(super) fn new(key: &Hash, names: &PeerNames<'a>) -> Self {
        Self {
            key: key.to_string(),
            peer: names.get(key).map(|record| record.peer.name.as_str()),
        }
    }

    fn list(keys: &[Hash], names: &PeerNames<'a>) -> Vec<Self> {
        keys.iter().map(|key| Self::new(key, names)).collect()
    }
}

impl<'a> WalkReport<'a> {
    fn new(peer: &'a str, walk: &'a WalkResult) -> Self {
        Self {
            peer,
            read: walk.read.map(|(_, wall)| seconds_since_epoch(wall)),
            failure: walk.failure.as_deref(),
        }
    }
}

impl<'a> VoteReport<'a> {
    fn new(vote: &Vote, names: &PeerNames<'a>) -> Self {
        let (held_by, heard_by) = vote.held_by;
        Self {
            key: KeyReport::new(&vote.key, names),
            stake_ratio: vote.stake,
            order: OrderPointsJson::new(vote.points),
            signed: seconds_from_ms(vote.signed_ms),
            held_by,
            heard_by,
        }
    }
}

impl<'a> HistoriesReport<'a> {
    fn new(histories: &Histories, names: &PeerNames<'a>) -> Self {
        let groups = histories.groups.iter();
        Self {
            groups: groups
                .map(|history| BlockHistoryReport::new(history, names))
                .collect(),
            fork: histories.fork.as_ref().map(ForkJson::new),
            not_compared: KeyReport::list(&histories.not_compared, names),
            compared_stake_ratio: histories.compared_stake,
        }
    }
}

impl<'a> BlockHistoryReport<'a> {
    fn new(history: &History, names: &PeerNames<'a>) -> Self {
        Self {
            peers: KeyReport::list(&history.peers, names),
            stake_ratio: history.stake,
            majority: history.is_majority,
            fork: history.fork.as_ref().map(ForkJson::new),
        }
    }
}

impl<'a> HearingReport<'a> {
    fn new(hearing: &'a Hearing) -> Self {
        let cells = hearing.cells.iter();
        Self {
            peer: &hearing.name,
            key: hearing.key.to_string(),
            heard_stake_ratio: hearing.heard_stake,
            isolated: hearing.is_isolated,
            unheard: hearing.is_unheard,
            holds: cells
                .map(|(key, cell)| (key.to_string(), HeldReport::new(*cell)))
                .collect(),
        }
    }
}

impl HeldReport {
    const fn new(cell: HearingCell) -> Self {
        Self {
            order: cell.heard,
            judged: cell.is_judged,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fleet::{NetworkVerdict, example};

    fn report(snapshot: &Snapshot) -> Value {
        let report = ConsensusReport::new(&snapshot.networks[0], snapshot);
        serde_json::to_value(report).unwrap()
    }

    #[test]
    fn what_is_unknown_is_absent() {
        let mut snapshot = example::snapshot(4, 4);
        example::change(&mut snapshot, |verdict| {
            *verdict = NetworkVerdict::default();
        });
        let empty = json!({ "walks": [], "votes": [], "unread_votes": 0, "hearing": [] });
        assert_eq!(report(&snapshot), empty);
    }

    #[test]
    fn peers_stand_by_their_keys_and_watched_ones_by_their_names_as_well() {
        let report = report(&example::snapshot(2, 1));
        let [first, second] = [1, 2].map(|i| example::key(i).to_string());
        let order = json!({ "block": 1001, "proposal": 1001, "consensus": 1000, "finality": 1000 });
        assert_eq!(
            report["votes"],
            json!([
                { "key": first, "peer": "p1", "stake_ratio": 0.5, "order": order, "signed": 1_799_999_998.0, "held_by": 1, "heard_by": 1 },
                { "key": second, "stake_ratio": 0.5, "order": order, "signed": 1_799_999_998.0, "held_by": 1, "heard_by": 1 },
            ])
        );
        let held = json!({ "order": "current", "judged": true });
        assert_eq!(
            report["hearing"],
            json!([{ "peer": "p1", "key": first, "heard_stake_ratio": 1.0, "isolated": false, "unheard": false,
                     "holds": { first.as_str(): held, second.as_str(): held } }])
        );
        assert_eq!(
            report["walks"],
            json!([{ "peer": "p1", "read": 1_800_000_000.0 }])
        );
        assert_eq!(
            (&report["deciding_block"], &report["levels"]),
            (
                &json!(1000),
                &json!({ "block": 1.0, "proposal": 1.0, "consensus": 0.5, "finality": 0.0 })
            )
        );
    }

    #[test]
    fn a_fork_has_both_blocks() {
        let mut snapshot = example::snapshot(4, 4);
        example::fork_last(&mut snapshot);
        let report = report(&snapshot);
        let [first, last] = [1, 4].map(|i| example::key(i).to_string());
        let fork = json!({ "block": 137, "blocks": [
            { "hash": format!("0x{}", "aa".repeat(32)), "maker": first, "timestamp": 1_799_999_940.0 },
            { "hash": format!("0x{}", "bb".repeat(32)) },
        ] });
        let histories = &report["histories"];
        assert_eq!(histories["fork"], fork);
        assert_eq!(histories["groups"][0]["majority"], true);
        assert_eq!(
            histories["groups"][1],
            json!({ "peers": [{ "key": last, "peer": "p4" }], "stake_ratio": 0.25, "majority": false, "fork": fork })
        );
    }
}

//! One network according to its watched peers, as in the list of all.

use std::collections::BTreeMap;

use convex_client::seconds_since_epoch;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::peer_json::{ExactInteger, StateJson};
use crate::fleet::{
    HeadBasis, Health, NetworkSnapshot, OrderState, QueryRecord, Snapshot, ThroughputSource,
};

use crate::web::api::canary::CanaryReport;

use super::protocol::ProtocolReport;
use super::stake::QuorumReport;
use super::states::{ComparedReport, DifferenceReport, NewGenesisReport};
use super::vantages::ConclusionReport;

/// One network, according to its watched peers. Unknown values are absent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NetworkReport<'a> {
    name: &'a str,
    order_state: OrderState,
    /// The highest block that is final for enough stake; absent while the registered stake is
    /// unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    head_block: Option<ExactInteger>,
    /// When a finality point was last seen to advance, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    finality_advanced: Option<f64>,
    /// Whose stake the head rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    head_basis: Option<HeadBasis>,
    compared: ComparedReport,
    /// Number of distinct states at one block among the peers with a vote; 1 if those that were
    /// compared agree; absent while nothing was compared recently.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_groups: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_difference: Option<DifferenceReport<'a>>,
    /// Whether peers with half of the registered stake or more have other states than others and no
    /// state has more than half of it; absent while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<bool>,
    /// Whether all polled peers show one genesis hash that is not the network's; absent while that
    /// is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_genesis: Option<NewGenesisReport>,
    watched: WatchedReport,
    /// Number of peers registered on chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_peers: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quorum: Option<QuorumReport>,
    /// What follows from the opinions of all agents on what this one finds absent from the network;
    /// absent while it finds neither a stall nor the quorum at risk.
    #[serde(skip_serializing_if = "Option::is_none")]
    conclusion: Option<ConclusionReport>,
    /// Total stake of the registered peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    stake_copper: Option<ExactInteger>,
    /// When the registry was last read, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    stake_told: Option<f64>,
    /// Whether the last query about the chain failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    query_error: Option<bool>,
    /// Absent while no state is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<ProtocolReport>,
    /// The latest state of the majority, while it is fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateJson>,
    /// Absent where neither orders nor accounts tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    throughput: Option<ThroughputReport>,
    /// Absent if no canary is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    canary: Option<CanaryReport<'a>>,
    /// Results of the configured queries, by name.
    queries: BTreeMap<&'a str, QueryReport>,
}

/// Number of watched peers of the network, in total and by health.
#[derive(Debug, Default, Serialize, ToSchema)]
struct WatchedReport {
    peers: usize,
    unknown: usize,
    up: usize,
    degraded: usize,
    down: usize,
}

/// How many transactions the network executes.
#[derive(Debug, Serialize, ToSchema)]
struct ThroughputReport {
    /// Transactions a second, over the last five minutes or the last two readings.
    transactions_per_second: f64,
    source: ThroughputSource,
}

/// The result of one configured query.
#[derive(Debug, Serialize, ToSchema)]
struct QueryReport {
    /// The value, while the query succeeds. Infinity and NaN are absent, as JSON cannot express
    /// them.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    /// Whether the last attempt succeeded.
    success: bool,
    /// When the query last succeeded, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<f64>,
}

impl<'a> NetworkReport<'a> {
    pub(super) fn new(network: &'a NetworkSnapshot, snapshot: &Snapshot) -> Self {
        let verdict = &network.verdict;
        Self {
            name: &network.name,
            order_state: verdict.order,
            head_block: verdict.head.map(ExactInteger),
            finality_advanced: verdict.finality_advanced.map(seconds_since_epoch),
            head_basis: verdict.head_basis,
            compared: ComparedReport::new(verdict, snapshot),
            state_groups: verdict.state_groups(),
            state_difference: verdict.difference.as_ref().map(DifferenceReport::new),
            split: verdict.split.to_bool(),
            reset: verdict.is_reset.to_bool(),
            new_genesis: verdict
                .reset
                .as_ref()
                .map(|reset| NewGenesisReport::new(reset, snapshot)),
            watched: WatchedReport::new(&network.name, snapshot),
            registered_peers: verdict.registered.map(ExactInteger),
            quorum: verdict.quorum.as_ref().map(QuorumReport::new),
            conclusion: ConclusionReport::new(snapshot.conclusion_on_network(network)),
            stake_copper: verdict.stake_copper.map(ExactInteger),
            stake_told: verdict.registry_read.map(seconds_since_epoch),
            query_error: verdict.query_error.to_bool(),
            protocol: verdict.protocol.as_ref().map(ProtocolReport::new),
            state: network.poll_answer.as_ref().map(StateJson::new),
            throughput: network.throughput.map(|throughput| ThroughputReport {
                transactions_per_second: throughput.transactions_per_second,
                source: throughput.source,
            }),
            canary: network
                .canary
                .as_ref()
                .map(|canary| CanaryReport::new(canary, snapshot)),
            queries: network
                .queries
                .iter()
                .map(|(name, query)| (name.as_str(), QueryReport::new(query)))
                .collect(),
        }
    }
}

impl WatchedReport {
    fn new(network: &str, snapshot: &Snapshot) -> Self {
        let mut watched = Self::default();
        let peers = snapshot.peers.iter();
        for record in peers.filter(|record| record.peer.network == network) {
            watched.peers += 1;
            *match record.health {
                Health::Unknown => &mut watched.unknown,
                Health::Up => &mut watched.up,
                Health::Degraded => &mut watched.degraded,
                Health::Down => &mut watched.down,
            } += 1;
        }
        watched
    }
}

impl QueryReport {
    fn new(query: &QueryRecord) -> Self {
        let value = query.value.map(|(value, _)| value);
        Self {
            value: value.filter(|value| query.success && value.is_finite()),
            success: query.success,
            last_success: query.last_success.map(seconds_since_epoch),
        }
    }
}

//! `/api/v1/networks`: the state of each network according to its watched peers.

use std::collections::BTreeMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use cad3::Hash;
use convex_client::{seconds_from_ms, seconds_since_epoch};
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::peer_json::{ExactInteger, StateJson};
use crate::fleet::{
    Absence, HeadBasis, Health, NetworkConclusion, NetworkReset, NetworkSnapshot, OrderState,
    PendingUpgrade, ProtocolVerdict, QueryRecord, Quorum, Snapshot, StakeClass, StateDifference,
    ThroughputSource,
};

use super::Api;
use super::canary::CanaryReport;
use super::conditional::json;
use super::consensus::ConsensusReport;
use super::problem::Problem;

/// One network, according to its watched peers. Unknown values are absent.
#[derive(Debug, Serialize, ToSchema)]
struct NetworkReport<'a> {
    name: &'a str,
    order_state: OrderState,
    /// The highest block that is final for enough stake; absent while the registered stake is unknown.
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
    /// compared agree; absent while nothing was compared lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_groups: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_difference: Option<DifferenceReport<'a>>,
    /// Whether peers with half of the registered stake or more have other states than others and no
    /// state has more than half of it; absent while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<bool>,
    /// Whether all polled peers show one genesis hash that is not the network's; absent while that is
    /// not known.
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

/// One network with what the orders and beliefs of its peers say.
#[derive(Debug, Serialize, ToSchema)]
struct NetworkDetails<'a> {
    #[serde(flatten)]
    network: NetworkReport<'a>,
    consensus: ConsensusReport<'a>,
}

/// How much was compared lately: which peers showed a block that another one showed too.
#[derive(Debug, Serialize, ToSchema)]
struct ComparedReport {
    /// Number of peers that answer.
    answering: usize,
    /// How many of them were compared.
    peers: usize,
    /// Their share of the registered stake; absent while that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    stake_ratio: Option<f64>,
    /// When a peer was last compared, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<f64>,
    /// Whether blocks are made and several peers answer, but nothing was compared for ten intervals.
    nothing_for_long: bool,
}

/// The newest block at which peers with a vote have different states.
#[derive(Debug, Serialize, ToSchema)]
struct DifferenceReport<'a> {
    block: ExactInteger,
    states: Vec<DifferingStateReport<'a>>,
}

/// One of several states at a block.
#[derive(Debug, Serialize, ToSchema)]
struct DifferingStateReport<'a> {
    /// The first half of the state hash, in hexadecimal.
    hash_prefix: String,
    /// A peer that has it.
    peer: &'a str,
}

/// The genesis hash that all polled peers of a reset network show.
#[derive(Debug, Serialize, ToSchema)]
struct NewGenesisReport {
    /// The genesis hash of the network.
    expected: String,
    /// Whether the configuration pins it; else the peers showed it before.
    pinned: bool,
    /// The genesis hash that the peers show.
    shown: String,
    /// How many peers show it.
    peers: usize,
    /// Since when all of them show it, seconds since the epoch.
    since: f64,
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

/// The network's stake by class, as shares of the total weight, and the quorum that follows.
#[derive(Debug, Serialize, ToSchema)]
struct QuorumReport {
    /// Distance to the quorum threshold after subtracting all stake that is known to be absent.
    margin: f64,
    /// How many of the heaviest peers that are not proven absent can be lost before the margin is
    /// negative, if all unobserved stake is there.
    losable_peers: usize,
    /// The same if all unobserved stake is lost already.
    losable_peers_worst: usize,
    majority: f64,
    minority: f64,
    down: f64,
    unobserved: f64,
}

/// What becomes of what this agent finds absent from a network.
#[derive(Debug, Serialize, ToSchema)]
struct ConclusionReport {
    /// Its verdict that the network finalises nothing.
    stall: Absence,
    /// Its verdict that the network can lose no further peer.
    quorum: Absence,
    /// Whether it reaches less than half of what another agent reaches.
    cut_off: bool,
}

/// The version of the protocol and its upgrades.
#[derive(Debug, Serialize, ToSchema)]
struct ProtocolReport {
    /// The number of upgrades that were applied.
    version: ExactInteger,
    /// The upgrades that are scheduled, the next one first; at most 16.
    pending: Vec<UpgradeReport>,
    /// Whether the time of the next upgrade has come, and peers with more than half of the stake that
    /// can execute it stand still as well.
    failed: bool,
    /// Keys of registered peers whose own stake went missing shortly before an upgrade.
    withdrawn: Vec<String>,
}

/// An upgrade of the protocol that is scheduled.
#[derive(Debug, Serialize, ToSchema)]
struct UpgradeReport {
    /// The version that it makes.
    version: ExactInteger,
    /// The first block dated at this time or later applies it, seconds since the epoch.
    takes_effect: f64,
    /// Shares of the network's weight; absent while that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    readiness: Option<ReadinessReport>,
}

/// Who can execute an upgrade, as shares of the network's weight.
#[derive(Debug, Serialize, ToSchema)]
struct ReadinessReport {
    /// Says that its release can.
    ready: f64,
    /// Says that its release cannot, or has too little own stake to vote.
    unable: f64,
    /// Not watched, does not answer, or does not say.
    unknown: f64,
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
    fn new(network: &'a NetworkSnapshot, snapshot: &Snapshot) -> Self {
        let verdict = &network.verdict;
        Self {
            name: &network.name,
            order_state: verdict.order,
            head_block: verdict.head.map(ExactInteger),
            finality_advanced: verdict.finality_advanced.map(seconds_since_epoch),
            head_basis: verdict.head_basis,
            compared: ComparedReport {
                answering: verdict.compared.answering,
                peers: verdict.compared.peers,
                stake_ratio: verdict.compared.stake,
                last: verdict
                    .compared
                    .last
                    .map(|last| seconds_since_epoch(snapshot.time_of(last))),
                nothing_for_long: verdict.nothing_compared,
            },
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

impl<'a> DifferenceReport<'a> {
    fn new(difference: &'a StateDifference) -> Self {
        let states = difference.states.iter();
        Self {
            block: ExactInteger(difference.block),
            states: states
                .map(|(state, peer)| DifferingStateReport {
                    hash_prefix: state.to_string(),
                    peer,
                })
                .collect(),
        }
    }
}

impl NewGenesisReport {
    fn new(reset: &NetworkReset, snapshot: &Snapshot) -> Self {
        Self {
            expected: reset.expected.to_string(),
            pinned: reset.pinned,
            shown: reset.shown.to_string(),
            peers: reset.peers,
            since: seconds_since_epoch(snapshot.time_of(reset.since)),
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

impl QuorumReport {
    fn new(quorum: &Quorum) -> Self {
        let share = |class: StakeClass| quorum.ratios[class as usize];
        Self {
            margin: quorum.margin,
            losable_peers: quorum.losable.best,
            losable_peers_worst: quorum.losable.worst,
            majority: share(StakeClass::Majority),
            minority: share(StakeClass::Minority),
            down: share(StakeClass::Down),
            unobserved: share(StakeClass::Unobserved),
        }
    }
}

impl ConclusionReport {
    /// None if the agent finds nothing absent.
    fn new(conclusion: NetworkConclusion) -> Option<Self> {
        (conclusion != NetworkConclusion::default()).then_some(Self {
            stall: conclusion.stall,
            quorum: conclusion.quorum,
            cut_off: conclusion.is_cut_off,
        })
    }
}

impl ProtocolReport {
    fn new(protocol: &ProtocolVerdict) -> Self {
        let upgrade = |upgrade: &PendingUpgrade| UpgradeReport {
            version: ExactInteger(upgrade.version),
            takes_effect: seconds_from_ms(upgrade.takes_effect_ms),
            readiness: upgrade
                .readiness
                .map(|[ready, unable, unknown]| ReadinessReport {
                    ready,
                    unable,
                    unknown,
                }),
        };
        Self {
            version: ExactInteger(protocol.version),
            pending: protocol.pending.iter().map(upgrade).collect(),
            failed: protocol.failed,
            withdrawn: protocol.withdrawn.iter().map(Hash::to_string).collect(),
        }
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

/// The networks, ordered by name.
#[utoipa::path(
    get,
    path = "/api/v1/networks",
    tag = "networks",
    responses(
        (status = 200, description = "The networks.", body = [NetworkReport], headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
    )
)]
pub(super) async fn networks(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = api.fleet.snapshot();
    let networks = snapshot.networks.iter();
    let reports: Vec<_> = networks
        .map(|network| NetworkReport::new(network, &snapshot))
        .collect();
    json(&headers, &reports)
}

/// One network.
#[utoipa::path(
    get,
    path = "/api/v1/networks/{name}",
    tag = "networks",
    params(("name" = String, Path, description = "The network's name.")),
    responses(
        (status = 200, description = "The network.", body = NetworkDetails, headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
        (status = 400, description = "The path is not valid UTF-8.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No network has this name.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn network(
    State(api): State<Api>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(name) = name?;
    let snapshot = api.fleet.snapshot();
    let network = snapshot
        .networks
        .iter()
        .find(|network| network.name == name);
    let network = network.ok_or_else(|| {
        Problem::not_found(format!(
            "no network named {name:?}; /api/v1/networks lists all of them"
        ))
    })?;
    let details = NetworkDetails {
        network: NetworkReport::new(network, &snapshot),
        consensus: ConsensusReport::new(network, &snapshot),
    };
    json(&headers, &details)
}

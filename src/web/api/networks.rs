//! `/api/v1/networks`: what the watched peers of each network say together.

use std::collections::BTreeMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use convex_client::seconds_since_epoch;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::report::{ExactInteger, StateReport};
use crate::fleet::{
    Health, NetworkSnapshot, OrderState, QueryRecord, Quorum, Snapshot, StakeClass,
};

use super::Api;
use super::conditional::json;
use super::problem::Problem;

/// One network, as its watched peers show it. What is not known is absent.
#[derive(Debug, Serialize, ToSchema)]
struct NetworkReport<'a> {
    name: &'a str,
    order_state: OrderState,
    /// The highest state block that the majority has reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    head_block: Option<ExactInteger>,
    /// When a finality point was last seen to grow, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    finality_advanced: Option<f64>,
    /// Distinct states among the peers that are heard; 1 when all agree.
    state_groups: usize,
    /// Whether no group of peers holds more than half of the weight.
    split: bool,
    watched: WatchedReport,
    /// Peers registered on chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_peers: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quorum: Option<QuorumReport>,
    /// Coin behind the registered peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    stake_copper: Option<ExactInteger>,
    /// When the registry was told, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    stake_told: Option<f64>,
    /// Whether the last question about the chain was not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    query_error: Option<bool>,
    /// The newest fresh state of the majority.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateReport>,
    /// The operator's own queries by name.
    queries: BTreeMap<&'a str, QueryReport>,
}

/// How many peers of the network are watched, in all and by health.
#[derive(Debug, Default, Serialize, ToSchema)]
struct WatchedReport {
    peers: usize,
    unknown: usize,
    up: usize,
    degraded: usize,
    down: usize,
}

/// The network's stake by standing, as parts of all weight, and what that means for the quorum.
#[derive(Debug, Serialize, ToSchema)]
struct QuorumReport {
    /// What is left above the threshold when all stake that is proven absent is taken off.
    margin: f64,
    /// How many peers of the majority, the heaviest first, can be lost before the margin is negative.
    losable_peers: usize,
    majority: f64,
    minority: f64,
    down: f64,
    unobserved: f64,
}

/// One of the operator's own queries.
#[derive(Debug, Serialize, ToSchema)]
struct QueryReport {
    /// Its value, as long as it keeps being answered. Infinity and what is no number are no value in JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    /// Whether it was answered last time.
    success: bool,
    /// When it was last answered, seconds since the epoch.
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
            state_groups: verdict.groups,
            split: verdict.split,
            watched: WatchedReport::new(&network.name, snapshot),
            registered_peers: verdict.registered.map(ExactInteger),
            quorum: verdict.quorum.as_ref().map(QuorumReport::new),
            stake_copper: verdict.stake_copper.map(ExactInteger),
            stake_told: verdict.stake_told.map(seconds_since_epoch),
            query_error: verdict.query_error,
            state: network.figures.as_ref().map(StateReport::new),
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

impl QuorumReport {
    fn new(quorum: &Quorum) -> Self {
        let part = |standing: StakeClass| quorum.ratios[standing as usize];
        Self {
            margin: quorum.margin,
            losable_peers: quorum.losable,
            majority: part(StakeClass::Majority),
            minority: part(StakeClass::Minority),
            down: part(StakeClass::Down),
            unobserved: part(StakeClass::Unobserved),
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

/// What the watched peers of each network say together, in order of the networks' names.
#[utoipa::path(
    get,
    path = "/api/v1/networks",
    tag = "networks",
    responses(
        (status = 200, description = "The networks.", body = [NetworkReport], headers(("ETag" = String, description = "For If-None-Match."))),
        (status = 304, description = "As the client has it already."),
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

/// What the watched peers of one network say together.
#[utoipa::path(
    get,
    path = "/api/v1/networks/{name}",
    tag = "networks",
    params(("name" = String, Path, description = "The network's name.")),
    responses(
        (status = 200, description = "The network.", body = NetworkReport, headers(("ETag" = String, description = "For If-None-Match."))),
        (status = 304, description = "As the client has it already."),
        (status = 400, description = "The path is no text.", body = Problem, content_type = "application/problem+json"),
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
            "no network is called {name:?}; /api/v1/networks lists them"
        ))
    })?;
    json(&headers, &NetworkReport::new(network, &snapshot))
}

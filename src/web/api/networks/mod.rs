//! `/api/v1/networks`: the state of each network according to its watched peers, and over time.

pub(super) mod agreement;
mod consensus;
mod production;
mod protocol;
mod report;
mod stake;
mod states;
mod vantages;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::{NetworkSnapshot, Snapshot};

use super::Api;
use super::conditional::json;
use super::problem::Problem;
use consensus::ConsensusReport;
use report::NetworkReport;
use stake::RegisteredReport;
use vantages::NetworkVantageReport;

/// One network with what the orders and beliefs of its peers say.
#[derive(Debug, Serialize, ToSchema)]
struct NetworkDetails<'a> {
    #[serde(flatten)]
    network: NetworkReport<'a>,
    consensus: ConsensusReport<'a>,
    /// The registered peers, watched or not, the one with the most stake first. Of a large registry
    /// the 1,000 with the most stake, and those that are watched.
    registered: Vec<RegisteredReport<'a>>,
    /// What each other agent says, if others are configured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vantages: Vec<NetworkVantageReport<'a>>,
}

fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a NetworkSnapshot, Problem> {
    let mut networks = snapshot.networks.iter();
    let network = networks.find(|network| network.name == name);
    network.ok_or_else(|| {
        Problem::not_found(format!(
            "no network named {name:?}; /api/v1/networks lists all of them"
        ))
    })
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
    let network = find(&snapshot, &name)?;
    let details = NetworkDetails {
        network: NetworkReport::new(network, &snapshot),
        consensus: ConsensusReport::new(network, &snapshot),
        registered: RegisteredReport::all(network, &snapshot),
        vantages: NetworkVantageReport::all(network, &snapshot),
    };
    json(&headers, &details)
}

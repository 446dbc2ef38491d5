//! `/api/v1/networks/{name}/agreement`: how many different states and histories a network had, and
//! when.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use convex_client::seconds_from_ms;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::peer_json::ExactInteger;
use crate::history::AgreementSpan;
use crate::web::api::Api;
use crate::web::api::conditional::json;
use crate::web::api::problem::Problem;

/// A time in which the network had as many different states and histories. Unknown values are
/// absent.
#[derive(Debug, Serialize, ToSchema)]
struct AgreementReport {
    /// When it was first found so, seconds since the epoch.
    from: f64,
    /// When it was last found so, seconds since the epoch.
    to: f64,
    /// Number of different states at one block; absent if no states were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    states: Option<u32>,
    /// Number of different histories of blocks; absent if no orders were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    histories: Option<u32>,
    /// The lowest block at which states were seen to differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_different_state: Option<ExactInteger>,
    /// The first block at which histories differed.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_different_block: Option<ExactInteger>,
}

impl AgreementReport {
    fn new(span: &AgreementSpan) -> Self {
        let seconds = |ms: u64| seconds_from_ms(i64::try_from(ms).unwrap_or(i64::MAX));
        Self {
            from: seconds(span.since_ms),
            to: seconds(span.until_ms),
            states: span.states,
            histories: span.histories,
            first_different_state: span.state_block.map(ExactInteger),
            first_different_block: span.fork_block.map(ExactInteger::from_count),
        }
    }
}

/// How many different states and histories a network had, oldest first; at most 1,000 spans. A time
/// in none of them is one in which nothing was compared, or in which this agent did not run.
#[utoipa::path(
    get,
    path = "/api/v1/networks/{name}/agreement",
    tag = "networks",
    params(("name" = String, Path, description = "The network's name.")),
    responses(
        (status = 200, description = "The spans.", body = [AgreementReport], headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
        (status = 400, description = "The path is not valid UTF-8.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No network has this name.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::web::api) async fn agreement(
    State(api): State<Api>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(name) = name?;
    let snapshot = api.fleet.snapshot();
    let network = super::find(&snapshot, &name)?;
    let spans = api.history.agreement(&network.name);
    let reports: Vec<_> = spans.iter().map(AgreementReport::new).collect();
    json(&headers, &reports)
}

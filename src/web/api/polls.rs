//! `/api/v1/peers/{name}/polls`: the latest polls of a peer.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use convex_client::{Transport, seconds_since_epoch};
use serde::Serialize;
use utoipa::ToSchema;

use crate::failure::Reason;
use crate::fleet::Health;
use crate::fleet::peer_json::{ExactInteger, OrderPointsJson};
use crate::history::{Outcome, Poll};

use super::Api;
use super::conditional::json;
use super::problem::Problem;

/// One poll. Unknown values are absent. Times are seconds since the epoch, durations seconds.
#[derive(Debug, Serialize, ToSchema)]
struct PollReport {
    /// When it started.
    at: f64,
    outcome: Outcome,
    /// Whether the peer was in maintenance.
    maintenance: bool,
    /// The peer's health after it.
    health: Health,
    failures: FailuresReport,
    duration_seconds: DurationsReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderPointsJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_block: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_blocks: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<f64>,
}

/// Why endpoints failed, including those of a poll that succeeded over the other endpoint.
#[derive(Debug, Serialize, ToSchema)]
struct FailuresReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<Reason>,
}

/// Response times of the endpoints that did not fail.
#[derive(Debug, Serialize, ToSchema)]
struct DurationsReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<f64>,
}

impl PollReport {
    fn new(poll: &Poll) -> Self {
        let failure = |transport: Transport| poll.failures[transport as usize];
        let took =
            |transport: Transport| poll.latency[transport as usize].map(|took| took.as_secs_f64());
        Self {
            at: seconds_since_epoch(poll.at),
            outcome: poll.outcome,
            maintenance: poll.maintenance,
            health: poll.health,
            failures: FailuresReport {
                http: failure(Transport::Http),
                tcp: failure(Transport::Tcp),
            },
            duration_seconds: DurationsReport {
                http: took(Transport::Http),
                tcp: took(Transport::Tcp),
            },
            order: poll.order.map(OrderPointsJson::new),
            state_block: poll.state_block.map(ExactInteger),
            lag_blocks: poll.lag.map(|lag| ExactInteger(lag.blocks)),
            lag_seconds: poll.lag.map(|lag| lag.time.as_secs_f64()),
        }
    }
}

/// Up to 60 of the latest polls of a peer since the agent started, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/peers/{name}/polls",
    tag = "history",
    params(("name" = String, Path, description = "The peer's name.")),
    responses(
        (status = 200, description = "The polls.", body = [PollReport], headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
        (status = 400, description = "The path is not valid UTF-8.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No watched peer has this name.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn polls(
    State(api): State<Api>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(name) = name?;
    let polls = api.history.recent(&name);
    let polls = polls.ok_or_else(|| Problem::no_peer(&name))?;
    let reports: Vec<_> = polls.iter().map(PollReport::new).collect();
    json(&headers, &reports)
}

//! `/api/v1/alerts`: the alerts that fire.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use convex_client::seconds_since_epoch;
use serde::Serialize;
use utoipa::ToSchema;

use crate::alerting::operator_actions::Matchers;

use super::Api;
use super::actions::ActionReport;
use super::conditional::json;
use super::problem::Problem;

/// An alert that fires.
#[derive(Debug, Serialize, ToSchema)]
struct AlertReport<'a> {
    /// Its name.
    alertname: &'static str,
    /// `critical`, `warning` or `info`.
    severity: &'static str,
    /// The peer that it is about, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    /// The network that it is about, or that of the peer; absent if it is about the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    /// When it began to fire, seconds since the epoch.
    starts_at: f64,
    /// A title.
    summary: String,
    /// The state of its subject when it began to fire.
    description: &'a str,
    /// Who has acknowledged it: it is not repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<ActionReport<'a>>,
    /// Who has silenced it: nothing is sent about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    silenced: Option<ActionReport<'a>>,
}

/// The alerts that fire at this agent, those that it evaluates itself.
#[utoipa::path(
    get,
    path = "/api/v1/alerts",
    tag = "alerts",
    responses(
        (status = 200, description = "The alerts, in the order of what they are about.", body = [AlertReport], headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
    )
)]
pub(super) async fn alerts(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let vantage = api.fleet.vantage();
    let firing = api.actions.firing();
    let reports = firing.iter().map(|alert| {
        let Matchers { peer, network, .. } = Matchers::of(alert);
        AlertReport {
            alertname: alert.rule.name,
            severity: alert.rule.severity.as_str(),
            peer,
            network,
            starts_at: seconds_since_epoch(alert.starts_at),
            summary: alert.rule.summary_of(&alert.subject, &vantage),
            description: &alert.description,
            acknowledged: alert.acknowledged.as_ref().map(ActionReport::new),
            silenced: alert.silenced.as_ref().map(ActionReport::new),
        }
    });
    json(&headers, &reports.collect::<Vec<_>>())
}

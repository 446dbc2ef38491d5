//! `/api/v1/opinion`: the opinion of this agent, for other agents.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::fleet::Opinion;

use super::Api;
use super::conditional::json;
use super::problem::Problem;

/// The opinion of this agent on its peers and their networks, for other agents. It has ages instead
/// of times.
#[utoipa::path(
    get,
    path = "/api/v1/opinion",
    tag = "opinion",
    responses(
        (status = 200, description = "The opinion.", body = Opinion, headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
    )
)]
pub(super) async fn opinion(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = api.fleet.snapshot();
    // Ten thousand peers take too long for the threads that poll.
    let response = tokio::task::spawn_blocking(move || json(&headers, &Opinion::new(&snapshot)));
    response.await.map_err(|error| Problem::internal(&error))?
}

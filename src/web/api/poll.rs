//! `POST /api/v1/peers/{name}/poll`: one poll outside the schedule.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::config::Peer;
use crate::fleet::Observation;
use crate::fleet::peer_json::PeerJson;
use crate::history::Transcript;
use crate::poller::CommandError;
use crate::web::listener::authorization;

use super::Api;
use super::peer_json;
use super::problem::Problem;
use super::transcripts::TranscriptReport;

/// How long a requested poll may be queued, in addition to its own timeout: the peer's task may be
/// busy with another poll, and then wait for permits.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of a requested poll.
#[derive(Debug, Serialize, ToSchema)]
struct PolledReport<'a> {
    /// The state of the peer after the poll.
    peer: PeerJson<'a>,
    /// The poll in detail.
    transcript: TranscriptReport<'a>,
}

/// Middleware: as [`authorization::require_write_access`], but answers with a [`Problem`].
pub(super) async fn require_write_access(request: Request, next: Next) -> Response {
    match authorization::deny_reason(&request) {
        None => next.run(request).await,
        Some(reason) => Problem::forbidden(format!("refused: {reason}")).into_response(),
    }
}

/// Polls a peer immediately, outside its schedule.
///
/// The poll counts like any other and affects the peer's health.
#[utoipa::path(
    post,
    path = "/api/v1/peers/{name}/poll",
    tag = "peers",
    params(("name" = String, Path, description = "The peer's name.")),
    responses(
        (status = 200, description = "The result of the poll, successful or not.", body = PolledReport),
        (status = 400, description = "The path is not valid UTF-8.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The request comes from another origin; or authentication is not configured, and the request is not from this host to a loopback listener.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No watched peer has this name.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "A poll was requested less than a second ago.", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds to wait before trying again."))),
        (status = 503, description = "The peer's task is busy, or the agent is stopping.", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds to wait before trying again."))),
    )
)]
pub(super) async fn poll(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(name) = name?;
    let peer = Arc::clone(&api.record(&name)?.peer);
    let poll_timeout = peer.polling.timeout + QUEUE_TIMEOUT;
    let unavailable = |detail| Problem::unavailable(QUEUE_TIMEOUT, detail);
    // Checked first: stopping also ends the peer's task, which would look like a removed peer.
    let polled = tokio::select! {
        biased;
        () = api.stop.cancelled() => return Err(unavailable("the agent is stopping")),
        polled = timeout(poll_timeout, poll_and_judge(&api, &peer)) => polled,
    };
    let observation = match polled {
        Ok(Ok(observation)) => observation,
        Ok(Err(error @ CommandError::TooSoon(wait))) => {
            return Err(Problem::too_many_requests(
                wait,
                format!("{error}; see the Retry-After header"),
            ));
        }
        Ok(Err(error @ CommandError::NotWatched)) => {
            return Err(Problem::not_found(error.to_string()));
        }
        Err(_) | Ok(Err(CommandError::Busy | CommandError::Interrupted)) => {
            return Err(unavailable("the peer's task is busy"));
        }
    };
    let snapshot = api.fleet.snapshot();
    let transcript = Transcript::from_observation(&peer, &observation);
    let report = PolledReport {
        peer: peer_json(&name, &snapshot)?,
        transcript: TranscriptReport::new(&transcript),
    };
    let mut response = axum::Json(report).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Polls a peer, and waits for the verdict on its network that includes the poll.
async fn poll_and_judge(api: &Api, peer: &Peer) -> Result<Observation, CommandError> {
    let observation = api.commands.poll_now(&peer.name).await?;
    api.fleet.judged(&peer.network).await;
    Ok(observation)
}

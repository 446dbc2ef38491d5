//! `POST /api/v1/peers/{name}/poll`: one poll outside the schedule.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use crate::fleet::NotPolled;
use crate::fleet::report::PeerReport;
use crate::history::Transcript;
use crate::web::listener::guard;

use super::Api;
use super::problem::Problem;
use super::transcripts::TranscriptReport;

/// How much longer than a poll may take one that is asked for is waited for: the peer's task may be at another one, and
/// wait for permits.
const PATIENCE: Duration = Duration::from_secs(10);

/// A poll that was asked for.
#[derive(Debug, Serialize, ToSchema)]
struct PolledReport<'a> {
    /// What is known of the peer after it.
    peer: PeerReport<'a>,
    /// What it saw.
    transcript: TranscriptReport<'a>,
}

/// Lets a request pass as [`guard`] does; else 403 with the reason.
pub(super) async fn changes(request: Request, next: Next) -> Response {
    match guard::refusal(&request) {
        None => next.run(request).await,
        Some(why) => Problem::forbidden(format!("refused: {why}")).into_response(),
    }
}

/// Polls a peer now, besides its schedule. It is a poll like any other: it counts, and the peer is judged by it.
#[utoipa::path(
    post,
    path = "/api/v1/peers/{name}/poll",
    tag = "peers",
    params(("name" = String, Path, description = "The peer's name.")),
    responses(
        (status = 200, description = "What the poll saw, good or not.", body = PolledReport),
        (status = 400, description = "The path is no text.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Not from a foreign page; and without authentication only from this host, on a loopback listener.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No peer has this name.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "One was asked for less than a second ago.", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds to wait."))),
        (status = 503, description = "The peer's task is busy, or the agent stops.", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds to wait."))),
    )
)]
pub(super) async fn poll(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(name) = name?;
    let slot = api.slot(&name)?;
    let peer = slot.peer();
    let patience = peer.polling.timeout + PATIENCE;
    let unavailable = |why| Problem::unavailable(PATIENCE, why);
    // The stop ends the peer's task too: that the task is gone is then no news of the peer.
    let polled = tokio::select! {
        biased;
        () = api.stop.cancelled() => return Err(unavailable("the agent is stopping")),
        polled = timeout(patience, slot.poll()) => polled,
    };
    let observation = match polled {
        Ok(Ok(observation)) => observation,
        Ok(Err(error @ NotPolled::TooSoon(wait))) => {
            return Err(Problem::too_soon(
                wait,
                format!("{error}; Retry-After says how long to wait"),
            ));
        }
        Ok(Err(error @ NotPolled::NotWatched)) => {
            return Err(Problem::not_found(error.to_string()));
        }
        Err(_) => return Err(unavailable("the peer's task has too much to do")),
    };
    let record = api.record(&name)?;
    let transcript = Transcript::of(&peer, &observation);
    let report = PolledReport {
        peer: PeerReport::new(&record, Instant::now()),
        transcript: TranscriptReport::new(&transcript),
    };
    let mut response = axum::Json(report).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

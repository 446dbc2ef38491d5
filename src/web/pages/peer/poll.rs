//! The "Poll now" form of a peer's page: forwards to the API, then leads back to the page, which
//! shows what happened.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use convex_client::Transport;
use serde::Deserialize;
use tower::ServiceExt;
use url::form_urlencoded;

use crate::history::{History, Outcome, Poll, Transcript, unix_millis};
use crate::web::listener::authorization::Caller;
use crate::web::pages::format::{TimeFormat, Timestamp, latency, sanitize};
use crate::web::pages::{Pages, labels, message, peer_path};

use super::{Tab, respond};

/// Maximum size of an error response from the API, in bytes.
const MAX_PROBLEM_BYTES: usize = 4096;

/// Polls of a peer are at least so far apart.
const LEAST_DISTANCE_MS: u64 = 500;

/// What came of a requested poll.
#[derive(Template)]
#[template(path = "pages/peer/poll_result.html")]
pub(super) struct PollResult {
    /// What the poll found, or why the peer was not polled.
    result: Result<PolledPeer, String>,
}

/// What a poll found.
pub(super) struct PolledPeer {
    at: Timestamp,
    outcome: &'static str,
    /// CSS class.
    class: &'static str,
    endpoints: Vec<PolledEndpoint>,
}

/// What one endpoint answered.
struct PolledEndpoint {
    transport: &'static str,
    latency: Option<String>,
    /// Why it failed.
    failure: Option<&'static str>,
    /// What it said, if that is known still.
    message: Option<String>,
}

/// `POST /peers/{name}/poll`; `?tab=` is the part of the page to return to.
///
/// Forwards the request to `api` with its headers and caller, so that the API authorizes it.
pub(super) fn route(api: Router) -> MethodRouter<Pages> {
    post(
        move |State(pages): State<Pages>, Path(name): Path<String>, request: Request| {
            forward(api.clone(), pages, name, request)
        },
    )
}

async fn forward(api: Router, pages: Pages, name: String, mut request: Request) -> Response {
    let state = &pages.state;
    let page = peer_path(state, &name);
    let tab = Tab::of_query(request.uri().query());
    let path = page.strip_prefix(&*state.prefix).unwrap_or(&page);
    let api_path = format!("/api/v1{path}/poll");
    let Ok(uri) = api_path.parse::<Uri>() else {
        return message(state, StatusCode::NOT_FOUND, "There is no such peer.");
    };
    *request.uri_mut() = uri;
    // The extensions hold this route's path parameters, which must not reach the API; the caller
    // must.
    let caller = request.extensions().get::<Caller>().copied();
    request.extensions_mut().clear();
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let response = match api.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let status = response.status();
    if status.is_success() {
        let polls = state.history.recent(&name).unwrap_or_default();
        let at = polls
            .last()
            .map(|poll| unix_millis(poll.at))
            .unwrap_or_default();
        let location = format!("{page}{}?polled={at}#poll-result", tab.path());
        return (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    }
    let refusal = refusal(response).await;
    if status == StatusCode::NOT_FOUND {
        return message(state, status, &refusal);
    }
    let refused = PollResult {
        result: Err(refusal),
    };
    (
        status,
        respond(&pages, &name, tab, None, Some(refused)).await,
    )
        .into_response()
}

/// Says why the API did not poll the peer.
async fn refusal(response: Response) -> String {
    let (status, wait) = (response.status(), retry_after(response.headers()));
    let body = axum::body::to_bytes(response.into_body(), MAX_PROBLEM_BYTES).await;
    let problem = serde_json::from_slice::<Problem>(&body.unwrap_or_default());
    let reason = match (status, wait) {
        (StatusCode::TOO_MANY_REQUESTS, Some(wait)) => {
            format!("one was requested just before; try again in {wait} s")
        }
        _ => problem.map_or_else(|_| status.to_string(), |problem| problem.detail),
    };
    format!("The peer was not polled: {}.", sanitize(&reason))
}

fn retry_after(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::RETRY_AFTER)?;
    Some(value.to_str().ok()?.to_owned())
}

/// The part of a problem document that is shown.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl PollResult {
    /// Returns the result of the poll that the query of an address names, while it is kept.
    pub(super) fn of_query(
        history: &History,
        peer: &str,
        query: Option<&str>,
        times: TimeFormat,
    ) -> Option<Self> {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let (_, at) = pairs.find(|(key, _)| key == "polled")?;
        let at: u64 = at.parse().ok()?;
        let polls = history.recent(peer)?;
        let poll = polls.iter().find(|poll| unix_millis(poll.at) == at)?;
        let transcripts = history.transcripts(peer);
        let transcript = transcripts
            .into_iter()
            .flat_map(|kept| [kept.success, kept.failure])
            .flatten()
            .find(|transcript| transcript.at_ms.abs_diff(at) < LEAST_DISTANCE_MS);
        Some(Self {
            result: Ok(PolledPeer::new(poll, transcript.as_ref(), times)),
        })
    }
}

impl PolledPeer {
    fn new(poll: &Poll, transcript: Option<&Transcript>, times: TimeFormat) -> Self {
        let (outcome, class) = match poll.outcome {
            Outcome::Up => ("The peer answered", "up"),
            Outcome::Failed => ("The poll failed", "down"),
            Outcome::Excused => (
                "The poll failed because of this monitor, so it does not count",
                "unknown",
            ),
        };
        let endpoint = |transport: Transport| {
            let failure = poll.failures[transport as usize];
            let latency = poll.latency[transport as usize].map(latency);
            let said = transcript.and_then(|transcript| {
                let mut endpoints = transcript.endpoints.iter();
                let said = endpoints.find(|it| it.transport == transport.as_str())?;
                let error = said.error.as_deref()?;
                // The reason is shown in words.
                Some(error.split_once(": ").map_or(error, |(_, message)| message))
            });
            (failure.is_some() || latency.is_some()).then(|| PolledEndpoint {
                transport: transport.as_str(),
                latency: latency.filter(|_| failure.is_none()),
                failure: failure.map(labels::reason),
                message: said.map(sanitize).filter(|_| failure.is_some()),
            })
        };
        Self {
            at: times.at(poll.at),
            outcome,
            class,
            endpoints: Transport::ALL.into_iter().filter_map(endpoint).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use convex_client::FailureReason;

    use crate::failure::Reason;
    use crate::fleet::Health;

    use super::*;

    #[tokio::test]
    async fn a_refusal_says_when_to_try_again_or_why_there_was_no_poll() {
        let too_soon = (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]);
        let problem = (StatusCode::FORBIDDEN, r#"{"detail":"refused: <b>\u202e"}"#);
        let broken = (StatusCode::SERVICE_UNAVAILABLE, "no JSON");
        for (response, expected) in [
            (
                too_soon.into_response(),
                "The peer was not polled: one was requested just before; try again in 1 s.",
            ),
            (
                problem.into_response(),
                "The peer was not polled: refused: <b>⟨U+202E⟩.",
            ),
            (
                broken.into_response(),
                "The peer was not polled: 503 Service Unavailable.",
            ),
        ] {
            assert_eq!(refusal(response).await, expected);
        }
    }

    #[test]
    fn a_result_has_the_latency_of_each_endpoint_or_why_it_failed() {
        let poll = Poll {
            at: SystemTime::UNIX_EPOCH,
            outcome: Outcome::Up,
            maintenance: false,
            health: Health::Degraded,
            failures: [Some(Reason::Client(FailureReason::Timeout)), None],
            latency: [None, Some(Duration::from_micros(1_234))],
            order: None,
            state_block: None,
            lag: None,
        };
        let times = TimeFormat {
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(2),
            relative: true,
        };
        let result = PollResult {
            result: Ok(PolledPeer::new(&poll, None, times)),
        };
        let html = result.render().unwrap();
        for expected in [
            "The peer answered",
            ">2 s ago<",
            "no answer in time",
            "1.23 ms",
        ] {
            assert!(html.contains(expected), "{expected} is not in {html}");
        }
    }
}

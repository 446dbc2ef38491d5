//! `/api/v1/events`: events as a stream, or a list of past ones.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use convex_client::seconds_since_epoch;
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use url::form_urlencoded::Serializer;
use utoipa::{IntoParams, ToSchema};

use crate::history::{EVENTS_KEPT, Event, EventKind, History, Subscription};

use super::Api;
use super::conditional::json;
use super::parameters::{EventId, Limit, Parameters};
use super::problem::Problem;

/// Maximum number of concurrent streams.
pub(super) const MAX_STREAMS: usize = 256;

/// Default length of a list.
const DEFAULT_LIMIT: usize = 100;

/// Interval of the comments that keep an idle stream alive.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// `Retry-After` when there are too many streams.
const STREAM_RETRY_AFTER: Duration = Duration::from_secs(30);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// With the value `no`, tells nginx not to buffer the stream.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The query parameters of events.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventParameters {
    /// Only events after the one with this id. By default a stream starts now, and a list with the
    /// oldest event that is kept.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_992_i64)]
    after: Option<EventId>,
    /// Only events about this peer.
    peer: Option<String>,
    /// Only events about this network and its peers.
    network: Option<String>,
    /// Maximum length of a list, 100 by default. Ignored by streams.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<Limit>,
}

impl EventParameters {
    fn matches(&self, event: &Event) -> bool {
        let is_match =
            |filter: &Option<String>, actual: &Option<String>| filter.is_none() || filter == actual;
        is_match(&self.peer, &event.peer) && is_match(&self.network, &event.network)
    }

    /// Returns the `Link` header to the page after the event `last`.
    fn next_link(&self, last: u64) -> Option<HeaderValue> {
        let mut query = Serializer::new(String::new());
        for (name, value) in [("peer", &self.peer), ("network", &self.network)] {
            query.extend_pairs(value.iter().map(|value| (name, value)));
        }
        query.append_pair("after", &last.to_string());
        if let Some(limit) = self.limit {
            query.append_pair("limit", &limit.get().to_string());
        }
        HeaderValue::try_from(format!("<?{}>; rel=\"next\"", query.finish())).ok()
    }
}

/// One event: when it happened, what it is about, and the fields of its kind.
#[derive(Debug, Serialize, ToSchema)]
struct EventReport<'a> {
    /// Increases with every event, also across restarts of the agent. Not consecutive.
    #[schema(maximum = 9_007_199_254_740_992_i64)]
    id: u64,
    /// When it was detected, seconds since the epoch.
    at: f64,
    /// The peer that the event is about, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    /// The network that the event is about, or that of the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'a str>,
    /// The event as text.
    message: String,
    #[serde(flatten)]
    kind: &'a EventKind,
}

impl<'a> EventReport<'a> {
    fn new(event: &'a Event) -> Self {
        Self {
            id: event.id,
            at: seconds_since_epoch(event.at()),
            peer: event.peer.as_deref(),
            network: event.network.as_deref(),
            message: event.kind.to_string(),
            kind: &event.kind,
        }
    }
}

/// Past events as a list, or new ones as a stream of server-sent events.
///
/// With `Accept: application/json` the response is a list, oldest event first, else a stream. The
/// data of each event of the stream is an object as in the list, and clients resume the stream with
/// `Last-Event-ID`. An event named `missed` says that some events are no longer kept, so anything
/// derived from them has to be read again.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "history",
    params(
        EventParameters,
        ("Last-Event-ID" = Option<u64>, Header, minimum = 0, maximum = 9_007_199_254_740_992_i64, description = "Same as `after`, and takes precedence over it; browsers send it when they reconnect."),
    ),
    responses(
        (status = 200, description = "The events.",
            content(([EventReport] = "application/json"), (String = "text/event-stream")),
            headers(("Link" = Option<String>, description = "The next page of a list, if there is one, with `rel=\"next\"`."))),
        (status = 304, description = "The list has not been modified since the response with this ETag."),
        (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "There are too many streams.", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds to wait before trying again."))),
    )
)]
pub(super) async fn events(
    State(api): State<Api>,
    headers: HeaderMap,
    Parameters(mut parameters): Parameters<EventParameters>,
) -> Result<Response, Problem> {
    if let Some(id) = headers.get(LAST_EVENT_ID) {
        let id = EventId::try_from(id.to_str().unwrap_or_default().to_owned());
        let id = id.map_err(|error| Problem::bad_request(format!("Last-Event-ID: {error}")))?;
        parameters.after = Some(id);
    }
    if wants_list(&headers) {
        return list(&api, &headers, &parameters);
    }
    let streams = Arc::clone(&api.streams);
    let permit = streams.try_acquire_owned().map_err(|_| {
        Problem::unavailable(
            STREAM_RETRY_AFTER,
            format!("all {MAX_STREAMS} event streams are in use; try again later"),
        )
    })?;
    let follower = Follower::new(&api.history, parameters, permit);
    let stream = follower.stream().take_until(api.stop.cancelled_owned());
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_INTERVAL);
    let mut response = Sse::new(stream).keep_alive(keep_alive).into_response();
    response
        .headers_mut()
        .insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// Whether the client requests a list. A client that accepts anything gets the stream.
fn wants_list(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter();
    let accepted: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
    let accepts = |media_type| accepted.iter().any(|value| value.contains(media_type));
    accepts("application/json") && !accepts("text/event-stream")
}

fn list(api: &Api, headers: &HeaderMap, parameters: &EventParameters) -> Result<Response, Problem> {
    let after = parameters.after.map_or(0, |EventId(id)| id);
    let limit = parameters.limit.map_or(DEFAULT_LIMIT, Limit::get);
    let mut events = api.history.events_since(after, EVENTS_KEPT);
    events.retain(|event| parameters.matches(event));
    let has_more = events.len() > limit;
    events.truncate(limit);
    let reports: Vec<_> = events.iter().map(|event| EventReport::new(event)).collect();
    let mut response = json(headers, &reports)?;
    let last = events.last().filter(|_| has_more);
    if let Some(link) = last.and_then(|last| parameters.next_link(last.id)) {
        response.headers_mut().insert(header::LINK, link);
    }
    // A cache must not serve the list to clients that want the stream.
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// A client that follows the event stream.
struct Follower {
    subscription: Subscription,
    parameters: EventParameters,
    /// Events to send before waiting for the next one.
    queue: VecDeque<sse::Event>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    fn new(history: &History, parameters: EventParameters, permit: OwnedSemaphorePermit) -> Self {
        let after = parameters.after.map(|EventId(id)| id);
        let subscription = history.subscribe(after);
        // An id without data lets a client resume here if it loses the connection before the
        // first event.
        let start = sse::Event::default()
            .id(subscription.last().to_string())
            .comment("events from here on");
        Self {
            subscription,
            parameters,
            queue: [start].into(),
            _permit: permit,
        }
    }

    fn stream(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, |mut follower| async {
            let event = follower.next().await?;
            Some((Ok(event), follower))
        })
    }

    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if !self.subscription.take_missed() {
                let event = self.subscription.next().await?;
                let matching = self.parameters.matches(&event).then(|| sse_event(&event));
                self.queue.extend(matching);
                if !self.subscription.take_missed() {
                    continue;
                }
            }
            self.queue.push_front(missed_event());
        }
    }
}

fn sse_event(event: &Event) -> sse::Event {
    let data = serde_json::to_string(&EventReport::new(event)).unwrap_or_default();
    sse::Event::default().id(event.id.to_string()).data(data)
}

/// Has no id, so that a client that resumes still gets the events after the gap.
fn missed_event() -> sse::Event {
    sse::Event::default().event("missed").data(
        r#"{"message":"some events were missed and are no longer kept; read again what was derived from them"}"#,
    )
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use tokio::sync::Semaphore;

    use super::*;

    fn add_events(history: &History, times: usize) {
        for _ in 0..times {
            history.record_event(EventKind::RestartInferred);
        }
    }

    /// Returns the first events that a client gets.
    async fn first_events(follower: Follower, events: usize) -> String {
        let stream = Sse::new(follower.stream().take(events)).into_response();
        let bytes = to_bytes(stream.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_slow_client_is_notified_of_missed_events_and_continues() {
        let history = History::start(None, 1 << 20).await;
        let streams = Arc::new(Semaphore::new(2));
        let follow = |after: Option<u64>| {
            let parameters = EventParameters {
                after: after.map(EventId),
                peer: None,
                network: None,
                limit: None,
            };
            let permit = Arc::clone(&streams).try_acquire_owned().unwrap();
            Follower::new(&history, parameters, permit)
        };
        add_events(&history, 1);
        let before = history.events_since(0, 1)[0].id;
        let slow = follow(None);
        add_events(&history, EVENTS_KEPT + 10);
        let oldest = history.events_since(0, 1)[0].id;
        for (follower, start) in [(slow, before), (follow(Some(before - 1)), before - 1)] {
            let text = first_events(follower, 3).await;
            let parts: Vec<&str> = text.split_terminator("\n\n").collect();
            assert_eq!(parts.len(), 3, "{text}");
            assert!(parts[0].starts_with(&format!("id: {start}\n:")), "{text}");
            assert!(parts[1].starts_with("event: missed\ndata: {"), "{text}");
            assert!(parts[2].starts_with(&format!("id: {oldest}\n")), "{text}");
        }
        assert_eq!(
            streams.available_permits(),
            2,
            "a client that is gone holds no stream"
        );
    }
}

//! `/api/v1/events`: what happens, as it happens, or a list of what has happened.

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

/// Streams at the same time, at most.
pub(super) const STREAMS: usize = 256;

/// Events in a list, unless another limit is asked for.
const LISTED: usize = 100;

/// What tells an idle stream from a dead one comes so often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a client waits when there are too many streams.
const CROWDED: Duration = Duration::from_secs(30);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Tells a proxy in front not to hold the stream back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Which events are told.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Events after the one with this id. A stream without it begins now; a list begins with the oldest that is kept.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_992_i64)]
    after: Option<EventId>,
    /// Events about this peer alone.
    peer: Option<String>,
    /// Events about this network and its peers alone.
    network: Option<String>,
    /// As many at most, in a list; 100 without it. A stream takes no heed of it.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<Limit>,
}

impl Which {
    fn takes(&self, event: &Event) -> bool {
        let of = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
        of(&self.peer, &event.peer) && of(&self.network, &event.network)
    }

    /// The link to what comes after the event `last`.
    fn next(&self, last: u64) -> Option<HeaderValue> {
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

/// One happening: when, about whom, and what belongs to its kind.
#[derive(Debug, Serialize, ToSchema)]
struct EventReport<'a> {
    /// Larger than that of every earlier event, also of those before a restart of the agent. Numbers are left out.
    #[schema(maximum = 9_007_199_254_740_992_i64)]
    id: u64,
    /// When it was noticed, seconds since the epoch.
    at: f64,
    /// The peer that it is about, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    /// The network that it is about, or that of the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'a str>,
    /// It in words.
    message: String,
    #[serde(flatten)]
    what: &'a EventKind,
}

impl<'a> EventReport<'a> {
    fn new(event: &'a Event) -> Self {
        Self {
            id: event.id,
            at: seconds_since_epoch(event.at()),
            peer: event.peer.as_deref(),
            network: event.network.as_deref(),
            message: event.what.to_string(),
            what: &event.what,
        }
    }
}

/// What happens, as it happens: a stream of server-sent events whose ids let a client go on where it was, by `Last-Event-ID`.
/// With `Accept: application/json` a list of what has happened, oldest first.
///
/// The data of each event of the stream is an object as in the list. An event named `missed` says that others are no longer
/// kept: what was derived from them is to be read anew.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "history",
    params(
        Which,
        ("Last-Event-ID" = Option<u64>, Header, minimum = 0, maximum = 9_007_199_254_740_992_i64, description = "As `after`, and outweighs it; browsers send it when they connect again."),
    ),
    responses(
        (status = 200, description = "The events.",
            content(([EventReport] = "application/json"), (String = "text/event-stream")),
            headers(("Link" = Option<String>, description = "`rel=\"next\"`: the next page of a list, where there is one."))),
        (status = 304, description = "As the client has the list already."),
        (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "There are too many streams.", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds to wait."))),
    )
)]
pub(super) async fn events(
    State(api): State<Api>,
    headers: HeaderMap,
    Parameters(mut which): Parameters<Which>,
) -> Result<Response, Problem> {
    if let Some(seen) = headers.get(LAST_EVENT_ID) {
        let seen = seen.to_str().unwrap_or_default().to_owned();
        let seen = EventId::try_from(seen);
        which.after =
            Some(seen.map_err(|error| Problem::bad_request(format!("Last-Event-ID: {error}")))?);
    }
    if wants_list(&headers) {
        return list(&api, &headers, &which);
    }
    let streams = Arc::clone(&api.streams);
    let permit = streams.try_acquire_owned().map_err(|_| {
        Problem::unavailable(
            CROWDED,
            format!("there are {STREAMS} streams of events already; close one, or come again"),
        )
    })?;
    let follower = Follower::new(&api.history, which, permit);
    let stream = follower.stream().take_until(api.stop.cancelled_owned());
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(stream).keep_alive(alive).into_response();
    response
        .headers_mut()
        .insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// Whether a client asks for a list. Who takes anything gets the stream.
fn wants_list(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter();
    let accepted: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
    let names = |media_type| accepted.iter().any(|value| value.contains(media_type));
    names("application/json") && !names("text/event-stream")
}

fn list(api: &Api, headers: &HeaderMap, which: &Which) -> Result<Response, Problem> {
    let after = which.after.map_or(0, |EventId(id)| id);
    let limit = which.limit.map_or(LISTED, Limit::get);
    let mut events = api.history.events_since(after, EVENTS_KEPT);
    events.retain(|event| which.takes(event));
    let more = events.len() > limit;
    events.truncate(limit);
    let reports: Vec<_> = events.iter().map(|event| EventReport::new(event)).collect();
    let mut response = json(headers, &reports)?;
    let last = events.last().filter(|_| more);
    if let Some(link) = last.and_then(|last| which.next(last.id)) {
        response.headers_mut().insert(header::LINK, link);
    }
    // A cache must not give the list to who wants the stream.
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// A client that follows.
struct Follower {
    subscription: Subscription,
    which: Which,
    /// What is to be sent before the next event is awaited.
    ready: VecDeque<sse::Event>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    fn new(history: &History, which: Which, permit: OwnedSemaphorePermit) -> Self {
        let after = which.after.map(|EventId(id)| id);
        let subscription = history.subscribe(after);
        // An id without data: a client that loses the connection before the first event can go on here.
        let begin = sse::Event::default()
            .id(subscription.last().to_string())
            .comment("what happens from here on");
        Self {
            subscription,
            which,
            ready: [begin].into(),
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
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if !self.subscription.take_missed() {
                let event = self.subscription.next().await?;
                let told = self.which.takes(&event).then(|| told(&event));
                self.ready.extend(told);
                if !self.subscription.take_missed() {
                    continue;
                }
            }
            self.ready.push_front(missed());
        }
    }
}

fn told(event: &Event) -> sse::Event {
    let data = serde_json::to_string(&EventReport::new(event)).unwrap_or_default();
    sse::Event::default().id(event.id.to_string()).data(data)
}

/// Has no id: the client has not seen what it lacks.
fn missed() -> sse::Event {
    sse::Event::default().event("missed").data(
        r#"{"message":"events were missed that are no longer kept; read anew what was derived from them"}"#,
    )
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use tokio::sync::Semaphore;

    use super::*;

    fn happen(history: &History, times: usize) {
        for _ in 0..times {
            history.note(EventKind::RestartInferred);
        }
    }

    /// The first events that a client gets.
    async fn first(follower: Follower, events: usize) -> String {
        let stream = Sse::new(follower.stream().take(events)).into_response();
        let bytes = to_bytes(stream.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_client_that_is_too_slow_is_told_that_it_missed_events_and_goes_on() {
        let history = History::start(None, 1 << 20).await;
        let streams = Arc::new(Semaphore::new(2));
        let follow = |after: Option<u64>| {
            let which = Which {
                after: after.map(EventId),
                peer: None,
                network: None,
                limit: None,
            };
            let permit = Arc::clone(&streams).try_acquire_owned().unwrap();
            Follower::new(&history, which, permit)
        };
        happen(&history, 1);
        let before = history.events_since(0, 1)[0].id;
        let slow = follow(None);
        happen(&history, EVENTS_KEPT + 10);
        let oldest = history.events_since(0, 1)[0].id;
        for (follower, began) in [(slow, before), (follow(Some(before - 1)), before - 1)] {
            let told = first(follower, 3).await;
            let parts: Vec<&str> = told.split_terminator("\n\n").collect();
            assert_eq!(parts.len(), 3, "{told}");
            assert!(parts[0].starts_with(&format!("id: {began}\n:")), "{told}");
            assert!(parts[1].starts_with("event: missed\ndata: {"), "{told}");
            assert!(parts[2].starts_with(&format!("id: {oldest}\n")), "{told}");
        }
        assert_eq!(
            streams.available_permits(),
            2,
            "who is gone holds no stream"
        );
    }
}

//! Sends single HTTP requests to a receiver and classifies the outcome.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::{http_client_for, request_failure, retry_after};
use headers::{Date, HeaderMapExt};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::config::{BasicAuth, SECRET, Secret, Target};
use crate::fleet::Fleet;
use crate::retry::RetryPauses;

use super::metrics::DeliveryMetrics;
use super::receiver_clock::ReceiverClock;

/// Timeout of one request.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// `Retry-After` is respected for at most this time. Without a limit, one header could silence a
/// receiver forever.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Largest part of an answer that is read, bytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Header with the id of a transition, so that receivers can recognise a repeated notification.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request to a receiver.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// What follows the receiver's URL.
    pub(super) subpath: String,
    /// What follows the query of the receiver's URL.
    pub(super) query: Vec<(&'static str, &'static str)>,
    /// JSON, or empty.
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Returns a `POST` to the receiver's URL.
    pub(super) const fn post(body: Vec<u8>) -> Self {
        Self {
            method: Method::POST,
            subpath: String::new(),
            query: Vec::new(),
            body,
        }
    }

    /// Returns a `POST` of JSON to the receiver's URL.
    pub(super) fn json(body: &Value) -> Self {
        Self::post(body.to_string().into_bytes())
    }
}

/// What a receiver answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The start of it; empty if it was not read.
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Returns the body; null if it is not JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What an answer means.
#[derive(Debug)]
pub(super) struct Reading<T> {
    pub(super) outcome: Result<T, DeliveryError>,
    /// How long the receiver asks for no requests, if it says so in its own way.
    pub(super) pause: Option<Duration>,
}

impl<T> From<Result<T, DeliveryError>> for Reading<T> {
    fn from(outcome: Result<T, DeliveryError>) -> Self {
        Self {
            outcome,
            pause: None,
        }
    }
}

/// Sends requests to one receiver.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) receiver: String,
    client: Result<Client, String>,
    url: Result<Url, String>,
    basic_auth: Option<BasicAuth>,
    metrics: DeliveryMetrics,
    /// Hears what the clock of the receiver says about that of this host.
    fleet: Arc<Fleet>,
    /// The clock of the receiver, once an answer has shown it.
    pub(super) clock: Option<ReceiverClock>,
    pauses: RetryPauses,
    /// Time until which `Retry-After` asks for no requests.
    quiet_until: Option<Instant>,
    /// Reason why the last request failed and is retried.
    last_failure: Option<String>,
    /// The last answer, if it is kept.
    pub(super) last_answer: Option<Answer>,
    /// Whether the last answer is kept, with its body.
    pub(super) keeps_answer: bool,
}

/// Why a request was not delivered.
#[derive(Debug)]
pub(super) enum DeliveryError {
    /// The receiver rejected the request; retrying is pointless.
    Rejected(String),
    /// The request failed and may succeed after [`Sender::next_attempt`].
    Retryable(String),
}

impl Sender {
    pub(super) fn new(
        receiver: &str,
        target: &Target,
        metrics: DeliveryMetrics,
        fleet: Arc<Fleet>,
    ) -> Self {
        let url = Url::parse(target.url.expose()).map_err(|error| error.to_string());
        let options = target.http.client_options();
        let client = url.clone().and_then(|url| {
            let client = http_client_for(&url, &options, REQUEST_TIMEOUT);
            client.map_err(|error| error.to_string())
        });
        Self {
            receiver: receiver.to_owned(),
            client,
            url,
            basic_auth: target.basic_auth.clone(),
            metrics,
            fleet,
            clock: None,
            pauses: RetryPauses::for_delivery(),
            quiet_until: None,
            last_failure: None,
            last_answer: None,
            keeps_answer: false,
        }
    }

    /// Posts `body` (JSON, or empty) to the receiver's URL followed by `subpath`, and logs and
    /// counts the outcome. `id` is sent as the idempotency key.
    pub(super) async fn post(
        &mut self,
        subpath: &str,
        body: Vec<u8>,
        id: Option<&str>,
    ) -> Result<(), DeliveryError> {
        let request = Request {
            subpath: subpath.to_owned(),
            ..Request::post(body)
        };
        let answer = self.exchange(request, id, self.keeps_answer).await;
        let outcome = answer.and_then(|answer| classify(answer.status));
        self.conclude(&outcome);
        outcome
    }

    /// Sends a request, reads the answer with `read`, and logs and counts the outcome. `id` is sent
    /// as the idempotency key.
    pub(super) async fn call<T>(
        &mut self,
        request: Request,
        id: Option<&str>,
        read: impl FnOnce(&Answer) -> Reading<T>,
    ) -> Result<T, DeliveryError> {
        let answer = self.exchange(request, id, true).await;
        let outcome = answer.and_then(|answer| {
            let Reading { outcome, pause } = read(&answer);
            if pause.is_some() {
                self.leave_alone(pause);
            }
            outcome
        });
        self.conclude(&outcome);
        outcome
    }

    /// Logs and counts an outcome.
    fn conclude<T>(&mut self, outcome: &Result<T, DeliveryError>) {
        self.metrics.record(&self.receiver, outcome.is_ok());
        let receiver = &self.receiver;
        match outcome {
            Ok(_) if self.last_failure.is_some() => {
                tracing::info!(%receiver, "notifications are delivered again");
            }
            Ok(_) => {}
            Err(DeliveryError::Rejected(why)) => {
                tracing::error!(
                    %receiver, %why,
                    "the receiver rejected a notification; it is dropped"
                );
            }
            Err(DeliveryError::Retryable(why)) if self.last_failure.as_ref() != Some(why) => {
                let quiet_s = self
                    .quiet_until
                    .map(|until| (until - Instant::now()).as_secs());
                tracing::warn!(
                    %receiver, %why, retry_after_s = quiet_s,
                    "a notification was not delivered; retrying"
                );
            }
            Err(DeliveryError::Retryable(why)) => {
                tracing::debug!(%receiver, %why, "a notification is still not delivered; retrying");
            }
        }
        if let Err(DeliveryError::Retryable(why)) = outcome {
            self.last_failure = Some(why.clone());
        } else {
            self.last_failure = None;
            self.pauses = RetryPauses::for_delivery();
        }
    }

    /// Respects a `Retry-After`.
    fn leave_alone(&mut self, asked: Option<Duration>) {
        self.quiet_until = asked.map(|asked| Instant::now() + asked.min(MAX_RETRY_AFTER));
    }

    /// Returns when a request that failed may be sent again: after a pause that grows with each
    /// call, and not before [`Self::quiet_until`].
    pub(super) fn next_attempt(&mut self) -> Instant {
        let planned = Instant::now() + self.pauses.next_pause();
        self.not_before(planned)
    }

    /// Returns `planned`, or a later time if the receiver asks for no requests until then.
    pub(super) fn not_before(&self, planned: Instant) -> Instant {
        self.quiet_until.map_or(planned, |until| until.max(planned))
    }

    /// Sends a request and waits for the answer, of which the body is read if it is needed.
    async fn exchange(
        &mut self,
        request: Request,
        id: Option<&str>,
        needs_body: bool,
    ) -> Result<Answer, DeliveryError> {
        let client = self.client.clone().map_err(DeliveryError::Retryable)?;
        let mut url = self.url.clone().map_err(DeliveryError::Retryable)?;
        let Request {
            method,
            subpath,
            query,
            body,
        } = request;
        if !subpath.is_empty() {
            let path = format!("{}{subpath}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = client.request(method, url);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(BasicAuth { username, password }) = &self.basic_auth {
            request = request.basic_auth(username, Some(password.expose()));
        }
        if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
            request = request.header(IDEMPOTENCY_KEY, id);
        }
        let sent = Instant::now();
        let response = request.send().await.map_err(|error| {
            DeliveryError::Retryable(request_failure(&error.without_url()).to_string())
        })?;
        if let Some(date) = response.headers().typed_get::<Date>() {
            let clock = ReceiverClock::new(date.into(), Instant::now());
            let sample = clock.compare(SystemTime::now(), sent.elapsed());
            self.fleet.record_reference_clock(&self.receiver, sample);
            self.clock = Some(clock);
        }
        let asked = retry_after(response.status(), response.headers(), SystemTime::now());
        self.leave_alone(asked);
        let (status, headers) = (response.status(), response.headers().clone());
        let body = if needs_body {
            start_of_body(response).await
        } else {
            Vec::new()
        };
        let answer = Answer {
            status,
            headers,
            body,
        };
        if self.keeps_answer {
            self.last_answer = Some(answer.clone());
        }
        Ok(answer)
    }
}

/// Reads the start of a body. What cannot be read is missing: the status says whether the request
/// arrived.
async fn start_of_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MAX_ANSWER_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MAX_ANSWER_BYTES {
            break;
        }
    }
    body
}

/// Replaces the secrets of a target, and `more`, in a text.
pub(super) fn mask(text: &str, target: &Target, more: Option<&Secret>) -> String {
    let password = target.basic_auth.as_ref().map(|it| &it.password);
    let token = target.http.bearer_token.as_ref();
    let secrets = [Some(&target.url), password, token, more];
    let secrets = secrets.into_iter().flatten().map(Secret::expose);
    secrets
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, SECRET))
}

/// Classifies the status of a response. Only statuses that say that the request itself is wrong are
/// final; a wrong token or path may be corrected later.
pub(super) fn classify(status: StatusCode) -> Result<(), DeliveryError> {
    let why = || format!("the receiver answered with HTTP status {status}");
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => Err(DeliveryError::Rejected(why())),
        _ if status.is_redirection() => Err(DeliveryError::Retryable(format!(
            "{}; redirects are not followed, so configure the address that it redirects to",
            why()
        ))),
        _ => Err(DeliveryError::Retryable(why())),
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use crate::config::HttpOptions;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_receiver_cannot_ask_to_be_left_alone_for_more_than_an_hour() {
        let metrics = DeliveryMetrics::register(&Registry::new()).unwrap();
        let target = Target {
            url: "http://127.0.0.1:1".into(),
            basic_auth: None,
            http: HttpOptions::default(),
        };
        let mut sender = Sender::new("r", &target, metrics, Arc::default());
        let now = Instant::now();
        for (asked, respected) in [(1800, 1800), (86_400, 3600), (u64::MAX, 3600)] {
            sender.leave_alone(Some(Duration::from_secs(asked)));
            assert_eq!((sender.next_attempt() - now).as_secs(), respected);
        }
        sender.leave_alone(None);
        assert!(sender.next_attempt() - now <= Duration::from_secs(30));
    }

    #[test]
    fn only_statuses_that_fault_the_request_are_final() {
        let outcome = |status: u16| match classify(StatusCode::from_u16(status).unwrap()) {
            Ok(()) => "delivered",
            Err(DeliveryError::Rejected(_)) => "rejected",
            Err(DeliveryError::Retryable(_)) => "retryable",
        };
        for (expected, statuses) in [
            ("delivered", &[200, 202, 204][..]),
            ("rejected", &[400, 413, 415, 422]),
            ("retryable", &[302, 401, 403, 404, 408, 429, 500, 502, 503]),
        ] {
            for status in statuses {
                assert_eq!(outcome(*status), expected, "{status}");
            }
        }
    }
}

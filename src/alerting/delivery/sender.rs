//! Sends single HTTP requests to a receiver and classifies the outcome.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::{http_client_for, request_failure, retry_after};
use headers::{Date, HeaderMapExt};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use reqwest::Client;
use tokio::time::Instant;
use url::Url;

use crate::config::{BasicAuth, Target};
use crate::fleet::Fleet;
use crate::retry::RetryPauses;

use super::metrics::DeliveryMetrics;
use super::receiver_clock::ReceiverClock;

/// Timeout of one request.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// `Retry-After` is respected for at most this time. Without a limit, one header could silence a
/// receiver for ever.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Header with the id of a transition, so that receivers can recognise a repeated notification.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

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
        let outcome = self.try_post(subpath, body, id).await;
        self.metrics.record(&self.receiver, outcome.is_ok());
        let receiver = &self.receiver;
        match &outcome {
            Ok(()) if self.last_failure.is_some() => {
                tracing::info!(%receiver, "notifications are delivered again");
            }
            Ok(()) => {}
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
        if let Err(DeliveryError::Retryable(why)) = &outcome {
            self.last_failure = Some(why.clone());
        } else {
            self.last_failure = None;
            self.pauses = RetryPauses::for_delivery();
        }
        outcome
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

    async fn try_post(
        &mut self,
        subpath: &str,
        body: Vec<u8>,
        id: Option<&str>,
    ) -> Result<(), DeliveryError> {
        let client = self.client.clone().map_err(DeliveryError::Retryable)?;
        let mut url = self.url.clone().map_err(DeliveryError::Retryable)?;
        if !subpath.is_empty() {
            let path = format!("{}{subpath}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        let mut request = client.post(url);
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
        classify(response.status())
    }
}

/// Classifies the status of a response. Only statuses that say that the request itself is wrong are
/// final; a wrong token or path may be corrected later.
fn classify(status: StatusCode) -> Result<(), DeliveryError> {
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

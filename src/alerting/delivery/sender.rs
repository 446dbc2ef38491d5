//! Sends single HTTP requests to a receiver and classifies the outcome.

use std::error::Error;
use std::time::Duration;

use convex_client::{HttpOptionsError, http_client};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use reqwest::Client;
use url::Url;

use crate::config::{BasicAuth, Target};

use super::metrics::DeliveryMetrics;

/// Timeout of one request.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Header with the id of a transition, so that receivers can recognise a repeated notification.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Sends requests to one receiver.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) receiver: String,
    client: Result<Client, HttpOptionsError>,
    url: Result<Url, String>,
    basic_auth: Option<BasicAuth>,
    metrics: DeliveryMetrics,
    /// Reason why the last request failed and is retried.
    last_failure: Option<String>,
}

/// Why a request was not delivered.
#[derive(Debug)]
pub(super) enum DeliveryError {
    /// The receiver rejected the request; retrying is pointless.
    Rejected(String),
    /// The request failed and may succeed later.
    Retryable(String),
}

impl Sender {
    pub(super) fn new(receiver: &str, target: &Target, metrics: DeliveryMetrics) -> Self {
        Self {
            receiver: receiver.to_owned(),
            client: http_client(&target.http.client_options(), REQUEST_TIMEOUT),
            url: Url::parse(target.url.expose()).map_err(|error| error.to_string()),
            basic_auth: target.basic_auth.clone(),
            metrics,
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
                tracing::warn!(%receiver, %why, "a notification was not delivered; retrying");
            }
            Err(DeliveryError::Retryable(why)) => {
                tracing::debug!(%receiver, %why, "a notification is still not delivered; retrying");
            }
        }
        self.last_failure = match &outcome {
            Err(DeliveryError::Retryable(why)) => Some(why.clone()),
            _ => None,
        };
        outcome
    }

    async fn try_post(
        &self,
        subpath: &str,
        body: Vec<u8>,
        id: Option<&str>,
    ) -> Result<(), DeliveryError> {
        let failed = |why: &HttpOptionsError| DeliveryError::Retryable(why.to_string());
        let client = self.client.as_ref().map_err(failed)?;
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
        let response = request
            .send()
            .await
            .map_err(|error| DeliveryError::Retryable(error_chain(&error.without_url())))?;
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

/// Formats an error followed by its causes.
fn error_chain(error: &dyn Error) -> String {
    let mut messages = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        messages.push(cause.to_string());
        source = cause.source();
    }
    messages.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

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

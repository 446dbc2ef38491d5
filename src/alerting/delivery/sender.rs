//! One request to a receiver: what it carries, and what its outcome means.

use std::error::Error;
use std::time::Duration;

use convex_client::{HttpOptionsError, http_client};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use reqwest::Client;
use url::Url;

use crate::config::{BasicAuth, Target};

use super::counts::Counts;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Names a transition, so that a receiver can tell when it is told of it again.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Asks one receiver.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) receiver: String,
    client: Result<Client, HttpOptionsError>,
    url: Result<Url, String>,
    basic_auth: Option<BasicAuth>,
    counts: Counts,
    /// Why the last request was not delivered.
    failing: Option<String>,
}

/// Why a request was not delivered.
#[derive(Debug)]
pub(super) enum Undelivered {
    /// The receiver has read it and does not want it: it never will.
    Refused(String),
    /// It may be delivered later.
    Failed(String),
}

impl Sender {
    pub(super) fn new(receiver: &str, target: &Target, counts: Counts) -> Self {
        Self {
            receiver: receiver.to_owned(),
            client: http_client(&target.http.client_options(), TIMEOUT),
            url: Url::parse(target.url.expose()).map_err(|error| error.to_string()),
            basic_auth: target.basic_auth.clone(),
            counts,
            failing: None,
        }
    }

    /// Posts `body` (JSON, or nothing) to the receiver, or below it where `below` is given. `id` names what is posted.
    pub(super) async fn post(
        &mut self,
        below: &str,
        body: Vec<u8>,
        id: Option<&str>,
    ) -> Result<(), Undelivered> {
        let outcome = self.try_post(below, body, id).await;
        self.counts.count(&self.receiver, outcome.is_ok());
        let receiver = &self.receiver;
        match &outcome {
            Ok(()) if self.failing.is_some() => {
                tracing::info!(%receiver, "notifications are delivered again");
            }
            Ok(()) => {}
            Err(Undelivered::Refused(why)) => {
                tracing::error!(%receiver, %why, "a notification is refused and given up");
            }
            Err(Undelivered::Failed(why)) if self.failing.as_ref() != Some(why) => {
                tracing::warn!(%receiver, %why, "a notification is not delivered; it is tried again");
            }
            Err(Undelivered::Failed(why)) => {
                tracing::debug!(%receiver, %why, "a notification is still not delivered");
            }
        }
        self.failing = match &outcome {
            Err(Undelivered::Failed(why)) => Some(why.clone()),
            _ => None,
        };
        outcome
    }

    async fn try_post(
        &self,
        below: &str,
        body: Vec<u8>,
        id: Option<&str>,
    ) -> Result<(), Undelivered> {
        let failed = |why: &HttpOptionsError| Undelivered::Failed(why.to_string());
        let client = self.client.as_ref().map_err(failed)?;
        let mut url = self.url.clone().map_err(Undelivered::Failed)?;
        if !below.is_empty() {
            let path = format!("{}{below}", url.path().trim_end_matches('/'));
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
            .map_err(|error| Undelivered::Failed(causes(&error.without_url())))?;
        judge(response.status())
    }
}

/// What the status of an answer means. Who is asked for something else than it takes says so at once; a wrong token or a
/// wrong path may be put right meanwhile.
fn judge(status: StatusCode) -> Result<(), Undelivered> {
    let why = || format!("the receiver answers with HTTP status {status}");
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => Err(Undelivered::Refused(why())),
        _ if status.is_redirection() => Err(Undelivered::Failed(format!(
            "{}, and redirects are not followed; configure the address that it names",
            why()
        ))),
        _ => Err(Undelivered::Failed(why())),
    }
}

/// An error with all its causes, in words.
fn causes(error: &dyn Error) -> String {
    let mut causes = vec![error.to_string()];
    let mut deeper = error.source();
    while let Some(cause) = deeper {
        causes.push(cause.to_string());
        deeper = cause.source();
    }
    causes.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_never_be_delivered_is_given_up() {
        let outcome = |status: u16| match judge(StatusCode::from_u16(status).unwrap()) {
            Ok(()) => "delivered",
            Err(Undelivered::Refused(_)) => "refused",
            Err(Undelivered::Failed(_)) => "failed",
        };
        for (expected, statuses) in [
            ("delivered", &[200, 202, 204][..]),
            ("refused", &[400, 413, 415, 422]),
            ("failed", &[302, 401, 403, 404, 408, 429, 500, 502, 503]),
        ] {
            for status in statuses {
                assert_eq!(outcome(*status), expected, "{status}");
            }
        }
    }
}

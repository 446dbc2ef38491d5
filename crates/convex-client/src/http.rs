//! The HTTP transport: the query, then the status where it exists, on one connection, as raw cells.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::{Cell, Limits, decode_message};
use http::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use reqwest::{Client, Response};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::attempt::{Attempt, ClockSample, Outcome, RequestSpec, Timed};
use crate::options::HttpOptions;
use crate::query::{Query, QueryError};

use super::Endpoint;
use super::clients::{HttpClients, KEEP_IDLE, Settings};
use super::failure::{Failure, FailureReason};
use super::http_failure::{self, beginning, overdue};
use super::message::Reply;
use super::status::Status;
use super::trace::{Progress, TRACE, Trace};

/// The reply as message content, on every version: exact types and one decoder for both transports.
const RAW: HeaderValue = HeaderValue::from_static("application/cvx-raw");

/// After a peer said that it has no status route, it is asked again this much later: it may have been upgraded.
const STATUS_AGAIN: Duration = Duration::from_secs(600);

/// The client side of one `http://` or `https://` endpoint.
#[derive(Debug)]
pub struct HttpClient {
    client: Result<Client, String>,
    query_url: Url,
    status_url: Url,
    headers: HeaderMap,
    account: Option<u64>,
    limits: Limits,
    /// When the last good answer came: a connection that young should still be open.
    last_used: Option<Instant>,
    /// The peer has no status route; do not ask before this.
    no_status_until: Option<Instant>,
}

/// One HTTP answer, read to its end.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    /// The clock of whoever answered, from the Date header.
    clock: Option<Timed<ClockSample>>,
    took: Duration,
}

impl HttpClient {
    /// A client that connects when first asked. `account` is the address that queries run as; replies larger than
    /// `max_response_bytes` are refused.
    #[must_use]
    pub fn new(
        endpoint: &Endpoint,
        options: &HttpOptions,
        account: Option<u64>,
        max_response_bytes: usize,
        clients: &Arc<HttpClients>,
    ) -> Self {
        let mut base = endpoint.url().clone();
        let mut dial = None;
        if let Some(name) = &options.server_name {
            dial = Some(endpoint.host());
            if let Err(error) = base.set_host(Some(name)) {
                tracing::error!(%error, server_name = %name, "server_name is no host name; the URL's host is used");
            }
        }
        let route = |path: &str| {
            let mut url = base.clone();
            url.set_path(&format!(
                "{}/api/v1/{path}",
                base.path().trim_end_matches('/')
            ));
            url
        };
        let mut headers = options.headers.clone();
        headers.insert(ACCEPT, RAW);
        let settings = Settings {
            user_agent: options.user_agent.clone(),
            ca: options.ca.clone(),
            proxy: options.proxy.clone(),
            dial,
        };
        Self {
            client: clients.get(&settings),
            query_url: route("query"),
            status_url: route("status"),
            headers,
            account,
            limits: Limits {
                max_bytes: max_response_bytes,
                ..Limits::default()
            },
            last_used: None,
            no_status_until: None,
        }
    }

    /// Asks the query and, where the peer has it, the status; done by `deadline`.
    pub async fn ask(&mut self, deadline: Instant) -> (Attempt, Outcome) {
        self.attempt(&RequestSpec::poll(), deadline).await
    }

    /// Asks one question; done by `deadline`.
    ///
    /// # Errors
    /// The peer reports an error, or does not answer.
    pub async fn query(&mut self, query: &Query, deadline: Instant) -> Result<Cell, QueryError> {
        let spec = RequestSpec::value(query);
        let (attempt, outcome) = self.attempt(&spec, deadline).await;
        attempt.into_value(outcome)
    }

    async fn attempt<V>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        deadline: Instant,
    ) -> (Attempt<V>, Outcome) {
        let mut attempt = Attempt::default();
        // Whether a connection that should be open may still turn out dead.
        let mut stale_once = self
            .last_used
            .is_some_and(|used| used.elapsed() < KEEP_IDLE);
        loop {
            let trace = Trace::default();
            let (outcome, trace) = TRACE
                .scope(trace, async {
                    let conversation = self.converse(spec, &mut attempt);
                    let outcome = match timeout_at(deadline, conversation).await {
                        Ok(result) => result,
                        Err(_) => Err(overdue(TRACE.with(Trace::progress), &attempt)),
                    };
                    (
                        outcome,
                        TRACE.with(|trace| {
                            (trace.progress(), trace.phases(), trace.certificate_ends())
                        }),
                    )
                })
                .await;
            let (progress, phases, certificate_ends) = trace;
            attempt.phases = phases;
            attempt.certificate_ends = certificate_ends;
            if stale_once && progress != Progress::Kept {
                attempt.reconnects += 1;
                stale_once = false;
            }
            // A kept connection that the peer had closed is no fault of this poll: try once more on a new one.
            if stale_once
                && progress == Progress::Kept
                && attempt.response_bytes == 0
                && matches!(&outcome, Err(failure) if failure.reason == FailureReason::Closed)
            {
                attempt.reconnects += 1;
                stale_once = false;
                continue;
            }
            self.last_used = outcome.is_ok().then(Instant::now);
            return (attempt, outcome);
        }
    }

    async fn converse<V>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        attempt: &mut Attempt<V>,
    ) -> Result<Duration, Failure> {
        let mut body = serde_json::json!({ "source": spec.source });
        if let Some(account) = self.account {
            body["address"] = format!("#{account}").into();
        }
        let body = Some(body.to_string());
        let answer = self
            .request(Method::POST, self.query_url.clone(), body, attempt)
            .await?;
        let reply = self.reply_of(&answer)?;
        attempt.clock.clone_from(&answer.clock);
        attempt.take_query(reply, answer.took, spec.read)?;
        let mut took = answer.took;
        let may_have_status = self
            .no_status_until
            .is_none_or(|until| Instant::now() >= until);
        if spec.with_status && may_have_status {
            let answer = self
                .request(Method::GET, self.status_url.clone(), None, attempt)
                .await?;
            took += answer.took;
            self.take_status(&answer, attempt)?;
        }
        Ok(took)
    }

    /// One request and its whole answer, of at most the accepted size.
    async fn request<V>(
        &mut self,
        method: Method,
        url: Url,
        body: Option<String>,
        attempt: &mut Attempt<V>,
    ) -> Result<Answer, Failure> {
        let client = self.client.as_ref().map_err(|why| {
            Failure::new(
                FailureReason::Local,
                format!("no HTTP client could be made: {why}"),
            )
        })?;
        let mut request = client.request(method, url).headers(self.headers.clone());
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let began = Instant::now();
        let mut response = request
            .send()
            .await
            .map_err(|error| http_failure::of_client(&error))?;
        let answered_at = SystemTime::now();
        // On a new connection the request is written once the connection is made.
        let sent = TRACE
            .with(Trace::connected)
            .map_or(began, |connected| connected.max(began));
        let clock = clock_of(response.headers(), answered_at, sent.elapsed());
        let status = response.status();
        attempt.retry_after = retry_after(status, response.headers(), answered_at);
        let body = self.read_body(&mut response, attempt).await?;
        Ok(Answer {
            status,
            body,
            clock,
            took: sent.elapsed(),
        })
    }

    async fn read_body<V>(
        &self,
        response: &mut Response,
        attempt: &mut Attempt<V>,
    ) -> Result<Vec<u8>, Failure> {
        let limit = self.limits.max_bytes;
        let too_large = |bytes: String| {
            Failure::new(
                FailureReason::TooLarge,
                format!("a reply of {bytes} bytes, at most {limit} are accepted"),
            )
        };
        if let Some(announced) = response
            .content_length()
            .filter(|length| *length > limit as u64)
        {
            return Err(too_large(announced.to_string()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| http_failure::of_client(&error))?
        {
            attempt.response_bytes += chunk.len();
            if body.len() + chunk.len() > limit {
                return Err(too_large(format!("more than {limit}")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The Result in a query's answer. A peer sends one with an error under many HTTP statuses, 200 included.
    fn reply_of(&self, answer: &Answer) -> Result<Reply, Failure> {
        match Reply::decode(&answer.body, &self.limits) {
            Ok(Some(reply)) => Ok(reply),
            _ if !answer.status.is_success() => {
                Err(http_failure::of_status(answer.status, &answer.body))
            }
            Ok(None) => Err(Failure::new(
                FailureReason::Malformed,
                "the reply to the query is no Result",
            )),
            Err(error) => Err(Failure::new(
                FailureReason::Malformed,
                format!(
                    "the reply to the query does not decode: {error}; it begins {}",
                    beginning(&answer.body)
                ),
            )),
        }
    }

    fn take_status<V>(&mut self, answer: &Answer, attempt: &mut Attempt<V>) -> Result<(), Failure> {
        match answer.status {
            StatusCode::OK => {}
            // 0.8.0 has no such route, and says so with any of these.
            StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED => {
                self.no_status_until = Some(Instant::now() + STATUS_AGAIN);
                return Ok(());
            }
            _ => return Err(http_failure::of_status(answer.status, &answer.body)),
        }
        self.no_status_until = None;
        let message = decode_message(&answer.body, &self.limits).map_err(|error| {
            Failure::new(
                FailureReason::Malformed,
                format!(
                    "the status does not decode: {error}; it begins {}",
                    beginning(&answer.body)
                ),
            )
        })?;
        if let Some(reply) = Reply::from_cell(&message.top) {
            return attempt.take_status(reply, answer.took);
        }
        // 0.8.6 sends the map itself.
        let value = Status::from_cell(&message.top)?;
        attempt.status = Some(Timed {
            value,
            took: answer.took,
        });
        Ok(())
    }
}

/// The peer's clock, as coarse as the header is.
fn clock_of(
    headers: &HeaderMap,
    answered_at: SystemTime,
    took: Duration,
) -> Option<Timed<ClockSample>> {
    let date = date_in(headers, &DATE)?;
    let value = ClockSample::of_whole_second(date, answered_at, took);
    Some(Timed { value, took })
}

/// How long a peer that has too much to do asks to be left alone: in seconds, or until a date by its own clock.
fn retry_after(
    status: StatusCode,
    headers: &HeaderMap,
    answered_at: SystemTime,
) -> Option<Duration> {
    if !http_failure::is_overload(status) {
        return None;
    }
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    if let Ok(seconds) = seconds {
        return Some(Duration::from_secs(seconds));
    }
    let now = date_in(headers, &DATE).unwrap_or(answered_at);
    date_in(headers, &RETRY_AFTER)?.duration_since(now).ok()
}

fn date_in(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

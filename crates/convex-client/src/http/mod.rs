//! The HTTP transport: the query, then the status if the peer has it, on one connection, as raw
//! cells.

mod clients;
mod failure;
mod options;
mod retry_after;
mod roots;
mod tls;
mod trace;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::{Cell, Limits, decode_message};
use http::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use reqwest::Client;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::attempt::{Attempt, Outcome, RequestSpec, Timed};
use crate::clock::ClockSample;
use crate::endpoint::Endpoint;
use crate::failure::{Failure, FailureReason};
use crate::message::Reply;
use crate::options::ClientOptions;
use crate::query::{Query, QueryError};
use crate::status::Status;

use self::clients::{ClientSettings, MAX_IDLE};
use self::failure::excerpt;
use self::retry_after::date_in;
use self::trace::{Progress, TRACE, Trace};

pub use self::clients::{HttpClients, HttpOptionsError, http_client};
pub use self::options::HttpOptions;
pub use self::retry_after::retry_after;
pub use self::roots::{reload_system_roots, system_roots_generation};

/// Media type of a reply as message content: exact types, and the same decoder as over TCP. All
/// measured releases support it.
const RAW: HeaderValue = HeaderValue::from_static("application/cvx-raw");

/// Pause after which a peer without a status route is asked for its status again, because it may
/// have been upgraded.
const STATUS_RECHECK_PAUSE: Duration = Duration::from_secs(600);

/// Client of one `http://` or `https://` endpoint.
#[derive(Debug)]
pub struct HttpClient {
    client: Result<Arc<Client>, String>,
    query_url: Url,
    status_url: Url,
    headers: HeaderMap,
    account: Option<u64>,
    limits: Limits,
    /// Time of the last successful attempt. Within [`MAX_IDLE`] its connection should still be
    /// open.
    last_used: Option<Instant>,
    /// The peer has no status route; the status is not requested before this time.
    no_status_until: Option<Instant>,
    query_retry_after: Option<Duration>,
}

/// A complete HTTP response.
struct Response {
    status: StatusCode,
    body: Vec<u8>,
    /// Clock of the server, from the `Date` header.
    clock: Option<Timed<ClockSample>>,
    took: Duration,
}

impl HttpClient {
    /// Creates a client, which connects on first use. If the options are not usable, every attempt
    /// fails with [`FailureReason::Local`].
    ///
    /// The transport of `endpoint` must be [`Transport::Http`](crate::Transport::Http).
    #[must_use]
    pub fn new(
        endpoint: &Endpoint,
        options: &ClientOptions,
        http: &HttpOptions,
        clients: &HttpClients,
    ) -> Self {
        let mut base = endpoint.url().clone();
        let mut dial = None;
        if let Some(name) = &http.server_name {
            dial = Some(endpoint.host());
            if let Err(error) = base.set_host(Some(name)) {
                tracing::error!(
                    %error, server_name = %name,
                    "server_name is not a host name; using the host of the URL"
                );
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
        let mut headers = http.headers.clone();
        headers.insert(ACCEPT, RAW);
        let settings = ClientSettings {
            user_agent: http.user_agent.clone(),
            ca: http.ca.clone(),
            proxy: http.proxy.clone(),
            dial,
            roots: http.ca.is_none().then(system_roots_generation),
        };
        Self {
            client: clients.get(&settings),
            query_url: route("query"),
            status_url: route("status"),
            headers,
            account: options.account,
            limits: Limits {
                max_bytes: options.max_response_bytes,
                ..Limits::default()
            },
            last_used: None,
            no_status_until: None,
            query_retry_after: None,
        }
    }

    /// Sends [`POLL_QUERY`](crate::POLL_QUERY), then requests the status if the peer has a status
    /// route; release 0.8.0 has none. Finishes by `deadline`.
    pub async fn poll(&mut self, deadline: Instant) -> (Attempt, Outcome) {
        self.attempt(&RequestSpec::poll(), deadline).await
    }

    /// Sends a query and returns its value. Finishes by `deadline`.
    ///
    /// # Errors
    /// The peer reports an error, or no valid answer arrives by the deadline.
    pub async fn query(&mut self, query: &Query, deadline: Instant) -> Result<Cell, QueryError> {
        let spec = RequestSpec::query(query);
        let (attempt, outcome) = self.attempt(&spec, deadline).await;
        self.query_retry_after = attempt.retry_after;
        attempt.into_value(outcome)
    }

    /// Returns the `Retry-After` of the last [`Self::query`], as [`Attempt::retry_after`] does for a
    /// poll.
    #[must_use]
    pub fn query_retry_after(&self) -> Option<Duration> {
        self.query_retry_after
    }

    pub(crate) async fn attempt<V>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        deadline: Instant,
    ) -> (Attempt<V>, Outcome) {
        let mut attempt = Attempt::default();
        // Whether there should be an open connection that may turn out to be dead.
        let mut may_be_stale = self.last_used.is_some_and(|used| used.elapsed() < MAX_IDLE);
        loop {
            let trace = Trace::default();
            let (outcome, trace) = TRACE
                .scope(trace, async {
                    let exchange = self.exchange(spec, &mut attempt);
                    let outcome = match timeout_at(deadline, exchange).await {
                        Ok(result) => result,
                        Err(_) => Err(failure::deadline_passed(
                            TRACE.with(Trace::progress),
                            &attempt,
                        )),
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
            if may_be_stale && progress != Progress::Reused {
                attempt.reconnects += 1;
                may_be_stale = false;
            }
            // The peer may close an idle connection at any time, so try once more on a new one.
            if may_be_stale
                && progress == Progress::Reused
                && attempt.response_bytes == 0
                && matches!(&outcome, Err(failure) if failure.reason == FailureReason::Closed)
            {
                attempt.reconnects += 1;
                may_be_stale = false;
                continue;
            }
            self.last_used = outcome.is_ok().then(Instant::now);
            return (attempt, outcome);
        }
    }

    /// Sends the requests and records the answers.
    async fn exchange<V>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        attempt: &mut Attempt<V>,
    ) -> Result<Duration, Failure> {
        let mut body = serde_json::json!({ "source": spec.source });
        if let Some(account) = self.account {
            body["address"] = format!("#{account}").into();
        }
        let body = Some(body.to_string());
        let response = self
            .request(Method::POST, self.query_url.clone(), body, attempt)
            .await?;
        let reply = self.query_reply(&response)?;
        attempt.clock.clone_from(&response.clock);
        attempt.record_query(reply, response.took, spec.read)?;
        let mut took = response.took;
        let may_have_status = self
            .no_status_until
            .is_none_or(|until| Instant::now() >= until);
        if spec.with_status && may_have_status {
            let response = self
                .request(Method::GET, self.status_url.clone(), None, attempt)
                .await?;
            took += response.took;
            self.record_status(&response, attempt)?;
        }
        Ok(took)
    }

    /// Sends one request and reads its response, up to the maximum size.
    async fn request<V>(
        &mut self,
        method: Method,
        url: Url,
        body: Option<String>,
        attempt: &mut Attempt<V>,
    ) -> Result<Response, Failure> {
        let client = self.client.as_ref().map_err(|reason| {
            Failure::new(
                FailureReason::Local,
                format!("cannot create the HTTP client: {reason}"),
            )
        })?;
        let mut request = client.request(method, url).headers(self.headers.clone());
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let started = Instant::now();
        let mut response = request
            .send()
            .await
            .map_err(|error| failure::from_client_error(&error.without_url()))?;
        let answered_at = SystemTime::now();
        // On a new connection, the request is sent when the connection is ready.
        let sent = TRACE
            .with(Trace::connected)
            .map_or(started, |connected| connected.max(started));
        let clock = clock_of(response.headers(), answered_at, sent.elapsed());
        let status = response.status();
        // The status request must not hide what the query was answered.
        attempt.retry_after =
            retry_after(status, response.headers(), answered_at).or(attempt.retry_after);
        let body = self.read_body(&mut response, attempt).await?;
        Ok(Response {
            status,
            body,
            clock,
            took: sent.elapsed(),
        })
    }

    async fn read_body<V>(
        &self,
        response: &mut reqwest::Response,
        attempt: &mut Attempt<V>,
    ) -> Result<Vec<u8>, Failure> {
        let limit = self.limits.max_bytes;
        let too_large = |bytes: String| {
            Failure::new(
                FailureReason::TooLarge,
                format!("reply of {bytes} bytes, at most {limit} are accepted"),
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
            .map_err(|error| failure::from_client_error(&error.without_url()))?
        {
            attempt.response_bytes += chunk.len();
            if body.len() + chunk.len() > limit {
                return Err(too_large(format!("more than {limit}")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Returns the Result in the response to a query. Peers send errors as Results with many HTTP
    /// statuses, 200 included.
    fn query_reply(&self, response: &Response) -> Result<Reply, Failure> {
        match Reply::decode(&response.body, &self.limits) {
            Ok(Some(reply)) => Ok(reply),
            _ if !response.status.is_success() => {
                Err(failure::from_status(response.status, &response.body))
            }
            Ok(None) => Err(Failure::new(
                FailureReason::Malformed,
                "the reply to the query is not a Result",
            )),
            Err(error) => Err(Failure::new(
                FailureReason::Malformed,
                format!(
                    "the reply to the query does not decode: {error}; it starts with {}",
                    excerpt(&response.body)
                ),
            )),
        }
    }

    fn record_status<V>(
        &mut self,
        response: &Response,
        attempt: &mut Attempt<V>,
    ) -> Result<(), Failure> {
        match response.status {
            StatusCode::OK => {}
            // 0.8.0 has no such route and answers with any of these.
            StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED => {
                self.no_status_until = Some(Instant::now() + STATUS_RECHECK_PAUSE);
                return Ok(());
            }
            _ => return Err(failure::from_status(response.status, &response.body)),
        }
        self.no_status_until = None;
        let message = decode_message(&response.body, &self.limits).map_err(|error| {
            Failure::new(
                FailureReason::Malformed,
                format!(
                    "the status does not decode: {error}; it starts with {}",
                    excerpt(&response.body)
                ),
            )
        })?;
        if let Some(reply) = Reply::from_cell(&message.top) {
            return attempt.record_status(reply, response.took);
        }
        // 0.8.6 sends the map without a Result around it.
        let value = Status::from_cell(&message.top)?;
        attempt.status = Some(Timed {
            value,
            took: response.took,
        });
        Ok(())
    }
}

/// Returns the server's clock from the `Date` header.
fn clock_of(
    headers: &HeaderMap,
    answered_at: SystemTime,
    took: Duration,
) -> Option<Timed<ClockSample>> {
    let date = date_in(headers, &DATE)?;
    let value = ClockSample::from_whole_seconds(date, answered_at, took);
    Some(Timed { value, took })
}

//! The HTTP transport: the query, then the status where it exists, on one connection, as raw cells.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use http::{Method, StatusCode};
use reqwest::{Client, Response};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::cad3::{Cell, Limits, decode_message};
use crate::config::HttpOptions;

use super::Endpoint;
use super::clients::{HttpClients, KEEP_IDLE, Settings};
use super::exchange::{Answered, ClockSample, Exchange, Wanted};
use super::failure::{Failure, Reason};
use super::http_failure::{self, beginning, overdue};
use super::message::Reply;
use super::question::{Question, Unanswered};
use super::status::Status;
use super::trace::{Progress, TRACE, Trace};

/// The reply as message content, on every version: exact types and one decoder for both transports.
const RAW: HeaderValue = HeaderValue::from_static("application/cvx-raw");

/// After a peer said that it has no status route, it is asked again this much later: it may have been upgraded.
const STATUS_AGAIN: Duration = Duration::from_secs(600);

/// A peer that asks to be left alone (`Retry-After`) is for so many intervals, at most,
const REST_INTERVALS: u32 = 10;

/// or for this long where that is more: a header must not make the monitor blind for a day.
const REST: Duration = Duration::from_secs(300);

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
    /// The peer has asked to be left alone; do not ask anything before this.
    rests_until: Option<Instant>,
    longest_rest: Duration,
}

/// One HTTP answer, read to its end.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    /// The clock of whoever answered, from the Date header.
    clock: Option<Answered<ClockSample>>,
    took: Duration,
}

impl HttpClient {
    /// A client that connects when first asked, of a peer that is polled once an `interval`.
    #[must_use]
    pub fn new(
        endpoint: &Endpoint,
        options: &HttpOptions,
        account: Option<u64>,
        interval: Duration,
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
        if let Some(token) = &options.bearer_token {
            // Checked when the configuration was read.
            if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", token.expose())) {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        }
        let settings = Settings {
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
            rests_until: None,
            longest_rest: interval.saturating_mul(REST_INTERVALS).max(REST),
        }
    }

    /// Whether the peer has asked to be left alone, and for how long it still is.
    #[must_use]
    pub fn rest(&self) -> Option<Duration> {
        let left = self.rests_until?.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left)
    }

    /// Asks the query and, where the peer has it, the status; done by `deadline`.
    pub async fn ask(&mut self, deadline: Instant) -> Exchange {
        self.exchange(&Wanted::poll(), deadline).await
    }

    /// Asks one question; done by `deadline`.
    ///
    /// # Errors
    /// The peer reports an error, or does not answer.
    pub async fn query(
        &mut self,
        question: &Question,
        deadline: Instant,
    ) -> Result<Cell, Unanswered> {
        let wanted = Wanted::value(question);
        self.exchange(&wanted, deadline).await.into_value()
    }

    async fn exchange<V>(&mut self, wanted: &Wanted<'_, V>, deadline: Instant) -> Exchange<V> {
        let mut exchange = Exchange::default();
        if let Some(left) = self.rest() {
            let left = left.as_secs() + 1;
            exchange.failure = Some(Failure::new(
                Reason::Overloaded,
                format!(
                    "not asked: the peer wants to be left alone (Retry-After) for another {left} s"
                ),
            ));
            return exchange;
        }
        // Whether a connection that should be open may still turn out dead.
        let mut stale_once = self
            .last_used
            .is_some_and(|used| used.elapsed() < KEEP_IDLE);
        loop {
            let trace = Trace::default();
            let (result, trace) = TRACE
                .scope(trace, async {
                    let conversation = self.converse(wanted, &mut exchange);
                    let result = match timeout_at(deadline, conversation).await {
                        Ok(result) => result,
                        Err(_) => Err(overdue(TRACE.with(Trace::progress), &exchange)),
                    };
                    (
                        result,
                        TRACE.with(|trace| {
                            (trace.progress(), trace.phases(), trace.certificate_ends())
                        }),
                    )
                })
                .await;
            let (progress, phases, certificate_ends) = trace;
            exchange.phases = phases;
            exchange.certificate_ends = certificate_ends;
            if stale_once && progress != Progress::Kept {
                exchange.reconnects += 1;
                stale_once = false;
            }
            match result {
                Ok(took) => {
                    exchange.took = Some(took);
                    self.last_used = Some(Instant::now());
                }
                // A kept connection that the peer had closed: no fault of this poll, so once more on a new one.
                Err(failure)
                    if stale_once
                        && failure.reason == Reason::Closed
                        && progress == Progress::Kept
                        && exchange.response_bytes == 0 =>
                {
                    exchange.reconnects += 1;
                    stale_once = false;
                    continue;
                }
                Err(failure) => {
                    exchange.failure = Some(failure);
                    self.last_used = None;
                }
            }
            return exchange;
        }
    }

    async fn converse<V>(
        &mut self,
        wanted: &Wanted<'_, V>,
        exchange: &mut Exchange<V>,
    ) -> Result<Duration, Failure> {
        let mut body = serde_json::json!({ "source": wanted.source });
        if let Some(account) = self.account {
            body["address"] = format!("#{account}").into();
        }
        let body = Some(body.to_string());
        let answer = self
            .request(Method::POST, self.query_url.clone(), body, exchange)
            .await?;
        let reply = self.reply_of(&answer)?;
        exchange.clock.clone_from(&answer.clock);
        exchange.take_query(reply, answer.took, wanted.read)?;
        let mut took = answer.took;
        let may_have_status = self
            .no_status_until
            .is_none_or(|until| Instant::now() >= until);
        if wanted.with_status && may_have_status {
            let answer = self
                .request(Method::GET, self.status_url.clone(), None, exchange)
                .await?;
            took += answer.took;
            self.take_status(&answer, exchange)?;
        }
        Ok(took)
    }

    /// One request and its whole answer, of at most the accepted size.
    async fn request<V>(
        &mut self,
        method: Method,
        url: Url,
        body: Option<String>,
        exchange: &mut Exchange<V>,
    ) -> Result<Answer, Failure> {
        let client = self.client.as_ref().map_err(|why| {
            Failure::new(
                Reason::Monitor,
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
        if let Some(rest) = asked_rest(status, response.headers(), answered_at) {
            self.rests_until = Some(Instant::now() + rest.min(self.longest_rest));
        }
        let body = self.read_body(&mut response, exchange).await?;
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
        exchange: &mut Exchange<V>,
    ) -> Result<Vec<u8>, Failure> {
        let limit = self.limits.max_bytes;
        let too_large = |bytes: String| {
            Failure::new(
                Reason::TooLarge,
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
            exchange.response_bytes += chunk.len();
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
                Reason::Malformed,
                "the reply to the query is no Result",
            )),
            Err(error) => Err(Failure::new(
                Reason::Malformed,
                format!(
                    "the reply to the query does not decode: {error}; it begins {}",
                    beginning(&answer.body)
                ),
            )),
        }
    }

    fn take_status<V>(
        &mut self,
        answer: &Answer,
        exchange: &mut Exchange<V>,
    ) -> Result<(), Failure> {
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
                Reason::Malformed,
                format!(
                    "the status does not decode: {error}; it begins {}",
                    beginning(&answer.body)
                ),
            )
        })?;
        if let Some(reply) = Reply::from_cell(&message.top) {
            return exchange.take_status(reply, answer.took);
        }
        // 0.8.6 sends the map itself.
        let value = Status::from_cell(&message.top)?;
        exchange.status = Some(Answered {
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
) -> Option<Answered<ClockSample>> {
    let date = date_in(headers, &DATE)?;
    let value = ClockSample::of_whole_second(date, answered_at, took);
    Some(Answered { value, took })
}

/// How long a peer that has too much to do asks to be left alone: in seconds, or until a date by its own clock.
fn asked_rest(
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

//! The HTTP transport: the query, then the status if the peer has it, on one connection, as raw
//! cells.

mod failure;
mod options;
mod other_servers;
mod requests;
mod retry_after;
mod settings;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cad3::{Cell, Limits, decode_message};
use http::header::{ACCEPT, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::{StatusCode, Uri};
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::attempt::{Attempt, Outcome, RequestSpec, Timed};
use crate::dial::{Dialler, Spoken, Stream};
use crate::endpoint::Endpoint;
use crate::failure::{Failure, FailureReason};
use crate::kept::{KeptClient, Protocol};
use crate::message::Reply;
use crate::options::ClientOptions;
use crate::query::{Query, QueryError};
use crate::status::Status;

use self::failure::excerpt;
use self::requests::{Requests, Response};

pub use self::options::HttpOptions;
pub use self::other_servers::{HttpOptionsError, http_client, http_client_for, request_failure};
pub use self::retry_after::retry_after;
pub use self::settings::TlsSettings;

/// Media type of a reply as message content: exact types, and the same decoder as over TCP. All
/// measured releases support it.
const RAW: HeaderValue = HeaderValue::from_static("application/cvx-raw");

/// Pause after which a peer without a status route is asked for its status again, because it may
/// have been upgraded.
const STATUS_RECHECK_PAUSE: Duration = Duration::from_secs(600);

/// Client of one `http://` or `https://` endpoint.
#[derive(Debug)]
pub struct HttpClient {
    client: Result<KeptClient<Rest>, String>,
    query_retry_after: Option<Duration>,
}

/// The REST interface.
#[derive(Debug)]
struct Rest {
    query_uri: Uri,
    status_uri: Uri,
    headers: HeaderMap,
    account: Option<u64>,
    limits: Limits,
    /// The peer has no status route; the status is not requested before this time.
    no_status_until: Mutex<Option<Instant>>,
}

/// A connection that no HTTP client holds at the moment.
#[derive(Debug)]
struct Connection {
    stream: Stream,
    /// Whether all requests were answered and the peer does not close the connection.
    is_idle: bool,
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
        tls: &TlsSettings,
    ) -> Self {
        Self {
            client: client(endpoint, options, http, tls),
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

    pub(crate) async fn attempt<V: Send>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        deadline: Instant,
    ) -> (Attempt<V>, Outcome) {
        match &mut self.client {
            Ok(client) => client.attempt(spec, deadline).await,
            Err(reason) => {
                let message = format!("cannot create the HTTP client: {reason}");
                let failure = Failure::new(FailureReason::Local, message);
                (Attempt::default(), Err(failure))
            }
        }
    }
}

fn client(
    endpoint: &Endpoint,
    options: &ClientOptions,
    http: &HttpOptions,
    tls: &TlsSettings,
) -> Result<KeptClient<Rest>, String> {
    let mut base = endpoint.url().clone();
    if let Some(name) = &http.server_name
        && let Err(error) = base.set_host(Some(name))
    {
        tracing::error!(
            %error, server_name = %name,
            "server_name is not a host name; using the host of the URL"
        );
    }
    let user_agent = match http.user_agent.as_str() {
        "" => None,
        text => Some(HeaderValue::from_str(text).map_err(|error| error.to_string())?),
    };
    let is_https = base.scheme() == "https";
    let mut dialler = Dialler::new(endpoint.host(), endpoint.port(), options.max_response_bytes);
    if is_https || http.proxy.is_some() {
        let trust = tls.get(http.ca.as_deref())?;
        if let Some(proxy) = &http.proxy {
            dialler = dialler.through(proxy, &trust, user_agent.clone())?;
        }
        if is_https {
            let name = base.host_str().unwrap_or_default();
            let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
                .map_err(|error| format!("{name} is not a server name: {error}"))?;
            dialler = dialler.with_tls(trust, name);
        }
    }
    let mut headers = http.headers.clone();
    headers.insert(ACCEPT, RAW);
    if let Some(user_agent) = user_agent {
        headers.entry(USER_AGENT).or_insert(user_agent);
    }
    let host = HeaderValue::from_str(&authority(&base)).map_err(|error| error.to_string())?;
    headers.entry(HOST).or_insert(host);
    // Without a tunnel the proxy must be told where the request goes.
    let is_absolute = http.proxy.is_some() && !is_https;
    let protocol = Rest {
        query_uri: route(&base, "query", is_absolute)?,
        status_uri: route(&base, "status", is_absolute)?,
        headers,
        account: options.account,
        limits: Limits {
            max_bytes: options.max_response_bytes,
            ..Limits::default()
        },
        no_status_until: Mutex::default(),
    };
    Ok(KeptClient::new(
        protocol,
        dialler,
        options.connection_max_age,
    ))
}

/// Returns the host and, unless it is the default, the port of a URL.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Returns the URI of a route of the API.
fn route(base: &Url, path: &str, is_absolute: bool) -> Result<Uri, String> {
    let prefix = base.path().trim_end_matches('/');
    let mut text = format!("{prefix}/api/v1/{path}");
    if is_absolute {
        text = format!("{}://{}{text}", base.scheme(), authority(base));
    }
    text.parse()
        .map_err(|error| format!("{text:?} is not a URI: {error}"))
}

impl Protocol for Rest {
    type Connection = Connection;

    /// Peers close connections that are idle for about 30 s (PEER-PROTOCOL, section 1).
    const MAX_IDLE: Duration = Duration::from_secs(20);

    fn open(&self, stream: Stream) -> Connection {
        Connection {
            stream,
            is_idle: true,
        }
    }

    fn resume<V>(&self, connection: &mut Connection, _: &mut Attempt<V>) -> bool {
        let usable = connection.stream.is_open_and_idle();
        connection.stream.renew_budget();
        usable
    }

    async fn exchange<V: Send>(
        &self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        attempt: &mut Attempt<V>,
        heard: &AtomicBool,
        deadline: Instant,
    ) -> Outcome {
        connection.is_idle = false;
        let exchange = requests::on(&mut connection.stream, async |requests| {
            self.send_and_receive(spec, requests, attempt, heard).await
        });
        let outcome = match timeout_at(deadline, exchange).await {
            Ok((outcome, is_idle)) => {
                connection.is_idle = is_idle;
                outcome
            }
            Err(_) => Err(failure::deadline_passed(attempt)),
        };
        outcome.map_err(
            |failure| match connection.stream.spoken_instead(Spoken::Http) {
                Some(spoken) if matches!(connection.stream, Stream::Plain(_)) => Failure::new(
                    FailureReason::Malformed,
                    format!("{}, not plain HTTP", spoken.in_words()),
                ),
                _ => failure,
            },
        )
    }

    fn is_silent(&self, connection: &Connection) -> bool {
        !connection.stream.has_received()
    }

    fn is_reusable(&self, connection: &Connection, outcome: &Outcome) -> bool {
        outcome.is_ok() && connection.is_idle
    }

    async fn answers_status(&self, mut connection: Connection, deadline: Instant) -> bool {
        let limit = self.limits.max_bytes;
        let exchange = requests::on(&mut connection.stream, async |requests| {
            requests.get(&self.status_uri, &self.headers, limit).await
        });
        match timeout_at(deadline, exchange).await {
            Ok((Ok(response), _)) => {
                response.status == StatusCode::OK || has_no_status_route(response.status)
            }
            Ok((Err(_), _)) | Err(_) => false,
        }
    }
}

/// Whether this is how a release without a status route answers: 0.8.0 does with any of these.
fn has_no_status_route(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
    )
}

impl Rest {
    /// Sends the requests and records the answers.
    async fn send_and_receive<V>(
        &self,
        spec: &RequestSpec<'_, V>,
        requests: &mut Requests,
        attempt: &mut Attempt<V>,
        heard: &AtomicBool,
    ) -> Result<Duration, Failure> {
        let limit = self.limits.max_bytes;
        let mut body = serde_json::json!({ "source": spec.source });
        if let Some(account) = self.account {
            body["address"] = format!("#{account}").into();
        }
        let response = requests
            .post(&self.query_uri, &self.headers, body.to_string(), limit)
            .await;
        let response = received(response, attempt)?;
        heard.store(true, Ordering::Relaxed);
        let reply = self.query_reply(&response)?;
        attempt.clock.clone_from(&response.clock);
        attempt.record_query(reply, response.took, spec.read)?;
        let mut took = response.took;
        if spec.with_status && self.may_have_status() {
            let response = requests.get(&self.status_uri, &self.headers, limit).await;
            let response = received(response, attempt)?;
            took += response.took;
            self.record_status(&response, attempt)?;
        }
        Ok(took)
    }

    fn may_have_status(&self) -> bool {
        let until = self.no_status_until.lock();
        let until = *until.unwrap_or_else(PoisonError::into_inner);
        until.is_none_or(|until| Instant::now() >= until)
    }

    fn set_no_status_until(&self, until: Option<Instant>) {
        let mut known = self.no_status_until.lock();
        **known.as_mut().unwrap_or_else(|poisoned| poisoned.get_mut()) = until;
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
        &self,
        response: &Response,
        attempt: &mut Attempt<V>,
    ) -> Result<(), Failure> {
        match response.status {
            StatusCode::OK => {}
            status if has_no_status_route(status) => {
                self.set_no_status_until(Some(Instant::now() + STATUS_RECHECK_PAUSE));
                return Ok(());
            }
            _ => return Err(failure::from_status(response.status, &response.body)),
        }
        self.set_no_status_until(None);
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

/// Records what every response has.
fn received<V>(
    response: Result<Response, Failure>,
    attempt: &mut Attempt<V>,
) -> Result<Response, Failure> {
    let response = response?;
    attempt.response_bytes += response.body.len();
    // The status request must not hide what the query was answered.
    attempt.retry_after = response.retry_after.or(attempt.retry_after);
    Ok(response)
}

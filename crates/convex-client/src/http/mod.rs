//! The HTTP transport: the query, then the status if the peer has it, on one connection, as raw
//! cells.

mod failure;
mod options;
mod other_servers;
mod release;
mod requests;
mod rest;
mod retry_after;
mod settings;

use std::sync::Mutex;
use std::time::Duration;

use cad3::{Cell, Limits};
use http::Uri;
use http::header::{ACCEPT, HOST, HeaderValue, USER_AGENT};
use rustls::pki_types::ServerName;
use tokio::time::Instant;
use url::Url;

use crate::attempt::{Attempt, Outcome, RequestSpec};
use crate::dial::Dialler;
use crate::endpoint::Endpoint;
use crate::failure::{Failure, FailureReason};
use crate::kept::KeptClient;
use crate::options::ClientOptions;
use crate::query::{Query, QueryError};

use self::rest::Rest;

pub use self::options::HttpOptions;
pub use self::other_servers::{
    HttpOptionsError, http_client, http_client_for, http_client_over, request_failure,
};
pub use self::retry_after::retry_after;
pub use self::settings::TlsSettings;

/// Media type of a reply as message content: exact types, and the same decoder as over TCP. All
/// measured releases support it.
const RAW: HeaderValue = HeaderValue::from_static("application/cvx-raw");

/// Client of one `http://` or `https://` endpoint.
#[derive(Debug)]
pub struct HttpClient {
    client: Result<KeptClient<Rest>, String>,
    query_retry_after: Option<Duration>,
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

    /// Returns the `Retry-After` of the last [`Self::query`], as [`Attempt::retry_after`] does for
    /// a poll.
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
            Err(reason) => (Attempt::default(), Err(unusable(reason))),
        }
    }
}

/// Returns the failure of a client whose options are not usable.
fn unusable(reason: &str) -> Failure {
    let message = format!("cannot create the HTTP client: {reason}");
    Failure::new(FailureReason::Local, message)
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
        query_uri: route(&base, "api/v1/query", is_absolute)?,
        status_uri: route(&base, "api/v1/status", is_absolute)?,
        mcp_uri: route(&base, "mcp", is_absolute)?,
        index_uri: route(&base, "", is_absolute)?,
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

/// Returns the URI of a route.
fn route(base: &Url, path: &str, is_absolute: bool) -> Result<Uri, String> {
    let prefix = base.path().trim_end_matches('/');
    let mut text = format!("{prefix}/{path}");
    if is_absolute {
        text = format!("{}://{}{text}", base.scheme(), authority(base));
    }
    text.parse()
        .map_err(|error| format!("{text:?} is not a URI: {error}"))
}

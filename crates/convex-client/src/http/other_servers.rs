//! HTTP clients for servers other than peers, such as receivers of notifications.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Proxy, redirect};
use tokio::time::Instant;
use url::Url;

use crate::dial::{Trust, connect_to_any, tls_failure};
use crate::failure::{Failure, FailureReason};
use crate::resolve;

use super::options::HttpOptions;

/// Maximum idle time of a connection to be reused.
const MAX_IDLE: Duration = Duration::from_secs(20);

/// Creates an HTTP client for the server at `url`, with the headers, certificates and proxy of
/// `options`; `server_name` has no effect. It follows no redirects, and each request ends after
/// `timeout`. If the server has several addresses, the client connects to the first one that
/// accepts, however many others do not.
///
/// # Errors
/// An option is not usable; the error names it.
pub fn http_client_for(
    url: &Url,
    options: &HttpOptions,
    timeout: Duration,
) -> Result<Client, HttpOptionsError> {
    let first_hop = options.proxy.as_ref().unwrap_or(url);
    client(options, timeout, first_hop.port_or_known_default(), None)
}

/// Creates an HTTP client whose requests all go over the Unix socket at `path`, whatever their
/// host.
///
/// # Errors
/// An option is not usable; the error names it.
pub fn http_client_over(
    path: &Path,
    options: &HttpOptions,
    timeout: Duration,
) -> Result<Client, HttpOptionsError> {
    client(options, timeout, None, Some(path))
}

/// Creates an HTTP client like [`http_client_for`], but for any server: it tries the addresses of a
/// server in the resolver's order.
///
/// # Errors
/// An option is not usable; the error names it.
pub fn http_client(options: &HttpOptions, timeout: Duration) -> Result<Client, HttpOptionsError> {
    client(options, timeout, None, None)
}

/// An HTTP option is not usable. The message names the option and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HttpOptionsError(String);

fn client(
    options: &HttpOptions,
    timeout: Duration,
    port: Option<u16>,
    socket: Option<&Path>,
) -> Result<Client, HttpOptionsError> {
    let trust = Trust::new(options.ca.as_deref()).map_err(HttpOptionsError)?;
    let unusable = |error: reqwest::Error| HttpOptionsError(error.to_string());
    let mut builder = Client::builder()
        // A request that times out closes its connection. With HTTP/2 it would not.
        .http1_only()
        .timeout(timeout)
        .pool_idle_timeout(MAX_IDLE)
        .dns_resolver(ReachableFirst { port, timeout })
        .default_headers(options.headers.clone())
        .redirect(redirect::Policy::none())
        .no_proxy()
        .tls_backend_preconfigured(trust.config());
    if !options.user_agent.is_empty() {
        builder = builder.user_agent(&options.user_agent);
    }
    if let Some(proxy) = &options.proxy {
        builder = builder.proxy(Proxy::all(proxy.clone()).map_err(unusable)?);
    }
    if let Some(path) = socket {
        builder = builder.unix_socket(path);
    }
    builder.build().map_err(unusable)
}

/// Returns why a request of such a client failed, found in the error's chain of causes.
#[must_use]
pub fn request_failure(error: &reqwest::Error) -> Failure {
    let mut deepest = String::new();
    let mut wrapped = None;
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(current) = cause {
        deepest = current.to_string();
        cause = current.source();
        if let Some(failure) = current.downcast_ref::<Failure>() {
            return failure.clone();
        }
        if let Some(error) = current.downcast_ref::<rustls::Error>() {
            return tls_failure(error, None);
        }
        if let Some(error) = current.downcast_ref::<hyper::Error>()
            && error.is_parse()
        {
            let message = format!("the answer is not HTTP: {error}");
            return Failure::new(FailureReason::Malformed, message);
        }
        if let Some(error) = current.downcast_ref::<io::Error>() {
            // An I/O error does not return the error that it wraps as its source.
            match error.get_ref() {
                Some(inner) => {
                    cause = Some(inner);
                    wrapped = Some(Failure::from_io(error));
                }
                None => return Failure::from_io(error),
            }
        }
    }
    wrapped.unwrap_or_else(|| match () {
        () if error.is_timeout() => Failure::new(FailureReason::Timeout, "no answer in time"),
        () if error.is_connect() => Failure::new(FailureReason::Unreachable, deepest),
        () => Failure::new(FailureReason::Closed, deepest),
    })
}

/// Resolver for reqwest, which connects to the addresses of a family one after the other and so
/// could spend its whole timeout at a dead one. Of several addresses this returns the first one
/// that accepts a connection. It shares the lookups with all others; the resolver of reqwest would
/// take threads without limit.
struct ReachableFirst {
    /// Port to connect to; unknown if the client is for any server.
    port: Option<u16>,
    timeout: Duration,
}

impl Resolve for ReachableFirst {
    fn resolve(&self, name: Name) -> Resolving {
        let port = self.port;
        let deadline = Instant::now() + self.timeout;
        Box::pin(async move {
            let addresses = resolve::resolve(name.as_str(), port.unwrap_or(0)).await?;
            if port.is_none() || addresses.len() == 1 {
                return Ok(Box::new(addresses.into_iter()) as Addrs);
            }
            let (_, reachable) = connect_to_any(addresses, deadline).await?;
            Ok(Box::new([reachable].into_iter()) as Addrs)
        })
    }
}

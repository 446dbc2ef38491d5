//! The way to a peer through an HTTP proxy.

use std::future::ready;
use std::sync::Arc;

use http::Uri;
use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tower::{Service, service_fn};
use url::Url;

use crate::failure::{Failure, FailureReason};

use super::stream::Stream;
use super::tls::Trust;

/// An HTTP proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// What it must show; none if it is spoken to without TLS.
    pub(super) tls: Option<(Arc<Trust>, ServerName<'static>)>,
    uri: Uri,
    /// Value of the `User-Agent` header that it gets; none if it gets none.
    user_agent: Option<HeaderValue>,
}

impl Proxy {
    /// Reads the URL of a proxy.
    ///
    /// # Errors
    /// It is not usable.
    pub(super) fn new(
        url: &Url,
        trust: &Arc<Trust>,
        user_agent: Option<HeaderValue>,
    ) -> Result<Self, String> {
        let unusable =
            |why: &dyn std::fmt::Display| format!("the proxy {url} is not usable: {why}");
        let uri: Uri = url.as_str().parse().map_err(|error| unusable(&error))?;
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).to_owned();
        let tls = match url.scheme() {
            "https" => {
                let name = ServerName::try_from(host.clone()).map_err(|error| unusable(&error))?;
                Some((Arc::clone(trust), name))
            }
            _ => None,
        };
        let port = url.port_or_known_default().unwrap_or(80);
        Ok(Self {
            host,
            port,
            tls,
            uri,
            user_agent,
        })
    }

    /// Asks the proxy at the other end of `stream` to connect to `host`, and returns the connection
    /// to that host.
    ///
    /// # Errors
    /// The proxy does not connect by `deadline`.
    pub(super) async fn tunnel(
        &self,
        stream: Stream,
        (host, port): (&str, u16),
        deadline: Instant,
    ) -> Result<Stream, Failure> {
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let destination: Uri = format!("https://{host}:{port}").parse().map_err(|error| {
            let message = format!("the proxy cannot be asked for {host}:{port}: {error}");
            Failure::new(FailureReason::Local, message)
        })?;
        let mut stream = Some(TokioIo::new(stream));
        let connected = service_fn(move |_: Uri| {
            ready(stream.take().ok_or("the proxy is connected to only once"))
        });
        let mut tunnel = Tunnel::new(self.uri.clone(), connected);
        if let Some(user_agent) = &self.user_agent {
            let headers = HeaderMap::from_iter([(USER_AGENT, user_agent.clone())]);
            tunnel = tunnel.with_headers(headers);
        }
        match timeout_at(deadline, tunnel.call(destination)).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(error)) => Err(Failure::new(
                FailureReason::Unreachable,
                format!("the proxy does not connect to {host}:{port}: {error}"),
            )),
            Err(_) => Err(Failure::new(
                FailureReason::ConnectTimeout,
                format!("the proxy did not connect to {host}:{port} in time"),
            )),
        }
    }
}

//! HTTP clients, shared by endpoints with the same settings.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Proxy, redirect};
use tower::{Layer, Service};
use url::Url;

use crate::resolve;

use super::options::HttpOptions;
use super::{tls, trace};

/// Maximum idle time of a connection to be reused. Peers close connections that are idle for about
/// 30 s (PEER-PROTOCOL, section 1).
pub(super) const MAX_IDLE: Duration = Duration::from_secs(20);

/// Settings that endpoints must have in common to share a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientSettings {
    /// Value of the `User-Agent` header.
    pub user_agent: String,
    /// CA certificates (DER) to trust instead of the system's root certificates.
    pub ca: Option<Vec<Vec<u8>>>,
    /// HTTP proxy.
    pub proxy: Option<Url>,
    /// Host to connect to, regardless of the host in the URL.
    pub dial: Option<String>,
    /// Generation of the system's root certificates; none if `ca` replaces them.
    pub roots: Option<u64>,
}

/// HTTP clients by their settings. Create one and share it between all
/// [`HttpClient`](super::HttpClient)s: endpoints with the same settings then share TLS
/// configuration and connections, which are dropped with the last of these endpoints.
#[derive(Debug, Default)]
pub struct HttpClients(Mutex<HashMap<ClientSettings, Weak<Client>>>);

impl HttpClients {
    /// Returns the client for `settings`, which is created on first use.
    ///
    /// # Errors
    /// A setting is not usable; the text names it.
    pub(super) fn get(&self, settings: &ClientSettings) -> Result<Arc<Client>, String> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(settings).and_then(Weak::upgrade) {
            return Ok(client);
        }
        clients.retain(|_, client| client.strong_count() > 0);
        let client = Arc::new(peer_client(settings)?);
        clients.insert(settings.clone(), Arc::downgrade(&client));
        Ok(client)
    }
}

/// Creates a plain HTTP client for servers other than peers, with the headers, certificates and
/// proxy of `options`; `server_name` has no effect. It follows no redirects, and each request ends
/// after `timeout`.
///
/// # Errors
/// An option is not usable; the error names it.
pub fn http_client(options: &HttpOptions, timeout: Duration) -> Result<Client, HttpOptionsError> {
    let builder = Client::builder()
        .timeout(timeout)
        .pool_idle_timeout(MAX_IDLE)
        .dns_resolver(TracedResolver { dial: None })
        .default_headers(options.headers.clone());
    build(
        builder,
        &options.user_agent,
        options.ca.as_deref(),
        options.proxy.as_ref(),
    )
    .map_err(HttpOptionsError)
}

/// An HTTP option is not usable. The message names the option and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HttpOptionsError(String);

/// Builds a client with the settings that all clients have in common.
fn build(
    builder: ClientBuilder,
    user_agent: &str,
    ca: Option<&[Vec<u8>]>,
    proxy: Option<&Url>,
) -> Result<Client, String> {
    let mut builder = builder
        .redirect(redirect::Policy::none())
        .no_proxy()
        .tls_backend_preconfigured(tls::client_config(ca)?);
    if !user_agent.is_empty() {
        builder = builder.user_agent(user_agent);
    }
    if let Some(proxy) = proxy {
        builder = builder.proxy(Proxy::all(proxy.clone()).map_err(|error| error.to_string())?);
    }
    builder.build().map_err(|error| error.to_string())
}

fn peer_client(settings: &ClientSettings) -> Result<Client, String> {
    let builder = Client::builder()
        .pool_idle_timeout(MAX_IDLE)
        .tcp_nodelay(true)
        .dns_resolver(TracedResolver {
            dial: settings.dial.as_deref().map(Arc::from),
        })
        .connector_layer(TraceLayer);
    build(
        builder,
        &settings.user_agent,
        settings.ca.as_deref(),
        settings.proxy.as_ref(),
    )
}

/// Resolver for reqwest that shares the lookups with all others, and records its duration in the
/// trace, if there is one. That of reqwest would take threads without limit.
struct TracedResolver {
    /// Host to resolve, regardless of the requested name.
    dial: Option<Arc<str>>,
}

impl Resolve for TracedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let dial = self.dial.clone();
        Box::pin(async move {
            let host = dial.as_deref().unwrap_or(name.as_str());
            if resolve::is_literal(host) {
                let addresses = resolve::resolve(host, 0).await?;
                return Ok(Box::new(addresses.into_iter()) as Addrs);
            }
            trace::resolve_started();
            let addresses: Vec<SocketAddr> = resolve::resolve(host, 0).await?;
            trace::resolve_finished();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Wraps reqwest's connector, which connects and does the TLS handshake, to record start and end in
/// the trace.
#[derive(Clone)]
struct TraceLayer;

#[derive(Clone)]
struct TracedConnector<S>(S);

impl<S> Layer<S> for TraceLayer {
    type Service = TracedConnector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TracedConnector(inner)
    }
}

impl<S, Request> Service<Request> for TracedConnector<S>
where
    S: Service<Request>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let connect = self.0.call(request);
        Box::pin(async move {
            trace::connect_started();
            let connection = connect.await?;
            trace::connected();
            Ok(connection)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_shared_while_an_endpoint_uses_it_and_dropped_with_the_last() {
        let clients = HttpClients::default();
        let settings = |user_agent: &str| ClientSettings {
            user_agent: user_agent.to_owned(),
            ca: None,
            proxy: None,
            dial: None,
            roots: None,
        };
        let [first, second] = [(); 2].map(|()| clients.get(&settings("a")).unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, second));
        let _other = clients.get(&settings("b")).unwrap();
        let kept: Vec<ClientSettings> = clients.0.lock().unwrap().keys().cloned().collect();
        assert_eq!(kept, [settings("b")]);
    }
}

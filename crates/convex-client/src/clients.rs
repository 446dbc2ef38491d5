//! The HTTP clients: one per distinct TLS settings, shared by all endpoints that have the same.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Proxy, redirect};
use tower::{Layer, Service};
use url::Url;

use crate::options::HttpOptions;

use super::{resolve, tls, trace};

/// Peers close a connection that is idle for about 30 s; a younger one is reused (PEER-PROTOCOL, section 1).
pub(super) const KEEP_IDLE: Duration = Duration::from_secs(20);

/// What makes two endpoints unable to share a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Settings {
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Certificates (DER) trusted instead of the system's roots.
    pub ca: Option<Vec<Vec<u8>>>,
    /// An HTTP proxy; the environment's are never used.
    pub proxy: Option<Url>,
    /// With `server_name` configured: the host to dial when that name is asked for.
    pub dial: Option<String>,
}

/// Clients by their settings.
#[derive(Debug, Default)]
pub struct HttpClients(Mutex<HashMap<Settings, Client>>);

impl HttpClients {
    /// The client for `settings`, made when first asked for.
    ///
    /// # Errors
    /// A text that says which setting is not usable.
    pub(super) fn get(&self, settings: &Settings) -> Result<Client, String> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(settings) {
            return Ok(client.clone());
        }
        let client = build(settings)?;
        clients.insert(settings.clone(), client.clone());
        Ok(client)
    }
}

/// A plain HTTP client with the same TLS, for servers other than peers: sends the headers, trusts the certificates and uses
/// the proxy of `options`, follows no redirect, and ends each request after `timeout`.
///
/// # Errors
/// [`UnusableOption`], which says which one and why.
pub fn http_client(options: &HttpOptions, timeout: Duration) -> Result<Client, UnusableOption> {
    let builder = Client::builder()
        .timeout(timeout)
        .pool_idle_timeout(KEEP_IDLE)
        .default_headers(options.headers.clone());
    finish(
        builder,
        &options.user_agent,
        options.ca.as_deref(),
        options.proxy.as_ref(),
    )
    .map_err(UnusableOption)
}

/// An HTTP option that no client can be made with; the text says which one and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnusableOption(String);

/// What all clients have in common. The environment's proxies are never used.
fn finish(
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

fn build(settings: &Settings) -> Result<Client, String> {
    let builder = Client::builder()
        .pool_idle_timeout(KEEP_IDLE)
        .tcp_nodelay(true)
        .dns_resolver(TracedResolver {
            dial: settings.dial.as_deref().map(Arc::from),
        })
        .connector_layer(TraceLayer);
    finish(
        builder,
        &settings.user_agent,
        settings.ca.as_deref(),
        settings.proxy.as_ref(),
    )
}

/// Resolves for reqwest and tells the trace how long it took.
struct TracedResolver {
    /// Dialled whatever name is asked for.
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
            trace::resolving();
            let addresses: Vec<SocketAddr> = resolve::resolve(host, 0).await?;
            trace::resolved();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Wraps reqwest's connector, which dials and shakes hands, and tells the trace when it begins and ends.
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
        let connecting = self.0.call(request);
        Box::pin(async move {
            trace::connecting();
            let connection = connecting.await?;
            trace::connected();
            Ok(connection)
        })
    }
}

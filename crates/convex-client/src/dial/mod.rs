//! Makes connections to peers, for both transports: name lookup, all addresses of both families,
//! an HTTP proxy, TLS. Measures each step, and says which one failed.

mod proxy;
mod race;
mod roots;
mod stream;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderValue;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::attempt::Phases;
use crate::certificate::CertificateEnd;
use crate::failure::{Failure, FailureReason};
use crate::resolve;

use self::proxy::Proxy;

pub(crate) use self::race::connect as connect_to_any;
pub(crate) use self::stream::{Spoken, Stream};
pub(crate) use self::tls::{Trust, tls_failure};

pub use self::roots::{reload_system_roots, system_roots_generation};

/// Bytes that may be received in one poll beside the largest accepted reply: for headers, for
/// framing, and for the certificates of a handshake.
const OVERHEAD_BYTES: usize = 64 << 10;

/// Connects to one endpoint.
#[derive(Debug)]
pub(crate) struct Dialler {
    host: String,
    port: u16,
    proxy: Option<Proxy>,
    tls: Option<(Arc<Trust>, ServerName<'static>)>,
    budget: usize,
}

/// The result of connecting. A step that did not finish has no duration.
#[derive(Debug)]
pub(crate) struct Dialled {
    /// The connection, or why there is none.
    pub(crate) stream: Result<Stream, Failure>,
    /// Durations of the steps.
    pub(crate) phases: Phases,
    /// The certificate that ends first of those that were shown, also if they were refused.
    pub(crate) certificate: Option<Arc<CertificateEnd>>,
}

impl Dialler {
    /// Connects to `host` without TLS. In each poll up to `max_reply_bytes` and some more are
    /// received.
    pub(crate) fn new(host: String, port: u16, max_reply_bytes: usize) -> Self {
        Self {
            host,
            port,
            proxy: None,
            tls: None,
            budget: max_reply_bytes.saturating_add(OVERHEAD_BYTES),
        }
    }

    /// Connects through an HTTP proxy, which gets this `User-Agent`. Only with TLS to the peer is a
    /// tunnel made; otherwise the proxy itself is at the other end of the connection.
    ///
    /// # Errors
    /// The proxy's URL is not usable.
    pub(crate) fn through(
        mut self,
        proxy: &Url,
        trust: &Arc<Trust>,
        user_agent: Option<HeaderValue>,
    ) -> Result<Self, String> {
        self.proxy = Some(Proxy::new(proxy, trust, user_agent)?);
        Ok(self)
    }

    /// Uses TLS, and verifies that the certificate is for `name`.
    pub(crate) fn with_tls(mut self, trust: Arc<Trust>, name: ServerName<'static>) -> Self {
        self.tls = Some((trust, name));
        self
    }

    /// Connects by `deadline`.
    pub(crate) async fn dial(&self, deadline: Instant) -> Dialled {
        let mut phases = Phases::default();
        let mut certificate = None;
        let stream = self.connect(deadline, &mut phases, &mut certificate).await;
        Dialled {
            stream,
            phases,
            certificate,
        }
    }

    async fn connect(
        &self,
        deadline: Instant,
        phases: &mut Phases,
        certificate: &mut Option<Arc<CertificateEnd>>,
    ) -> Result<Stream, Failure> {
        let (host, port) = self.first_hop();
        let started = Instant::now();
        let addresses = look_up(&host, port, deadline).await?;
        let resolved = Instant::now();
        phases.resolve = (!resolve::is_literal(&host)).then(|| resolved - started);
        let (socket, _) = race::connect(addresses, deadline).await?;
        let mut stream = Stream::new(socket, self.budget).map_err(|e| Failure::from_io(&e))?;
        if let Some(proxy) = &self.proxy {
            stream = self.pass(proxy, stream, deadline).await?;
        }
        let accepted = Instant::now();
        phases.connect = Some(accepted - resolved);
        if let Some((trust, name)) = &self.tls {
            stream = trust
                .handshake(stream, name.clone(), deadline, certificate)
                .await?;
            phases.tls = Some(accepted.elapsed());
        }
        Ok(stream)
    }

    /// Returns the host that is connected to: the proxy, or else the peer.
    fn first_hop(&self) -> (String, u16) {
        match &self.proxy {
            Some(proxy) => (proxy.host.clone(), proxy.port),
            None => (self.host.clone(), self.port),
        }
    }

    /// Does what a proxy needs before the peer can be spoken to.
    async fn pass(
        &self,
        proxy: &Proxy,
        mut stream: Stream,
        deadline: Instant,
    ) -> Result<Stream, Failure> {
        let of_proxy = |failure: Failure| {
            Failure::new(failure.reason, format!("the proxy: {}", failure.message))
        };
        if let Some((trust, name)) = &proxy.tls {
            // Its certificate is not the peer's.
            stream = trust
                .handshake(stream, name.clone(), deadline, &mut None)
                .await
                .map_err(of_proxy)?;
        }
        match &self.tls {
            Some(_) => {
                proxy
                    .tunnel(stream, (&self.host, self.port), deadline)
                    .await
            }
            None => Ok(stream),
        }
    }
}

async fn look_up(host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
    timeout_at(deadline, resolve::resolve(host, port))
        .await
        .unwrap_or_else(|_| {
            let message = format!("{host} did not resolve in time");
            Err(Failure::new(FailureReason::Dns, message))
        })
}

//! One connection: serves its requests until a timeout expires, the listener's policy changes, or
//! the agent stops.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Version, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::authentication::{Authenticator, ListenerPolicy};
use super::client::Client;
use super::log_limit::limited;
use super::response_body::ResponseBody;
use super::timeouts::{ConnectionActivity, IDLE_TIMEOUT};
use super::tracked_stream::TrackedStream;

/// How often timeouts and the listener's policy are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long requests in progress may continue after the listener's policy has changed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to read the response that ends its connection.
const LAST_RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum size of all headers of a request, in bytes.
const MAX_HEADER_BYTES: u32 = 32 << 10;

/// Maximum number of headers of a request.
const MAX_HEADERS: usize = 100;

/// Maximum number of concurrent requests on an HTTP/2 connection.
const MAX_HTTP2_STREAMS: u32 = 32;

/// What all connections share.
#[derive(Clone)]
pub(in crate::web) struct ConnectionContext {
    pub(in crate::web) app: Router,
    pub(in crate::web) authenticator: Arc<Authenticator>,
    /// Ends connections once their requests in progress are answered.
    pub(in crate::web) stop: CancellationToken,
}

/// Properties of a connection; an extension of each of its requests.
#[derive(Clone, Debug)]
pub(super) struct ConnectionInfo {
    pub(super) client: Client,
    /// Whether the client has sent a certificate, which was verified.
    pub(super) has_client_certificate: bool,
    /// Whether it occupies one of the overflow slots, which are kept for health checks.
    pub(super) is_overflow: bool,
    /// Whether one of its requests was authenticated.
    authenticated: Arc<AtomicBool>,
}

impl ConnectionInfo {
    pub(super) fn new(client: Client, has_client_certificate: bool, is_overflow: bool) -> Self {
        Self {
            client,
            has_client_certificate,
            is_overflow,
            authenticated: Arc::default(),
        }
    }

    pub(super) fn set_authenticated(&self) {
        self.authenticated.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Relaxed)
    }
}

/// An extension of responses after which the connection is closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct CloseConnection;

/// Whether a connection ends once its requests in progress are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// At the latest then.
    Until(Instant),
    /// With the agent, whose stop has a timeout of its own.
    Stopping,
}

impl Closing {
    async fn expired(self) {
        match self {
            Self::Until(deadline) => sleep_until(deadline).await,
            Self::No | Self::Stopping => pending().await,
        }
    }
}

/// Serves a connection that was accepted under `policy`.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    info: ConnectionInfo,
    activity: ConnectionActivity,
    context: ConnectionContext,
    policy: Arc<ListenerPolicy>,
) {
    let ConnectionContext {
        app,
        authenticator,
        stop,
    } = context;
    activity.ready();
    let stream = TrackedStream {
        stream,
        activity: activity.clone(),
    };
    let builder = builder(&info, policy.web.http2);
    let last_response = CancellationToken::new();
    let requests = Requests {
        info,
        activity: activity.clone(),
        app,
        last_response: last_response.clone(),
    };
    let service = service_fn(move |request| respond(request, requests.clone()));
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut checks = interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closing = Closing::No;
    loop {
        tokio::select! {
            result = served.as_mut() => {
                if let Err(error) = result {
                    limited!(debug, %error, "connection closed");
                }
                return;
            }
            () = stop.cancelled(), if closing != Closing::Stopping => {
                closing = Closing::Stopping;
                served.as_mut().graceful_shutdown();
            }
            () = last_response.cancelled(), if closing == Closing::No => {
                closing = Closing::Until(Instant::now() + LAST_RESPONSE_TIMEOUT);
                served.as_mut().graceful_shutdown();
            }
            () = closing.expired() => {
                limited!(debug, reason = "it did not end in time", "closing a connection");
                return;
            }
            _ = checks.tick() => {
                if let Some(reason) = activity.expired() {
                    limited!(debug, reason, "closing a connection");
                    return;
                }
                if closing == Closing::No && !Arc::ptr_eq(&policy, &authenticator.policy()) {
                    closing = Closing::Until(Instant::now() + CLOSE_TIMEOUT);
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn builder(info: &ConnectionInfo, http2: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .keep_alive(!info.is_overflow)
        .header_read_timeout(IDLE_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(MAX_HTTP2_STREAMS);
    if http2 { builder } else { builder.http1_only() }
}

/// What the requests of a connection share.
#[derive(Clone)]
struct Requests {
    info: ConnectionInfo,
    activity: ConnectionActivity,
    app: Router,
    /// Cancelled once a response is the last one of the connection.
    last_response: CancellationToken,
}

async fn respond(
    request: Request<Incoming>,
    requests: Requests,
) -> Result<Response<ResponseBody>, Infallible> {
    let active_request = requests.activity.start_request();
    let is_http1 = request.version() < Version::HTTP_2;
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(requests.info);
    let (mut head, body) = requests.app.oneshot(request).await?.into_parts();
    if head.extensions.get::<CloseConnection>().is_some() {
        // HTTP/2 has no such header; its connections end with GOAWAY.
        if is_http1 {
            let close = HeaderValue::from_static("close");
            head.headers.insert(header::CONNECTION, close);
        }
        requests.last_response.cancel();
    }
    let body = ResponseBody::new(&head.headers, body, active_request);
    Ok(Response::from_parts(head, body))
}

#[cfg(test)]
mod tests;

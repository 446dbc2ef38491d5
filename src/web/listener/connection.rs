//! One connection: serves its requests until a timeout expires, the listener's policy changes, or
//! the agent stops.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::authentication::{Authenticator, ListenerPolicy};
use super::response_body::ResponseBody;
use super::timeouts::{ConnectionActivity, IDLE_TIMEOUT};
use super::tracked_stream::TrackedStream;

/// How often timeouts and the listener's policy are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long requests in progress may continue after the listener's policy has changed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

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

/// What is known of a connection; an extension of each of its requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionInfo {
    /// Whether the client has sent a certificate, which was verified.
    pub(super) has_client_certificate: bool,
    /// Whether it occupies one of the overflow slots, which are kept for health checks.
    pub(super) is_overflow: bool,
}

/// Serves a connection that was accepted under `policy`.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    info: ConnectionInfo,
    context: ConnectionContext,
    policy: Arc<ListenerPolicy>,
) {
    let ConnectionContext {
        app,
        authenticator,
        stop,
    } = context;
    let activity = ConnectionActivity::start();
    let stream = TrackedStream {
        stream,
        activity: activity.clone(),
    };
    let request_activity = activity.clone();
    let service =
        service_fn(move |request| respond(request, info, request_activity.clone(), app.clone()));
    let builder = builder(info, policy.web.http2);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut checks = interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closing_since: Option<Instant> = None;
    loop {
        tokio::select! {
            result = served.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "connection closed");
                }
                return;
            }
            () = stop.cancelled(), if closing_since.is_none() => {
                closing_since = Some(Instant::now());
                served.as_mut().graceful_shutdown();
            }
            _ = checks.tick() => {
                let close_expired = closing_since.is_some_and(|since| since.elapsed() >= CLOSE_TIMEOUT)
                    && !stop.is_cancelled();
                let expired = activity.expired();
                if let Some(reason) = expired.or(close_expired.then_some("still open after a policy change")) {
                    tracing::debug!(reason, "closing a connection");
                    return;
                }
                if closing_since.is_none() && !Arc::ptr_eq(&policy, &authenticator.policy()) {
                    closing_since = Some(Instant::now());
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn builder(info: ConnectionInfo, http2: bool) -> Builder<TokioExecutor> {
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

async fn respond(
    request: Request<Incoming>,
    info: ConnectionInfo,
    activity: ConnectionActivity,
    app: Router,
) -> Result<Response<ResponseBody>, Infallible> {
    let active_request = activity.start_request();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(info);
    let (head, body) = app.oneshot(request).await?.into_parts();
    let body = ResponseBody::new(&head.headers, body, active_request);
    Ok(Response::from_parts(head, body))
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::response::sse::{Event, Sse};
    use axum::routing::get;
    use futures_util::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::config::active::ActiveConfig;
    use crate::config::{self, Web};
    use crate::web::listener::authentication::require_authentication;
    use crate::web::listener::timeouts::{FIRST_REQUEST_TIMEOUT, READ_TIMEOUT};

    /// Longer than every timeout of a connection.
    const TEST_TIMEOUT: Duration = Duration::from_secs(300);

    const REGULAR: ConnectionInfo = ConnectionInfo {
        has_client_certificate: false,
        is_overflow: false,
    };

    /// A server with routes for a short response, a long one, a stream, and health.
    struct TestServer {
        active_config: Arc<ActiveConfig>,
        context: ConnectionContext,
    }

    impl TestServer {
        fn new() -> Self {
            let active_config = Arc::new(ActiveConfig::new(config::embedded()));
            let authenticator = Authenticator::for_tests(Arc::clone(&active_config));
            let authenticator = Arc::new(authenticator);
            let events = async || {
                let events = stream::unfold((), async |()| {
                    sleep(Duration::from_secs(1)).await;
                    let event = Event::default().data("x".repeat(1000));
                    Some((Ok::<_, Infallible>(event), ()))
                });
                Sse::new(events)
            };
            let app = Router::new()
                .route("/-/healthy", get(|| async { "alive" }))
                .route("/short", get(|| async { "short" }))
                .route("/long", get(|| async { Bytes::from(vec![b'x'; 1 << 20]) }))
                .route("/events", get(events))
                .layer(axum::middleware::from_fn_with_state(
                    Arc::clone(&authenticator),
                    require_authentication,
                ));
            let context = ConnectionContext {
                app,
                authenticator,
                stop: CancellationToken::new(),
            };
            Self {
                active_config,
                context,
            }
        }

        /// Opens a connection; returns its client's end and the task that serves it.
        fn connect(&self, info: ConnectionInfo) -> (DuplexStream, JoinHandle<()>) {
            let (client, server) = duplex(64 << 10);
            let policy = self.context.authenticator.policy();
            let serving = serve(server, info, self.context.clone(), policy);
            (client, tokio::spawn(serving))
        }
    }

    async fn request(client: &mut DuplexStream, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
    }

    /// Returns how long the connection is served from now on.
    async fn time_until_closed(serving: JoinHandle<()>) -> Duration {
        let since = Instant::now();
        timeout(TEST_TIMEOUT, serving)
            .await
            .expect("the connection is closed, as its client takes too long")
            .unwrap();
        since.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_complete_request_is_closed() {
        for sent in [
            "",
            "G",
            "GET / HTTP/1.1\r\nHost: localhost\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM",
        ] {
            let server = TestServer::new();
            let (mut client, serving) = server.connect(REGULAR);
            client.write_all(sent.as_bytes()).await.unwrap();
            assert!(
                time_until_closed(serving).await <= FIRST_REQUEST_TIMEOUT + CHECK_INTERVAL,
                "{sent}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_or_reads_slowly_is_disconnected() {
        for reads_slowly in [false, true] {
            let server = TestServer::new();
            let (mut client, serving) = server.connect(REGULAR);
            request(&mut client, "/long").await;
            let reading = tokio::spawn(async move {
                while reads_slowly && client.read_u8().await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
                sleep(TEST_TIMEOUT).await;
                drop(client);
            });
            let open_for = time_until_closed(serving).await;
            assert!(
                open_for >= READ_TIMEOUT && open_for <= READ_TIMEOUT + CHECK_INTERVAL,
                "{open_for:?}"
            );
            reading.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_http_2_client_that_does_not_open_its_window_is_disconnected() {
        let server = TestServer::new();
        let (client, serving) = server.connect(REGULAR);
        let (mut requests, connection) =
            hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(1)
                .handshake(TokioIo::new(client))
                .await
                .unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get("http://localhost/long").body(Body::empty());
        let response = requests.send_request(request.unwrap()).await.unwrap();
        let open_for = time_until_closed(serving).await;
        assert!(
            open_for >= READ_TIMEOUT && open_for <= READ_TIMEOUT + CHECK_INTERVAL,
            "{open_for:?}"
        );
        drop(response);
        connection.await.unwrap().unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_continues_while_it_is_read_and_is_closed_when_it_is_not() {
        let server = TestServer::new();
        let (mut client, serving) = server.connect(REGULAR);
        request(&mut client, "/events").await;
        let until = Instant::now() + TEST_TIMEOUT;
        let mut buffer = [0; 4096];
        while Instant::now() < until {
            assert!(client.read(&mut buffer).await.unwrap() > 0);
        }
        assert!(!serving.is_finished());
        // Some events fit into the buffers in between.
        assert!(time_until_closed(serving).await >= READ_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_serves_several_requests_and_is_closed_when_idle() {
        let server = TestServer::new();
        let (mut client, serving) = server.connect(REGULAR);
        for _ in 0..3 {
            request(&mut client, "/short").await;
            let mut response = Vec::new();
            while !response.ends_with(b"short") {
                client.read_buf(&mut response).await.unwrap();
            }
            sleep(IDLE_TIMEOUT / 2).await;
        }
        assert!(!serving.is_finished());
        assert!(time_until_closed(serving).await <= IDLE_TIMEOUT + CHECK_INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn an_overflow_connection_serves_one_health_check_and_nothing_else() {
        for (path, expected) in [
            ("/-/healthy", "HTTP/1.1 200 OK"),
            ("/short", "HTTP/1.1 503 "),
        ] {
            let server = TestServer::new();
            let info = ConnectionInfo {
                is_overflow: true,
                ..REGULAR
            };
            let (mut client, serving) = server.connect(info);
            request(&mut client, path).await;
            let mut response = String::new();
            client.read_to_string(&mut response).await.unwrap();
            assert!(response.starts_with(expected), "{response}");
            serving.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_under_an_old_policy_ends_after_its_requests_in_progress() {
        let server = TestServer::new();
        let (mut client, serving) = server.connect(REGULAR);
        let (mut stream_client, streaming) = server.connect(REGULAR);
        request(&mut client, "/short").await;
        client.read_u8().await.unwrap();
        request(&mut stream_client, "/events").await;
        let reading = tokio::spawn(async move {
            let mut received = Vec::new();
            stream_client.read_to_end(&mut received).await
        });
        sleep(CHECK_INTERVAL * 2).await;
        assert!(!serving.is_finished() && !streaming.is_finished());
        let config = config::Config {
            web: Arc::new(Web {
                http2: false,
                ..Web::default()
            }),
            ..config::embedded()
        };
        server.active_config.replace(config);
        assert!(time_until_closed(serving).await <= CHECK_INTERVAL);
        assert!(time_until_closed(streaming).await <= CLOSE_TIMEOUT + CHECK_INTERVAL);
        drop(reading);
    }
}

//! Connections over a pipe, in paused time.

use axum::Extension;
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

/// The body of a long response.
fn long() -> Bytes {
    Bytes::from(vec![b'x'; 1 << 20])
}

/// Longer than every timeout of a connection.
const TEST_TIMEOUT: Duration = Duration::from_secs(300);

fn connection(is_overflow: bool) -> ConnectionInfo {
    ConnectionInfo::new(Client::at("127.0.0.1"), false, is_overflow)
}

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
            .route(
                "/last",
                get(|| async { (Extension(CloseConnection), long()) }),
            )
            .route("/long", get(|| async { long() }))
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
        let activity = ConnectionActivity::start();
        let serving = serve(server, info, activity, self.context.clone(), policy);
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
        let (mut client, serving) = server.connect(connection(false));
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
        let (mut client, serving) = server.connect(connection(false));
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
    let (client, serving) = server.connect(connection(false));
    let (mut requests, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
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
    let (mut client, serving) = server.connect(connection(false));
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
    let (mut client, serving) = server.connect(connection(false));
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
        let (mut client, serving) = server.connect(connection(true));
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
    let (mut client, serving) = server.connect(connection(false));
    let (mut stream_client, streaming) = server.connect(connection(false));
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

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_last_response_whether_it_is_read_or_not() {
    for is_read in [true, false] {
        let server = TestServer::new();
        let (mut client, serving) = server.connect(connection(false));
        request(&mut client, "/last").await;
        let mut response = Vec::new();
        if is_read {
            client.read_to_end(&mut response).await.unwrap();
            assert!(response.len() > long().len());
            let head = String::from_utf8_lossy(&response[..200]);
            assert!(head.contains("connection: close\r\n"), "{head}");
        }
        assert!(time_until_closed(serving).await <= LAST_RESPONSE_TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn an_http_2_connection_ends_with_its_last_response() {
    for is_read in [true, false] {
        let server = TestServer::new();
        let (client, serving) = server.connect(connection(false));
        let (mut requests, connection) =
            hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(if is_read { 2 << 20 } else { 1 })
                .initial_connection_window_size(2 << 20)
                .handshake(TokioIo::new(client))
                .await
                .unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get("http://localhost/last").body(Body::empty());
        let response = requests.send_request(request.unwrap()).await.unwrap();
        assert!(!response.headers().contains_key("connection"));
        if is_read {
            let body = Body::new(response.into_body());
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            assert_eq!(body, long());
        }
        assert!(time_until_closed(serving).await <= LAST_RESPONSE_TIMEOUT);
        let ended = connection.await.unwrap();
        ended.expect("by GOAWAY, not by an error");
    }
}

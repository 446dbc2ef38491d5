//! The listener: takes connections, over TLS where it is configured, and serves the routes on them until the agent stops.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::gate::{Connected, Gate, Terms};

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// After a failed accept: descriptors do not come back at once.
const PAUSE: Duration = Duration::from_secs(1);

/// The first byte of a TLS connection: that of a handshake.
const TLS_HANDSHAKE: u8 = 22;

const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 48\r\n\
    Connection: close\r\n\r\nthis listener speaks TLS: use https, not http.\r\n";

/// Serves `app` until `stop`, then until the requests under way are answered.
pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    gate: Arc<Gate>,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, app.clone(), gate.terms(), stop.clone()));
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "a connection could not be taken");
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Whether the client is gone before it was taken.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Serves one connection.
async fn connection(
    mut stream: TcpStream,
    app: Router,
    terms: Arc<Terms>,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone when it was taken");
        return;
    }
    let Some(certificates) = &terms.certificates else {
        let connected = Connected { certificate: false };
        return requests(stream, connected, app, &terms, stop).await;
    };
    let shaking = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
            stream.write_all(PLAIN).await?;
            return Err(io::Error::other("the client speaks no TLS"));
        }
        TlsAcceptor::from(certificates.server().await)
            .accept(stream)
            .await
    };
    match timeout(HANDSHAKE, shaking).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates();
            let connected = Connected {
                certificate: shown.is_some_and(|certificates| !certificates.is_empty()),
            };
            requests(stream, connected, app, &terms, stop).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a client was not let in"),
        Err(_) => tracing::debug!("a client did not complete the TLS handshake in {HANDSHAKE:?}"),
    }
}

/// Answers the requests on a connection.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connected: Connected,
    app: Router,
    terms: &Terms,
    stop: CancellationToken,
) {
    let app = app.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connected);
        request.map(Body::new)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    if !terms.web.http2 {
        builder = builder.http1_only();
    }
    let service = TowerToHyperService::new(app);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut ending = false;
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            () = stop.cancelled(), if !ending => {
                ending = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

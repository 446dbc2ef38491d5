//! The HTTP listener: accepts connections, over TLS where configured, and serves the routes that it
//! is given until shutdown. Does not know what the routes are.

pub(super) mod authentication;
pub(super) mod authorization;
mod certificates;
mod client;
pub(super) mod connection;
mod host;
pub(super) mod log_limit;
mod password_queue;
mod passwords;
mod rate_limiter;
mod reserved_fds;
mod response_body;
mod slots;
mod socket;
mod timeouts;
mod tracked_stream;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use convex_client::{Failure, FailureReason};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;
use tokio_util::task::TaskTracker;

use crate::config::{OWN_DESCRIPTORS, STATUS_DESCRIPTORS};

use connection::{ConnectionContext, ConnectionInfo};
use log_limit::limited;
use reserved_fds::ReservedFds;
use slots::{ConnectionSlots, LIMITS, Limits, PUBLIC_LIMITS, Slot};
use socket::Stream;

pub use socket::Listener;

/// Descriptors that are left to files, the history and receivers when all connections are open.
const OTHER_DESCRIPTORS: usize = 96;

const _: () =
    assert!((LIMITS.total + LIMITS.overflow + OTHER_DESCRIPTORS) as u64 <= OWN_DESCRIPTORS);

const _: () = assert!((PUBLIC_LIMITS.total + PUBLIC_LIMITS.overflow) as u64 <= STATUS_DESCRIPTORS);

/// Lifetime of an overflow connection, so that silent clients cannot keep health checks out for
/// longer.
const OVERFLOW_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum duration of a TLS handshake.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after a failed accept: file descriptors do not become free at once.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Content type of a TLS handshake record, the first byte of every TLS connection.
const TLS_HANDSHAKE_RECORD: u8 = 22;

/// Response to a client that speaks plain HTTP to a TLS listener.
const TLS_REQUIRED: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 48\r\n\
    Connection: close\r\n\r\nthis listener speaks TLS: use https, not http.\r\n";

/// Serves connections until `context.stop`, then until the requests in progress are answered.
pub(in crate::web) async fn serve(listener: Listener, context: ConnectionContext) {
    serve_limited(listener, context, LIMITS).await;
}

/// As [`serve`], with the limits of a listener for everybody.
pub(in crate::web) async fn serve_public(listener: Listener, context: ConnectionContext) {
    serve_limited(listener, context, PUBLIC_LIMITS).await;
}

async fn serve_limited(listener: Listener, context: ConnectionContext, limits: Limits) {
    let slots = ConnectionSlots::new(limits, context.authenticator.known_clients());
    let connections = TaskTracker::new();
    let reserved_fds = Arc::new(ReservedFds::default());
    // Whether a reserved descriptor was released for the next connection.
    let mut out_of_fds = false;
    loop {
        if !out_of_fds {
            reserved_fds.refill();
        }
        let accepted = tokio::select! {
            biased;
            () = context.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                let slot = slots.acquire(client, out_of_fds);
                out_of_fds = false;
                if let Some(slot) = slot {
                    let (context, reserved_fds) = (context.clone(), Arc::clone(&reserved_fds));
                    connections.spawn(async move {
                        serve_in_slot(stream, slot, context).await;
                        reserved_fds.refill();
                    });
                }
            }
            Err(error) if is_client_error(&error) => {}
            Err(error) if is_fd_exhaustion(&error) && reserved_fds.release_one() => {
                out_of_fds = true;
            }
            Err(error) => {
                limited!(error, %error, "cannot accept a connection");
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Whether the client went away before its connection was accepted.
fn is_client_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Whether no file descriptor is free.
fn is_fd_exhaustion(error: &io::Error) -> bool {
    Failure::from_io(error).reason == FailureReason::Local
}

/// Serves one connection for as long as its slot allows.
async fn serve_in_slot(stream: Stream, slot: Slot, context: ConnectionContext) {
    let serving = serve_connection(stream, &slot, context);
    if slot.is_overflow {
        if timeout(OVERFLOW_TIMEOUT, serving).await.is_err() {
            limited!(
                debug,
                "closed an overflow connection after {OVERFLOW_TIMEOUT:?}"
            );
        }
        return;
    }
    tokio::select! {
        () = serving => {}
        () = slot.evicted() => {}
    }
}

async fn serve_connection(stream: Stream, slot: &Slot, context: ConnectionContext) {
    let policy = context.authenticator.policy();
    let activity = slot.activity.clone();
    let info = |has_client_certificate| {
        ConnectionInfo::new(slot.client, has_client_certificate, slot.is_overflow)
    };
    let mut stream = match stream {
        Either::Left(stream) => stream,
        // Nobody can eavesdrop on a Unix socket.
        Either::Right(stream) => {
            return connection::serve(stream, info(false), activity, context, policy).await;
        }
    };
    if let Err(error) = stream.set_nodelay(true) {
        limited!(debug, %error, "the client closed its connection before it was served");
        return;
    }
    let Some(certificates) = &policy.certificates else {
        return connection::serve(stream, info(false), activity, context, policy).await;
    };
    let handshake = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE_RECORD {
            stream.write_all(TLS_REQUIRED).await?;
            return Err(io::Error::other("the client does not speak TLS"));
        }
        let acceptor = TlsAcceptor::from(certificates.server_config().await);
        acceptor.accept(stream).await
    };
    match timeout(TLS_HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => {
            let presented = stream.get_ref().1.peer_certificates();
            let info = info(presented.is_some_and(|certificates| !certificates.is_empty()));
            connection::serve(stream, info, activity, context, policy).await;
        }
        Ok(Err(error)) => limited!(debug, %error, "TLS handshake failed"),
        Err(_) => limited!(
            debug,
            "TLS handshake timed out after {TLS_HANDSHAKE_TIMEOUT:?}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::authentication::Authenticator;
    use super::*;
    use crate::config;
    use crate::config::active::ActiveConfig;

    fn context(app: Router) -> ConnectionContext {
        let active_config = Arc::new(ActiveConfig::new(config::embedded()));
        ConnectionContext {
            app,
            authenticator: Arc::new(Authenticator::for_tests(active_config)),
            stop: CancellationToken::new(),
        }
    }

    /// Sends a request, and returns the beginning of the response.
    async fn request(client: &mut TcpStream) -> String {
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut response = [0; 15];
        client.read_exact(&mut response).await.unwrap();
        String::from_utf8_lossy(&response).into_owned()
    }

    #[tokio::test]
    async fn strangers_that_keep_their_connections_open_lock_nobody_out() {
        let limits = Limits {
            total: 6,
            reserved: 2,
            reserved_per_client: 1,
            ..LIMITS
        };
        let context = context(Router::new().route("/", get(async || "served")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = context.stop.clone();
        let serving = tokio::spawn(serve_limited(listener.into(), context, limits));
        let mut open = Vec::new();
        for _ in 0..3 * limits.total {
            let mut client = TcpStream::connect(address).await.unwrap();
            assert_eq!(request(&mut client).await, "HTTP/1.1 200 OK");
            open.push(client);
        }
        let (first, last) = (0, open.len() - 1);
        open[first].read_to_end(&mut Vec::new()).await.unwrap();
        let mut rest = [0; 1024];
        assert!(open[last].read(&mut rest).await.unwrap() > 0);
        assert_eq!(request(&mut open[last]).await, "HTTP/1.1 200 OK");
        stop.cancel();
        serving.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_overflow_connection_soon_frees_its_slot() {
        let context = context(Router::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let limits = Limits {
            total: 0,
            reserved: 0,
            ..LIMITS
        };
        let slots = ConnectionSlots::new(limits, context.authenticator.known_clients());
        let own = address.ip().into();
        let overflow = || slots.acquire(own, false);
        let mut taken: Vec<_> = std::iter::from_fn(overflow).collect();
        let slot = taken.pop().unwrap();
        let since = Instant::now();
        serve_in_slot(Either::Left(stream), slot, context).await;
        assert!(since.elapsed() <= OVERFLOW_TIMEOUT * 2);
        assert!(overflow().is_some(), "the slot is free again");
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }

    #[test]
    fn fd_exhaustion_is_told_apart_from_other_errors() {
        assert!(is_fd_exhaustion(&io::Error::from_raw_os_error(24)));
        assert!(!is_fd_exhaustion(&io::Error::other("a client's error")));
    }
}

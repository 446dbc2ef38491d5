//! The HTTP listener: accepts connections, over TLS where configured, and serves the routes that it
//! is given until shutdown. Does not know what the routes are.

pub(super) mod authentication;
pub(super) mod authorization;
mod certificates;
pub(super) mod connection;
mod passwords;
mod reserved_fds;
mod response_body;
mod slots;
mod timeouts;
mod tracked_stream;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use convex_client::{Failure, FailureReason};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::config::OWN_DESCRIPTORS;

use connection::{ConnectionContext, ConnectionInfo};
use reserved_fds::ReservedFds;
use slots::{ConnectionSlots, Slot};

/// Maximum number of regular connections.
const MAX_CONNECTIONS: usize = 512;

/// Further connections, kept for health checks; all other requests on them get 503.
const MAX_OVERFLOW_CONNECTIONS: usize = 16;

/// Descriptors that are left to files, the history and receivers when all connections are open.
const OTHER_DESCRIPTORS: usize = 96;

const _: () = assert!(
    (MAX_CONNECTIONS + MAX_OVERFLOW_CONNECTIONS + OTHER_DESCRIPTORS) as u64 <= OWN_DESCRIPTORS
);

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
pub(in crate::web) async fn serve(listener: TcpListener, context: ConnectionContext) {
    let mut slots = ConnectionSlots::new(MAX_CONNECTIONS, MAX_OVERFLOW_CONNECTIONS);
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
            Ok((stream, _)) => {
                let slot = if out_of_fds {
                    slots.acquire_overflow()
                } else {
                    slots.acquire()
                };
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
                tracing::error!(%error, "cannot accept a connection");
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
async fn serve_in_slot(stream: TcpStream, slot: Slot, context: ConnectionContext) {
    let serving = serve_connection(stream, slot.is_overflow, context);
    if !slot.is_overflow {
        serving.await;
    } else if timeout(OVERFLOW_TIMEOUT, serving).await.is_err() {
        tracing::debug!("closed an overflow connection after {OVERFLOW_TIMEOUT:?}");
    }
}

async fn serve_connection(mut stream: TcpStream, is_overflow: bool, context: ConnectionContext) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the client closed its connection before it was served");
        return;
    }
    let policy = context.authenticator.policy();
    let mut info = ConnectionInfo {
        has_client_certificate: false,
        is_overflow,
    };
    let Some(certificates) = &policy.certificates else {
        return connection::serve(stream, info, context, policy).await;
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
            info.has_client_certificate =
                presented.is_some_and(|certificates| !certificates.is_empty());
            connection::serve(stream, info, context, policy).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake timed out after {TLS_HANDSHAKE_TIMEOUT:?}"),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use tokio::io::AsyncReadExt;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::authentication::Authenticator;
    use super::*;
    use crate::config;
    use crate::config::active::ActiveConfig;

    #[tokio::test(start_paused = true)]
    async fn a_silent_overflow_connection_soon_frees_its_slot() {
        let active_config = Arc::new(ActiveConfig::new(config::embedded()));
        let context = ConnectionContext {
            app: Router::new(),
            authenticator: Arc::new(Authenticator::for_tests(active_config)),
            stop: CancellationToken::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut slots = ConnectionSlots::new(0, 1);
        let slot = slots.acquire().unwrap();
        let since = Instant::now();
        serve_in_slot(stream, slot, context).await;
        assert!(since.elapsed() <= OVERFLOW_TIMEOUT * 2);
        assert!(slots.acquire().is_some(), "the slot is free again");
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }

    #[test]
    fn fd_exhaustion_is_told_apart_from_other_errors() {
        assert!(is_fd_exhaustion(&io::Error::from_raw_os_error(24)));
        assert!(!is_fd_exhaustion(&io::Error::other("a client's error")));
    }
}

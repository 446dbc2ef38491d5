//! Listeners: one per peer and protocol, or one per protocol for all peers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connection;
use super::network::{FIRST_ADDRESS, Protocol, Shared};
use super::script::Wire;

/// Pause after a failed accept, or while a port is not free again yet.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Listens for one protocol of one peer, except while the peer refuses connections.
pub(super) async fn listen_for_peer(
    shared: Arc<Shared>,
    peer: usize,
    protocol: Protocol,
    address: SocketAddr,
    mut listener: Option<TcpListener>,
) {
    let mut connections = JoinSet::new();
    loop {
        if shared.active_faults(peer).wire == Wire::Refuse {
            listener = None;
            shared.refusal_end(peer).await;
        }
        let Some(listener) = &listener else {
            match TcpListener::bind(address).await {
                Ok(bound) => listener = Some(bound),
                Err(error) => {
                    tracing::warn!(%address, %error, "simulated peer cannot listen yet; retrying");
                    sleep(RETRY_PAUSE).await;
                }
            }
            continue;
        };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    connections.spawn(connection::serve(shared, peer, protocol, stream));
                }
                Err(error) => accept_failed(address, &error).await,
            },
            () = shared.next_disconnect(peer) => {}
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Listens for one protocol of all peers, which the destination address tells apart. A socket can
/// listen on all loopback addresses only by listening on all addresses, so connections to any
/// address that is not a peer's are closed before anything is read.
pub(super) async fn listen_for_all(
    shared: Arc<Shared>,
    peers: usize,
    protocol: Protocol,
    listener: TcpListener,
) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Some(peer) = dialed_peer(&stream).filter(|peer| *peer < peers) {
                    connections.spawn(connection::serve(
                        Arc::clone(&shared),
                        peer,
                        protocol,
                        stream,
                    ));
                }
            }
            Err(error) => {
                let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                accept_failed(listener.local_addr().unwrap_or(address), &error).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Returns the index of the peer that the client connected to.
fn dialed_peer(stream: &TcpStream) -> Option<usize> {
    let IpAddr::V4(address) = stream.local_addr().ok()?.ip() else {
        return None;
    };
    let index = address.to_bits().checked_sub(FIRST_ADDRESS.to_bits())?;
    usize::try_from(index).ok()
}

async fn accept_failed(address: SocketAddr, error: &io::Error) {
    tracing::warn!(%address, %error, "cannot accept a connection to a simulated peer");
    sleep(RETRY_PAUSE).await;
}

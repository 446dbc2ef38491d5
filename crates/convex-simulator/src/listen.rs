//! Who takes connections: a peer at ports of its own, or all peers at two that they share.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connection::connection;
use super::network::{FIRST_ADDRESS, Shared, Side};
use super::script::Wire;

/// After a failed accept, or a port that is not free again yet.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens for one side of one peer, except while it refuses.
pub(super) async fn own_port(
    shared: Arc<Shared>,
    peer: usize,
    side: Side,
    address: SocketAddr,
    mut listener: Option<TcpListener>,
) {
    let mut served = JoinSet::new();
    loop {
        if shared.ailments(peer).wire == Wire::Refuse {
            listener = None;
            shared.refusal(peer).await;
        }
        let Some(open) = &listener else {
            match TcpListener::bind(address).await {
                Ok(again) => listener = Some(again),
                Err(error) => {
                    tracing::warn!(%address, %error, "a simulated peer cannot listen again yet");
                    sleep(PAUSE).await;
                }
            }
            continue;
        };
        tokio::select! {
            accepted = open.accept() => match accepted {
                Ok((stream, _)) => {
                    served.spawn(connection(Arc::clone(&shared), peer, side, stream));
                }
                Err(error) => not_accepted(address, &error).await,
            },
            () = shared.next_cut(peer) => {}
        }
        while served.try_join_next().is_some() {}
    }
}

/// Listens for one side of all peers, told apart by the address that was dialled. One socket can listen at all loopback
/// addresses only by listening at all addresses: what was dialled from elsewhere is closed before anything is read.
pub(super) async fn shared_port(
    shared: Arc<Shared>,
    peers: usize,
    side: Side,
    listener: TcpListener,
) {
    let mut served = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Some(peer) = dialled(&stream).filter(|peer| *peer < peers) {
                    served.spawn(connection(Arc::clone(&shared), peer, side, stream));
                }
            }
            Err(error) => {
                let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                not_accepted(listener.local_addr().unwrap_or(address), &error).await;
            }
        }
        while served.try_join_next().is_some() {}
    }
}

/// The index of the peer whose address was dialled.
fn dialled(stream: &TcpStream) -> Option<usize> {
    let IpAddr::V4(address) = stream.local_addr().ok()?.ip() else {
        return None;
    };
    let index = address.to_bits().checked_sub(FIRST_ADDRESS.to_bits())?;
    usize::try_from(index).ok()
}

async fn not_accepted(address: SocketAddr, error: &io::Error) {
    tracing::warn!(%address, %error, "a connection to a simulated peer was not accepted");
    sleep(PAUSE).await;
}

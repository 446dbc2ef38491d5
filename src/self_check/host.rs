//! The checks of this host that query the system or the network. The caller limits how long they
//! can take.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};

use convex_client::{Endpoint, resolve_all};
use futures_util::future::select_ok;
use tokio::net::{TcpStream, UdpSocket};

use crate::config::DescriptorLimit;

/// Directories in which the system lists the descriptors of this process: on Linux, and on other
/// Unix.
const DESCRIPTOR_DIRS: [&str; 2] = ["/proc/self/fd", "/dev/fd"];

/// Whether at least one of `names` resolves.
pub(super) async fn any_resolves(names: Vec<String>) -> bool {
    let lookup = |name: String| Box::pin(async { addresses_of(name).await.ok_or(()) });
    select_ok(names.into_iter().map(lookup)).await.is_ok()
}

/// Returns the addresses of `host`. Its lookups are among those that are limited together: a check
/// that is repeated while the resolver hangs must not take one more thread each time.
async fn addresses_of(host: String) -> Option<Vec<IpAddr>> {
    resolve_all(BTreeSet::from([host]))
        .await
        .into_values()
        .next()
}

/// Whether the system has a route to at least one of `addresses`. Connecting a datagram socket
/// looks up the route and sends nothing.
pub(super) async fn any_has_route(addresses: Vec<SocketAddr>) -> bool {
    for address in addresses {
        let unspecified: SocketAddr = if address.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0_u16; 8], 0).into()
        };
        if let Ok(socket) = UdpSocket::bind(unspecified).await
            && socket.connect(address).await.is_ok()
        {
            return true;
        }
    }
    false
}

/// Whether at least one of `references` accepts a connection.
pub(super) async fn any_accepts_connection(references: Vec<Endpoint>) -> bool {
    let connect = |endpoint: Endpoint| {
        Box::pin(async move {
            let addresses = addresses_of(endpoint.host()).await.unwrap_or_default();
            let sockets: Vec<SocketAddr> = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, endpoint.port()))
                .collect();
            TcpStream::connect(&sockets[..]).await
        })
    };
    select_ok(references.into_iter().map(connect)).await.is_ok()
}

/// Whether enough descriptors are free. True if the system does not list the open ones. Reads
/// directories, so it blocks.
pub(super) fn has_free_descriptors() -> bool {
    let DescriptorLimit { soft: limit, .. } = DescriptorLimit::current();
    for dir in DESCRIPTOR_DIRS {
        match fs::read_dir(dir) {
            Ok(open) => return enough_free(open.count() as u64, limit),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // Reading the directory itself needs a descriptor.
            Err(_) => return false,
        }
    }
    true
}

/// Whether more than a twentieth of the descriptors is free.
const fn enough_free(open: u64, limit: u64) -> bool {
    open.saturating_mul(20) < limit.saturating_mul(19)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_of_the_descriptors_is_not_enough() {
        assert!(enough_free(949, 1000));
        assert!(!enough_free(950, 1000));
        assert!(enough_free(10, u64::MAX));
        assert!(has_free_descriptors(), "this test opens only a few");
    }

    #[tokio::test]
    async fn one_reference_that_accepts_a_connection_is_enough() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = |address| Endpoint::parse(&format!("tcp://{address}")).unwrap();
        let (live, dead) = (
            at(listener.local_addr().unwrap()),
            at("127.0.0.1:1".parse().unwrap()),
        );
        assert!(any_accepts_connection(vec![dead.clone(), live]).await);
        assert!(!any_accepts_connection(vec![dead]).await);
    }

    #[tokio::test]
    async fn localhost_resolves_and_has_a_route() {
        // Invalid, because no label has 64 bytes, so the resolver queries no server.
        let invalid = "x".repeat(64);
        assert!(any_resolves(vec![invalid.clone(), "localhost".to_owned()]).await);
        assert!(!any_resolves(vec![invalid]).await);
        assert!(any_has_route(vec!["127.0.0.1:9".parse().unwrap()]).await);
        assert!(!any_has_route(Vec::new()).await);
    }
}

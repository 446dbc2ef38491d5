//! The checks of this host, each asked once. Each ends by itself or is ended by its caller's deadline.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use convex_client::Endpoint;
use futures_util::future::select_ok;
use tokio::net::{TcpStream, UdpSocket, lookup_host};

use crate::config::DescriptorLimit;

/// A wall clock that moved so much more or less than the monotonic one has jumped.
const STEP: Duration = Duration::from_secs(1);

/// Where the system lists this process' descriptors: Linux, other Unix.
const DESCRIPTORS: [&str; 2] = ["/proc/self/fd", "/dev/fd"];

/// Whether one of `names` resolves.
pub(super) async fn resolves(names: Vec<String>) -> bool {
    let one = |name: String| {
        Box::pin(async move {
            let found = lookup_host((name, 0)).await.ok();
            found
                .filter(|found| found.size_hint() != (0, Some(0)))
                .ok_or(())
        })
    };
    select_ok(names.into_iter().map(one)).await.is_ok()
}

/// Whether the system has a route to one of `addresses`. Connecting a datagram socket looks the route up and sends nothing.
pub(super) async fn has_route(addresses: Vec<SocketAddr>) -> bool {
    for address in addresses {
        let any: SocketAddr = if address.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0_u16; 8], 0).into()
        };
        if let Ok(socket) = UdpSocket::bind(any).await
            && socket.connect(address).await.is_ok()
        {
            return true;
        }
    }
    false
}

/// Whether one of `references` accepts a connection.
pub(super) async fn answers(references: Vec<Endpoint>) -> bool {
    let one = |endpoint: Endpoint| {
        Box::pin(async move { TcpStream::connect((endpoint.host(), endpoint.port())).await })
    };
    select_ok(references.into_iter().map(one)).await.is_ok()
}

/// Whether descriptors are left; also where the system does not say how many are open. Reads files.
pub(super) fn descriptors_are_left() -> bool {
    let DescriptorLimit { soft: limit, .. } = DescriptorLimit::current();
    for list in DESCRIPTORS {
        match fs::read_dir(list) {
            Ok(open) => return enough(open.count() as u64, limit),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // The list itself needs a descriptor.
            Err(_) => return false,
        }
    }
    true
}

const fn enough(open: u64, limit: u64) -> bool {
    open.saturating_mul(20) < limit.saturating_mul(19)
}

/// Whether the wall clock jumped from `before` to `now`, while `passed` by the monotonic clock.
pub(super) fn jumped(before: SystemTime, now: SystemTime, passed: Duration) -> bool {
    match now.duration_since(before) {
        Ok(moved) => moved.abs_diff(passed) > STEP,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_moves_with_the_monotonic_one_has_not_jumped() {
        let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let passed = Duration::from_secs(1);
        for (moved_ms, expected) in [
            (1_000, false),
            (1_900, false),
            (100, false),
            (2_100, true),
            (3_600_000, true),
        ] {
            let now = before + Duration::from_millis(moved_ms);
            assert_eq!(jumped(before, now, passed), expected, "{moved_ms} ms");
        }
        let back = before - Duration::from_secs(3600);
        assert!(jumped(before, back, passed));
    }

    #[test]
    fn the_last_twentieth_of_the_descriptors_is_too_few() {
        assert!(enough(949, 1000));
        assert!(!enough(950, 1000));
        assert!(enough(10, u64::MAX));
        assert!(descriptors_are_left(), "this test has opened next to none");
    }

    #[tokio::test]
    async fn one_reference_that_answers_is_enough() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = |address| Endpoint::parse(&format!("tcp://{address}")).unwrap();
        let (live, dead) = (
            at(listener.local_addr().unwrap()),
            at("127.0.0.1:1".parse().unwrap()),
        );
        assert!(answers(vec![dead.clone(), live]).await);
        assert!(!answers(vec![dead]).await);
    }

    #[tokio::test]
    async fn names_and_routes_of_this_host_are_found() {
        // No name has a label of 64 bytes: the resolver need not ask anybody.
        let invalid = "x".repeat(64);
        assert!(resolves(vec![invalid.clone(), "localhost".to_owned()]).await);
        assert!(!resolves(vec![invalid]).await);
        assert!(has_route(vec!["127.0.0.1:9".parse().unwrap()]).await);
        assert!(!has_route(Vec::new()).await);
    }
}

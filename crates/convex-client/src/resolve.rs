//! Host names to addresses, for both transports. A name that does not resolve is a [`Failure`] of its own.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::failure::{Failure, FailureReason};

/// So many of many names are resolved at the same time: polls need the same resolver.
const AT_ONCE: usize = 16;

/// Longest wait for one of many names.
const ONE: Duration = Duration::from_secs(5);

/// Longest wait for all of them.
const ALL: Duration = Duration::from_secs(60);

/// Questions to the system's resolver at the same time. It blocks a thread for as long as it likes, whoever still waits; half of the
/// threads for such work are left to disks, scrapes and reloads.
static PLACES: Semaphore = Semaphore::const_new(256);

/// Addresses of those of `hosts` that resolve soon, IPv4 first, none twice; embedded IPv4 addresses as what they are.
pub async fn resolve_all(hosts: BTreeSet<String>) -> HashMap<String, Vec<IpAddr>> {
    let deadline = Instant::now() + ALL;
    let one = |host: String| async {
        let found = timeout(ONE, resolve(&host, 0)).await.ok()?.ok()?;
        let addresses = found.into_iter().map(|address| address.ip().to_canonical());
        let addresses: BTreeSet<IpAddr> = addresses.collect();
        Some((host, addresses.into_iter().collect()))
    };
    let mut answers = stream::iter(hosts).map(one).buffer_unordered(AT_ONCE);
    let mut resolved = HashMap::new();
    while let Ok(Some(answer)) = timeout_at(deadline, answers.next()).await {
        resolved.extend(answer);
    }
    resolved
}

/// Addresses of `host`, in the system's order; never empty. An address literal is taken as it is.
///
/// # Errors
/// [`FailureReason::Dns`] with what the system's resolver says.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => ask(host, port).await.map_err(|error| {
            match Failure::from_io(&error) {
                // getaddrinfo opens files and sockets: without descriptors the fault is ours.
                own @ Failure {
                    reason: FailureReason::Local,
                    ..
                } => own,
                _ => Failure::new(
                    FailureReason::Dns,
                    format!("{host} does not resolve: {error}"),
                ),
            }
        })?,
    };
    if addresses.is_empty() {
        return Err(Failure::new(
            FailureReason::Dns,
            format!("{host} resolves to no address"),
        ));
    }
    Ok(addresses)
}

/// Asks the system's resolver once there is a place.
async fn ask(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let place = PLACES.acquire().await.map_err(io::Error::other)?;
    let host = host.to_owned();
    let asking = spawn_blocking(move || {
        let found = (host.as_str(), port).to_socket_addrs();
        // Not before the thread is free, even if nobody waits any longer.
        drop(place);
        Ok(found?.collect())
    });
    asking.await?
}

/// Whether `host` needs no resolver.
pub(super) fn is_literal(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

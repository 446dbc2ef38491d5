//! Name resolution, for both transports.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use crate::failure::{Failure, FailureReason};

/// Number of names that [`resolve_all`] resolves at the same time. Connections need the same
/// resolver.
const MAX_CONCURRENT_NAMES: usize = 16;

/// Time limit for each name in [`resolve_all`].
const NAME_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit for all names in [`resolve_all`].
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);

/// Number of calls of the system's resolver at the same time. Each blocks a thread of the runtime
/// for an unlimited time, even if its result is no longer needed, so the runtime should have twice
/// as many blocking threads; tokio's default is 512.
pub const MAX_LOOKUPS: usize = 256;

static LOOKUP_PERMITS: Semaphore = Semaphore::const_new(MAX_LOOKUPS);

/// Resolves many host names. Returns the addresses of those that resolve within 5 seconds each and
/// 60 seconds in total; the others are absent. The addresses of a name are unique, IPv4 first, and
/// embedded IPv4 addresses are converted to IPv4.
pub async fn resolve_all(hosts: BTreeSet<String>) -> HashMap<String, Vec<IpAddr>> {
    let deadline = Instant::now() + TOTAL_TIMEOUT;
    let resolve_one = |host: String| async {
        let found = timeout(NAME_TIMEOUT, resolve(&host, 0)).await.ok()?.ok()?;
        let addresses = found.into_iter().map(|address| address.ip().to_canonical());
        let addresses: BTreeSet<IpAddr> = addresses.collect();
        Some((host, addresses.into_iter().collect()))
    };
    let mut answers = stream::iter(hosts)
        .map(resolve_one)
        .buffer_unordered(MAX_CONCURRENT_NAMES);
    let mut resolved = HashMap::new();
    while let Ok(Some(answer)) = timeout_at(deadline, answers.next()).await {
        resolved.extend(answer);
    }
    resolved
}

/// Resolves `host` and returns its addresses in the system's order; never empty. An address literal
/// is not looked up.
///
/// # Errors
/// The name does not resolve ([`FailureReason::Dns`]), or this host lacks a resource
/// ([`FailureReason::Local`]).
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => lookup(host, port).await.map_err(|error| {
            match Failure::from_io(&error) {
                // getaddrinfo opens files and sockets, so it fails without file descriptors too.
                local @ Failure {
                    reason: FailureReason::Local,
                    ..
                } => local,
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

/// Calls the system's resolver, as soon as there is a permit.
async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    #[cfg(feature = "test-names")]
    if let Some(addresses) = test_names::addresses(host) {
        let with_port = |address| SocketAddr::new(address, port);
        return Ok(addresses.into_iter().map(with_port).collect());
    }
    let permit = LOOKUP_PERMITS.acquire().await.map_err(io::Error::other)?;
    let host = host.to_owned();
    let lookup = spawn_blocking(move || {
        let found = (host.as_str(), port).to_socket_addrs();
        // Held until the thread is free, even if the caller has stopped waiting.
        drop(permit);
        Ok(found?.collect())
    });
    lookup.await?
}

/// Returns whether `host` is an address literal, perhaps with a zone: it needs no name server.
pub(crate) fn is_literal(host: &str) -> bool {
    let address = host.split('%').next().unwrap_or(host);
    address.parse::<IpAddr>().is_ok()
}

/// Names with given addresses, for tests of what follows from the addresses of a name.
#[cfg(feature = "test-names")]
pub(crate) mod test_names {
    use std::collections::HashMap;
    use std::net::IpAddr;
    use std::sync::{LazyLock, Mutex, PoisonError};

    static NAMES: LazyLock<Mutex<HashMap<String, Vec<IpAddr>>>> = LazyLock::new(Mutex::default);

    /// Gives a name these addresses, in this order, in the whole process.
    pub fn set_addresses(name: &str, addresses: Vec<IpAddr>) {
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned(), addresses);
    }

    pub(super) fn addresses(name: &str) -> Option<Vec<IpAddr>> {
        let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(name).cloned()
    }
}

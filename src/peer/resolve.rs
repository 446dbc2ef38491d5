//! Host names to addresses, for both transports. A name that does not resolve is a [`Failure`] of its own.

use std::net::{IpAddr, SocketAddr};

use super::failure::{Failure, Reason};

/// Addresses of `host`, in the system's order; never empty. An address literal is taken as it is.
///
/// # Errors
/// [`Reason::Dns`] with what the system's resolver says.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let found =
        tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| match Failure::from_io(&error) {
                // getaddrinfo opens files and sockets: without descriptors the fault is ours.
                own @ Failure {
                    reason: Reason::Monitor,
                    ..
                } => own,
                _ => Failure::new(Reason::Dns, format!("{host} does not resolve: {error}")),
            })?;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() {
        return Err(Failure::new(
            Reason::Dns,
            format!("{host} resolves to no address"),
        ));
    }
    Ok(addresses)
}

/// Whether `host` needs no resolver.
pub(super) fn is_literal(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

//! What an endpoint needs of this host: the network, a name lookup, or neither.

use std::net::IpAddr;

use convex_client::{Endpoint, Transport};

use crate::config::Peer;

/// What a poll of an endpoint needs of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkPath {
    /// Whether it stays on this host.
    pub local: bool,
    /// Whether it starts with a name lookup.
    pub named: bool,
}

impl NetworkPath {
    /// Returns the path to one of `peer`'s endpoints, or to its proxy if there is one.
    #[must_use]
    pub fn to_endpoint(peer: &Peer, endpoint: &Endpoint) -> Self {
        let proxy = peer.http.proxy.as_ref();
        let proxy = proxy.filter(|_| endpoint.transport() == Transport::Http);
        let host = proxy.and_then(|proxy| proxy.host_str());
        Self::to_host(host.unwrap_or(&endpoint.host()))
    }

    /// Returns the path to `host`, a name or an address; an IPv6 address can have brackets.
    #[must_use]
    pub fn to_host(host: &str) -> Self {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        // The zone of a link-local address names an interface.
        let address = bare.split('%').next().unwrap_or(bare);
        match address.parse::<IpAddr>() {
            Ok(address) => Self {
                local: address.to_canonical().is_loopback(),
                named: false,
            },
            Err(_) => Self {
                local: host == "localhost" || host.ends_with(".localhost"),
                named: true,
            },
        }
    }

    /// Whether the paths to all endpoints of `peer` stay on this host.
    #[must_use]
    pub fn is_local(peer: &Peer) -> bool {
        peer.endpoints
            .iter()
            .all(|endpoint| Self::to_endpoint(peer, endpoint).local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_depends_on_the_host() {
        for (host, local, named) in [
            ("peer.example", false, true),
            ("192.0.2.7", false, false),
            ("2001:db8::7", false, false),
            ("127.0.0.9", true, false),
            ("::1", true, false),
            ("[::1]", true, false),
            ("fe80::1%eth0", false, false),
            ("::ffff:127.0.0.1", true, false),
            ("localhost", true, true),
            ("peer.localhost", true, true),
        ] {
            let expected = NetworkPath { local, named };
            assert_eq!(NetworkPath::to_host(host), expected, "{host}");
        }
    }
}

//! Which checks the configured peers need, and what these use. Does no I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use convex_client::Endpoint;

use crate::config::{Config, Peer, SelfCheck};

use super::kinds::Check;
use super::network_path::NetworkPath;

/// Most names of endpoints that are resolved when no name is configured. If none of them resolves,
/// more would not help.
const MAX_NAMES: usize = 8;

/// Most addresses of endpoints whose route is looked up.
const MAX_ADDRESSES: usize = 16;

/// Documentation addresses (RFC 5737, RFC 3849). Only the default route leads to them. Nothing is
/// sent there.
const DOCUMENTATION_ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The discard port. Any port would do, because nothing is sent.
const DISCARD_PORT: u16 = 9;

/// What to check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Names, at least one of which must resolve.
    pub(super) names: Vec<String>,
    /// Whether the operator configured the name. If it does not resolve, the problem is this
    /// host's.
    pub(super) dns_name_is_configured: bool,
    /// Addresses, at least one of which must have a route.
    pub(super) routes: Vec<SocketAddr>,
    /// Endpoints, at least one of which must accept a connection.
    pub(super) references: Vec<Endpoint>,
}

impl Plan {
    /// Plans the checks that the peers and references of `config` need.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let peers = config.peers.iter().chain(&config.sample);
        Self::for_peers(peers.map(|peer| &**peer), &config.self_check)
    }

    /// Plans the checks that these peers and the references of `self_check` need.
    #[must_use]
    pub fn for_peers<'a>(
        peers: impl IntoIterator<Item = &'a Peer>,
        self_check: &SelfCheck,
    ) -> Self {
        let endpoints = peers.into_iter().flat_map(|peer| {
            let with_path = |endpoint| (NetworkPath::to_endpoint(peer, endpoint), endpoint);
            peer.endpoints.iter().map(with_path)
        });
        let mut names = Vec::new();
        let mut routes = Vec::new();
        for (path, endpoint) in endpoints.filter(|(path, _)| !path.local) {
            let host = endpoint.host();
            if path.named {
                if names.len() < MAX_NAMES && !names.contains(&host) {
                    names.push(host);
                }
            } else if let Ok(address) = host.parse::<IpAddr>() {
                let address = SocketAddr::new(address, endpoint.port());
                if routes.len() < MAX_ADDRESSES && !routes.contains(&address) {
                    routes.push(address);
                }
            }
        }
        if !names.is_empty() {
            routes.extend(
                DOCUMENTATION_ADDRESSES.map(|address| SocketAddr::new(address, DISCARD_PORT)),
            );
        }
        let dns_name = self_check.dns_name.clone();
        Self {
            dns_name_is_configured: dns_name.is_some(),
            names: dns_name.map_or(names, |name| vec![name]),
            routes,
            references: self_check.references.clone(),
        }
    }

    /// Returns the planned checks, in label order.
    pub fn checks(&self) -> impl Iterator<Item = Check> {
        Check::ALL.iter().copied().filter(|check| match check {
            Check::Dns => !self.names.is_empty(),
            Check::Route => !self.routes.is_empty(),
            Check::References => !self.references.is_empty(),
            Check::Clock | Check::Descriptors | Check::EventLoop => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config;

    use super::*;

    fn plan(text: &str) -> Plan {
        Plan::new(&config::parse(text, "test.yml", Path::new(""), &|_| None).unwrap())
    }

    fn labels(plan: &Plan) -> Vec<&str> {
        plan.checks().map(Check::as_str).collect()
    }

    #[test]
    fn only_the_checks_that_peers_need_are_planned() {
        let local =
            plan("peers: [{ name: a, endpoints: ['tcp://127.0.0.1:1', 'http://localhost:2'] }]\n");
        assert_eq!(labels(&local), ["clock", "descriptors", "event_loop"]);
        let literal = plan("peers: [{ name: a, endpoints: ['tcp://192.0.2.7:1'] }]\n");
        assert_eq!(
            labels(&literal),
            ["clock", "descriptors", "event_loop", "route"]
        );
        assert_eq!(literal.routes, ["192.0.2.7:1".parse().unwrap()]);
        let named = plan(
            "self_check: { references: ['tcp://192.0.2.9:443'] }\npeers: [{ name: a, endpoints: ['tcp://peer.example:1', 'https://peer.example'] }]\n",
        );
        assert_eq!(labels(&named).len(), Check::ALL.len());
        assert_eq!(named.names, ["peer.example"]);
        assert!(!named.dns_name_is_configured);
    }

    #[test]
    fn a_configured_name_replaces_those_of_the_endpoints() {
        let plan = plan(
            "self_check: { dns_name: example.org }\npeers: [{ name: a, endpoints: ['tcp://peer.example:1'] }]\n",
        );
        assert_eq!(plan.names, ["example.org"]);
        assert!(plan.dns_name_is_configured);
    }
}

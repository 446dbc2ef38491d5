//! Which checks the configured peers need, and what they ask. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use convex_client::Endpoint;

use crate::config::Config;
use crate::self_check::excuse::Path;
use crate::self_check::kinds::Check;

/// Names that are resolved when none is configured: if none of so many does, one more tells nothing.
const MAX_NAMES: usize = 8;

/// Addresses that a route is asked for.
const MAX_ADDRESSES: usize = 16;

/// Addresses that nobody has (RFC 5737, RFC 3849): a route to them is the default route. Nothing is sent there.
const ANYWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The port is of no matter: nothing is sent.
const DISCARD: u16 = 9;

/// What there is to check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Names of which one must resolve.
    pub(super) names: Vec<String>,
    /// Whether the operator vouches for the name: its failure is then this host's trouble.
    pub(super) dns_name_is_configured: bool,
    /// Addresses of which one must have a route.
    pub(super) routes: Vec<SocketAddr>,
    /// Of which one must accept a connection.
    pub(super) references: Vec<Endpoint>,
}

impl Plan {
    /// What the peers and references of `config` need.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let of_peers = config.peers.iter().chain(&config.sample).flat_map(|peer| {
            let dialled = |endpoint| (Path::of(peer, endpoint), endpoint);
            peer.endpoints.iter().map(dialled)
        });
        let far: Vec<(Path, &Endpoint)> = of_peers.filter(|(path, _)| !path.local).collect();
        let mut names = Vec::new();
        let mut routes = Vec::new();
        for (path, endpoint) in far {
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
            routes.extend(ANYWHERE.map(|address| SocketAddr::new(address, DISCARD)));
        }
        let vouched = config.self_check.dns_name.clone();
        Self {
            dns_name_is_configured: vouched.is_some(),
            names: vouched.map_or(names, |name| vec![name]),
            routes,
            references: config.self_check.references.clone(),
        }
    }

    /// The checks that there are, in label order.
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
    use std::path::Path as FilePath;

    use super::*;
    use crate::config;

    fn plan(text: &str) -> Plan {
        Plan::of(&config::parse(text, "test.yml", FilePath::new(""), &|_| None).unwrap())
    }

    fn labels(plan: &Plan) -> Vec<&str> {
        plan.checks().map(Check::as_str).collect()
    }

    #[test]
    fn only_what_the_peers_need_is_checked() {
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
    fn a_configured_name_is_vouched_for() {
        let plan = plan(
            "self_check: { dns_name: example.org }\npeers: [{ name: a, endpoints: ['tcp://peer.example:1'] }]\n",
        );
        assert_eq!(plan.names, ["example.org"]);
        assert!(plan.dns_name_is_configured);
    }
}

//! One scan of the registry of a network: which registered peers can be watched, and at which
//! addresses.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use cad3::Hash;
use convex_client::chain::AdvertisedAddress;
use convex_client::chain::Registry;
use convex_client::resolve_all;

use crate::config::{self, Config, Discovery};
use crate::fleet::Snapshot;

use super::{Candidate, ConfiguredPeers, candidates, may_dial};

/// The result of a scan.
#[derive(Clone, Debug, Default)]
pub struct ScanResult {
    /// The network.
    pub network: String,
    /// The candidates by key, those with the most weight first.
    pub candidates: Vec<(Hash, ResolvedPeer)>,
    /// Keys of the configured peers.
    pub configured: HashSet<Hash>,
    /// Whether a peer that is not a candidate has left the registry. False if only a part of the
    /// registry was read.
    pub complete: bool,
}

/// The addresses of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedPeer {
    /// Addresses that can be dialed; never empty.
    At(Vec<SocketAddr>),
    /// All addresses are private or those of configured peers, so they are not dialed.
    NotDialed,
    /// The name did not resolve.
    Unresolved,
}

/// Returns the addresses of a candidate, given the addresses of all names.
fn resolve(
    advertised: &AdvertisedAddress,
    resolved: &HashMap<String, Vec<IpAddr>>,
    configured: &ConfiguredPeers,
    allow_private: bool,
) -> ResolvedPeer {
    let literal = advertised.host.parse().map(|address: IpAddr| vec![address]);
    let Some(addresses) = literal
        .ok()
        .or_else(|| resolved.get(&advertised.host).cloned())
    else {
        return ResolvedPeer::Unresolved;
    };
    let addresses: Vec<SocketAddr> = addresses
        .into_iter()
        .map(|address| SocketAddr::new(address.to_canonical(), advertised.port))
        .filter(|address| may_dial(address.ip(), allow_private))
        .filter(|address| !configured.contains_address(*address))
        .collect();
    if addresses.is_empty() {
        ResolvedPeer::NotDialed
    } else {
        ResolvedPeer::At(addresses)
    }
}

/// Scans the registry of one network.
#[derive(Clone, Debug, PartialEq)]
pub struct Scanner {
    network: String,
    discovery: Discovery,
    configured: ConfiguredPeers,
}

impl Scanner {
    /// Creates a scanner for a network of `config`; none if discovery is disabled there.
    #[must_use]
    pub fn new(config: &Config, network: &config::Network) -> Option<Self> {
        Some(Self {
            network: network.name.clone(),
            discovery: network.discovery.clone()?,
            configured: ConfiguredPeers::new(config, &network.name),
        })
    }

    /// Scans a registry. Resolves names, which takes at most a minute.
    pub async fn scan(&self, registry: &Registry, snapshot: &Snapshot) -> ScanResult {
        let configured = self
            .configured
            .clone()
            .with_learned_keys(&self.network, snapshot);
        let candidates = candidates(registry, &configured, self.discovery.max_peers);
        let advertised = candidates.iter().map(|candidate| &candidate.advertised);
        let named = advertised.filter(|it| it.is_named());
        let hosts: BTreeSet<String> = named.map(|it| it.host.clone()).collect();
        let resolved = resolve_all(hosts).await;
        let allow_private = self.discovery.allow_private;
        let resolve = |Candidate { key, advertised }| {
            let peer = resolve(&advertised, &resolved, &configured, allow_private);
            (key, peer)
        };
        ScanResult {
            network: self.network.clone(),
            candidates: candidates.into_iter().map(resolve).collect(),
            configured: configured.keys,
            complete: registry.coverage.is_complete(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn only_addresses_that_can_be_dialed_are_kept() {
        let resolved: HashMap<String, Vec<IpAddr>> = [
            (
                "mixed.example",
                vec!["127.0.0.1", "9.9.9.9", "::ffff:8.8.8.8", "fd00::1"],
            ),
            ("inside.example", vec!["10.0.0.1", "169.254.169.254", "::1"]),
            ("watched.example", vec!["9.9.9.8"]),
        ]
        .map(|(host, all)| {
            let all = all.into_iter().map(|text| text.parse().unwrap());
            (host.to_owned(), all.collect())
        })
        .into();
        let text = "networks: [{ name: n }]\n\
                    peers: [{ name: c, network: n, endpoints: ['tcp://9.9.9.8:1'] }]";
        let config = config::parse(text, "c.yml", Path::new(""), &|_| None).unwrap();
        let configured = ConfiguredPeers::new(&config, "n");
        let at = |addresses: &[&str]| {
            ResolvedPeer::At(addresses.iter().map(|text| text.parse().unwrap()).collect())
        };
        for (url, allow_private, expected) in [
            ("mixed.example:1", false, at(&["9.9.9.9:1", "8.8.8.8:1"])),
            ("inside.example:1", false, ResolvedPeer::NotDialed),
            (
                "inside.example:1",
                true,
                at(&["10.0.0.1:1", "169.254.169.254:1", "[::1]:1"]),
            ),
            ("watched.example:1", false, ResolvedPeer::NotDialed),
            ("watched.example:2", false, at(&["9.9.9.8:2"])),
            ("nowhere.example:1", true, ResolvedPeer::Unresolved),
            ("[::ffff:127.0.0.1]:1", false, ResolvedPeer::NotDialed),
            ("[::ffff:9.9.9.9]:1", false, at(&["9.9.9.9:1"])),
            ("127.0.0.1:1", true, at(&["127.0.0.1:1"])),
        ] {
            let advertised = url.parse().unwrap();
            let resolved_peer = resolve(&advertised, &resolved, &configured, allow_private);
            assert_eq!(resolved_peer, expected, "{url}");
        }
    }
}

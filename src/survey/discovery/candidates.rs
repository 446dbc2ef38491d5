//! Which registered peers can be watched besides the configured ones.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use cad3::Hash;
use convex_client::Transport;
use convex_client::chain::{AdvertisedAddress, RegisteredPeer, Registry};

use crate::config::{self, Config};
use crate::fleet::Snapshot;

use super::discovered_name;

/// A registered peer that can be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The peer's key.
    pub key: Hash,
    /// The address that it advertises.
    pub advertised: AdvertisedAddress,
}

/// The peers that the operator configured, in all shards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfiguredPeers {
    pub(super) keys: HashSet<Hash>,
    endpoints: HashSet<(String, u16)>,
    names: HashSet<String>,
}

impl ConfiguredPeers {
    /// Collects the pinned keys of the peers of `network`, and the endpoints and names of those of
    /// all networks.
    #[must_use]
    pub fn new(config: &Config, network: &str) -> Self {
        let tcp = |peer: &Arc<config::Peer>| {
            let endpoint = peer
                .endpoints
                .iter()
                .find(|it| it.transport() == Transport::Tcp)?;
            Some((endpoint.host().to_ascii_lowercase(), endpoint.port()))
        };
        let all = || config.peers.iter().chain(&config.others);
        let of_network = all().filter(|peer| peer.network == network);
        Self {
            keys: of_network.filter_map(|peer| peer.key).collect(),
            endpoints: all().filter_map(tcp).collect(),
            names: all().map(|peer| peer.name.clone()).collect(),
        }
    }

    /// Adds the learned keys of configured peers without a pinned key.
    #[must_use]
    pub fn with_learned_keys(mut self, network: &str, snapshot: &Snapshot) -> Self {
        let watched = snapshot.peers.iter().chain(&snapshot.others);
        let learned = watched.filter(|record| {
            let peer = &record.peer;
            peer.network == network && peer.key.is_none() && self.names.contains(&peer.name)
        });
        self.keys
            .extend(learned.filter_map(|record| record.identity.key));
        self
    }

    pub(super) fn contains_address(&self, address: SocketAddr) -> bool {
        self.endpoints
            .contains(&(address.ip().to_string(), address.port()))
    }

    fn contains(&self, key: &Hash, advertised: &AdvertisedAddress) -> bool {
        let endpoint = (advertised.host.clone(), advertised.port);
        self.keys.contains(key)
            || self.names.contains(&discovered_name(key))
            || self.endpoints.contains(&endpoint)
    }
}

/// Returns the registered peers that can be watched besides the configured ones, those with the
/// most weight first, at most `max_peers`.
#[must_use]
pub fn candidates(
    registry: &Registry,
    configured: &ConfiguredPeers,
    max_peers: usize,
) -> Vec<Candidate> {
    let weight = |peer: &RegisteredPeer| peer.weight(registry.state_time_ms);
    let with_url = registry.peers.iter().filter(|(_, peer)| peer.url.is_some());
    let mut weighted: Vec<(f64, &Hash, &RegisteredPeer)> = with_url
        .map(|(key, peer)| (weight(peer), key, peer))
        .collect();
    // The sort is stable: peers of equal weight stay in the order of their keys.
    weighted.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
    let candidates = weighted.into_iter().filter_map(|(_, key, peer)| {
        let advertised: AdvertisedAddress = peer.url.as_deref()?.parse().ok()?;
        let key = *key;
        (!configured.contains(&key, &advertised)).then_some(Candidate { key, advertised })
    });
    candidates.take(max_peers).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn key(byte: u8) -> Hash {
        Hash::new([byte; 32])
    }

    /// A registry of peers with these shares and URLs, whose keys count from 1.
    fn registry(peers: &[(i64, Option<&str>)]) -> Registry {
        let peer = |(shares, url): &(i64, Option<&str>)| RegisteredPeer {
            controller: None,
            own_copper: *shares,
            delegated_copper: 0,
            shares: *shares,
            last_block_ms: Some(0),
            url: url.map(str::to_owned),
        };
        Registry::complete(0, (1..).map(key).zip(peers.iter().map(peer)))
    }

    fn configured(peers: &str) -> ConfiguredPeers {
        let text = format!("networks: [{{ name: n }}, {{ name: other }}]\npeers: {peers}");
        let config = config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap();
        ConfiguredPeers::new(&config, "n")
    }

    fn keys(registry: &Registry, configured: &ConfiguredPeers, max: usize) -> Vec<u8> {
        let candidates = candidates(registry, configured, max);
        candidates.iter().map(|it| it.key.as_bytes()[0]).collect()
    }

    #[test]
    fn peers_are_ordered_by_weight_and_then_by_key() {
        let registry = registry(&[
            (1, Some("a.example:1")),
            (3, Some("b.example:1")),
            (2, None),
            (3, Some("tcp://c.example:1")),
            (9, Some("http://d.example:1")),
        ]);
        assert_eq!(keys(&registry, &ConfiguredPeers::default(), 9), [2, 4, 1]);
        assert_eq!(keys(&registry, &ConfiguredPeers::default(), 2), [2, 4]);
    }

    #[test]
    fn configured_peers_are_not_candidates() {
        let registry = registry(&[
            (9, Some("a.example:1")),
            (8, Some("B.example:2")),
            (7, Some("9.9.9.9:3")),
            (6, Some("d.example:4")),
            (5, Some("e.example:5")),
            (4, Some("b.example:6")),
        ]);
        let (one, four) = (key(1), key(4));
        let configured = configured(&format!(
            "[{{ name: k, network: n, key: '{one}', endpoints: ['http://x'] }}, \
              {{ name: b, network: n, endpoints: ['tcp://b.EXAMPLE:2'] }}, \
              {{ name: c, network: other, endpoints: ['tcp://9.9.9.9:3'] }}, \
              {{ name: chain-040404040404, network: n, endpoints: ['http://y'] }}, \
              {{ name: o, network: other, key: '{four}', endpoints: ['http://z'] }}]"
        ));
        assert_eq!(discovered_name(&four), "chain-040404040404");
        assert_eq!(keys(&registry, &configured, 9), [5, 6]);
    }
}

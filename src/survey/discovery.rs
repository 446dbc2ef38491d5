//! Peers that the chain registers become watched references. What stands there was written by strangers: it is read
//! strictly, bounded in number, resolved and checked, and only the checked address is dialled.

mod address;
mod watchlist;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use cad3::Hash;
use convex_client::chain::advertised::Advertised;
use convex_client::chain::stake::{MAX_PEERS, Registry};
use convex_client::{Transport, resolve_all};

use crate::config::{self, Config, Discovery};
use crate::fleet::Snapshot;

pub use address::may_be_dialled;
pub use watchlist::{News, Watchlist};

/// A registered peer that may be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its key.
    pub key: Hash,
    /// Where it says that it answers.
    pub advertised: Advertised,
}

/// What one reading of the registry says of the registered peers of a network.
#[derive(Clone, Debug, Default)]
pub struct ScanResult {
    /// The network.
    pub network: String,
    /// The candidates, the heaviest first.
    pub sightings: Vec<(Hash, ResolvedPeer)>,
    /// Keys that are watched as configured.
    pub configured: HashSet<Hash>,
    /// Whether who is not among the candidates is gone; not when only a part of the registry was told.
    pub conclusive: bool,
}

/// Where a candidate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedPeer {
    /// At these addresses, which may be dialled; never empty.
    At(Vec<SocketAddr>),
    /// Only where nothing is dialled for a stranger.
    Hidden,
    /// Its name was not resolved.
    Unresolved,
}

/// The name of a discovered peer: the first 12 hex digits of its key behind `chain-`.
#[must_use]
pub fn name(key: &Hash) -> String {
    let digits: String = format!("{key:x}").chars().take(12).collect();
    format!("chain-{digits}")
}

/// What the operator watches anyway, in whichever shard.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    keys: HashSet<Hash>,
    endpoints: HashSet<(String, u16)>,
    names: HashSet<String>,
}

impl Configured {
    /// Of a network: keys as pinned, endpoints and names of all networks.
    #[must_use]
    pub fn of(config: &Config, network: &str) -> Self {
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

    /// Adds the keys that were learned of configured peers which have none pinned.
    #[must_use]
    pub fn and_learned(mut self, network: &str, snapshot: &Snapshot) -> Self {
        let watched = snapshot.peers.iter().chain(&snapshot.others);
        let learned = watched.filter(|record| {
            let peer = &record.peer;
            peer.network == network && peer.key.is_none() && self.names.contains(&peer.name)
        });
        self.keys
            .extend(learned.filter_map(|record| record.identity.key));
        self
    }

    fn has_address(&self, address: SocketAddr) -> bool {
        self.endpoints
            .contains(&(address.ip().to_string(), address.port()))
    }

    fn has(&self, key: &Hash, advertised: &Advertised) -> bool {
        let endpoint = (advertised.host.clone(), advertised.port);
        self.keys.contains(key)
            || self.names.contains(&name(key))
            || self.endpoints.contains(&endpoint)
    }
}

/// The registered peers that may be watched besides the configured ones: the heaviest, at most `max_peers`.
#[must_use]
pub fn candidates(
    registry: &Registry,
    configured: &Configured,
    max_peers: usize,
) -> Vec<Candidate> {
    let mut found: Vec<(f64, Candidate)> = registry
        .peers
        .iter()
        .filter_map(|(key, peer)| {
            let advertised: Advertised = peer.url.as_deref()?.parse().ok()?;
            let weight = peer.weight(registry.state_time_ms);
            let candidate = Candidate {
                key: *key,
                advertised,
            };
            (!configured.has(key, &candidate.advertised)).then_some((weight, candidate))
        })
        .collect();
    // Stable: what weighs the same stays in the order of the keys.
    found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    found.truncate(max_peers);
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Where a candidate is, given what names resolve to.
fn sighting(
    advertised: &Advertised,
    resolved: &HashMap<String, Vec<IpAddr>>,
    configured: &Configured,
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
        .filter(|address| may_be_dialled(address.ip(), allow_private))
        .filter(|address| !configured.has_address(*address))
        .collect();
    if addresses.is_empty() {
        ResolvedPeer::Hidden
    } else {
        ResolvedPeer::At(addresses)
    }
}

/// Looks where the registered peers of one network are.
#[derive(Clone, Debug)]
pub struct Scanner {
    network: String,
    discovery: Discovery,
    configured: Configured,
}

impl Scanner {
    /// For a network of `config`; none when discovery is off there.
    #[must_use]
    pub fn new(config: &Config, network: &config::Network) -> Option<Self> {
        Some(Self {
            network: network.name.clone(),
            discovery: network.discovery.clone()?,
            configured: Configured::of(config, &network.name),
        })
    }

    /// Makes a round of a reading of the registry. Resolves names, which takes a minute at most.
    pub async fn look(&self, registry: &Registry, snapshot: &Snapshot) -> ScanResult {
        let configured = self.configured.clone().and_learned(&self.network, snapshot);
        let candidates = candidates(registry, &configured, self.discovery.max_peers);
        let advertised = candidates.iter().map(|candidate| &candidate.advertised);
        let named = advertised.filter(|it| it.is_named());
        let hosts: BTreeSet<String> = named.map(|it| it.host.clone()).collect();
        let resolved = resolve_all(hosts).await;
        let see = |Candidate { key, advertised }| {
            let allow_private = self.discovery.allow_private;
            (
                key,
                sighting(&advertised, &resolved, &configured, allow_private),
            )
        };
        ScanResult {
            network: self.network.clone(),
            sightings: candidates.into_iter().map(see).collect(),
            configured: configured.keys,
            conclusive: registry.complete || registry.peers.len() == MAX_PEERS,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use convex_client::chain::stake::RegisteredPeer;

    use super::*;

    fn key(byte: u8) -> Hash {
        Hash::new([byte; 32])
    }

    /// A registry of peers with these shares and URLs, their keys counted from 1.
    fn registry(peers: &[(i64, Option<&str>)]) -> Registry {
        let peer = |(shares, url): &(i64, Option<&str>)| RegisteredPeer {
            controller: None,
            own_copper: *shares,
            delegated_copper: 0,
            shares: *shares,
            last_block_ms: Some(0),
            url: url.map(str::to_owned),
        };
        Registry {
            state_time_ms: 0,
            registered: peers.len() as u64,
            complete: true,
            total_stake_copper: 0,
            peers: (1..).map(key).zip(peers.iter().map(peer)).collect(),
            controllers: <_>::default(),
        }
    }

    fn configured(peers: &str) -> Configured {
        let text = format!("networks: [{{ name: n }}, {{ name: other }}]\npeers: {peers}");
        let config = config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap();
        Configured::of(&config, "n")
    }

    fn found(registry: &Registry, configured: &Configured, max: usize) -> Vec<u8> {
        let candidates = candidates(registry, configured, max);
        candidates.iter().map(|it| it.key.as_bytes()[0]).collect()
    }

    #[test]
    fn the_heaviest_come_first_and_of_equal_ones_the_lower_key() {
        let registry = registry(&[
            (1, Some("a.example:1")),
            (3, Some("b.example:1")),
            (2, None),
            (3, Some("tcp://c.example:1")),
            (9, Some("http://d.example:1")),
        ]);
        assert_eq!(found(&registry, &Configured::default(), 9), [2, 4, 1]);
        assert_eq!(found(&registry, &Configured::default(), 2), [2, 4]);
    }

    #[test]
    fn what_is_configured_is_not_added_again() {
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
        assert_eq!(name(&four), "chain-040404040404");
        assert_eq!(found(&registry, &configured, 9), [5, 6]);
    }

    #[test]
    fn only_checked_addresses_are_left_of_a_name() {
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
        let configured = configured("[{ name: c, network: n, endpoints: ['tcp://9.9.9.8:1'] }]");
        let at = |addresses: &[&str]| {
            ResolvedPeer::At(addresses.iter().map(|text| text.parse().unwrap()).collect())
        };
        for (url, allow_private, expected) in [
            ("mixed.example:1", false, at(&["9.9.9.9:1", "8.8.8.8:1"])),
            ("inside.example:1", false, ResolvedPeer::Hidden),
            (
                "inside.example:1",
                true,
                at(&["10.0.0.1:1", "169.254.169.254:1", "[::1]:1"]),
            ),
            ("watched.example:1", false, ResolvedPeer::Hidden),
            ("watched.example:2", false, at(&["9.9.9.8:2"])),
            ("nowhere.example:1", true, ResolvedPeer::Unresolved),
            ("[::ffff:127.0.0.1]:1", false, ResolvedPeer::Hidden),
            ("[::ffff:9.9.9.9]:1", false, at(&["9.9.9.9:1"])),
            ("127.0.0.1:1", true, at(&["127.0.0.1:1"])),
        ] {
            let advertised = url.parse().unwrap();
            let seen = sighting(&advertised, &resolved, &configured, allow_private);
            assert_eq!(seen, expected, "{url}");
        }
    }
}

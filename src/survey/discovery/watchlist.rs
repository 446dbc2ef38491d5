//! The discovered peers that are watched, updated by each scan. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use cad3::Hash;
use convex_client::Endpoint;

use crate::config::shard::Shard;
use crate::config::{Config, Discovery, Network, Peer, Polling, Role};

use super::{ConfiguredPeers, ResolvedPeer, ScanResult, discovered_name, may_dial};

/// Consecutive scans without a peer after which it is no longer watched.
const MAX_MISSED_SCANS: u32 = 3;

/// The discovered peers of all networks.
#[derive(Clone, Debug, Default)]
pub struct Watchlist {
    shard: Shard,
    networks: BTreeMap<String, NetworkWatchlist>,
}

/// The discovered peers of one network.
#[derive(Clone, Debug, Default)]
struct NetworkWatchlist {
    peers: BTreeMap<Hash, WatchedPeer>,
    /// Number of candidates in the last scan whose addresses are not dialed.
    not_dialed: usize,
}

#[derive(Clone, Debug)]
struct WatchedPeer {
    /// The checked address. It is dialed whatever the name resolves to until the next scan.
    address: SocketAddr,
    /// Consecutive scans that did not find the peer.
    missed: u32,
    /// Position in the last scan that found the peer; 0 has the most weight.
    rank: usize,
}

/// What a scan changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchlistChange {
    /// Whether the watched peers or their addresses changed.
    pub changed: bool,
    /// Number of registered peers whose addresses are not dialed, if it changed.
    pub not_dialed: Option<usize>,
}

impl Watchlist {
    /// Creates an empty watchlist for an agent that has this shard.
    #[must_use]
    pub fn new(shard: Shard) -> Self {
        Self {
            shard,
            networks: BTreeMap::new(),
        }
    }

    /// Applies a scan. Ignores one of a network without discovery, which a reload can leave behind.
    pub fn apply(&mut self, scan: ScanResult, config: &Config) -> WatchlistChange {
        let mut networks = config.networks.iter();
        let network = networks.find(|network| network.name == scan.network);
        let Some(discovery) = network.and_then(|network| network.discovery.as_ref()) else {
            return WatchlistChange::default();
        };
        let watchlist = self.networks.entry(scan.network.clone()).or_default();
        let addresses_before = watchlist.addresses();
        let not_dialed_before = watchlist.not_dialed;
        watchlist.apply(scan, discovery.max_peers);
        let not_dialed = watchlist.not_dialed;
        WatchlistChange {
            changed: watchlist.addresses() != addresses_before,
            not_dialed: (not_dialed != not_dialed_before).then_some(not_dialed),
        }
    }

    /// Removes the peers of networks without discovery in `config`.
    pub fn retain(&mut self, config: &Config) {
        let networks = config.networks.iter();
        let discovering: HashSet<&str> = networks
            .filter(|network| network.discovery.is_some())
            .map(|network| network.name.as_str())
            .collect();
        self.networks
            .retain(|name, _| discovering.contains(name.as_str()));
    }

    /// Returns `config` with the discovered peers after the configured ones, which take precedence.
    /// Discovered peers of other shards are added to the sample.
    #[must_use]
    pub fn merged(&self, config: &Config) -> Config {
        let mut merged = config.clone();
        // Names can clash: one key can be registered in two networks, and two keys can start with
        // the same digits.
        let configured = config.peers.iter().chain(&config.others);
        let mut names: HashSet<String> = configured.map(|peer| peer.name.clone()).collect();
        for network in &config.networks {
            let (Some(discovery), Some(watchlist)) =
                (&network.discovery, self.networks.get(&network.name))
            else {
                continue;
            };
            let configured = ConfiguredPeers::new(config, &network.name);
            let allowed = watchlist.peers.iter().filter(|(key, watched)| {
                may_dial(watched.address.ip(), discovery.allow_private)
                    && !configured.keys.contains(key)
                    && !configured.contains_address(watched.address)
            });
            let unique = allowed.filter(|(key, _)| names.insert(discovered_name(key)));
            let peers = unique.map(|(key, watched)| {
                discovered_peer(*key, watched, network, discovery, &config.references)
            });
            for peer in peers.take(discovery.max_peers) {
                if self.shard.contains(&peer.name) {
                    merged.peers.push(Arc::new(peer));
                } else {
                    let peer = self.shard.sampled(peer, NonZeroU32::MIN);
                    merged.sample.push(Arc::new(peer));
                }
            }
        }
        merged
    }
}

impl NetworkWatchlist {
    fn addresses(&self) -> Vec<(Hash, SocketAddr)> {
        let address = |(key, watched): (&Hash, &WatchedPeer)| (*key, watched.address);
        self.peers.iter().map(address).collect()
    }

    fn apply(&mut self, scan: ScanResult, max_peers: usize) {
        self.peers.retain(|key, _| !scan.configured.contains(key));
        for watched in self.peers.values_mut() {
            watched.missed += u32::from(scan.complete);
        }
        self.not_dialed = 0;
        let mut taken = HashMap::new();
        // A watched peer keeps its address for as long as it has it, even if a new peer advertises
        // the same one.
        for (key, resolved) in &scan.candidates {
            let Some(watched) = self.peers.get_mut(key) else {
                continue;
            };
            match resolved {
                ResolvedPeer::At(addresses) if !addresses.contains(&watched.address) => {}
                ResolvedPeer::At(_) | ResolvedPeer::Unresolved => {
                    watched.missed = 0;
                    taken.insert(watched.address, *key);
                }
                ResolvedPeer::NotDialed => {}
            }
        }
        for (rank, (key, resolved)) in scan.candidates.into_iter().enumerate() {
            match resolved {
                ResolvedPeer::At(addresses) => {
                    let is_own = |address: &&SocketAddr| taken.get(*address) == Some(&key);
                    let is_free = |address: &&SocketAddr| !taken.contains_key(*address);
                    let own = addresses.iter().find(is_own);
                    let address = own.or_else(|| addresses.iter().find(is_free));
                    if let Some(address) = address.copied() {
                        taken.insert(address, key);
                        let watched = WatchedPeer {
                            address,
                            missed: 0,
                            rank,
                        };
                        self.peers.insert(key, watched);
                    }
                }
                ResolvedPeer::NotDialed => self.not_dialed += 1,
                ResolvedPeer::Unresolved => {}
            }
        }
        self.peers
            .retain(|_, watched| watched.missed < MAX_MISSED_SCANS);
        let mut order: Vec<(u32, usize, Hash)> = self
            .peers
            .iter()
            .map(|(key, watched)| (watched.missed, watched.rank, *key))
            .collect();
        order.sort_unstable();
        for (.., key) in order.into_iter().skip(max_peers) {
            self.peers.remove(&key);
        }
    }
}

/// Makes the configuration of a discovered peer. Everything that is not set here has its default,
/// so that no label, header, token, certificate or proxy of the operator is used for a stranger's
/// peer.
fn discovered_peer(
    key: Hash,
    watched: &WatchedPeer,
    network: &Network,
    discovery: &Discovery,
    polling: &Polling,
) -> Peer {
    let endpoint = |scheme: &str, address: SocketAddr| {
        Endpoint::parse(&format!("{scheme}://{address}")).expect("an address is an endpoint")
    };
    let mut peer = Peer::from_endpoint(endpoint("tcp", watched.address));
    if let Some(port) = discovery.http_port {
        let address = SocketAddr::new(watched.address.ip(), port);
        peer.endpoints.insert(0, endpoint("http", address));
    }
    peer.name = discovered_name(&key);
    peer.network.clone_from(&network.name);
    peer.genesis = network.genesis;
    peer.role = Role::Reference;
    peer.discovered = true;
    peer.key = Some(key);
    peer.polling = polling.clone();
    peer.verdicts = network.verdicts;
    peer
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config;

    use super::*;

    fn config(discovery: &str, peers: &str) -> Config {
        let text = format!(
            "defaults: {{ interval: 7s, timeout: 2s }}\n\
             networks: [{{ name: n, verdicts: {{ lag_blocks: 3 }}{discovery} }}]\n\
             peers:\n- {{ name: own, network: n, endpoints: ['tcp://own.example'] }}\n{peers}"
        );
        config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap()
    }

    const ON: &str = ", discovery: { enabled: true }";

    fn key(byte: u8) -> Hash {
        Hash::new([byte; 32])
    }

    fn at(addresses: &[&str]) -> ResolvedPeer {
        ResolvedPeer::At(addresses.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn scan(candidates: Vec<(u8, ResolvedPeer)>) -> ScanResult {
        let candidates = candidates.into_iter();
        ScanResult {
            network: "n".to_owned(),
            candidates: candidates.map(|(byte, it)| (key(byte), it)).collect(),
            configured: HashSet::new(),
            complete: true,
        }
    }

    fn watched(list: &Watchlist, config: &Config) -> Vec<String> {
        let merged = list.merged(config);
        let discovered = merged.peers.iter().skip(config.peers.len());
        discovered
            .map(|peer| {
                let endpoints: Vec<String> =
                    peer.endpoints.iter().map(ToString::to_string).collect();
                format!("{} {}", &peer.name[..8], endpoints.join(" "))
            })
            .collect()
    }

    #[test]
    fn a_discovered_peer_is_a_reference_without_any_settings_of_the_operator() {
        let config = config(", discovery: { enabled: true, http_port: 8080 }", "");
        let mut list = Watchlist::default();
        let change = list.apply(scan(vec![(0xab, at(&["9.9.9.9:1"]))]), &config);
        assert!(change.changed);
        let merged = list.merged(&config);
        assert_eq!(merged.peers[..1], config.peers[..]);
        let peer = &merged.peers[1];
        let mut expected = Peer::from_endpoint(Endpoint::parse("http://9.9.9.9:8080").unwrap());
        expected
            .endpoints
            .push(Endpoint::parse("tcp://9.9.9.9:1").unwrap());
        "chain-abababababab".clone_into(&mut expected.name);
        "n".clone_into(&mut expected.network);
        expected.role = Role::Reference;
        expected.discovered = true;
        expected.key = Some(key(0xab));
        expected.polling = config.references.clone();
        expected.verdicts = config.networks[0].verdicts;
        assert_eq!(**peer, expected);
        assert_eq!(peer.verdicts.lag_blocks, 3);
    }

    #[test]
    fn a_peer_is_removed_after_three_scans_without_it() {
        let config = config(ON, "");
        let mut list = Watchlist::default();
        let both = || scan(vec![(1, at(&["9.9.9.1:1"])), (2, at(&["9.9.9.2:1"]))]);
        let one = || scan(vec![(2, at(&["9.9.9.2:1"]))]);
        list.apply(both(), &config);
        for _ in 0..2 {
            assert!(!list.apply(one(), &config).changed);
        }
        assert!(!list.apply(both(), &config).changed, "it came back");
        let mut part = one();
        part.complete = false;
        for _ in 0..5 {
            assert!(
                !list.apply(part.clone(), &config).changed,
                "an incomplete scan does not count"
            );
        }
        let changed: Vec<bool> = (0..3).map(|_| list.apply(one(), &config).changed).collect();
        assert_eq!(changed, [false, false, true]);
        assert_eq!(watched(&list, &config), ["chain-02 tcp://9.9.9.2:1"]);
    }

    #[test]
    fn an_address_is_kept_for_as_long_as_the_peer_has_it() {
        let config = config(ON, "");
        let mut list = Watchlist::default();
        list.apply(scan(vec![(1, at(&["9.9.9.2:1", "9.9.9.3:1"]))]), &config);
        let other_order = scan(vec![(1, at(&["9.9.9.1:1", "9.9.9.2:1"]))]);
        assert!(!list.apply(other_order, &config).changed);
        for _ in 0..5 {
            let unresolved = scan(vec![(1, ResolvedPeer::Unresolved)]);
            assert!(!list.apply(unresolved, &config).changed);
        }
        assert_eq!(watched(&list, &config), ["chain-01 tcp://9.9.9.2:1"]);
        assert!(
            list.apply(scan(vec![(1, at(&["9.9.9.1:1"]))]), &config)
                .changed
        );
        assert_eq!(watched(&list, &config), ["chain-01 tcp://9.9.9.1:1"]);
    }

    #[test]
    fn an_address_belongs_to_one_peer_and_no_new_peer_takes_it() {
        let config = config(ON, "");
        let mut list = Watchlist::default();
        list.apply(
            scan(vec![(2, at(&["9.9.9.9:1"])), (3, at(&["9.9.9.9:1"]))]),
            &config,
        );
        assert_eq!(watched(&list, &config), ["chain-02 tcp://9.9.9.9:1"]);
        let heavier = scan(vec![(1, at(&["9.9.9.9:1"])), (2, at(&["9.9.9.9:1"]))]);
        assert!(!list.apply(heavier, &config).changed);
    }

    #[test]
    fn a_changed_number_of_peers_that_are_not_dialed_is_reported() {
        let config = config(ON, "");
        let mut list = Watchlist::default();
        let not_dialed =
            |count: u8| scan((0..count).map(|i| (i, ResolvedPeer::NotDialed)).collect());
        let reported: Vec<Option<usize>> = [0, 2, 2, 3, 0]
            .map(|count| list.apply(not_dialed(count), &config).not_dialed)
            .into();
        assert_eq!(reported, [None, Some(2), None, Some(3), Some(0)]);
        assert!(watched(&list, &config).is_empty());
    }

    #[test]
    fn the_limit_keeps_the_latest_peers_with_the_most_weight() {
        let config = config(", discovery: { enabled: true, max_peers: 2 }", "");
        let mut list = Watchlist::default();
        list.apply(
            scan(vec![(1, at(&["9.9.9.1:1"])), (2, at(&["9.9.9.2:1"]))]),
            &config,
        );
        list.apply(
            scan(vec![(3, at(&["9.9.9.3:1"])), (2, at(&["9.9.9.2:1"]))]),
            &config,
        );
        let expected = ["chain-02 tcp://9.9.9.2:1", "chain-03 tcp://9.9.9.3:1"];
        assert_eq!(watched(&list, &config), expected);
    }

    #[test]
    fn a_configured_peer_replaces_the_discovered_one() {
        let before = config(ON, "");
        let mut list = Watchlist::default();
        let found = scan(vec![
            (1, at(&["9.9.9.1:1"])),
            (2, at(&["9.9.9.2:1"])),
            (3, at(&["9.9.9.3:1"])),
            (4, at(&["9.9.9.4:1"])),
        ]);
        list.apply(found.clone(), &before);
        let pinned = key(1);
        let after = config(
            ON,
            &format!(
                "- {{ name: a, network: n, key: '{pinned}', endpoints: ['http://a.example'] }}\n\
                 - {{ name: b, network: n, endpoints: ['tcp://9.9.9.2:1'] }}\n\
                 - {{ name: chain-030303030303, network: n, endpoints: ['http://c.example'] }}\n"
            ),
        );
        assert_eq!(watched(&list, &after), ["chain-04 tcp://9.9.9.4:1"]);
        let mut learned = found;
        learned.configured.insert(key(4));
        learned.candidates.pop();
        assert!(list.apply(learned, &after).changed, "at once");
        assert!(watched(&list, &after).is_empty());
    }

    #[test]
    fn peers_are_removed_when_discovery_is_disabled_or_restricted() {
        let on = config(", discovery: { enabled: true, allow_private: true }", "");
        let mut list = Watchlist::default();
        list.apply(scan(vec![(1, at(&["127.0.0.1:1"]))]), &on);
        assert_eq!(watched(&list, &on).len(), 1);
        assert!(
            watched(&list, &config(ON, "")).is_empty(),
            "private addresses are no longer allowed"
        );
        let off = config("", "");
        assert!(watched(&list, &off).is_empty());
        list.retain(&on);
        assert_eq!(watched(&list, &on).len(), 1);
        list.retain(&off);
        assert!(watched(&list, &on).is_empty());
        let late = scan(vec![(1, at(&["127.0.0.1:1"]))]);
        assert_eq!(list.apply(late, &off), WatchlistChange::default());
    }
}

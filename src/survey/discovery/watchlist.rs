//! Who is watched because the chain registers it, over the rounds. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use cad3::Hash;
use convex_client::Endpoint;

use crate::config::shard::Shard;
use crate::config::{Cadence, Config, Discovery, Network, Peer, Role};

use super::{Configured, ResolvedPeer, ScanResult, may_be_dialled, name};

/// Rounds running without a peer after which it is watched no longer.
const ROUNDS_UNTIL_GONE: u32 = 3;

/// The discovered peers of all networks.
#[derive(Clone, Debug, Default)]
pub struct Watchlist {
    shard: Shard,
    networks: BTreeMap<String, Found>,
}

/// The discovered peers of one network.
#[derive(Clone, Debug, Default)]
struct Found {
    peers: BTreeMap<Hash, Watched>,
    /// How many were found where nothing is dialled.
    hidden: usize,
}

#[derive(Clone, Debug)]
struct Watched {
    /// Checked, and dialled as it is: what the name resolves to meanwhile is of no account until the next round.
    address: SocketAddr,
    /// Rounds running in which it was not found.
    missed: u32,
    /// Position in the last round that found it, the heaviest first.
    rank: usize,
}

/// What a round has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Whether other peers than before, or other addresses of them, are watched.
    pub changed: bool,
    /// How many are registered with an address that is not dialled, when that is not as before.
    pub hidden: Option<usize>,
}

impl Watchlist {
    /// Nobody yet, for an agent that has this part of the fleet.
    #[must_use]
    pub fn of(shard: Shard) -> Self {
        Self {
            shard,
            networks: BTreeMap::new(),
        }
    }

    /// Takes a round. One of a network of `config` that discovers nothing, made before a reload, changes nothing.
    pub fn take(&mut self, round: ScanResult, config: &Config) -> News {
        let of_round = |network: &&Network| network.name == round.network;
        let network = config.networks.iter().find(of_round);
        let Some(discovery) = network.and_then(|network| network.discovery.as_ref()) else {
            return News::default();
        };
        let found = self.networks.entry(round.network.clone()).or_default();
        let before = found.addresses();
        let hidden = found.take(round, discovery.max_peers);
        News {
            changed: found.addresses() != before,
            hidden: (hidden != std::mem::replace(&mut found.hidden, hidden)).then_some(hidden),
        }
    }

    /// Forgets what was found in networks where `config` discovers nothing.
    pub fn retain(&mut self, config: &Config) {
        let on = |network: &&Network| network.discovery.is_some();
        let on: HashSet<&str> = config
            .networks
            .iter()
            .filter(on)
            .map(|network| network.name.as_str())
            .collect();
        self.networks.retain(|name, _| on.contains(name.as_str()));
    }

    /// `config` with the discovered peers behind the configured ones, which have precedence; those of other shards in the
    /// sample.
    #[must_use]
    pub fn merged(&self, config: &Config) -> Config {
        let mut merged = config.clone();
        // One key can be registered in two networks, and two keys can begin alike.
        let all = config.peers.iter().chain(&config.others);
        let mut names: HashSet<String> = all.map(|it| it.name.clone()).collect();
        for network in &config.networks {
            let (Some(discovery), Some(found)) =
                (&network.discovery, self.networks.get(&network.name))
            else {
                continue;
            };
            let configured = Configured::of(config, &network.name);
            let welcome = found.peers.iter().filter(|(key, watched)| {
                may_be_dialled(watched.address.ip(), discovery.allow_private)
                    && !configured.keys.contains(key)
                    && !configured.has_address(watched.address)
            });
            let fresh = welcome.filter(|(key, _)| names.insert(name(key)));
            let peers = fresh.map(|(key, watched)| {
                reference(*key, watched, network, discovery, &config.references)
            });
            for peer in peers.take(discovery.max_peers) {
                if self.shard.has(&peer.name) {
                    merged.peers.push(Arc::new(peer));
                } else {
                    let peer = self.shard.glimpsed(peer, NonZeroU32::MIN);
                    merged.sample.push(Arc::new(peer));
                }
            }
        }
        merged
    }
}

impl Found {
    fn addresses(&self) -> Vec<(Hash, SocketAddr)> {
        let address = |(key, watched): (&Hash, &Watched)| (*key, watched.address);
        self.peers.iter().map(address).collect()
    }

    /// Takes a round and says how many are hidden.
    fn take(&mut self, round: ScanResult, max_peers: usize) -> usize {
        self.peers.retain(|key, _| !round.configured.contains(key));
        for watched in self.peers.values_mut() {
            watched.missed += u32::from(round.conclusive);
        }
        let mut hidden = 0;
        let mut taken = HashMap::new();
        // Who is watched keeps its address while it has it; a newcomer cannot take it away.
        for (key, sighting) in &round.sightings {
            let Some(watched) = self.peers.get_mut(key) else {
                continue;
            };
            match sighting {
                ResolvedPeer::At(all) if !all.contains(&watched.address) => {}
                ResolvedPeer::At(_) | ResolvedPeer::Unresolved => {
                    watched.missed = 0;
                    taken.insert(watched.address, *key);
                }
                ResolvedPeer::Hidden => {}
            }
        }
        for (rank, (key, sighting)) in round.sightings.into_iter().enumerate() {
            match sighting {
                ResolvedPeer::At(all) => {
                    let mine = |it: &&SocketAddr| taken.get(*it) == Some(&key);
                    let free = |it: &&SocketAddr| !taken.contains_key(*it);
                    let address = all.iter().find(mine).or_else(|| all.iter().find(free));
                    if let Some(address) = address.copied() {
                        taken.insert(address, key);
                        let missed = 0;
                        let watched = Watched {
                            address,
                            missed,
                            rank,
                        };
                        self.peers.insert(key, watched);
                    }
                }
                ResolvedPeer::Hidden => hidden += 1,
                ResolvedPeer::Unresolved => {}
            }
        }
        self.peers
            .retain(|_, watched| watched.missed < ROUNDS_UNTIL_GONE);
        let mut order: Vec<(u32, usize, Hash)> = self
            .peers
            .iter()
            .map(|(key, watched)| (watched.missed, watched.rank, *key))
            .collect();
        order.sort_unstable();
        for (.., key) in order.into_iter().skip(max_peers) {
            self.peers.remove(&key);
        }
        hidden
    }
}

/// A discovered peer: everything that is not said here is as by default, so no label, header, token, certificate or proxy
/// of the operator's goes with it.
fn reference(
    key: Hash,
    watched: &Watched,
    network: &Network,
    discovery: &Discovery,
    cadence: &Cadence,
) -> Peer {
    let endpoint = |scheme: &str, address: SocketAddr| {
        Endpoint::parse(&format!("{scheme}://{address}")).expect("an address is an endpoint")
    };
    let mut peer = Peer::at(endpoint("tcp", watched.address));
    if let Some(port) = discovery.http_port {
        let address = SocketAddr::new(watched.address.ip(), port);
        peer.endpoints.insert(0, endpoint("http", address));
    }
    peer.name = name(&key);
    peer.network.clone_from(&network.name);
    peer.genesis = network.genesis;
    peer.role = Role::Reference;
    peer.key = Some(key);
    peer.cadence = cadence.clone();
    peer.verdicts = network.verdicts;
    peer
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

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

    fn round(sightings: Vec<(u8, ResolvedPeer)>) -> ScanResult {
        let sightings = sightings.into_iter();
        ScanResult {
            network: "n".to_owned(),
            sightings: sightings.map(|(byte, it)| (key(byte), it)).collect(),
            configured: HashSet::new(),
            conclusive: true,
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
    fn a_found_peer_is_a_reference_with_nothing_of_the_operators() {
        let config = config(", discovery: { enabled: true, http_port: 8080 }", "");
        let mut list = Watchlist::default();
        let news = list.take(round(vec![(0xab, at(&["9.9.9.9:1"]))]), &config);
        assert!(news.changed);
        let merged = list.merged(&config);
        assert_eq!(merged.peers[..1], config.peers[..]);
        let peer = &merged.peers[1];
        let mut expected = Peer::at(Endpoint::parse("http://9.9.9.9:8080").unwrap());
        expected
            .endpoints
            .push(Endpoint::parse("tcp://9.9.9.9:1").unwrap());
        "chain-abababababab".clone_into(&mut expected.name);
        "n".clone_into(&mut expected.network);
        expected.role = Role::Reference;
        expected.key = Some(key(0xab));
        expected.cadence = config.references.clone();
        expected.verdicts = config.networks[0].verdicts;
        assert_eq!(**peer, expected);
        assert_eq!(peer.verdicts.lag_blocks, 3);
    }

    #[test]
    fn a_peer_is_removed_after_three_rounds_without_it() {
        let config = config(ON, "");
        let mut list = Watchlist::default();
        let both = || round(vec![(1, at(&["9.9.9.1:1"])), (2, at(&["9.9.9.2:1"]))]);
        let one = || round(vec![(2, at(&["9.9.9.2:1"]))]);
        list.take(both(), &config);
        for _ in 0..2 {
            assert!(!list.take(one(), &config).changed);
        }
        assert!(!list.take(both(), &config).changed, "it came back");
        let mut part = one();
        part.conclusive = false;
        for _ in 0..5 {
            assert!(
                !list.take(part.clone(), &config).changed,
                "a part says nothing"
            );
        }
        let changed: Vec<bool> = (0..3).map(|_| list.take(one(), &config).changed).collect();
        assert_eq!(changed, [false, false, true]);
        assert_eq!(watched(&list, &config), ["chain-02 tcp://9.9.9.2:1"]);
    }

    #[test]
    fn an_address_is_kept_as_long_as_the_peer_has_it_and_replaced_when_not() {
        let config = config(ON, "");
        let mut list = Watchlist::default();
        list.take(round(vec![(1, at(&["9.9.9.2:1", "9.9.9.3:1"]))]), &config);
        let other_order = round(vec![(1, at(&["9.9.9.1:1", "9.9.9.2:1"]))]);
        assert!(!list.take(other_order, &config).changed);
        for _ in 0..5 {
            let unresolved = round(vec![(1, ResolvedPeer::Unresolved)]);
            assert!(!list.take(unresolved, &config).changed);
        }
        assert_eq!(watched(&list, &config), ["chain-01 tcp://9.9.9.2:1"]);
        assert!(
            list.take(round(vec![(1, at(&["9.9.9.1:1"]))]), &config)
                .changed
        );
        assert_eq!(watched(&list, &config), ["chain-01 tcp://9.9.9.1:1"]);
    }

    #[test]
    fn an_address_has_one_peer_and_no_newcomer_takes_it_away() {
        let config = config(ON, "");
        let mut list = Watchlist::default();
        list.take(
            round(vec![(2, at(&["9.9.9.9:1"])), (3, at(&["9.9.9.9:1"]))]),
            &config,
        );
        assert_eq!(watched(&list, &config), ["chain-02 tcp://9.9.9.9:1"]);
        let heavier = round(vec![(1, at(&["9.9.9.9:1"])), (2, at(&["9.9.9.9:1"]))]);
        assert!(!list.take(heavier, &config).changed);
    }

    #[test]
    fn hidden_peers_are_told_of_when_their_number_changes() {
        let config = config(ON, "");
        let mut list = Watchlist::default();
        let hidden = |count: u8| round((0..count).map(|i| (i, ResolvedPeer::Hidden)).collect());
        let told: Vec<Option<usize>> = [0, 2, 2, 3, 0]
            .map(|count| list.take(hidden(count), &config).hidden)
            .into();
        assert_eq!(told, [None, Some(2), None, Some(3), Some(0)]);
        assert!(watched(&list, &config).is_empty());
    }

    #[test]
    fn the_most_peers_are_the_heaviest_and_those_just_seen() {
        let config = config(", discovery: { enabled: true, max_peers: 2 }", "");
        let mut list = Watchlist::default();
        list.take(
            round(vec![(1, at(&["9.9.9.1:1"])), (2, at(&["9.9.9.2:1"]))]),
            &config,
        );
        list.take(
            round(vec![(3, at(&["9.9.9.3:1"])), (2, at(&["9.9.9.2:1"]))]),
            &config,
        );
        let expected = ["chain-02 tcp://9.9.9.2:1", "chain-03 tcp://9.9.9.3:1"];
        assert_eq!(watched(&list, &config), expected);
    }

    #[test]
    fn what_the_operator_configures_replaces_what_was_found() {
        let before = config(ON, "");
        let mut list = Watchlist::default();
        let found = round(vec![
            (1, at(&["9.9.9.1:1"])),
            (2, at(&["9.9.9.2:1"])),
            (3, at(&["9.9.9.3:1"])),
            (4, at(&["9.9.9.4:1"])),
        ]);
        list.take(found.clone(), &before);
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
        learned.sightings.pop();
        assert!(list.take(learned, &after).changed, "at once");
        assert!(watched(&list, &after).is_empty());
    }

    #[test]
    fn discovery_that_is_switched_off_or_narrowed_watches_no_longer() {
        let on = config(", discovery: { enabled: true, allow_private: true }", "");
        let mut list = Watchlist::default();
        list.take(round(vec![(1, at(&["127.0.0.1:1"]))]), &on);
        assert_eq!(watched(&list, &on).len(), 1);
        assert!(
            watched(&list, &config(ON, "")).is_empty(),
            "not a private address"
        );
        let off = config("", "");
        assert!(watched(&list, &off).is_empty());
        list.retain(&on);
        assert_eq!(watched(&list, &on).len(), 1);
        list.retain(&off);
        assert!(watched(&list, &on).is_empty());
        let late = round(vec![(1, at(&["127.0.0.1:1"]))]);
        assert_eq!(list.take(late, &off), News::default());
    }
}

//! Whether peers are where the registry says: the URLs that they advertise on chain, compared with
//! the watched endpoints.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use cad3::Hash;
use convex_client::chain::AdvertisedAddress;
use convex_client::chain::Registry;
use convex_client::{Endpoint, Transport};

use super::{Evidence, Fleet, PeerRecord, Slot};

/// The addresses that host names resolve to.
pub type Addresses = HashMap<String, Vec<IpAddr>>;

/// A host name or an address, and a port.
type HostPort = (String, u16);

/// All ways to write an endpoint: with its host name and with each of its addresses.
fn spellings(host: &str, port: u16, addresses: &Addresses) -> HashSet<HostPort> {
    let host = host.to_ascii_lowercase();
    let canonical = |address: IpAddr| address.to_canonical().to_string();
    let resolved = addresses.get(&host).into_iter().flatten();
    let mut spellings: HashSet<HostPort> = resolved
        .map(|address| (canonical(*address), port))
        .collect();
    spellings.insert((host.parse().map_or(host, canonical), port));
    spellings
}

/// Whether the peer with `key` is reached at `url`: yes if that is its own endpoint, no if a
/// watched peer with another key answers there, else unknown. `answering` has the keys by where
/// they answer.
fn advertised_match(
    key: &Hash,
    url: &HashSet<HostPort>,
    own_endpoint: &HashSet<HostPort>,
    answering: &HashMap<HostPort, HashSet<Hash>>,
) -> Evidence {
    if !url.is_disjoint(own_endpoint) {
        return Evidence::Proven;
    }
    let mut keys = url
        .iter()
        .filter_map(|host_port| answering.get(host_port))
        .flatten();
    if keys.any(|other| other != key) {
        Evidence::Disproven
    } else {
        Evidence::None
    }
}

fn tcp_endpoint(record: &PeerRecord) -> Option<&Endpoint> {
    let mut endpoints = record.peer.endpoints.iter();
    endpoints.find(|endpoint| endpoint.transport() == Transport::Tcp)
}

/// The key that a peer answers with, unless another one is pinned: then another peer answers
/// instead of it.
fn confirmed_key(record: &PeerRecord) -> Option<Hash> {
    let key = record.identity.key?;
    record
        .peer
        .key
        .is_none_or(|pinned| pinned == key)
        .then_some(key)
}

/// The URL that the registry has for a peer.
fn advertised_url(record: &PeerRecord, registry: &Registry) -> Option<AdvertisedAddress> {
    let registered = registry.peers.get(&confirmed_key(record)?)?;
    registered.url.as_deref()?.parse().ok()
}

impl Fleet {
    fn records(&self, network: &str) -> Vec<(Arc<Slot>, Arc<PeerRecord>)> {
        let slots = self.slots().into_iter();
        let records = slots.map(|slot| {
            let record = slot.record();
            (slot, record)
        });
        records
            .filter(|(_, record)| record.peer.network == network)
            .collect()
    }

    /// Returns the keys of the watched peers of a network, as far as they are known.
    #[must_use]
    pub fn own_keys(&self, network: &str) -> BTreeSet<Hash> {
        let records = self.records(network).into_iter();
        records.filter_map(|(_, record)| record.own_key()).collect()
    }

    /// Returns the host names that have to be resolved before [`Self::check_advertised_urls`]:
    /// those of peers whose advertised URL is not written like their endpoint.
    #[must_use]
    pub fn advertised_hosts(&self, network: &str, registry: &Registry) -> BTreeSet<String> {
        let mut hosts = BTreeSet::new();
        for (_, record) in self.records(network) {
            let Some(url) = advertised_url(&record, registry) else {
                continue;
            };
            let own =
                tcp_endpoint(&record).map(|own| (own.host().to_ascii_lowercase(), own.port()));
            if own.as_ref() != Some(&(url.host.clone(), url.port)) {
                hosts.extend(own.map(|(host, _)| host));
                hosts.insert(url.host);
            }
        }
        hosts.retain(|host| host.parse::<IpAddr>().is_err());
        hosts
    }

    /// Checks whether the peers of a network are where they advertise to be. Conditions follow with
    /// each peer's next poll.
    pub fn check_advertised_urls(&self, network: &str, registry: &Registry, addresses: &Addresses) {
        let records = self.records(network);
        let own_endpoint = |record: &PeerRecord| {
            let endpoint = tcp_endpoint(record);
            endpoint.map_or_else(HashSet::new, |endpoint| {
                spellings(&endpoint.host(), endpoint.port(), addresses)
            })
        };
        let mut answering: HashMap<HostPort, HashSet<Hash>> = HashMap::new();
        for (_, record) in &records {
            if let Some(key) = record.identity.key.filter(|_| record.last_poll.is_good()) {
                for host_port in own_endpoint(record) {
                    answering.entry(host_port).or_default().insert(key);
                }
            }
        }
        for (slot, record) in &records {
            let Some(key) = confirmed_key(record) else {
                continue;
            };
            let Some(registered) = registry.peers.get(&key) else {
                continue;
            };
            let matches = advertised_url(record, registry).map_or(Evidence::None, |url| {
                let url = spellings(&url.host, url.port, addresses);
                advertised_match(&key, &url, &own_endpoint(record), &answering)
            });
            slot.update(|record| {
                let url = registered.url.as_deref();
                record.identity.record_advertised_url(key, url, matches);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_matches_the_own_endpoint_and_not_one_where_another_key_answers() {
        let addresses: Addresses = [
            ("a.example", "9.9.9.1"),
            ("alias.example", "9.9.9.1"),
            ("b.example", "9.9.9.2"),
        ]
        .map(|(host, address)| (host.to_owned(), vec![address.parse().unwrap()]))
        .into();
        let (own, other) = (Hash::new([1; 32]), Hash::new([2; 32]));
        let mut answering: HashMap<HostPort, HashSet<Hash>> = HashMap::new();
        for (key, host, port) in [
            (own, "a.example", 1),
            (other, "b.example", 1),
            (other, "9.9.9.3", 1),
            (own, "9.9.9.4", 1),
        ] {
            for host_port in spellings(host, port, &addresses) {
                answering.entry(host_port).or_default().insert(key);
            }
        }
        for (host, port, expected) in [
            ("a.example", 1, Some(true)),
            ("A.example", 1, Some(true)),
            ("9.9.9.1", 1, Some(true)),
            ("alias.example", 1, Some(true)),
            ("::ffff:9.9.9.1", 1, Some(true)),
            ("a.example", 2, None),
            ("b.example", 1, Some(false)),
            ("9.9.9.2", 1, Some(false)),
            ("9.9.9.3", 1, Some(false)),
            ("b.example", 2, None),
            ("9.9.9.4", 1, None),
            ("nowhere.example", 1, None),
        ] {
            let url = spellings(host, port, &addresses);
            let endpoint = spellings("a.example", 1, &addresses);
            let matches = advertised_match(&own, &url, &endpoint, &answering);
            assert_eq!(matches.to_bool(), expected, "{host}:{port}");
        }
    }
}

//! The URL that a peer advertises on chain, against the endpoints that are watched.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use cad3::Hash;
use convex_client::chain::{AdvertisedAddress, Registry};
use convex_client::{Endpoint, Transport};

use crate::fleet::peer::PeerRecord;
use crate::fleet::{Arc, Fleet, Slot, lock};

/// What names resolve to.
pub type Addresses = HashMap<String, Vec<IpAddr>>;

/// A host, by its name or by an address, and a port.
type Place = (String, u16);

/// Every way in which an endpoint is written.
fn places(host: &str, port: u16, addresses: &Addresses) -> HashSet<Place> {
    let host = host.to_ascii_lowercase();
    let canonical = |address: IpAddr| address.to_canonical().to_string();
    let resolved = addresses.get(&host).into_iter().flatten();
    let mut places: HashSet<Place> = resolved.map(|it| (canonical(*it), port)).collect();
    places.insert((host.parse().map_or(host, canonical), port));
    places
}

/// Whether the peer with `key` is where it says: proven when that is its own endpoint, disproven when a watched peer with
/// another key answers there, else not known. `answering` has the keys by the place where they answer.
fn advertised_match(
    key: &Hash,
    url: &HashSet<Place>,
    own: &HashSet<Place>,
    answering: &HashMap<Place, HashSet<Hash>>,
) -> Option<bool> {
    if !url.is_disjoint(own) {
        return Some(true);
    }
    let mut there = url
        .iter()
        .filter_map(|place| answering.get(place))
        .flatten();
    there.any(|other| other != key).then_some(false)
}

fn tcp(record: &PeerRecord) -> Option<&Endpoint> {
    let mut endpoints = record.peer.endpoints.iter();
    endpoints.find(|endpoint| endpoint.transport() == Transport::Tcp)
}

/// The key that a peer has shown, unless another one is pinned: then somebody else answers in its place.
fn key(record: &PeerRecord) -> Option<Hash> {
    let shown = record.identity.key?;
    record
        .peer
        .key
        .is_none_or(|pinned| pinned == shown)
        .then_some(shown)
}

/// Where the registry says that a peer is.
fn url(record: &PeerRecord, registry: &Registry) -> Option<AdvertisedAddress> {
    let registered = registry.peers.get(&key(record)?)?;
    registered.url.as_deref()?.parse().ok()
}

impl Fleet {
    fn records(&self, network: &str) -> Vec<(Arc<Slot>, Arc<PeerRecord>)> {
        let slots = self.slots().into_iter();
        let records = slots.map(|slot| {
            let record = Arc::clone(&lock(&slot.record));
            (slot, record)
        });
        records
            .filter(|(_, record)| record.peer.network == network)
            .collect()
    }

    /// The names that have to be resolved to judge the advertised URLs of a network: of peers whose URL is not written as
    /// their endpoint.
    #[must_use]
    pub fn advertised_hosts(&self, network: &str, registry: &Registry) -> BTreeSet<String> {
        let mut hosts = BTreeSet::new();
        for (_, record) in self.records(network) {
            let Some(url) = url(&record, registry) else {
                continue;
            };
            let own = tcp(&record).map(|own| (own.host().to_ascii_lowercase(), own.port()));
            if own.as_ref() != Some(&(url.host.clone(), url.port)) {
                hosts.extend(own.map(|(host, _)| host));
                hosts.insert(url.host);
            }
        }
        hosts.retain(|host| host.parse::<IpAddr>().is_err());
        hosts
    }

    /// Judges where the peers of a network say that they are. Conditions follow with each peer's next poll.
    pub fn judge_advertised(&self, network: &str, registry: &Registry, addresses: &Addresses) {
        let records = self.records(network);
        let own = |record: &PeerRecord| {
            let endpoint = tcp(record);
            endpoint.map_or_else(HashSet::new, |it| places(&it.host(), it.port(), addresses))
        };
        let mut answering: HashMap<Place, HashSet<Hash>> = HashMap::new();
        for (_, record) in &records {
            if let Some(key) = record.identity.key.filter(|_| record.up == Some(true)) {
                for place in own(record) {
                    answering.entry(place).or_default().insert(key);
                }
            }
        }
        for (slot, record) in &records {
            let Some(key) = key(record) else { continue };
            let Some(registered) = registry.peers.get(&key) else {
                continue;
            };
            let matches = url(record, registry).and_then(|url| {
                let url = places(&url.host, url.port, addresses);
                advertised_match(&key, &url, &own(record), &answering)
            });
            let mut record = lock(&slot.record);
            let identity = &mut Arc::make_mut(&mut record).identity;
            identity.advertise(key, registered.url.as_deref(), matches);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_proven_by_the_own_endpoint_and_disproven_by_who_else_answers_there() {
        let addresses: Addresses = [
            ("a.example", "9.9.9.1"),
            ("alias.example", "9.9.9.1"),
            ("b.example", "9.9.9.2"),
        ]
        .map(|(host, address)| (host.to_owned(), vec![address.parse().unwrap()]))
        .into();
        let (own, other) = (Hash::new([1; 32]), Hash::new([2; 32]));
        let mut answering: HashMap<Place, HashSet<Hash>> = HashMap::new();
        for (key, host, port) in [
            (own, "a.example", 1),
            (other, "b.example", 1),
            (other, "9.9.9.3", 1),
            (own, "9.9.9.4", 1),
        ] {
            for place in places(host, port, &addresses) {
                answering.entry(place).or_default().insert(key);
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
            let url = places(host, port, &addresses);
            let endpoint = places("a.example", 1, &addresses);
            let matches = advertised_match(&own, &url, &endpoint, &answering);
            assert_eq!(matches, expected, "{host}:{port}");
        }
    }
}

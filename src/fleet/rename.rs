//! Recognises a peer that has another name in the new configuration.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cad3::Hash;
use convex_client::Endpoint;

use crate::config;

use super::{SavedPeer, Slot, lock};

/// A peer that continues under another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// Its network.
    pub network: String,
    /// The name until now.
    pub from: String,
    /// The name from now on.
    pub to: String,
}

impl Rename {
    pub(super) fn new(from: String, peer: &config::Peer) -> Self {
        Self {
            network: peer.network.clone(),
            from,
            to: peer.name.clone(),
        }
    }
}

/// Peers that the new configuration does not name, to be found by their endpoints. `T` is what is
/// known of each, `E` an endpoint.
#[derive(Debug)]
pub(super) struct UnnamedPeers<T, E> {
    pub(super) peers: HashMap<String, T>,
    /// Names by endpoint.
    names: HashMap<E, Vec<String>>,
}

impl UnnamedPeers<Arc<Slot>, Endpoint> {
    pub(super) fn watched(peers: HashMap<String, Arc<Slot>>) -> Self {
        Self::new(peers, |slot| slot.peer().endpoints.clone())
    }

    /// Takes the record of `peer` and the name that it had.
    pub(super) fn take(&mut self, peer: &config::Peer) -> Option<(String, Arc<Slot>)> {
        let is_same = |slot: &Arc<Slot>| {
            let state = lock(&slot.state);
            let same = state.record.is_same_peer(peer, PartialEq::eq);
            same.then(|| state.record.own_key())
        };
        self.take_same(&peer.endpoints, is_same)
    }
}

impl UnnamedPeers<SavedPeer, String> {
    pub(super) fn saved(peers: impl IntoIterator<Item = (String, SavedPeer)>) -> Self {
        let peers = peers.into_iter().collect();
        Self::new(peers, |peer| peer.endpoints.keys().cloned().collect())
    }

    /// Takes the saved state of `peer` and the name that it had.
    pub(super) fn take(&mut self, peer: &config::Peer) -> Option<(String, SavedPeer)> {
        let ids: Vec<String> = peer.endpoints.iter().map(Endpoint::id).collect();
        let is_same = |saved: &SavedPeer| saved.belongs_to(peer).then(|| saved.own_key());
        self.take_same(&ids, is_same)
    }
}

impl<T, E: std::hash::Hash + Eq> UnnamedPeers<T, E> {
    fn new(peers: HashMap<String, T>, endpoints: impl Fn(&T) -> Vec<E>) -> Self {
        let mut names: HashMap<E, Vec<String>> = HashMap::new();
        for (name, peer) in &peers {
            for endpoint in endpoints(peer) {
                names.entry(endpoint).or_default().push(name.clone());
            }
        }
        Self { peers, names }
    }

    /// Takes the only peer with one of the `endpoints` that is the same, by `is_same`, which
    /// returns its key. Of several the first by name if all have one key, else none: a history that
    /// begins again does less harm than that of another peer.
    fn take_same(
        &mut self,
        endpoints: &[E],
        is_same: impl Fn(&T) -> Option<Option<Hash>>,
    ) -> Option<(String, T)> {
        let names = endpoints.iter().filter_map(|it| self.names.get(it));
        let mut same: Vec<(&String, Option<Hash>)> = names
            .flatten()
            .filter_map(|name| Some((name, is_same(self.peers.get(name)?)?)))
            .collect();
        same.sort_unstable();
        same.dedup();
        let (first, key) = *same.first()?;
        let one_key = key.is_some() && same.iter().all(|(_, other)| *other == key);
        if same.len() > 1 && !one_key {
            return None;
        }
        let first = first.clone();
        let peer = self.peers.remove(&first)?;
        Some((first, peer))
    }
}

/// Returns renames that can be followed one after the other: if peers exchange names, all of them
/// first get names that no peer can have.
pub(super) fn in_steps(renames: Vec<Rename>) -> Vec<Rename> {
    let taken: HashSet<&String> = renames.iter().map(|rename| &rename.from).collect();
    if renames.iter().all(|rename| !taken.contains(&rename.to)) {
        return renames;
    }
    let aside = |rename: &Rename| format!("\0{}", rename.from);
    let first = renames.iter().map(|rename| Rename {
        to: aside(rename),
        ..rename.clone()
    });
    let second = renames.iter().map(|rename| Rename {
        from: aside(rename),
        ..rename.clone()
    });
    first.chain(second).collect()
}

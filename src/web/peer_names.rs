//! Names of peers by their keys: most registered peers are not watched and have only a key.

use std::collections::BTreeMap;

use cad3::Hash;

use crate::fleet::{PeerRecord, Snapshot};

/// The watched peers of one network by their keys.
#[derive(Debug)]
pub(super) struct PeerNames<'a>(BTreeMap<Hash, &'a PeerRecord>);

impl<'a> PeerNames<'a> {
    /// The peers of `network`. A key that several peers have names the first one.
    pub(super) fn of(network: &str, snapshot: &'a Snapshot) -> Self {
        let mut names = BTreeMap::new();
        let all = snapshot.peers.iter().chain(&snapshot.others);
        for record in all.filter(|record| record.peer.network == network) {
            if let Some(key) = record.own_key() {
                names.entry(key).or_insert(&**record);
            }
        }
        Self(names)
    }

    /// Returns the watched peer with `key`.
    pub(super) fn get(&self, key: &Hash) -> Option<&'a PeerRecord> {
        self.0.get(key).copied()
    }

    /// Returns the keys of the watched peers.
    pub(super) fn keys(&self) -> impl Iterator<Item = Hash> {
        self.0.keys().copied()
    }
}

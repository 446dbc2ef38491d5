//! How pages show a registered peer: a watched one by its name, others by their key.

use cad3::Hash;

use crate::fleet::{PeerRecord, Snapshot};
use crate::web::peer_names::PeerNames;

/// Number of characters that are shown of a key, `0x` included.
const SHORT_KEY_CHARS: usize = 10;

/// A registered peer; `peer_link.html` draws it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PeerLink {
    /// Name of the watched peer.
    pub(super) name: Option<String>,
    /// Whether this agent has a page of the peer; peers of other shards have none.
    pub(super) has_page: bool,
    /// Key of the peer; empty if it was found by its name.
    pub(super) key: String,
}

impl PeerLink {
    /// The peer with `key`.
    pub(super) fn new(key: &Hash, names: &PeerNames<'_>) -> Self {
        let record = names.get(key);
        Self {
            name: record.map(|record| record.peer.name.clone()),
            has_page: record.is_some_and(has_page),
            key: key.to_string(),
        }
    }

    /// The watched peer called `name`.
    pub(super) fn named(name: &str, snapshot: &Snapshot) -> Self {
        let mut peers = snapshot.peers.iter();
        Self {
            name: Some(name.to_owned()),
            has_page: peers.any(|record| record.peer.name == name),
            key: String::new(),
        }
    }

    /// The beginning of the key.
    pub(super) fn short_key(&self) -> String {
        let beginning: String = self.key.chars().take(SHORT_KEY_CHARS).collect();
        beginning + "…"
    }

    /// The text that is shown.
    pub(super) fn text(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.short_key())
    }
}

fn has_page(record: &PeerRecord) -> bool {
    record.peer.sampled.is_none()
}

//! What an alert is about, and the labels that follow from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A peer.
    Peer {
        /// Its name.
        peer: String,
        /// Its network.
        network: String,
    },
    /// A network.
    Network {
        /// Its name.
        network: String,
    },
    /// The agent itself.
    Monitor,
}

impl Subject {
    /// The labels that say what an alert is about. `vantage` is the agent's name.
    #[must_use]
    pub fn labels(&self, vantage: &str) -> BTreeMap<String, String> {
        let labels = match self {
            Self::Peer { peer, network } => vec![("peer", peer.as_str()), ("network", network)],
            Self::Network { network } => vec![("network", network.as_str())],
            Self::Monitor => vec![("vantage", vantage)],
        };
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        labels.into_iter().map(owned).collect()
    }
}

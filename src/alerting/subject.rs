//! The subject of an alert and the labels that identify it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The subject of an alert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertSubject {
    /// A peer.
    Peer {
        /// The peer's name.
        peer: String,
        /// The peer's network.
        network: String,
    },
    /// A network.
    Network {
        /// The network's name.
        network: String,
    },
    /// A service: the operator's own peers of a network, or those of them with one `service`.
    Service {
        /// The service's name.
        service: String,
        /// The network's name.
        network: String,
    },
    /// The agent itself.
    Monitor,
}

impl AlertSubject {
    /// Returns the labels that identify the subject. `vantage` is the agent's name.
    #[must_use]
    pub fn labels(&self, vantage: &str) -> BTreeMap<String, String> {
        let labels = match self {
            Self::Peer { peer, network } => vec![("peer", peer.as_str()), ("network", network)],
            Self::Network { network } => vec![("network", network.as_str())],
            Self::Service { service, network } => {
                vec![("service", service.as_str()), ("network", network)]
            }
            Self::Monitor => vec![("vantage", vantage)],
        };
        let to_owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        labels.into_iter().map(to_owned).collect()
    }
}

//! Groups of alerts that are sent together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alerting::{Alert, AlertSubject};

use super::context::MessageContext;

/// Alerts of which one message can carry several.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Group {
    /// Alerts about the peers of a network.
    Peers(String),
    /// Alerts about a network as a whole.
    Network(String),
    /// Alerts about the agent itself.
    Monitor,
}

impl Group {
    /// Returns the group of an alert.
    pub(super) fn of(alert: &Alert) -> Self {
        match &alert.subject {
            AlertSubject::Peer { network, .. } => Self::Peers(network.clone()),
            AlertSubject::Network { network } => Self::Network(network.clone()),
            AlertSubject::Monitor => Self::Monitor,
        }
    }

    /// Returns the labels that all alerts of the group have.
    pub(super) fn labels(&self, context: &MessageContext) -> BTreeMap<String, String> {
        let (name, value) = match self {
            Self::Peers(network) | Self::Network(network) => ("network", network),
            Self::Monitor => ("vantage", &context.vantage),
        };
        BTreeMap::from([(name.to_owned(), value.clone())])
    }

    /// Returns the kind of its alerts.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Peers(_) => "peers",
            Self::Network(_) => "network",
            Self::Monitor => "monitor",
        }
    }

    /// Returns the network, unless it is about the agent.
    pub(super) fn network(&self) -> Option<&str> {
        match self {
            Self::Peers(network) | Self::Network(network) => Some(network),
            Self::Monitor => None,
        }
    }
}

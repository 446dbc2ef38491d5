//! The labels by which an action finds its alerts or peers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::alerting::Alert;
use crate::fleet::Rename;

/// Labels that an alert must have; any value of those that are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matchers {
    /// Name of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertname: Option<String>,
    /// Severity of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// The peer that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The network that it is about, or that of the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The service of that network that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

impl Matchers {
    /// Returns all labels of an alert.
    #[must_use]
    pub fn of(alert: &Alert) -> Self {
        // The name of this agent is no label of what its alerts are about.
        let mut labels = alert.subject.labels("");
        let mut label = |name| labels.remove(name);
        Self {
            alertname: Some(alert.rule.name.to_owned()),
            severity: Some(alert.rule.severity.as_str().to_owned()),
            peer: label("peer"),
            network: label("network"),
            service: label("service"),
        }
    }

    /// Whether an alert with these labels has all that are wanted.
    #[must_use]
    pub fn accept(&self, labels: &Self) -> bool {
        let pairs = self.labels().into_iter().zip(labels.labels());
        pairs
            .into_iter()
            .all(|((_, wanted), (_, found))| wanted.is_none() || wanted == found)
    }

    /// Returns the labels by name, in the order in which they are shown.
    #[must_use]
    pub fn labels(&self) -> [(&'static str, Option<&str>); 5] {
        [
            ("alertname", self.alertname.as_deref()),
            ("severity", self.severity.as_deref()),
            ("peer", self.peer.as_deref()),
            ("network", self.network.as_deref()),
            ("service", self.service.as_deref()),
        ]
    }

    /// Whether none is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Follows a peer to its new name.
    pub(super) fn rename(&mut self, rename: &Rename) {
        let is_in_network = self.network.as_ref().is_none_or(|it| *it == rename.network);
        if is_in_network && self.peer.as_ref() == Some(&rename.from) {
            self.peer = Some(rename.to.clone());
        }
    }
}

impl fmt::Display for Matchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.labels().into_iter();
        let given = given.filter_map(|(name, value)| Some(format!("{name}={:?}", value?)));
        f.write_str(&given.collect::<Vec<_>>().join(", "))
    }
}

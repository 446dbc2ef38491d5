//! Alerts that fire at an agent, as other agents are told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fleet::{Fleet, Snapshot, lock};

/// An alert that fires at an agent, about a peer, a network or a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct FiringAlert {
    /// Name of the alert.
    pub alertname: String,
    /// Its severity.
    pub severity: String,
    /// The peer that it is about; absent if it is about the network or a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The network that it is about, or that of the peer or service.
    pub network: String,
    /// The service of that network that it is about, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

impl Fleet {
    /// Sets the alerts that fire.
    pub fn set_firing(&self, alerts: Vec<FiringAlert>) {
        *lock(&self.firing) = alerts.into();
    }
}

impl Snapshot {
    /// Whether an alert fires at another agent, as far as its last opinion still counts and it
    /// means the same peer.
    #[must_use]
    pub fn fires_elsewhere(&self, alert: &FiringAlert) -> bool {
        let others = self.vantages.others.iter();
        others
            .filter_map(|it| it.opinion.as_deref())
            .any(|it| it.firing.contains(alert) && self.means_same_peer(it, alert.peer.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::time::Instant;

    use crate::config::{self, Mode};
    use crate::fleet::Opinion;

    use super::*;

    fn alert(peer: Option<&str>, network: &str, severity: &str) -> FiringAlert {
        FiringAlert {
            alertname: "A".to_owned(),
            severity: severity.to_owned(),
            peer: peer.map(str::to_owned),
            network: network.to_owned(),
            service: None,
        }
    }

    #[test]
    fn an_alert_fires_elsewhere_by_all_its_labels_if_its_subject_is_watched_here() {
        let text = "networks: [{ name: n }]\nvantages: [{ name: b, url: 'http://b' }]\n\
                    peers: [{ name: p, network: n, endpoints: ['tcp://127.0.0.1:1'] }]\n";
        let fleet = Fleet::default();
        fleet.apply(&config::parse(text, "c.yml", Path::new(""), &|_| None).unwrap());
        let of_peer = alert(Some("p"), "n", "critical");
        let of_network = alert(None, "n", "warning");
        let strangers = [
            alert(Some("q"), "n", "critical"),
            alert(None, "m", "warning"),
        ];
        let opinion = Opinion {
            vantage: "b".to_owned(),
            mode: Mode::Central,
            networks: Vec::new(),
            peers: Vec::new(),
            firing: [of_peer.clone(), of_network.clone()]
                .into_iter()
                .chain(strangers.clone())
                .collect(),
            acknowledged: Vec::new(),
        };
        assert!(!fleet.snapshot().fires_elsewhere(&of_network));
        fleet.record_opinion("b", opinion, Instant::now());
        let snapshot = fleet.snapshot();
        assert!(snapshot.fires_elsewhere(&of_network));
        assert!(!snapshot.fires_elsewhere(&alert(None, "n", "critical")));
        // The other agent has no opinion on the peer, so it may mean another one.
        assert!(!snapshot.fires_elsewhere(&of_peer));
        for stranger in strangers {
            assert!(!snapshot.fires_elsewhere(&stranger));
        }
    }
}

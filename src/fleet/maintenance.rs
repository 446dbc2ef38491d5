//! Maintenance that operators began at run time, in addition to the windows of the configuration.

use std::sync::Arc;
use std::time::SystemTime;

use crate::config::Window;

use super::{Fleet, PeerRecord, Slot, lock};

/// A maintenance window of one peer, or of all peers of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceWindow {
    /// The peer; none for all peers of the network.
    pub peer: Option<String>,
    /// The network.
    pub network: String,
    /// When.
    pub window: Window,
}

impl Fleet {
    /// Sets the windows that count beside those of the configuration; others no longer do.
    pub fn set_maintenance(&self, windows: Vec<MaintenanceWindow>) {
        let watched = lock(&self.watched);
        let mut current = lock(&self.maintenance);
        if *current != windows {
            *current = windows;
            for slot in &watched.slots {
                assign(slot, &current);
            }
        }
    }

    /// Whether maintenance of a network as a whole is in progress.
    #[must_use]
    pub fn is_network_in_maintenance(&self, network: &str, wall: SystemTime) -> bool {
        let windows = lock(&self.maintenance);
        let mut of_network = windows.iter().filter(|it| it.peer.is_none());
        of_network.any(|it| it.network == network && it.window.covers(wall))
    }

    /// Gives each peer its windows after a change of the configuration.
    pub(super) fn assign_maintenance(&self, slots: &[Arc<Slot>]) {
        let windows = lock(&self.maintenance);
        for slot in slots {
            assign(slot, &windows);
        }
    }
}

fn assign(slot: &Slot, windows: &[MaintenanceWindow]) {
    let record = slot.record();
    let own: Vec<Window> = windows
        .iter()
        .filter(|it| it.covers_peer(&record))
        .map(|it| it.window.clone())
        .collect();
    if own != record.maintenance {
        slot.update(|record| record.maintenance = own);
    }
}

impl MaintenanceWindow {
    fn covers_peer(&self, record: &PeerRecord) -> bool {
        let peer = &record.peer;
        self.network == peer.network && self.peer.as_ref().is_none_or(|name| *name == peer.name)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use crate::config;

    use super::*;

    fn fleet_of(peers: &str) -> Fleet {
        let fleet = Fleet::default();
        configure(&fleet, peers);
        fleet
    }

    fn configure(fleet: &Fleet, peers: &str) {
        let peers = peers.split(' ').enumerate().map(|(i, name)| {
            let network = name.chars().next().unwrap();
            format!("{{ name: {name}, network: {network}, endpoints: ['tcp://127.0.0.1:{i}1'] }}")
        });
        let peers: Vec<String> = peers.collect();
        let text = format!(
            "networks: [{{ name: a }}, {{ name: b }}]\npeers: [{}]\n",
            peers.join(", ")
        );
        fleet.apply(&config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap());
    }

    fn maintained(fleet: &Fleet, wall: SystemTime) -> String {
        let snapshot = fleet.snapshot();
        let peers = snapshot.peers.iter();
        let maintained = peers.filter(|record| record.in_maintenance(wall));
        let names: Vec<&str> = maintained.map(|it| it.peer.name.as_str()).collect();
        names.join(" ")
    }

    #[test]
    fn windows_of_run_time_cover_their_peers_also_after_a_reload() {
        let now = SystemTime::now();
        let window = |peer: Option<&str>, network: &str| MaintenanceWindow {
            peer: peer.map(str::to_owned),
            network: network.to_owned(),
            window: Window {
                from: now,
                to: now + Duration::from_secs(60),
                comment: None,
            },
        };
        let fleet = fleet_of("a1 a2 b1");
        for (windows, expected) in [
            (vec![], ""),
            (vec![window(Some("a1"), "a")], "a1"),
            (vec![window(Some("a1"), "b")], ""),
            (vec![window(None, "a")], "a1 a2"),
            (vec![window(None, "b"), window(Some("a2"), "a")], "a2 b1"),
            (vec![window(None, "a"), window(None, "b")], "a1 a2 b1"),
        ] {
            let whole: Vec<&str> = ["a", "b"]
                .into_iter()
                .filter(|name| windows.contains(&window(None, name)))
                .collect();
            fleet.set_maintenance(windows);
            assert_eq!(maintained(&fleet, now), expected);
            let over = now + Duration::from_secs(60);
            assert_eq!(maintained(&fleet, over), "");
            for name in ["a", "b"] {
                let is_whole = whole.contains(&name);
                assert_eq!(fleet.is_network_in_maintenance(name, now), is_whole);
                assert!(!fleet.is_network_in_maintenance(name, over));
            }
        }
        configure(&fleet, "a1 b1 b2");
        assert_eq!(maintained(&fleet, now), "a1 b1 b2", "a new peer as well");
        fleet.set_maintenance(Vec::new());
        assert_eq!(maintained(&fleet, now), "");
    }
}

//! What rules look at: one snapshot of the fleet, and what the agent knows of itself.

use std::fmt::Write as _;

use crate::config::Role;
use crate::config::shard::Shard;
use crate::fleet::{Health, NetworkSnapshot, PeerRecord, Snapshot};
use crate::self_check::NetworkPath;

/// What the agent knows of itself, besides its checks.
#[derive(Clone, Debug, Default)]
pub struct MonitorFacts {
    /// Whether the last attempt to load a configuration succeeded.
    pub reload_successful: bool,
    /// Whether a poll was missed within the last 5 minutes.
    pub misses_polls: bool,
    /// Receivers whose last notification was not delivered.
    pub failing_receivers: Vec<String>,
    /// This agent's part of the fleet.
    pub shard: Shard,
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The fleet at one moment.
    pub snapshot: &'a Snapshot,
    /// The agent itself.
    pub monitor: &'a MonitorFacts,
}

/// Where the cause of an alert was seen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    Peer(&'a PeerRecord),
    Network(&'a NetworkSnapshot),
    Monitor,
}

impl<'a> Seen<'a> {
    /// Peers that can page now, each with its network.
    pub(super) fn peers(self) -> impl Iterator<Item = (&'a PeerRecord, &'a NetworkSnapshot)> {
        let networks = self.snapshot.networks.iter();
        networks.flat_map(move |network| {
            let peers = self.snapshot.peers.iter().map(AsRef::as_ref);
            let of_network =
                peers.filter(move |record: &&PeerRecord| self.can_page(record, network));
            of_network.map(move |record| (record, network))
        })
    }

    /// Networks with a peer of the operator's own that this agent tells of: of several shards one does, chosen as for a peer,
    /// or nobody who is told could tell one alert from two.
    pub(super) fn networks(self) -> impl Iterator<Item = &'a NetworkSnapshot> {
        let own = move |network: &&NetworkSnapshot| {
            self.of(network).any(|record| record.peer.role == Role::Own)
        };
        let networks = self.snapshot.networks.iter();
        let told_here = move |network: &&NetworkSnapshot| self.monitor.shard.has(&network.name);
        networks.filter(told_here).filter(own)
    }

    /// All watched peers of a network, those of other shards too as far as they are polled.
    pub(super) fn of(self, network: &'a NetworkSnapshot) -> impl Iterator<Item = &'a PeerRecord> {
        let peers = self.snapshot.peers.iter().chain(&self.snapshot.others);
        let peers = peers.map(AsRef::as_ref);
        peers.filter(|record: &&PeerRecord| record.peer.network == network.name)
    }

    /// The operator's own peers of a network that are not in maintenance.
    pub(super) fn own(self, network: &'a NetworkSnapshot) -> impl Iterator<Item = &'a PeerRecord> {
        let peers = self.of(network);
        peers.filter(move |record| self.can_page(record, network))
    }

    /// Whether it is one of the operator's own peers of a network, and not in maintenance.
    fn can_page(self, record: &PeerRecord, network: &NetworkSnapshot) -> bool {
        record.peer.network == network.name
            && record.peer.role == Role::Own
            && !record.in_maintenance(self.snapshot.wall)
    }

    /// Whether trouble of the agent's own, proven, lies between it and the peer.
    pub(super) fn is_obstructed(self, record: &PeerRecord) -> bool {
        let mut endpoints = record.peer.endpoints.iter();
        let checks = &self.snapshot.checks;
        endpoints.any(|endpoint| checks.obstruct(NetworkPath::to_endpoint(&record.peer, endpoint)))
    }

    /// What was seen, in words. `vantage` is the agent's name.
    pub(super) fn describe(self, place: Place<'a>, vantage: &str) -> String {
        match place {
            Place::Peer(record) => describe_peer(record),
            Place::Network(network) => self.describe_network(network),
            Place::Monitor => self.describe_monitor(vantage),
        }
    }

    /// A network in words.
    fn describe_network(self, network: &'a NetworkSnapshot) -> String {
        let count = |health| {
            self.of(network)
                .filter(|record| record.health == health)
                .count()
        };
        let [unknown, up, degraded, down] = Health::ALL.map(count);
        let verdict = &network.verdict;
        let mut text = format!(
            "The order of {} is {}. Watched peers: {up} up, {degraded} degraded, {down} down, {unknown} unknown; \
             groups by state: {}.",
            network.name,
            verdict.order.as_str(),
            verdict.groups,
        );
        if let Some(quorum) = &verdict.quorum {
            let margin = quorum.margin * 100.0;
            let losable = quorum.losable;
            write!(
                text,
                " Quorum margin: {margin:.1} %; peers that can be lost: {losable}."
            )
            .expect("a String takes any text");
        }
        text
    }

    /// The agent called `vantage` in words.
    fn describe_monitor(self, vantage: &str) -> String {
        let broken: Vec<&str> = self
            .snapshot
            .checks
            .healthy()
            .filter(|(_, healthy)| !healthy)
            .map(|(check, _)| check.as_str())
            .collect();
        let list = |names: &[&str]| match names {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        let receivers: Vec<&str> = self
            .monitor
            .failing_receivers
            .iter()
            .map(String::as_str)
            .collect();
        format!(
            "The agent {vantage}: failing checks of its own: {}; receivers that cannot be reached: {}; last reload of the \
             configuration: {}.",
            list(&broken),
            list(&receivers),
            if self.monitor.reload_successful {
                "successful"
            } else {
                "refused"
            },
        )
    }
}

/// A peer in words.
fn describe_peer(record: &PeerRecord) -> String {
    let conditions: Vec<&str> = record
        .conditions
        .iter()
        .map(|condition| condition.as_str())
        .collect();
    let conditions = if conditions.is_empty() {
        "none".to_owned()
    } else {
        conditions.join(", ")
    };
    let mut text = format!(
        "{} of {} is {}. Conditions in force: {conditions}.",
        record.peer.name,
        record.peer.network,
        record.health.as_str()
    );
    for endpoint in &record.endpoints {
        if let Some(failure) = &endpoint.last_failure {
            write!(text, " {}: {failure}.", endpoint.transport).expect("a String takes any text");
        }
    }
    text
}

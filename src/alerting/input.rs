//! The input of alert rules: a snapshot of the fleet and the status of the agent itself.

use crate::config::Role;
use crate::config::shard::Shard;
use crate::fleet::{NetworkSnapshot, PeerRecord, ServiceLevel, Snapshot};

/// Status of the agent itself, apart from its self-checks.
#[derive(Clone, Debug, Default)]
pub struct MonitorStatus {
    /// Whether the last attempt to load a configuration succeeded.
    pub reload_successful: bool,
    /// Whether a poll was missed within the last 5 minutes.
    pub misses_polls: bool,
    /// Receivers whose last notification was not delivered.
    pub failing_receivers: Vec<String>,
    /// The shard of the fleet that belongs to this agent.
    pub shard: Shard,
}

/// The input of one evaluation of the alert rules.
#[derive(Clone, Copy, Debug)]
pub struct RuleInput<'a> {
    /// The fleet at one moment.
    pub snapshot: &'a Snapshot,
    /// The agent itself.
    pub monitor: &'a MonitorStatus,
}

/// The object of the input that causes an alert; its description is made from it.
#[derive(Clone, Copy, Debug)]
pub(super) enum AlertCause<'a> {
    Peer(&'a PeerRecord),
    Network(&'a NetworkSnapshot),
    Service(&'a NetworkSnapshot, &'a ServiceLevel),
    Monitor,
}

impl<'a> RuleInput<'a> {
    /// Returns the peers that can raise alerts now, each with its network.
    pub(super) fn alertable_peers(
        self,
    ) -> impl Iterator<Item = (&'a PeerRecord, &'a NetworkSnapshot)> {
        let networks = self.snapshot.networks.iter();
        networks.flat_map(move |network| {
            let peers = self.snapshot.peers.iter().map(AsRef::as_ref);
            let alertable =
                peers.filter(move |record: &&PeerRecord| self.is_alertable(record, network));
            alertable.map(move |record| (record, network))
        })
    }

    /// Returns the networks that this agent alerts on: those with a peer of role `own`. Of several
    /// shards only one alerts on a network, chosen as for a peer, because receivers could not
    /// deduplicate alerts from two.
    pub(super) fn alertable_networks(self) -> impl Iterator<Item = &'a NetworkSnapshot> {
        let has_own_peer = move |network: &&NetworkSnapshot| {
            self.network_peers(network)
                .any(|record| record.peer.role == Role::Own)
        };
        let in_shard = move |network: &&NetworkSnapshot| self.monitor.shard.contains(&network.name);
        let networks = self.snapshot.networks.iter();
        networks.filter(in_shard).filter(has_own_peer)
    }

    /// Returns all watched peers of a network, including those of other shards as far as this agent
    /// polls them.
    pub(super) fn network_peers(
        self,
        network: &'a NetworkSnapshot,
    ) -> impl Iterator<Item = &'a PeerRecord> {
        let peers = self.snapshot.peers.iter().chain(&self.snapshot.others);
        let peers = peers.map(AsRef::as_ref);
        peers.filter(|record: &&PeerRecord| record.peer.network == network.name)
    }

    /// Returns the watched peers of a service.
    pub(super) fn service_peers(
        self,
        network: &'a NetworkSnapshot,
        service: &str,
    ) -> impl Iterator<Item = &'a PeerRecord> {
        let peers = self.network_peers(network);
        peers.filter(move |record| record.peer.service_name() == Some(service))
    }

    /// Returns the peers of a network with role `own` that are not in maintenance.
    pub(super) fn own_peers(
        self,
        network: &'a NetworkSnapshot,
    ) -> impl Iterator<Item = &'a PeerRecord> {
        let peers = self.network_peers(network);
        peers.filter(move |record| self.is_alertable(record, network))
    }

    /// Returns whether a peer belongs to `network`, has role `own` and is not in maintenance.
    fn is_alertable(self, record: &PeerRecord, network: &NetworkSnapshot) -> bool {
        record.peer.network == network.name
            && record.peer.role == Role::Own
            && !record.in_maintenance(self.snapshot.wall)
    }
}

//! Which peers are watched, and how a new configuration changes that.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use convex_client::Endpoint;

use crate::config::{self, Config};
use crate::self_check::Checks;

use super::canary;
use super::excuses::MonitorHealth;
use super::network::record::NetworkRecord;
use super::rename::{Rename, UnnamedPeers, in_steps};
use super::service::{ServiceName, unpolled};
use super::{
    AcknowledgedAlert, FiringAlert, MaintenanceWindow, PollObserver, SavedFleet, Slot, Vantages,
    lock,
};

/// All watched peers.
#[derive(Debug, Default)]
pub struct Fleet {
    pub(super) watched: Mutex<WatchedPeers>,
    pub(super) monitor_health: Mutex<MonitorHealth>,
    pub(super) observer: Option<Arc<dyn PollObserver>>,
    /// This agent and the others whose opinions it reads.
    pub(super) vantages: Mutex<Vantages>,
    /// Maintenance that operators began at run time.
    pub(super) maintenance: Mutex<Vec<MaintenanceWindow>>,
    /// Alerts that fire.
    pub(super) firing: Mutex<Arc<[FiringAlert]>>,
    /// Alerts that fire and are acknowledged.
    pub(super) acknowledged: Mutex<Arc<[AcknowledgedAlert]>>,
}

#[derive(Debug, Default)]
pub(super) struct WatchedPeers {
    /// In the order of the configuration, those of other shards last.
    pub(super) slots: Vec<Arc<Slot>>,
    pub(super) networks: BTreeMap<String, Arc<NetworkRecord>>,
    /// How many own peers each service has in other shards that this one does not poll.
    pub(super) unpolled: BTreeMap<ServiceName, usize>,
    /// Saved state of peers that are not watched yet.
    pub(super) pending_restores: SavedFleet,
}

impl Fleet {
    /// Applies `config`: a peer keeps its record while it is the same peer, with whatever settings
    /// and under whatever name; removed ones are dropped. Returns which peers have a new name, to
    /// be followed one after the other.
    pub fn apply(&self, config: &Config) -> Vec<Rename> {
        self.apply_vantages(config);
        let mut watched = lock(&self.watched);
        let mut networks = std::mem::take(&mut watched.networks);
        watched.networks = config
            .networks
            .iter()
            .map(|network| {
                let record = networks.remove(&network.name).unwrap_or_default();
                *lock(&record.slo) = network.slo;
                canary::reconfigure(&mut lock(&record.canary), network.canary.as_ref());
                (network.name.clone(), record)
            })
            .collect();
        watched.unpolled = unpolled(config);
        let previous = std::mem::take(&mut watched.slots);
        let mut previous: HashMap<String, Arc<Slot>> = previous
            .into_iter()
            .map(|slot| (slot.peer().name.clone(), slot))
            .collect();
        let peers: Vec<_> = config.peers.iter().chain(&config.sample).collect();
        let mut slots: Vec<Option<Arc<Slot>>> = peers
            .iter()
            .map(|peer| {
                let is_same = self.reconfigure(previous.get(&peer.name)?, peer, PartialEq::eq);
                is_same.then(|| previous.remove(&peer.name))?
            })
            .collect();
        let mut removed = UnnamedPeers::watched(previous);
        let mut renames = Vec::new();
        let mut added = Vec::new();
        for (peer, slot) in peers.into_iter().zip(&mut slots) {
            if slot.is_some() {
                continue;
            }
            if let Some((from, renamed)) = removed.take(peer)
                && self.reconfigure(&renamed, peer, PartialEq::eq)
            {
                renames.push(Rename::new(from, peer));
                *slot = Some(renamed);
                continue;
            }
            // A path can be a token, which changes from time to time. It is not displayed.
            let same_place = |a: &Endpoint, b: &Endpoint| a.to_string() == b.to_string();
            if let Some(known) = removed.peers.get(&peer.name)
                && self.reconfigure(known, peer, same_place)
            {
                *slot = removed.peers.remove(&peer.name);
                continue;
            }
            let network = watched.networks.get(&peer.network).cloned();
            let new = Arc::new(Slot::new(Arc::clone(peer), network.unwrap_or_default()));
            added.push(Arc::clone(&new));
            *slot = Some(new);
        }
        for removed in removed.peers.into_values() {
            self.retire(&removed);
        }
        watched.slots = slots.into_iter().flatten().collect();
        self.assign_maintenance(&watched.slots);
        renames.extend(watched.restore_peers(&added));
        for network in watched.networks.values() {
            network.changed.notify_one();
        }
        in_steps(renames)
    }

    /// Returns the slots in the order of the configuration, those of other shards' peers last.
    #[must_use]
    pub fn slots(&self) -> Vec<Arc<Slot>> {
        lock(&self.watched).slots.clone()
    }

    /// Returns the agent's self-checks as last recorded.
    #[must_use]
    pub fn checks(&self) -> Checks {
        lock(&self.monitor_health).checks.clone()
    }

    /// Returns the slots of a network's peers.
    pub(super) fn slots_of(&self, network: &Arc<NetworkRecord>) -> Vec<Arc<Slot>> {
        let watched = lock(&self.watched);
        let slots = watched.slots.iter();
        slots
            .filter(|slot| Arc::ptr_eq(&slot.network, network))
            .cloned()
            .collect()
    }

    pub(super) fn network(&self, name: &str) -> Option<Arc<NetworkRecord>> {
        lock(&self.watched).networks.get(name).cloned()
    }

    /// Gives a peer other settings; its record stays. Returns false if `peer` is another peer.
    fn reconfigure(
        &self,
        slot: &Slot,
        peer: &Arc<config::Peer>,
        same: impl Fn(&Endpoint, &Endpoint) -> bool,
    ) -> bool {
        let mut state = lock(&slot.state);
        if !state.record.is_same_peer(peer, same) {
            return false;
        }
        if state.record.peer != *peer {
            let record = Arc::make_mut(&mut state.record);
            // It may count elsewhere from now on.
            self.set_contact(record, None);
            record.reconfigure(Arc::clone(peer));
        }
        true
    }

    /// Stops accepting polls of a peer that is no longer watched.
    fn retire(&self, slot: &Slot) {
        let mut state = lock(&slot.state);
        state.retired = true;
        self.forget_contact(&state.record);
    }
}

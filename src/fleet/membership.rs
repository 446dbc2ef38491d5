//! Which peers are watched, and how a new configuration changes that.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use crate::config::Config;
use crate::self_check::Checks;

use super::excuses::MonitorHealth;
use super::network::record::NetworkRecord;
use super::{PollObserver, SavedFleet, Slot, lock};

/// All watched peers.
#[derive(Debug, Default)]
pub struct Fleet {
    pub(super) watched: Mutex<WatchedPeers>,
    pub(super) monitor_health: Mutex<MonitorHealth>,
    pub(super) observer: Option<Arc<dyn PollObserver>>,
}

#[derive(Debug, Default)]
pub(super) struct WatchedPeers {
    /// In the order of the configuration, those of other shards last.
    pub(super) slots: Vec<Arc<Slot>>,
    pub(super) networks: BTreeMap<String, Arc<NetworkRecord>>,
    /// Saved state of peers that are not watched yet.
    pub(super) pending_restores: SavedFleet,
}

impl Fleet {
    /// Applies `config`: a peer keeps its record while it is the same peer, with whatever settings;
    /// removed ones are dropped.
    pub fn apply(&self, config: &Config) {
        let mut watched = lock(&self.watched);
        let mut networks = std::mem::take(&mut watched.networks);
        watched.networks = config
            .networks
            .iter()
            .map(|network| {
                (
                    network.name.clone(),
                    networks.remove(&network.name).unwrap_or_default(),
                )
            })
            .collect();
        let previous = std::mem::take(&mut watched.slots);
        let mut previous: HashMap<String, Arc<Slot>> = previous
            .into_iter()
            .map(|slot| (slot.peer().name.clone(), slot))
            .collect();
        let mut slots = Vec::with_capacity(config.peers.len() + config.sample.len());
        for peer in config.peers.iter().chain(&config.sample) {
            let previous = previous.remove(&peer.name);
            if let Some(previous) = previous {
                if previous.reconfigure(peer) {
                    slots.push(previous);
                    continue;
                }
                self.retire(&previous);
            }
            let network = watched
                .networks
                .get(&peer.network)
                .cloned()
                .unwrap_or_default();
            let slot = Arc::new(Slot::new(Arc::clone(peer), network));
            watched.restore_peer(&slot);
            slots.push(slot);
        }
        for removed in previous.into_values() {
            self.retire(&removed);
        }
        watched.slots = slots;
        for network in watched.networks.values() {
            network.changed.notify_one();
        }
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

    /// Stops accepting polls of a peer that is no longer watched.
    fn retire(&self, slot: &Slot) {
        let mut state = lock(&slot.state);
        state.retired = true;
        self.forget_contact(&state.record);
    }
}

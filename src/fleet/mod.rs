//! What is known of all watched peers. Takes observations, gives snapshots; asks nobody and shows nothing.

mod condition;
mod health;
mod identity;
mod record;
mod tally;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::time::Instant;

use crate::config::{self, Config};
use crate::peer::Transport;
use crate::probe::Observation;

pub use condition::Condition;
pub use health::{Health, Streak};
pub use identity::{Identity, Pins};
pub use record::{EndpointRecord, PeerRecord, Timings};
pub use tally::{BUCKETS_SECONDS, Latencies, Tally};

/// All watched peers.
#[derive(Debug, Default)]
pub struct Fleet {
    watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    slots: Vec<Arc<Slot>>,
    networks: BTreeMap<String, Arc<NetworkTally>>,
}

/// Where the record of one peer lives.
#[derive(Debug)]
pub struct Slot {
    record: Mutex<Arc<PeerRecord>>,
    network: Arc<NetworkTally>,
}

/// The endpoints' counters of a whole network, by transport: they outlive its single peers.
#[derive(Debug, Default)]
struct NetworkTally(Mutex<[Tally; Transport::ALL.len()]>);

/// Everything known at one moment. Cheap: nothing is copied that does not change meanwhile.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken.
    pub wall: SystemTime,
    /// The same moment, for the age of measurements.
    pub now: Instant,
    /// In the order of the configuration.
    pub peers: Vec<Arc<PeerRecord>>,
    /// Counters by network, then in the order of [`Transport::ALL`].
    pub networks: Vec<(String, [Tally; Transport::ALL.len()])>,
}

impl Fleet {
    /// Makes the fleet follow `config`: an untouched peer keeps its record, a changed one begins anew, a removed one is
    /// forgotten.
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
        let before = std::mem::take(&mut watched.slots);
        let mut before: HashMap<String, Arc<Slot>> = before
            .into_iter()
            .map(|slot| (slot.peer().name.clone(), slot))
            .collect();
        let slots = config
            .peers
            .iter()
            .map(|peer| match before.remove(&peer.name) {
                Some(slot) if *slot.peer() == *peer => slot,
                _ => Arc::new(Slot {
                    record: Mutex::new(Arc::new(PeerRecord::new(Arc::new(peer.clone())))),
                    network: watched
                        .networks
                        .get(&peer.network)
                        .cloned()
                        .unwrap_or_default(),
                }),
            });
        watched.slots = slots.collect();
    }

    /// The slots in the order of the configuration.
    #[must_use]
    pub fn slots(&self) -> Vec<Arc<Slot>> {
        lock(&self.watched).slots.clone()
    }

    /// Takes the outcome of one poll. Says whether the peer is down.
    pub fn record(&self, slot: &Slot, observation: &Observation) -> bool {
        {
            let mut tallies = lock(&slot.network.0);
            for probed in &observation.endpoints {
                tallies[probed.transport as usize].count(probed);
            }
        }
        let mut record = lock(&slot.record);
        let record = Arc::make_mut(&mut record);
        let before = record.health;
        record.observe(observation, Instant::now(), SystemTime::now());
        if record.health != before {
            tell(record, before);
        }
        record.health == Health::Down
    }

    /// Everything known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let watched = lock(&self.watched);
        Snapshot {
            wall: SystemTime::now(),
            now: Instant::now(),
            peers: watched
                .slots
                .iter()
                .map(|slot| Arc::clone(&lock(&slot.record)))
                .collect(),
            networks: watched
                .networks
                .iter()
                .map(|(name, tallies)| (name.clone(), lock(&tallies.0).clone()))
                .collect(),
        }
    }
}

impl Slot {
    /// The peer as configured.
    #[must_use]
    pub fn peer(&self) -> Arc<config::Peer> {
        Arc::clone(&lock(&self.record).peer)
    }
}

/// Logs a change of health, once.
fn tell(record: &PeerRecord, before: Health) {
    let why = record.endpoints.iter().filter_map(|endpoint| {
        let failure = endpoint.last_failure.as_ref()?;
        Some(format!("{}: {failure}", endpoint.transport))
    });
    let why: Vec<String> = why.collect();
    let conditions: Vec<&str> = record
        .conditions
        .iter()
        .map(|condition| condition.as_str())
        .collect();
    let (name, network) = (&record.peer.name, &record.peer.network);
    let (from, to) = (before.as_str(), record.health.as_str());
    if matches!(record.health, Health::Up) {
        tracing::info!(peer.name = %name, peer.network = %network, from, to, "the peer's health changed");
    } else {
        tracing::warn!(peer.name = %name, peer.network = %network, from, to, ?conditions, why = %why.join("; "), "the peer's health changed");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while a record was written leaves figures of a poll half taken, which the next poll completes.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

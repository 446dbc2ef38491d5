//! What is known of all watched peers. Takes observations, gives snapshots; asks nobody and shows nothing.

mod bounded;
mod commands;
mod excuses;
mod network;
mod observation;
mod observer;
mod peer;
mod persist;
pub mod report;
mod slot;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use convex_client::chain::stake::Registry;
use convex_client::{PollAnswer, Transport};
use tokio::time::Instant;

use crate::config::{self, Config};
use crate::self_check::Checks;
use crate::sidecar::Reading;

pub(crate) use bounded::make_room;
pub use commands::{CommandQueue, PollCommand, Reader};
use excuses::MonitorHealth;
pub use network::NetworkVerdict;
use network::NetworkWatch;
pub use network::agreement::{Agreement, ForkVerdict, WeightedRing};
pub use network::head::Lag;
pub use network::member::Standing;
pub use network::ring::{Mark, Ring, Sighting, Sightings};
pub use network::stake::{Quorum, Stake, StakeClass};
pub use observation::{Observation, Probed};
pub use observer::PollObserver;
pub use peer::PeerRecord;
pub use peer::addresses::Addresses;
pub use peer::condition::Condition;
pub use peer::endpoint::{EndpointRecord, Timings};
pub use peer::health::{Health, Streak};
pub use peer::identity::{Identity, Pins};
pub use peer::learned::{Fact, Learned};
pub use peer::order::{OrderState, OrderWatch};
pub use peer::tally::{BUCKETS_SECONDS, Latencies, Tally};
pub use persist::{Memory, Moment, Remembered, RememberedEndpoint, RememberedOrder, Who};
pub use slot::{NotPolled, Slot};

/// All watched peers.
#[derive(Debug, Default)]
pub struct Fleet {
    watched: Mutex<Watched>,
    own: Mutex<MonitorHealth>,
    observer: Option<Arc<dyn PollObserver>>,
}

#[derive(Debug, Default)]
struct Watched {
    slots: Vec<Arc<Slot>>,
    networks: BTreeMap<String, Arc<NetworkRecord>>,
    /// What is remembered of peers that are not watched, yet.
    unclaimed: Memory,
}

/// Where what is known of one network lives.
#[derive(Debug, Default)]
struct NetworkRecord {
    /// The endpoints' counters by transport: they outlive the single peers.
    tallies: Mutex<[Tally; Transport::ALL.len()]>,
    watch: Mutex<NetworkWatch>,
    /// The operator's own queries by name.
    queries: Mutex<BTreeMap<String, QueryRecord>>,
}

/// What is known of one of the operator's own queries in one network.
#[derive(Clone, Debug, Default)]
pub struct QueryRecord {
    /// Its last value, and when it was answered.
    pub value: Option<(f64, Instant)>,
    /// Whether it was answered last time.
    pub success: bool,
    /// When it was last answered.
    pub last_success: Option<SystemTime>,
}

/// Everything known at one moment. Cheap: nothing is copied that does not change meanwhile.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken.
    pub wall: SystemTime,
    /// The same moment, for the age of measurements.
    pub now: Instant,
    /// In the order of the configuration.
    pub peers: Vec<Arc<PeerRecord>>,
    /// Peers of other shards that are polled too, to see networks as a whole.
    pub others: Vec<Arc<PeerRecord>>,
    /// In the order of their names.
    pub networks: Vec<NetworkSnapshot>,
    /// What the agent has found of itself.
    pub checks: Checks,
}

/// Everything known of one network.
#[derive(Clone, Debug, Default)]
pub struct NetworkSnapshot {
    /// The network's name.
    pub name: String,
    /// The endpoints' counters, in the order of [`Transport::ALL`].
    pub tallies: [Tally; Transport::ALL.len()],
    /// What its peers say together.
    pub verdict: NetworkVerdict,
    /// PollAnswer of the newest fresh state of a peer that is up and not diverged, up to the head.
    pub figures: Option<PollAnswer>,
    /// The operator's own queries by name.
    pub queries: BTreeMap<String, QueryRecord>,
}

impl Snapshot {
    /// How many peers have this health.
    #[must_use]
    pub fn count(&self, health: Health) -> usize {
        let having = self.peers.iter().filter(|record| record.health == health);
        having.count()
    }
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
        let mut slots = Vec::with_capacity(config.peers.len() + config.sample.len());
        for peer in config.peers.iter().chain(&config.sample) {
            let kept = before.remove(&peer.name);
            if let Some(slot) = kept.as_ref().filter(|slot| slot.peer() == *peer) {
                slots.push(Arc::clone(slot));
                continue;
            }
            if let Some(changed) = kept {
                self.retire(&changed);
            }
            let network = watched
                .networks
                .get(&peer.network)
                .cloned()
                .unwrap_or_default();
            let slot = Arc::new(Slot::new(Arc::clone(peer), network));
            watched.claim(&slot);
            slots.push(slot);
        }
        for removed in before.into_values() {
            self.retire(&removed);
        }
        watched.slots = slots;
    }

    /// The slots in the order of the configuration, those of other shards' peers last.
    #[must_use]
    pub fn slots(&self) -> Vec<Arc<Slot>> {
        lock(&self.watched).slots.clone()
    }

    /// Takes the outcome of one poll. Says whether the peer is down.
    pub fn record(&self, slot: &Slot, observation: &Observation) -> bool {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut record = lock(&slot.record);
        if slot.retired.load(Ordering::Relaxed) {
            // The last poll of a task that has not noticed yet that its peer is gone.
            return false;
        }
        let of_this_shard = record.peer.sampled.is_none();
        if of_this_shard {
            let mut tallies = lock(&slot.network.tallies);
            for probed in &observation.endpoints {
                tallies[probed.transport as usize].count(probed);
            }
        }
        let record = Arc::make_mut(&mut record);
        let before = record.health;
        let excuse = self.excuse(record, observation, now);
        record.take(observation, excuse, now, wall);
        {
            let mut watch = lock(&slot.network.watch);
            let standing = watch.answered(record, now, wall);
            record.stake = watch.stake_of(&record.peer.name);
            record.judge(standing, now, wall);
            watch.judged(&record.peer.name, record.health);
        }
        if record.is_judged_down() {
            self.set_contact(record, None);
        }
        if record.health != before {
            tell(record, before);
        }
        if let Some(observer) = self.observer.as_ref().filter(|_| of_this_shard) {
            observer.polled(record, observation, now);
        }
        record.health == Health::Down
    }

    /// Peers of a network that can be asked about the chain: up, not diverged, and within the head. First those whose state
    /// another peer has shown too, of these this shard's, of these the operator's own, then those with the newest state. Others only when all were
    /// polled once: whoever is heard first may be the one that lies.
    #[must_use]
    pub fn of_majority(&self, network: &str) -> Vec<Arc<Slot>> {
        let now = Instant::now();
        let watched = lock(&self.watched);
        let Some(of) = watched.networks.get(network) else {
            return Vec::new();
        };
        let (head, all_polled) = {
            let watch = lock(&of.watch);
            (watch.head(), watch.awaits_nobody())
        };
        let mut found: Vec<_> = watched
            .slots
            .iter()
            .filter_map(|slot| {
                let record = Arc::clone(&lock(&slot.record));
                let agreed = record.diverged == Some(false);
                let fits = record.peer.network == network
                    && record.up == Some(true)
                    && record.diverged != Some(true)
                    && (agreed || all_polled);
                let block = record
                    .figures(now)
                    .filter(|_| fits)?
                    .state_block
                    .filter(|block| Some(*block) <= head)?;
                let rank = (
                    !agreed,
                    record.peer.sampled.is_some(),
                    record.peer.role == config::Role::Reference,
                    std::cmp::Reverse(block),
                );
                Some((rank, Arc::clone(slot)))
            })
            .collect();
        found.sort_by_key(|(rank, _)| *rank);
        found.into_iter().map(|(_, slot)| slot).collect()
    }

    /// Takes the registry of a network as a peer of its majority tells it; none when nobody did.
    pub fn learn_registry(&self, network: &str, registry: Option<Registry>) {
        let watched = lock(&self.watched);
        let Some(network) = watched.networks.get(network) else {
            return;
        };
        let mut watch = lock(&network.watch);
        match registry {
            Some(registry) => watch.learn(registry, SystemTime::now(), Instant::now()),
            None => watch.not_told(),
        }
    }

    /// Takes the answer to the operator's own query; none when nobody answered.
    pub fn learn_value(&self, network: &str, query: &str, value: Option<f64>) {
        let watched = lock(&self.watched);
        let Some(network) = watched.networks.get(network) else {
            return;
        };
        let mut queries = lock(&network.queries);
        let known = queries.entry(query.to_owned()).or_default();
        known.success = value.is_some();
        if let Some(value) = value {
            known.value = Some((value, Instant::now()));
            known.last_success = Some(SystemTime::now());
        }
    }

    /// Takes what the host shows of `peer`; nothing when it is watched otherwise by now.
    pub fn learn_host(&self, peer: &config::Peer, reading: Reading) {
        let slots = self.slots();
        let Some(slot) = slots.iter().find(|slot| *slot.peer() == *peer) else {
            return;
        };
        let mut record = lock(&slot.record);
        Arc::make_mut(&mut record).learn_host(reading, Instant::now());
    }

    /// The peer is watched no longer, or otherwise: what its last poll brings is nobody's.
    fn retire(&self, slot: &Slot) {
        let record = lock(&slot.record);
        slot.retired.store(true, Ordering::Relaxed);
        slot.errands().close();
        lock(&slot.network.watch).remove(&record.peer.name);
        self.forget_contact(&record);
    }

    /// What the agent has found of itself.
    #[must_use]
    pub fn checks(&self) -> Checks {
        lock(&self.own).checks.clone()
    }

    /// Everything known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let watched = lock(&self.watched);
        let now = Instant::now();
        let peers: Vec<Arc<PeerRecord>> = watched
            .slots
            .iter()
            .map(|slot| Arc::clone(&lock(&slot.record)))
            .collect();
        let networks = watched
            .networks
            .iter()
            .map(|(name, network)| {
                let verdict = lock(&network.watch).verdict(now);
                NetworkSnapshot {
                    name: name.clone(),
                    tallies: lock(&network.tallies).clone(),
                    figures: newest(&peers, name, verdict.head, now).cloned(),
                    queries: lock(&network.queries).clone(),
                    verdict,
                }
            })
            .collect();
        let (peers, others) = peers
            .into_iter()
            .partition(|record| record.peer.sampled.is_none());
        Snapshot {
            wall: SystemTime::now(),
            now,
            networks,
            peers,
            others,
            checks: self.checks(),
        }
    }
}

/// PollAnswer of the newest state that a peer of the majority shows: not beyond the head, where a liar could be alone.
fn newest<'a>(
    peers: &'a [Arc<PeerRecord>],
    network: &str,
    head: Option<i64>,
    now: Instant,
) -> Option<&'a PollAnswer> {
    let of_network = peers.iter().filter(|record| record.peer.network == network);
    of_network
        .filter(|record| record.up == Some(true) && record.diverged != Some(true))
        .filter_map(|record| Some((record.diverged == Some(false), record.figures(now)?)))
        .filter(|(_, figures)| figures.state_block <= head)
        .max_by_key(|(agreed, figures)| (figures.state_block, *agreed))
        .map(|(_, figures)| figures)
}

/// Logs a change of health, once; of a peer of another shard that one does.
fn tell(record: &PeerRecord, before: Health) {
    if record.peer.sampled.is_some() {
        return;
    }
    let why = record.endpoints.iter().filter_map(|endpoint| {
        let failure = endpoint.last_failure.as_ref()?;
        Some(format!("{}: {failure}", endpoint.transport))
    });
    let why: Vec<String> = record
        .excuse
        .iter()
        .map(ToString::to_string)
        .chain(why)
        .collect();
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

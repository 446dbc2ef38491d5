//! What of the fleet outlives the agent: taken out, put back, as plain values. Knows no file and no format.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::OrderPoints;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::Peer;
use crate::failure::{Failure, Reason};
use crate::fleet::peer::endpoint::EndpointRecord;
use crate::fleet::peer::order::OrderWatch;

use super::{Fleet, Health, PeerRecord, Slot, Streak, Watched, lock};

/// A peer that was last polled so long ago is not remembered: what was known of it has lost its meaning.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 3600);

/// What outlives the agent. Counters do not: Prometheus expects them at 0 after a start.
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize)]
pub struct Memory {
    /// Of each peer, by name.
    pub peers: BTreeMap<String, Remembered>,
    /// When finality was last seen to grow, by network.
    pub finality_advanced: BTreeMap<String, Moment>,
}

/// What is remembered of a peer.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct Remembered {
    /// Which peer it was, as configured.
    #[serde(flatten)]
    pub who: Who,
    /// The health shown last.
    pub health: Health,
    /// What it comes from.
    pub streak: Streak,
    /// The genesis seen last.
    pub genesis: Option<Hash>,
    /// The key seen last, learned where none is pinned.
    pub key: Option<Hash>,
    /// Whether the genesis is the pinned one.
    pub genesis_match: Option<bool>,
    /// Whether the key is the pinned one, or has long been the learned one.
    pub key_match: Option<bool>,
    /// Whether both transports reach one peer.
    pub transports_agree: Option<bool>,
    /// When another key than the learned one began to answer.
    pub key_changed: Option<Moment>,
    /// The first block of a latched divergence.
    pub diverged_at: Option<i64>,
    /// When each level of the order was last seen to advance.
    pub advanced: [Option<Moment>; 4],
    /// What its order did.
    pub order: RememberedOrder,
    /// By URL. Boxed: a map of one has room for eleven.
    pub endpoints: BTreeMap<String, Box<RememberedEndpoint>>,
}

/// What makes two configured peers of one name the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Who {
    /// The network.
    pub network: String,
    /// The network's pinned genesis.
    pub pinned_genesis: Option<Hash>,
    /// The pinned key.
    pub pinned_key: Option<Hash>,
}

/// What is remembered of a peer's order: a stall does not end because the agent does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RememberedOrder {
    /// The points seen last.
    pub points: Option<OrderPoints>,
    /// The highest block, finality and state block.
    pub highest: Option<[i64; 3]>,
    /// Since when blocks wait above the same finality.
    pub stuck: Option<Moment>,
    /// Since when one of the highest is not reached.
    pub below: Option<Moment>,
    /// The finality point that the state has to reach, and since when.
    pub owed: Option<(i64, Moment)>,
}

/// What is remembered of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize)]
pub struct RememberedEndpoint {
    /// When the last poll began.
    pub attempt: Option<Moment>,
    /// When the last good poll ended.
    pub success: Option<Moment>,
    /// When the certificate ends.
    pub certificate_ends: Option<Moment>,
    /// Failed polls since the last good one.
    pub failures: u32,
    /// Why the last one failed: reason and message.
    pub failure: Option<(String, String)>,
}

/// A moment of the wall clock: milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment of `time`.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        Self(u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX))
    }

    /// The time of the moment; none where the system cannot tell it.
    #[must_use]
    pub fn time(self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.0))
    }

    /// The moment, if it is past: of what has happened nothing else is believed.
    fn past(self, now: SystemTime) -> Option<SystemTime> {
        self.time().filter(|time| *time <= now)
    }
}

impl Memory {
    /// Stands for all of it: as long as it is the same, so is the memory.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        fingerprint(|hasher| self.hash(hasher))
    }
}

fn fingerprint(of: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of(&mut hasher);
    hasher.finish()
}

impl Who {
    fn of(peer: &Peer) -> Self {
        Self {
            network: peer.network.clone(),
            pinned_genesis: peer.genesis,
            pinned_key: peer.key,
        }
    }
}

impl Fleet {
    /// What is to outlive the agent.
    #[must_use]
    pub fn export(&self) -> Memory {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let watched = lock(&self.watched);
        let mut memory = watched.unclaimed.clone();
        for slot in &watched.slots {
            let record = lock(&slot.record);
            memory
                .peers
                .insert(record.peer.name.clone(), record.remembered(now, wall));
        }
        for (name, network) in &watched.networks {
            if let Some(advanced) = lock(&network.watch).finality_advanced() {
                memory
                    .finality_advanced
                    .insert(name.clone(), Moment::of(advanced));
            }
        }
        memory
    }

    /// Stands for what is to outlive the agent without what every good poll changes: when it becomes another one, that is
    /// worth writing at once. Exports nothing: ten thousand peers are looked at more often than written.
    #[must_use]
    pub fn substance(&self) -> u64 {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let watched = lock(&self.watched);
        fingerprint(|hasher| {
            watched.unclaimed.hash(hasher);
            for slot in &watched.slots {
                let record = Arc::clone(&lock(&slot.record));
                record.peer.name.hash(hasher);
                record.remembered(now, wall).substance().hash(hasher);
            }
        })
    }

    /// Puts back what was exported, into the peers that have not been polled yet, and later into those that come.
    pub fn restore(&self, memory: Memory) {
        let wall = SystemTime::now();
        let mut watched = lock(&self.watched);
        watched.unclaimed = memory;
        let known = |peer: &Remembered| peer.last_attempt().is_some_and(|at| is_recent(at, wall));
        watched.unclaimed.peers.retain(|_, peer| known(peer));
        for slot in watched.slots.clone() {
            watched.claim(&slot);
        }
        for (name, network) in &watched.networks {
            let advanced = watched.unclaimed.finality_advanced.get(name);
            if let Some(advanced) = advanced.and_then(|at| at.past(wall)) {
                lock(&network.watch).recall_finality(advanced);
            }
        }
        watched.unclaimed.finality_advanced.clear();
    }
}

impl Watched {
    /// Gives a new peer what is remembered of it.
    pub(super) fn claim(&mut self, slot: &Slot) {
        let mut record = lock(&slot.record);
        let Some(remembered) = self.unclaimed.peers.remove(&record.peer.name) else {
            return;
        };
        if record.polls > 0 || !remembered.is_of(&record.peer) {
            return;
        }
        let (now, wall) = (Instant::now(), SystemTime::now());
        Arc::make_mut(&mut record).recall(&remembered, now, wall);
        if let Some(block) = remembered.diverged_at {
            lock(&slot.network.watch).recall_divergence(&record.peer.name, block);
        }
    }
}

fn is_recent(at: Moment, wall: SystemTime) -> bool {
    let age = at.past(wall).and_then(|at| wall.duration_since(at).ok());
    age.is_some_and(|age| age < FORGOTTEN)
}

impl Remembered {
    /// The same without what every good poll changes.
    fn substance(mut self) -> Self {
        self.advanced = [None; 4];
        self.order = RememberedOrder::default();
        self.streak = self.streak.settled();
        for endpoint in self.endpoints.values_mut() {
            **endpoint = RememberedEndpoint::default();
        }
        self
    }

    fn last_attempt(&self) -> Option<Moment> {
        self.endpoints
            .values()
            .filter_map(|endpoint| endpoint.attempt)
            .max()
    }

    /// Whether it is of `peer`: the same pins, and an endpoint in common.
    fn is_of(&self, peer: &Peer) -> bool {
        let shared = peer
            .endpoints
            .iter()
            .any(|endpoint| self.endpoints.contains_key(&endpoint.to_string()));
        shared && self.who == Who::of(peer)
    }
}

impl PeerRecord {
    fn remembered(&self, now: Instant, wall: SystemTime) -> Remembered {
        let endpoints = self.endpoints.iter();
        Remembered {
            who: Who::of(&self.peer),
            health: self.health,
            streak: self.streak,
            genesis: self.identity.genesis,
            key: self.identity.key,
            genesis_match: self.identity.genesis_match,
            key_match: self.identity.key_match,
            transports_agree: self.identity.transports_agree,
            key_changed: self.identity.key_changed_at.map(Moment::of),
            diverged_at: self
                .first_divergent_block
                .filter(|_| self.diverged == Some(true)),
            advanced: self.advanced.map(|at| at.map(Moment::of)),
            order: self.order_watch.remembered(now, wall),
            endpoints: endpoints
                .map(|endpoint| (endpoint.url.clone(), Box::new(endpoint.remembered())))
                .collect(),
        }
    }

    /// Takes over what is remembered. Until the first poll the health shown last is shown.
    fn recall(&mut self, remembered: &Remembered, now: Instant, wall: SystemTime) {
        let past = |at: Option<Moment>| at.and_then(|at| at.past(wall));
        self.streak = remembered.streak;
        self.identity.genesis = remembered.genesis;
        self.identity.key = remembered.key;
        self.identity.genesis_match = remembered.genesis_match;
        self.identity.key_match = remembered.key_match;
        self.identity.transports_agree = remembered.transports_agree;
        self.identity.key_changed_at = past(remembered.key_changed);
        self.first_divergent_block = remembered.diverged_at;
        self.diverged = remembered.diverged_at.map(|_| true);
        self.advanced = remembered.advanced.map(past);
        self.order_watch = OrderWatch::recalled(remembered.order, now, wall);
        for endpoint in &mut self.endpoints {
            if let Some(remembered) = remembered.endpoints.get(&endpoint.url) {
                endpoint.recall(remembered, wall);
            }
        }
        self.conditions = self.conditions_at(now, wall);
        self.health = remembered.health;
    }
}

impl OrderWatch {
    fn remembered(&self, now: Instant, wall: SystemTime) -> RememberedOrder {
        let moment = |since: Option<Instant>| {
            let age = now.saturating_duration_since(since?);
            wall.checked_sub(age).map(Moment::of)
        };
        RememberedOrder {
            points: self.last,
            highest: self.highest,
            stuck: moment(self.stuck_since),
            below: moment(self.below_since),
            owed: self
                .owed
                .and_then(|(finality, since)| Some((finality, moment(Some(since))?))),
        }
    }

    fn recalled(order: RememberedOrder, now: Instant, wall: SystemTime) -> Self {
        let since = |at: Option<Moment>| {
            let age = wall.duration_since(at?.past(wall)?).ok()?;
            now.checked_sub(age)
        };
        Self {
            last: order.points,
            moved: false,
            highest: order.highest,
            stuck_since: since(order.stuck),
            below_since: since(order.below),
            owed: order
                .owed
                .and_then(|(finality, at)| Some((finality, since(Some(at))?))),
        }
    }
}

impl EndpointRecord {
    fn remembered(&self) -> RememberedEndpoint {
        let failure = self.last_failure.as_ref();
        RememberedEndpoint {
            attempt: self.last_attempt.map(Moment::of),
            success: self.last_success.map(Moment::of),
            certificate_ends: self.certificate_ends.map(Moment::of),
            failures: self.consecutive_failures,
            failure: failure
                .map(|failure| (failure.reason.as_str().to_owned(), failure.message.clone())),
        }
    }

    fn recall(&mut self, remembered: &RememberedEndpoint, wall: SystemTime) {
        let failure = |(label, message): &(String, String)| {
            let reason = Reason::ALL.iter().find(|reason| reason.as_str() == label)?;
            Some(Failure::new(*reason, message.as_str()))
        };
        self.last_attempt = remembered.attempt.and_then(|at| at.past(wall));
        self.last_success = remembered.success.and_then(|at| at.past(wall));
        self.certificate_ends = remembered.certificate_ends.and_then(Moment::time);
        self.consecutive_failures = remembered.failures;
        self.last_failure = remembered.failure.as_ref().and_then(failure);
    }
}

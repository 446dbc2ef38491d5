//! Exports the state that outlives the agent, and restores it. Knows no file and no format.

use std::hash::Hash as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::CertificateEnd;
use tokio::time::Instant;

use crate::failure::{Failure, Reason};

use super::membership::WatchedPeers;
use super::peer::flapping::Flapping;
use super::rename::{UnnamedPeers, in_steps};
use super::saved::{ConfiguredIdentity, fingerprint};
use super::wall_time::wall_time;
use super::{
    Comparison, Condition, EndpointRecord, Evidence, Fleet, OrderWatch, PeerRecord, Rename,
    SavedCertificate, SavedEndpoint, SavedFleet, SavedOrder, SavedPeer, Slot, UnixMillis, lock,
};

/// Saved state of a peer that was polled so long before all others is of no use any more.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

impl Fleet {
    /// Returns the state that outlives the agent.
    #[must_use]
    pub fn export(&self) -> SavedFleet {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let watched = lock(&self.watched);
        let mut saved = watched.pending_restores.clone();
        for slot in &watched.slots {
            let record = slot.record();
            saved
                .peers
                .insert(record.peer.name.clone(), record.export(now, wall));
        }
        for (name, network) in &watched.networks {
            let judgement = network.judgement();
            if let Some(advanced) = judgement.verdict.finality_advanced {
                saved
                    .finality_advanced
                    .insert(name.clone(), UnixMillis::from_time(advanced));
            }
            if let Some(genesis) = judgement.learned_genesis {
                saved.genesis.insert(name.clone(), genesis);
            }
            let registered = judgement.consensus.saved_registrations();
            if !registered.is_empty() {
                saved.registered_in.insert(name.clone(), registered);
            }
        }
        saved
    }

    /// Returns a hash of the state that outlives the agent, without what every good poll changes. A
    /// different hash is worth an immediate write. Does not build the whole export: with ten
    /// thousand peers this is called more often than the state is written.
    #[must_use]
    pub fn significant_fingerprint(&self) -> u64 {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let watched = lock(&self.watched);
        fingerprint(|hasher| {
            watched.pending_restores.hash(hasher);
            for slot in &watched.slots {
                let record = slot.record();
                record.peer.name.hash(hasher);
                record
                    .export(now, wall)
                    .without_routine_changes()
                    .hash(hasher);
            }
        })
    }

    /// Restores exported state of peers that have not been polled yet, now and when they are added
    /// later. Returns which of them had another name when the state was exported, as
    /// [`Fleet::apply`] does.
    pub fn restore(&self, saved: SavedFleet) -> Vec<Rename> {
        let wall = SystemTime::now();
        let mut watched = lock(&self.watched);
        watched.pending_restores = SavedFleet {
            peers: saved
                .peers
                .into_iter()
                .map(|(name, peer)| (name, peer.with_endpoint_ids()))
                .collect(),
            finality_advanced: saved.finality_advanced,
            genesis: saved.genesis,
            registered_in: saved.registered_in,
        };
        drop_outdated(&mut watched.pending_restores, UnixMillis::from_time(wall));
        let slots = watched.slots.clone();
        let renames = watched.restore_peers(&slots);
        for (name, network) in &watched.networks {
            let advanced = watched.pending_restores.finality_advanced.get(name);
            if let Some(advanced) = advanced.and_then(|at| at.to_past(wall)) {
                network.record(|unjudged| unjudged.finality_advanced = Some(advanced));
            }
        }
        let genesis = std::mem::take(&mut watched.pending_restores.genesis);
        for (name, network) in &watched.networks {
            if let Some(genesis) = genesis.get(name) {
                network.record(|unjudged| unjudged.genesis = Some(*genesis));
            }
        }
        let mut registered_in = std::mem::take(&mut watched.pending_restores.registered_in);
        for (name, network) in &watched.networks {
            if let Some(registered) = registered_in.remove(name) {
                network.record(|unjudged| unjudged.registered_in = registered);
            }
        }
        watched.pending_restores.finality_advanced.clear();
        in_steps(renames)
    }
}

impl WatchedPeers {
    /// Restores the saved state of new peers, as far as there is any. Returns which of them had
    /// another name.
    pub(super) fn restore_peers(&mut self, slots: &[Arc<Slot>]) -> Vec<Rename> {
        let saved = &mut self.pending_restores.peers;
        if saved.is_empty() {
            return Vec::new();
        }
        let mut unknown = Vec::new();
        for slot in slots {
            let peer = slot.peer();
            if saved.get(&peer.name).is_some_and(|it| it.belongs_to(&peer))
                && let Some(known) = saved.remove(&peer.name)
            {
                slot.restore(&known);
            } else {
                unknown.push((slot, peer));
            }
        }
        let mut unnamed = UnnamedPeers::saved(std::mem::take(saved));
        let mut renames = Vec::new();
        for (slot, peer) in unknown {
            if let Some((from, known)) = unnamed.take(&peer) {
                slot.restore(&known);
                renames.push(Rename::new(from, &peer));
            }
        }
        // Another peer has this name now.
        for slot in slots {
            unnamed.peers.remove(&slot.peer().name);
        }
        saved.extend(unnamed.peers);
        renames
    }
}

impl Slot {
    /// Restores the saved state of this peer, unless it has been polled since.
    fn restore(&self, saved: &SavedPeer) {
        self.update(|record| {
            if record.polls == 0 {
                record.restore(saved, Instant::now(), SystemTime::now());
            }
        });
    }
}

/// Drops peers that have not been polled for long by both measures: the clock, which may be wrong
/// after a start, and the newest poll that was saved.
fn drop_outdated(saved: &mut SavedFleet, now: UnixMillis) {
    let attempts = saved.peers.values().filter_map(SavedPeer::last_attempt);
    let newest = attempts.max().unwrap_or(now);
    saved.peers.retain(|_, peer| {
        peer.last_attempt().is_some_and(|attempt| {
            !attempt.is_older(MAX_AGE, now) || !attempt.is_older(MAX_AGE, newest)
        })
    });
}

/// Converts an instant to a time of the wall clock.
fn to_wall(at: Instant, now: Instant, wall: SystemTime) -> Option<UnixMillis> {
    wall_time(at, now, wall).map(UnixMillis::from_time)
}

/// Converts a time of the wall clock to an instant, unless it is in the future.
fn to_instant(at: UnixMillis, now: Instant, wall: SystemTime) -> Option<Instant> {
    let age = wall.duration_since(at.to_past(wall)?).ok()?;
    now.checked_sub(age)
}

impl PeerRecord {
    fn export(&self, now: Instant, wall: SystemTime) -> SavedPeer {
        let endpoints = self.peer.endpoints.iter().zip(&self.endpoints);
        let changes = self.flapping.changes.iter();
        SavedPeer {
            configured: ConfiguredIdentity::of(&self.peer),
            health: self.health,
            streak: self.streak,
            verdict_changes: changes.filter_map(|at| to_wall(*at, now, wall)).collect(),
            recent_polls: Some(self.flapping.recent).filter(|polls| !polls.all_good()),
            genesis: self.identity.genesis,
            key: self.identity.key,
            genesis_match: self.identity.genesis_match.to_bool(),
            key_match: self.identity.key_match.to_bool(),
            transports_agree: self.identity.transports_agree.to_bool(),
            key_changed: self.identity.key_changed_at.map(UnixMillis::from_time),
            diverged_at: self.comparison.first_block(),
            forked_at: self.standing.forked_at,
            registered_key: self.registered_key,
            condition_since: self
                .condition_since
                .iter()
                .map(|(condition, at)| (condition.as_str().to_owned(), UnixMillis::from_time(*at)))
                .collect(),
            advanced: self.advanced.map(|at| at.map(UnixMillis::from_time)),
            order: self.order_watch.export(now, wall),
            endpoints: endpoints
                .map(|(endpoint, record)| (endpoint.id(), Box::new(record.export())))
                .collect(),
        }
    }

    /// Restores saved state. Until the first poll the peer has its saved health.
    fn restore(&mut self, saved: &SavedPeer, now: Instant, wall: SystemTime) {
        let past = |at: Option<UnixMillis>| at.and_then(|at| at.to_past(wall));
        self.streak = saved.streak;
        let changes = saved.verdict_changes.iter();
        self.flapping = Flapping::restored(
            changes.filter_map(|at| to_instant(*at, now, wall)),
            saved.recent_polls.unwrap_or_default(),
        );
        self.identity.genesis = saved.genesis;
        self.identity.key = saved.key;
        self.identity.genesis_match = saved.genesis_match.into();
        self.identity.key_match = saved.key_match.into();
        self.identity.transports_agree = saved.transports_agree.into();
        self.forget_what_other_settings_showed(saved);
        self.identity.key_changed_at = past(saved.key_changed);
        if let Some(first_block) = saved.diverged_at {
            self.comparison = Comparison::Diverged { first_block };
        }
        self.standing.forked_at = saved.forked_at;
        self.registered_key = saved.registered_key;
        self.advanced = saved.advanced.map(past);
        self.order_watch = OrderWatch::restored(saved.order, now, wall);
        for (endpoint, record) in self.peer.endpoints.iter().zip(&mut self.endpoints) {
            if let Some(saved) = saved.endpoints.get(&endpoint.id()) {
                record.restore(saved);
            }
        }
        self.conditions = self.active_conditions(now, wall);
        let condition = |label: &String| Condition::named(label);
        let since = saved.condition_since.iter();
        self.condition_since = since
            .filter_map(|(label, at)| Some((condition(label)?, at.to_past(wall)?)))
            .collect();
        self.update_condition_since(now, wall);
        self.health = saved.health;
    }

    /// Forgets evidence that was obtained with other pins or endpoints, as a reload does.
    fn forget_what_other_settings_showed(&mut self, saved: &SavedPeer) {
        if saved.configured.pinned_genesis != self.peer.genesis {
            self.identity.genesis_match = Evidence::None;
        }
        if saved.configured.pinned_key != self.peer.key {
            self.identity.key_match = Evidence::None;
        }
        let endpoints = &self.peer.endpoints;
        let same_endpoints = endpoints.len() == saved.endpoints.len()
            && endpoints
                .iter()
                .all(|endpoint| saved.endpoints.contains_key(&endpoint.id()));
        if !same_endpoints {
            self.identity.transports_agree = Evidence::None;
        }
    }
}

impl OrderWatch {
    fn export(&self, now: Instant, wall: SystemTime) -> SavedOrder {
        let on_wall_clock = |since: Option<Instant>| to_wall(since?, now, wall);
        SavedOrder {
            points: self.last,
            highest: self.highest,
            stuck: on_wall_clock(self.stuck_since),
            below: on_wall_clock(self.below_since),
            lost: on_wall_clock(self.lost_since),
            unexecuted: self
                .unexecuted
                .and_then(|(finality, since)| Some((finality, on_wall_clock(Some(since))?))),
        }
    }

    fn restored(saved: SavedOrder, now: Instant, wall: SystemTime) -> Self {
        let instant = |at: Option<UnixMillis>| to_instant(at?, now, wall);
        Self {
            last: saved.points,
            has_previous: false,
            finality_advanced: false,
            highest: saved.highest,
            stuck_since: instant(saved.stuck),
            below_since: instant(saved.below),
            lost_since: instant(saved.lost),
            unexecuted: saved
                .unexecuted
                .and_then(|(finality, at)| Some((finality, instant(Some(at))?))),
        }
    }
}

impl SavedEndpoint {
    /// Returns the certificate; none if an earlier version saved its end only.
    fn to_certificate(&self) -> Option<CertificateEnd> {
        let saved = self.certificate.as_ref()?;
        Some(CertificateEnd {
            begins: saved.begins.to_time()?,
            ends: self.certificate_ends?.to_time()?,
            subject: saved.subject.clone(),
        })
    }
}

impl EndpointRecord {
    fn export(&self) -> SavedEndpoint {
        let failure = self.last_failure.as_ref();
        let certificate = self.certificate.as_ref();
        SavedEndpoint {
            attempt: self.last_attempt.map(UnixMillis::from_time),
            success: self.last_success.map(UnixMillis::from_time),
            certificate_ends: certificate.map(|it| UnixMillis::from_time(it.ends)),
            certificate: certificate.map(|it| SavedCertificate {
                begins: UnixMillis::from_time(it.begins),
                subject: it.subject.clone(),
            }),
            failures: self.consecutive_failures,
            failing_since: self.failing_since.map(UnixMillis::from_time),
            failure: failure
                .map(|failure| (failure.reason.as_str().to_owned(), failure.message.clone())),
        }
    }

    fn restore(&mut self, saved: &SavedEndpoint) {
        let failure = |(label, message): &(String, String)| {
            let reason = Reason::ALL.iter().find(|reason| reason.as_str() == label)?;
            Some(Failure::new(*reason, message.as_str()))
        };
        self.last_attempt = saved.attempt.and_then(UnixMillis::to_time);
        self.last_success = saved.success.and_then(UnixMillis::to_time);
        self.certificate = saved.to_certificate().map(Arc::new);
        self.consecutive_failures = saved.failures;
        self.failing_since = saved.failing_since.and_then(UnixMillis::to_time);
        self.last_failure = saved.failure.as_ref().and_then(failure);
    }
}

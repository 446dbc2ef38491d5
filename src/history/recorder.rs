//! Opens the history and records polls and events in memory; [`super::writer`] saves them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout};

use crate::fleet::{Observation, PeerRecord, PollObserver, Rename, Snapshot};

use super::agreement::AgreementLog;
use super::db::{Handle, PeerKey, Thread};
use super::event::EventKind;
use super::event_log::{EventLog, EventSubject};
use super::evidence::EvidenceKeeper;
use super::in_memory::PeerHistory;
use super::summary::Summary;

/// With more peers than this, transcripts are kept only of those that are not up.
pub const MAX_TRANSCRIBED_PEERS: usize = 2_000;

/// Largest number of unwritten summaries of removed peers and of networks.
const MAX_UNOWNED_SUMMARIES: usize = 10_000;

/// How long the start waits for the database to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Unwritten summaries of removed peers and of networks, with their minutes since the epoch.
pub(super) type UnownedSummaries = Vec<(PeerKey, u32, Summary)>;

/// The history of all watched peers.
#[derive(Debug)]
pub struct History {
    peers: RwLock<HashMap<String, Arc<Mutex<PeerHistory>>>>,
    /// Whether there are more than [`MAX_TRANSCRIBED_PEERS`].
    above_transcript_limit: AtomicBool,
    pub(super) unowned: Arc<Mutex<UnownedSummaries>>,
    pub(super) log: Arc<EventLog>,
    pub(super) agreement: Arc<AgreementLog>,
    pub(super) db: Handle,
    evidence: EvidenceKeeper,
}

impl History {
    /// Opens the history in `state_dir` with at most `max_bytes`; without a directory it is kept in
    /// memory with at most [`super::MEMORY_BYTES`]. Waits for the disk for at most
    /// 5 s.
    pub async fn start(state_dir: Option<PathBuf>, max_bytes: u64) -> Arc<Self> {
        let log = Arc::new(EventLog::new(SystemTime::now()));
        let agreement = Arc::<AgreementLog>::default();
        let thread = Thread::new(
            state_dir.clone(),
            max_bytes,
            Arc::clone(&log),
            Arc::clone(&agreement),
        );
        let history = Self {
            peers: RwLock::default(),
            above_transcript_limit: AtomicBool::new(false),
            unowned: Arc::default(),
            evidence: EvidenceKeeper::new(state_dir.as_deref(), &log),
            db: thread.spawn(),
            log,
            agreement,
        };
        let opening = history.db.execute(Thread::ensure_open);
        if timeout(OPEN_TIMEOUT, opening).await.is_err() {
            tracing::warn!(
                "the history was not opened within {OPEN_TIMEOUT:?}; monitoring starts without it"
            );
        }
        Arc::new(history)
    }

    /// Returns what keeps evidence.
    #[must_use]
    pub const fn evidence(&self) -> &EvidenceKeeper {
        &self.evidence
    }

    /// Continues the history of peers under other names.
    pub fn rename(&self, renames: Vec<Rename>) {
        if renames.is_empty() {
            return;
        }
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        for rename in &renames {
            if let Some(peer_history) = peers.remove(&rename.from) {
                lock(&peer_history).rename(&rename.to);
                peers.insert(rename.to.clone(), peer_history);
            }
        }
        drop(peers);
        self.log.rename(&renames);
        let db = self.db.clone();
        tokio::spawn(async move { db.execute(move |thread| thread.rename(&renames)).await });
    }

    /// Sets the watched peers. The history of other peers is removed from memory; their stored
    /// history stays until it expires.
    pub fn set_peers(&self, snapshot: &Snapshot) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        let mut previous = std::mem::take(&mut *peers);
        let above_limit = snapshot.peers.len() > MAX_TRANSCRIBED_PEERS;
        self.above_transcript_limit
            .store(above_limit, Ordering::Relaxed);
        for record in &snapshot.peers {
            let name = &record.peer.name;
            let existing = previous.remove(name);
            let same_peer = existing
                .as_ref()
                .is_some_and(|it| lock(it).belongs_to(&record.peer));
            let peer_history = match existing {
                Some(existing) if same_peer => {
                    let mut locked = lock(&existing);
                    if above_limit && !locked.is_unhealthy() {
                        locked.drop_transcripts();
                    }
                    drop(locked);
                    existing
                }
                other => {
                    if let Some(of_other_network) = other {
                        self.keep_unwritten(&lock(&of_other_network));
                    }
                    Arc::new(Mutex::new(PeerHistory::new(record)))
                }
            };
            peers.insert(name.clone(), peer_history);
        }
        for removed in previous.values() {
            self.keep_unwritten(&lock(removed));
        }
    }

    /// Keeps the unwritten summaries of a removed peer until they are written.
    fn keep_unwritten(&self, peer_history: &PeerHistory) {
        let key = peer_history.key();
        let unwritten = peer_history.unwritten().iter().cloned();
        let summaries = unwritten.map(|(minute, summary)| (key.clone(), minute, summary));
        self.add_unowned(summaries);
    }

    /// Keeps summaries of what has no [`PeerHistory`] until they are written.
    pub(super) fn add_unowned(&self, summaries: impl IntoIterator<Item = (PeerKey, u32, Summary)>) {
        let mut unowned = lock(&self.unowned);
        for (key, minute, summary) in summaries {
            let mut kept = unowned.iter_mut();
            if let Some(same) = kept.find(|it| it.1 == minute && it.0 == key) {
                same.2.merge(&summary);
            } else if unowned.len() < MAX_UNOWNED_SUMMARIES {
                unowned.push((key, minute, summary));
            }
        }
    }

    /// Sets the size limit of the database in bytes. It takes effect when the database thread is
    /// idle.
    pub fn set_max_bytes(&self, max_bytes: u64) {
        let db = self.db.clone();
        tokio::spawn(async move {
            db.execute(move |thread| thread.set_max_bytes(max_bytes))
                .await;
        });
    }

    /// Records an event about the agent itself.
    pub fn record_event(&self, kind: EventKind) {
        self.log
            .push(SystemTime::now(), EventSubject::default(), kind);
    }

    /// Records an event about a peer or a network.
    pub fn record_event_about(&self, peer: Option<&str>, network: Option<&str>, kind: EventKind) {
        let subject = EventSubject { peer, network };
        self.log.push(SystemTime::now(), subject, kind);
    }

    pub(super) fn peer(&self, name: &str) -> Option<Arc<Mutex<PeerHistory>>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(name).cloned()
    }

    pub(super) fn peers(&self) -> Vec<Arc<Mutex<PeerHistory>>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.values().cloned().collect()
    }

    fn record_changes(&self, peer_history: &mut PeerHistory, record: &PeerRecord) {
        let subject = EventSubject {
            peer: Some(&record.peer.name),
            network: Some(&record.peer.network),
        };
        for kind in peer_history.take_changes(record) {
            self.log.push(SystemTime::now(), subject, kind);
        }
    }
}

impl PollObserver for History {
    fn on_poll(&self, record: &PeerRecord, observation: &Observation, now: Instant) {
        // The peer may have been added or removed a moment ago.
        let Some(peer_history) = self.peer(&record.peer.name) else {
            return;
        };
        let mut peer_history = lock(&peer_history);
        peer_history.record_poll(record, observation, now);
        self.record_changes(&mut peer_history, record);
        if !self.above_transcript_limit.load(Ordering::Relaxed) || peer_history.is_unhealthy() {
            peer_history.keep_for_transcript(record, observation);
        } else {
            peer_history.drop_transcripts();
        }
    }

    fn on_reevaluation(&self, record: &PeerRecord) {
        if let Some(peer_history) = self.peer(&record.peer.name) {
            self.record_changes(&mut lock(&peer_history), record);
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic leaves at most one poll recorded in part.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

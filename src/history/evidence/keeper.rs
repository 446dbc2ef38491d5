//! Writes evidence without blocking its callers. A disk that fails or hangs delays nothing else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::history::event::EventKind;
use crate::history::event_log::{EventLog, EventSubject};

use super::incident::Incident;
use super::store::{EvidenceError, EvidenceStore, Listing};

/// How long an incident waits for the one before to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a reader waits for the disk.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps evidence of incidents in `state_dir`, if there is one.
#[derive(Clone, Debug, Default)]
pub struct EvidenceKeeper(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    log: Arc<EventLog>,
    store: EvidenceStore,
    /// One file is written or read at a time: a disk that hangs takes one thread.
    turn: Arc<Semaphore>,
    failing: AtomicBool,
    foreign_logged: AtomicBool,
}

impl EvidenceKeeper {
    /// Keeps evidence in this state directory, and records that in `log`; without a directory, none
    /// is kept.
    #[must_use]
    pub(in crate::history) fn new(state_dir: Option<&Path>, log: &Arc<EventLog>) -> Self {
        Self(state_dir.map(|dir| {
            Arc::new(Shared {
                log: Arc::clone(log),
                store: EvidenceStore::in_state_dir(dir),
                turn: Arc::new(Semaphore::new(1)),
                failing: AtomicBool::new(false),
                foreign_logged: AtomicBool::new(false),
            })
        }))
    }

    /// Whether evidence is kept at all.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the turn to write, which a disk that hangs does not give back.
    #[cfg(test)]
    pub(super) fn turn(&self) -> Option<Arc<Semaphore>> {
        self.0.as_ref().map(|shared| Arc::clone(&shared.turn))
    }

    /// Writes the evidence of an incident. Failures are logged. Returns when the file is written,
    /// or when the disk has not responded for 30 s; then it is still written when the disk
    /// responds.
    pub async fn keep(&self, incident: Incident) {
        let Some(shared) = &self.0 else { return };
        let writing = async {
            let turn = Arc::clone(&shared.turn).acquire_owned().await;
            let writer = Arc::clone(shared);
            let written = tokio::task::spawn_blocking(move || {
                writer.write(incident);
                drop(turn);
            });
            if let Err(error) = written.await {
                tracing::error!(%error, "writing evidence panicked");
            }
        };
        if timeout(WRITE_TIMEOUT, writing).await.is_err() {
            shared.log_failure(&format!(
                "the disk did not respond within {WRITE_TIMEOUT:?}"
            ));
        }
    }

    /// Returns the text of the evidence with this id; `None` if no evidence is kept, or the disk
    /// does not respond for 5 s.
    ///
    /// # Errors
    /// There is no such evidence, or it cannot be read.
    pub async fn read(&self, id: &str) -> Option<Result<Vec<u8>, EvidenceError>> {
        let shared = Arc::clone(self.0.as_ref()?);
        let id = id.to_owned();
        let reading = async {
            let turn = Arc::clone(&shared.turn).acquire_owned().await.ok()?;
            let read = tokio::task::spawn_blocking(move || {
                let read = shared.store.read(&id);
                drop(turn);
                read
            });
            read.await.ok()
        };
        timeout(READ_TIMEOUT, reading).await.ok().flatten()
    }
}

impl Shared {
    fn write(&self, incident: Incident) {
        let (network, peer) = (incident.network.clone(), incident.peer.clone());
        let condition = incident.condition.clone();
        match self.store.write(incident, SystemTime::now()) {
            Ok((id, listing)) => {
                tracing::info!(
                    peer.name = %peer, peer.network = %network, condition = %condition,
                    evidence = %id, "evidence was kept"
                );
                let subject = EventSubject {
                    peer: Some(&peer),
                    network: Some(&network),
                };
                let kind = EventKind::EvidenceKept {
                    condition,
                    evidence: id,
                };
                self.log.push(SystemTime::now(), subject, kind);
                self.failing.store(false, Ordering::Relaxed);
                self.log_foreign(&listing);
            }
            Err(error) => self.log_failure(&error.to_string()),
        }
    }

    /// Logs that evidence cannot be kept, once until it can be again.
    fn log_failure(&self, error: &str) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %error,
                "evidence is not being kept; monitoring continues"
            );
        }
    }

    fn log_foreign(&self, listing: &Listing) {
        if let Some(first) = listing.foreign.first()
            && !self.foreign_logged.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                dir = %self.store.dir().display(), files = listing.foreign.len(), first = %first.escape_debug(),
                "files that are no evidence are in its directory; they are ignored and not counted"
            );
        }
    }
}

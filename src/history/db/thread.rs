//! The thread that owns the database, and the handle that submits jobs to it, so that a hanging
//! disk blocks nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::fleet::Rename;
use crate::history::agreement::{AgreementLog, AgreementSpan};
use crate::history::event::Event;
use crate::history::event_log::EventLog;
use crate::supervisor::panic_message;

use super::error::StoreError;
use super::expiry::Expiry;
use super::store::{Batch, Store, quarantine};

/// Largest number of queued jobs.
const MAX_QUEUED_JOBS: usize = 64;

/// How long a query waits for its result.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Size limit of the history in bytes if there is no `state_dir`.
pub const MEMORY_BYTES: u64 = 16 << 20;

/// The stored spans by network.
type StoredSpans = Vec<(Arc<str>, AgreementSpan)>;

type Job = Box<dyn FnOnce(&mut Thread) + Send>;

/// Why the history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer is not watched.
    #[error("this peer is not watched")]
    NotWatched,
    /// The database did not respond in time.
    #[error("the history database did not respond in time")]
    Timeout,
    /// The database reported an error.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Submits jobs to the database thread. The thread ends when its last handle is dropped.
#[derive(Clone, Debug)]
pub(in crate::history) struct Handle(mpsc::Sender<Job>);

impl Handle {
    /// Runs `job` when the thread is idle, however long that takes. Returns its result, or `None`
    /// if the thread has ended.
    pub(in crate::history) async fn run_when_idle<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Thread) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, result) = oneshot::channel();
        let job = Box::new(move |thread: &mut Thread| {
            // Fails if the caller no longer waits.
            drop(sender.send(job(thread)));
        });
        self.0.send(job).await.ok()?;
        result.await.ok()
    }

    /// Runs `job`, however long it takes.
    pub(in crate::history) async fn execute(&self, job: impl FnOnce(&mut Thread) + Send + 'static) {
        // Without the thread there is nothing to do.
        self.run_when_idle(job).await.unwrap_or_default();
    }

    /// Runs `job` and returns its result.
    ///
    /// # Errors
    /// The job fails or does not finish within [`QUERY_TIMEOUT`].
    pub(in crate::history) async fn query<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Thread) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let abandoned = CancellationToken::new();
        let _cancel_on_drop = abandoned.clone().drop_guard();
        // After the disk has hung, jobs that nobody waits for any more are skipped.
        let job = move |thread: &mut Thread| (!abandoned.is_cancelled()).then(|| job(thread));
        let result = timeout(QUERY_TIMEOUT, self.run_when_idle(job)).await;
        let result = result.ok().flatten().flatten();
        Ok(result.ok_or(ReadError::Timeout)??)
    }
}

/// The database thread with the database, which is opened when it is first used.
#[derive(Debug)]
pub(in crate::history) struct Thread {
    /// `None`: the database is in memory.
    dir: Option<PathBuf>,
    max_bytes: u64,
    store: Option<Store>,
    log: Arc<EventLog>,
    agreement: Arc<AgreementLog>,
    /// Whether both were restored.
    log_restored: bool,
    failing: bool,
    expiry: Expiry,
}

impl Thread {
    pub(in crate::history) fn new(
        dir: Option<PathBuf>,
        max_bytes: u64,
        log: Arc<EventLog>,
        agreement: Arc<AgreementLog>,
    ) -> Self {
        Self {
            dir,
            max_bytes,
            store: None,
            log,
            agreement,
            log_restored: false,
            failing: false,
            expiry: Expiry::default(),
        }
    }

    /// Starts the thread.
    pub(in crate::history) fn spawn(mut self) -> Handle {
        let (sender, mut jobs) = mpsc::channel::<Job>(MAX_QUEUED_JOBS);
        tokio::task::spawn_blocking(move || {
            while let Some(job) = jobs.blocking_recv() {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(&mut self))) {
                    self.handle_panic(panic_message(&*panic));
                }
            }
        });
        Handle(sender)
    }

    /// Opens the database and restores the event log, unless that is done already.
    pub(in crate::history) fn ensure_open(&mut self) {
        // `read` logs failures.
        self.read(|_| Ok(())).unwrap_or_default();
    }

    fn store(&mut self) -> Result<&mut Store, StoreError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => self.open()?,
        };
        Ok(self.store.insert(store))
    }

    /// Opens the database and brings the event log up to date with it.
    fn open(&mut self) -> Result<Store, StoreError> {
        let opened = self.open_store();
        let (store, events, agreement) = match opened {
            Err(error) if self.quarantine_if_unusable(&error) => self.open_store()?,
            opened => opened?,
        };
        if self.log_restored {
            let last_id = events.last().map_or(0, |event| event.id);
            self.log.set_last_written(last_id);
            self.agreement.mark_unwritten();
        } else {
            self.log.restore(events);
            self.agreement.restore(agreement);
            self.log_restored = true;
        }
        Ok(store)
    }

    fn open_store(&self) -> Result<(Store, Vec<Event>, StoredSpans), StoreError> {
        let store = match &self.dir {
            None => Store::in_memory(self.max_bytes.min(MEMORY_BYTES)),
            Some(dir) => Store::open(dir, self.max_bytes),
        }?;
        let (events, agreement) = (store.events()?, store.agreement()?);
        Ok((store, events, agreement))
    }

    /// Renames the database if `error` says that it is unusable. Returns whether it was renamed.
    fn quarantine_if_unusable(&self, error: &StoreError) -> bool {
        let (StoreError::Unusable { path, why }, Some(_)) = (error, &self.dir) else {
            return false;
        };
        let kept_as = quarantine(path, SystemTime::now());
        let kept_as = kept_as.map(|to| to.display().to_string());
        tracing::warn!(
            file = %path.display(), %why, kept_as,
            "history database is unusable; moving it aside and starting a new one"
        );
        kept_as.is_some()
    }

    /// Calls `read` with the database. Failures are logged.
    pub(in crate::history) fn read<T>(
        &mut self,
        read: impl FnOnce(&Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = self.store().and_then(|store| read(store));
        result.inspect_err(|error| self.handle_failure(error))
    }

    /// Continues the stored history of peers under other names.
    pub(in crate::history) fn rename(&mut self, renames: &[Rename]) {
        let outcome = self.store().and_then(|store| store.rename(renames));
        if let Err(error) = outcome {
            self.handle_failure(&error);
        }
    }

    /// Sets the size limit in bytes.
    pub(in crate::history) fn set_max_bytes(&mut self, max_bytes: u64) {
        self.max_bytes = max_bytes;
        let max_bytes = match self.dir {
            Some(_) => max_bytes,
            None => max_bytes.min(MEMORY_BYTES),
        };
        if let Some(store) = &mut self.store
            && let Err(error) = store.set_max_bytes(max_bytes)
        {
            self.handle_failure(&error);
        }
    }

    /// Writes a batch. Returns whether it was written; failures are logged.
    pub(in crate::history) fn write(&mut self, batch: &Batch) -> bool {
        if self.store.as_ref().is_some_and(Store::is_file_missing) {
            self.store = None;
        }
        let result = self.store().and_then(|store| store.write(batch));
        result
            .inspect_err(|error| self.handle_failure(error))
            .is_ok()
    }

    /// Prunes the database and truncates its write-ahead log, after the last batch of a write.
    /// Returns whether that succeeded; failures are logged.
    pub(in crate::history) fn prune_and_checkpoint(&mut self) -> bool {
        let now = SystemTime::now();
        let mut expiry = std::mem::take(&mut self.expiry);
        expiry.advance(now, Instant::now());
        let result = self
            .store()
            .and_then(|store| store.prune_and_checkpoint(now, &mut expiry));
        self.expiry = expiry;
        let succeeded = result
            .inspect_err(|error| self.handle_failure(error))
            .is_ok();
        if succeeded && self.failing {
            self.failing = false;
            tracing::info!("history is being saved again");
        }
        succeeded
    }

    /// Makes the thread usable after a job that panicked.
    fn handle_panic(&mut self, message: &str) {
        if self.dir.is_some() {
            // The next job opens it again, without whatever the last one left.
            self.store = None;
        }
        tracing::error!(%message, "a job of the history database panicked; the others continue");
    }

    /// Logs the first of several failures. The next job opens the database again, which may be on
    /// another disk by then.
    fn handle_failure(&mut self, error: &StoreError) {
        if self.dir.is_some() {
            self.store = None;
        }
        if !self.failing {
            tracing::warn!(
                %error,
                "history is not being saved; monitoring continues, and the history will have a gap"
            );
        }
        self.failing = true;
        self.quarantine_if_unusable(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_query_times_out_while_the_disk_hangs_and_succeeds_later() {
        let log = Arc::new(EventLog::new(SystemTime::now()));
        let handle = Thread::new(None, MEMORY_BYTES, log, Arc::default()).spawn();
        let (resume, resumed) = std::sync::mpsc::channel::<()>();
        let hanging = tokio::spawn({
            let handle = handle.clone();
            async move { handle.execute(move |_| resumed.recv().unwrap()).await }
        });
        tokio::task::yield_now().await;
        let reading = tokio::spawn({
            let handle = handle.clone();
            async move { handle.query(|thread| thread.read(Store::events)).await }
        });
        tokio::task::yield_now().await;
        tokio::time::advance(QUERY_TIMEOUT).await;
        assert!(matches!(reading.await.unwrap(), Err(ReadError::Timeout)));
        resume.send(()).unwrap();
        hanging.await.unwrap();
        let events = handle.query(|thread| thread.read(Store::events)).await;
        assert_eq!(events.unwrap(), []);
    }

    #[tokio::test]
    async fn a_job_that_panics_does_not_end_the_thread() {
        let log = Arc::new(EventLog::new(SystemTime::now()));
        let dir = tempfile::tempdir().unwrap();
        let dir_path = Some(dir.path().to_owned());
        let handle = Thread::new(dir_path, MEMORY_BYTES, log, Arc::default()).spawn();
        handle.execute(|_| panic!("as scripted")).await;
        let events = handle.query(|thread| thread.read(Store::events)).await;
        assert_eq!(events.unwrap(), []);
    }
}

//! The one thread that has the store: everybody else gives it jobs, so that a disk that hangs holds nobody up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::history::db::{self, Batch, Store, StoreError};
use crate::history::event::Event;
use crate::history::log::Log;

/// Jobs that may wait for the disk.
const WAITING_JOBS: usize = 64;

/// How long somebody who reads waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of the history where there is no `state_dir`, at most.
pub const MEMORY_BYTES: u64 = 16 << 20;

type Job = Box<dyn FnOnce(&mut Shelf) + Send>;

/// Why the history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not known of such a peer.
    #[error("no such peer is watched")]
    NotWatched,
    /// The disk is too slow.
    #[error("the disk that holds the history does not answer")]
    Slow,
    /// The disk does not give it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where jobs for the store are handed in.
#[derive(Clone, Debug)]
pub(in crate::history) struct Counter(mpsc::Sender<Job>);

impl Counter {
    /// Begins the thread. It ends with the last counter.
    pub(in crate::history) fn open(mut shelf: Shelf) -> Self {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING_JOBS);
        tokio::task::spawn_blocking(move || {
            while let Some(job) = waiting.blocking_recv() {
                job(&mut shelf);
            }
        });
        Self(jobs)
    }

    /// What `job` brings, however long it takes; none when it cannot be done.
    pub(in crate::history) async fn do_at_leisure<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Shelf) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |shelf: &mut Shelf| {
            // Who asked may be gone.
            drop(answer.send(job(shelf)));
        });
        self.0.send(job).await.ok()?;
        answered.await.ok()
    }

    /// Has `job` done, however long it takes.
    pub(in crate::history) async fn tell(&self, job: impl FnOnce(&mut Shelf) + Send + 'static) {
        // Without the thread there is nothing to be told.
        self.do_at_leisure(job).await.unwrap_or_default();
    }

    /// What `job` brings, if it does so soon.
    pub(in crate::history) async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Shelf) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unreadable> {
        let gone = CancellationToken::new();
        let _while_waiting = gone.clone().drop_guard();
        // A disk that answers at last has more to do than to answer who has left.
        let job = move |shelf: &mut Shelf| (!gone.is_cancelled()).then(|| job(shelf));
        let answered = timeout(PATIENCE, self.do_at_leisure(job)).await;
        let answer = answered.ok().flatten().flatten();
        Ok(answer.ok_or(Unreadable::Slow)??)
    }
}

/// The store, open or to be opened.
#[derive(Debug)]
pub(in crate::history) struct Shelf {
    /// None: in memory.
    dir: Option<PathBuf>,
    max_bytes: u64,
    store: Option<Store>,
    log: Arc<Log>,
    recalled: bool,
    failing: bool,
}

impl Shelf {
    pub(in crate::history) fn new(dir: Option<PathBuf>, max_bytes: u64, log: Arc<Log>) -> Self {
        Self {
            dir,
            max_bytes,
            store: None,
            log,
            recalled: false,
            failing: false,
        }
    }

    /// The store, opened if it is not.
    fn store(&mut self) -> Result<&mut Store, StoreError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => self.open()?,
        };
        Ok(self.store.insert(store))
    }

    /// Opens the store, and gives the log what it remembers.
    fn open(&mut self) -> Result<Store, StoreError> {
        let opened = self.open_file();
        let (store, stored) = match opened {
            Err(error) if self.put_aside(&error) => self.open_file()?,
            opened => opened?,
        };
        if self.recalled {
            self.log.rewind(stored.last().map_or(0, |event| event.id));
        } else {
            self.log.recall(stored);
            self.recalled = true;
        }
        Ok(store)
    }

    fn open_file(&self) -> Result<(Store, Vec<Event>), StoreError> {
        let store = match &self.dir {
            None => Store::in_memory(self.max_bytes.min(MEMORY_BYTES)),
            Some(dir) => Store::open(dir, self.max_bytes),
        }?;
        let events = store.events()?;
        Ok((store, events))
    }

    /// Moves away a database that is of no use; says whether it was one and is gone.
    fn put_aside(&self, error: &StoreError) -> bool {
        let (StoreError::Unusable { path, why }, Some(_)) = (error, &self.dir) else {
            return false;
        };
        let kept_as = db::set_aside(path, SystemTime::now());
        let kept_as = kept_as.map(|to| to.display().to_string());
        tracing::warn!(
            file = %path.display(), %why, ?kept_as,
            "the history cannot be used and is set aside; a new one begins"
        );
        kept_as.is_some()
    }

    /// What `read` finds in the store.
    pub(in crate::history) fn read<T>(
        &mut self,
        read: impl FnOnce(&Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let found = self.store().and_then(|store| read(store));
        found.inspect_err(|error| self.fail(error))
    }

    /// Takes another bound.
    pub(in crate::history) fn bound(&mut self, max_bytes: u64) {
        self.max_bytes = max_bytes;
        let max_bytes = match self.dir {
            Some(_) => max_bytes,
            None => max_bytes.min(MEMORY_BYTES),
        };
        if let Some(store) = &mut self.store
            && let Err(error) = store.bound(max_bytes)
        {
            self.fail(&error);
        }
    }

    /// Writes a batch; says whether it is written.
    pub(in crate::history) fn write(&mut self, batch: &Batch) -> bool {
        if self.store.as_ref().is_some_and(Store::is_gone) {
            self.store = None;
        }
        let written = self.store().and_then(|store| store.write(batch));
        written.inspect_err(|error| self.fail(error)).is_ok()
    }

    /// Finishes what was written; says whether it is.
    pub(in crate::history) fn settle(&mut self) -> bool {
        let settled = self
            .store()
            .and_then(|store| store.settle(SystemTime::now()));
        let settled = settled.inspect_err(|error| self.fail(error)).is_ok();
        if settled && self.failing {
            self.failing = false;
            tracing::info!("the history is kept again");
        }
        settled
    }

    /// Says once that nothing is kept, and has the store opened anew the next time: the disk may be another one then.
    fn fail(&mut self, error: &StoreError) {
        if self.dir.is_some() {
            self.store = None;
        }
        if !self.failing {
            tracing::warn!(
                %error,
                "the history is not kept; monitoring goes on, and there will be a gap"
            );
        }
        self.failing = true;
        self.put_aside(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_keeps_who_reads_for_a_few_seconds_and_answers_again_later() {
        let log = Arc::new(Log::new(SystemTime::now()));
        let counter = Counter::open(Shelf::new(None, MEMORY_BYTES, log));
        let (go_on, waits) = std::sync::mpsc::channel::<()>();
        let hanging = tokio::spawn({
            let counter = counter.clone();
            async move { counter.tell(move |_| waits.recv().unwrap()).await }
        });
        tokio::task::yield_now().await;
        let reading = tokio::spawn({
            let counter = counter.clone();
            async move { counter.ask(|shelf| shelf.read(Store::events)).await }
        });
        tokio::task::yield_now().await;
        tokio::time::advance(PATIENCE).await;
        assert!(matches!(reading.await.unwrap(), Err(Unreadable::Slow)));
        go_on.send(()).unwrap();
        hanging.await.unwrap();
        let events = counter.ask(|shelf| shelf.read(Store::events)).await;
        assert_eq!(events.unwrap(), []);
    }
}

//! Writes new summaries and events to the database, periodically and at the end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::fleet::Fleet;
use crate::supervisor::liveness::Pulse;

use super::canary_changes::CanaryChanges;
use super::db::{Batch, Thread};
use super::event::EventKind;
use super::network_changes::NetworkChanges;
use super::network_uptime::NetworkUptime;
use super::recorder::{History, lock};

/// Time between two checks whether a write is due. Networks are observed at the same interval.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Longest time that events wait to be written.
const EVENTS_INTERVAL: Duration = Duration::from_secs(5);

/// Longest time that summaries wait to be written: a kill loses at most this much.
const SUMMARIES_INTERVAL: Duration = Duration::from_secs(60);

/// How long an operator waits for a write.
const SAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A write that takes longer is logged.
const SLOW_WRITE: Duration = Duration::from_secs(15);

/// Largest number of peers in one batch. Bounds the memory of a batch.
const MAX_PEERS_PER_BATCH: usize = 1_000;

impl History {
    /// Writes new data and records network events until `stop`, then writes the rest.
    pub async fn run(self: Arc<Self>, fleet: Arc<Fleet>, pulse: Pulse, stop: CancellationToken) {
        let mut ticks = interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut network_changes = NetworkChanges::default();
        let mut network_uptime = NetworkUptime::default();
        let mut canary_changes = CanaryChanges::default();
        let mut pending: Option<PendingWrite> = None;
        let mut last_write = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            // A disk that hangs holds up the writes, which are logged, and not this loop.
            pulse.expect(CHECK_INTERVAL);
            let verdicts = fleet.network_verdicts();
            network_changes.record(&verdicts, &self.log);
            self.agreement.record(&verdicts, SystemTime::now());
            network_uptime.record(&verdicts, &fleet, &self, Instant::now());
            canary_changes.record(&fleet, &self.log);
            if let Some(finished) = pending.take_if(|write| write.task.is_finished()) {
                finished.log_end_if_slow();
            }
            if let Some(write) = &mut pending {
                write.warn_if_slow();
                pulse.turned();
                continue;
            }
            let elapsed = last_write.elapsed();
            let due = elapsed >= SUMMARIES_INTERVAL
                || (elapsed >= EVENTS_INTERVAL && self.log.has_unwritten());
            if due {
                last_write = Instant::now();
                pending = Some(PendingWrite::start(&self));
            }
            pulse.turned();
        }
        self.record_event(EventKind::AgentStopped);
        if let Some(write) = pending
            && write.task.await.is_err()
        {
            return;
        }
        self.write().await;
    }

    /// Writes what was recorded so far. Returns whether all events are on disk within
    /// `SAVE_TIMEOUT`.
    pub async fn save(self: &Arc<Self>) -> bool {
        let written = timeout(SAVE_TIMEOUT, self.write()).await;
        written.is_ok() && !self.log.has_unwritten()
    }

    /// Writes new data in one job, so that readers find it either unwritten or written.
    async fn write(self: &Arc<Self>) {
        let history = Arc::clone(self);
        let write = move |thread: &mut Thread| {
            history.write_batches(thread);
        };
        self.db.execute(write).await;
    }

    /// Writes new data in batches, until one fails. Unwritten data waits for the next write.
    fn write_batches(&self, thread: &mut Thread) {
        let first = Batch {
            summaries: std::mem::take(&mut *lock(&self.unowned)),
            events: self.log.unwritten(),
            agreement: self.agreement.unwritten(),
        };
        let last_id = first.events.last().map_or(0, |event| event.id);
        let agreement = first.agreement.clone();
        if !self.write_batch(thread, first) {
            return;
        }
        self.log.mark_written(last_id);
        self.agreement.mark_written(&agreement);
        let peers = self.peers();
        let batches = peers.chunks(MAX_PEERS_PER_BATCH).map(|peers| Batch {
            summaries: peers
                .iter()
                .flat_map(|it| lock(it).take_unwritten())
                .collect(),
            ..Batch::default()
        });
        for batch in batches {
            if !self.write_batch(thread, batch) {
                return;
            }
        }
        thread.prune_and_checkpoint();
    }

    fn write_batch(&self, thread: &mut Thread, batch: Batch) -> bool {
        let written = thread.write(&batch);
        if !written {
            self.return_summaries(batch);
        }
        written
    }

    /// Returns the summaries of a failed batch to their peers.
    fn return_summaries(&self, batch: Batch) {
        for (key, minute, summary) in batch.summaries {
            let peer_history = self.peer(&key.1).filter(|it| *lock(it).key() == key);
            if let Some(peer_history) = peer_history {
                lock(&peer_history).return_unwritten(minute, summary);
            } else {
                self.add_unowned([(key, minute, summary)]);
            }
        }
    }
}

/// A write in progress.
struct PendingWrite {
    task: JoinHandle<()>,
    began: Instant,
    warned: bool,
}

impl PendingWrite {
    fn start(history: &Arc<History>) -> Self {
        let history = Arc::clone(history);
        Self {
            task: tokio::spawn(async move { history.write().await }),
            began: Instant::now(),
            warned: false,
        }
    }

    fn warn_if_slow(&mut self) {
        if !self.warned && self.began.elapsed() >= SLOW_WRITE {
            self.warned = true;
            tracing::warn!(
                "writing the history has taken more than {SLOW_WRITE:?}; monitoring continues, \
                 and the history may have a gap"
            );
        }
    }

    fn log_end_if_slow(self) {
        if self.warned {
            let after = humantime::format_duration(self.began.elapsed());
            tracing::info!(%after, "writing the history has finished");
        }
    }
}

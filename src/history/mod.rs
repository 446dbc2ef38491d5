//! What was: the last polls of each peer in memory, summaries and events in a store of bounded size. Fed by the fleet after each
//! poll, read by pages and scripts. Its trouble with a disk never delays the monitoring.

mod db;
mod event;
mod in_memory;
mod log;
mod recent;
mod summary;
mod transcript;
mod uptime;
mod writer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout};

use crate::fleet::Observation;
use crate::fleet::{PeerRecord, PollObserver, Snapshot};

use db::thread::{Counter, Shelf};
pub use db::thread::{MEMORY_BYTES, Unreadable};
use db::{Batch, PeerKey, minute};
pub use db::{HOURS_KEPT, MINUTES_KEPT, NAME as STORE_NAME, Resolution, StoreError};
pub use event::{Event, EventKind, Label};
use in_memory::PeerMemory;
use log::{About, Log};
pub use log::{EVENTS_KEPT, Subscription};
pub use recent::{Outcome, POLLS_KEPT, Poll};
pub use summary::{Latency, Summary};
pub use transcript::{Answer, Conversation, Step, TRANSCRIPT_BYTES, Transcript};
pub use uptime::{Uptime, WINDOWS};

/// Up to so many peers, transcripts are kept of all of them; above, only of those that are not up.
pub const TRANSCRIBED_PEERS: usize = 2_000;

/// Points of a series, at most: more than a screen is wide.
pub const SERIES_POINTS: u32 = 2_000;

/// Summaries of peers that are watched no longer, waiting for a disk that does not take them, at most.
const DEPARTED: usize = 10_000;

/// Peers in a batch that is written, at most: the memory that it takes is small beside that of the peers.
const BATCH: usize = 1_000;

/// How long a start waits for the disk.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// What was. Shared by those who feed it and those who read.
#[derive(Debug)]
pub struct History {
    peers: RwLock<HashMap<String, Arc<Mutex<PeerMemory>>>>,
    /// More peers are watched than transcripts are kept of.
    many: AtomicBool,
    /// What is not written yet of peers that are watched no longer.
    departed: Mutex<Vec<(PeerKey, u32, Summary)>>,
    log: Arc<Log>,
    counter: Counter,
}

/// A piece of a peer's history, as it is charted.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// From one point to the next.
    pub step: Duration,
    /// In order of time. A step in which the peer was not polled has no point.
    pub points: Vec<Point>,
}

/// One step of a [`Series`].
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// When the step begins: a multiple of the series' step since the epoch.
    pub at: SystemTime,
    /// What the polls in it showed.
    pub summary: Summary,
}

/// What the last successful and the last failed poll of a peer were. One that was not kept is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcripts {
    /// The last poll that was good.
    pub success: Option<Transcript>,
    /// The last one that was not.
    pub failure: Option<Transcript>,
}

impl History {
    /// Opens the history in `state_dir`, of at most `max_bytes`; without a directory it is kept in memory, in at most
    /// [`MEMORY_BYTES`]. Waits for the disk, but not for long.
    pub async fn start(state_dir: Option<PathBuf>, max_bytes: u64) -> Arc<Self> {
        let log = Arc::new(Log::new(SystemTime::now()));
        let shelf = Shelf::new(state_dir, max_bytes, Arc::clone(&log));
        let history = Self {
            peers: RwLock::default(),
            many: AtomicBool::new(false),
            departed: Mutex::default(),
            log,
            counter: Counter::open(shelf),
        };
        // It is opened by whoever uses it first. What is wrong with it has been told.
        let opening = history
            .counter
            .do_at_leisure(|shelf| shelf.read(|_| Ok(())).is_ok());
        if timeout(OPEN_WITHIN, opening).await.is_err() {
            tracing::warn!(
                "the disk does not answer within {OPEN_WITHIN:?}; monitoring begins without the history"
            );
        }
        Arc::new(history)
    }

    /// Makes the history follow the peers that are watched: those that are not are forgotten in memory, and what is stored of
    /// them stays until it is too old.
    pub fn follow(&self, snapshot: &Snapshot) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *peers);
        let many = snapshot.peers.len() > TRANSCRIBED_PEERS;
        self.many.store(many, Ordering::Relaxed);
        for record in &snapshot.peers {
            let name = &record.peer.name;
            let kept = before.remove(name);
            let same = kept.as_ref().is_some_and(|it| lock(it).is_of(&record.peer));
            let memory = match kept {
                Some(kept) if same => {
                    let mut memory = lock(&kept);
                    if many && !memory.is_unhealthy() {
                        memory.forget_transcripts();
                    }
                    drop(memory);
                    kept
                }
                other => {
                    if let Some(of_other_network) = other {
                        self.depart(&lock(&of_other_network));
                    }
                    Arc::new(Mutex::new(PeerMemory::new(record)))
                }
            };
            peers.insert(name.clone(), memory);
        }
        for removed in before.values() {
            self.depart(&lock(removed));
        }
    }

    /// Keeps what is not written yet of a peer that is watched no longer.
    fn depart(&self, memory: &PeerMemory) {
        let mut departed = lock(&self.departed);
        let waiting = memory.waiting().iter().cloned();
        let key = memory.key();
        departed.extend(waiting.map(|(minute, summary)| (key.clone(), minute, summary)));
        departed.truncate(DEPARTED);
    }

    /// Takes another bound of what is stored, bytes.
    /// It is in force once the disk has done what it does now.
    pub fn bound(&self, max_bytes: u64) {
        let counter = self.counter.clone();
        tokio::spawn(async move { counter.tell(move |shelf| shelf.bound(max_bytes)).await });
    }

    /// Notes something that has happened to the agent.
    pub fn note(&self, what: EventKind) {
        self.log.push(SystemTime::now(), About::default(), what);
    }

    fn of(&self, peer: &str) -> Option<Arc<Mutex<PeerMemory>>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(peer).cloned()
    }

    /// The last polls of a peer, oldest first, at most [`POLLS_KEPT`]; none of a peer that is not watched.
    #[must_use]
    pub fn recent(&self, peer: &str) -> Option<Vec<Poll>> {
        let memory = self.of(peer)?;
        let recent = lock(&memory).recent().clone();
        Some(recent.polls())
    }

    /// Transcripts of a peer's polls; none of a peer that is not watched.
    #[must_use]
    pub fn transcripts(&self, peer: &str) -> Option<Transcripts> {
        let memory = self.of(peer)?;
        let [success, failure] = lock(&memory).transcripts();
        Some(Transcripts { success, failure })
    }

    /// A peer's history from `from` up to `to`, in steps of `step` or, where that is not kept or makes more than
    /// [`SERIES_POINTS`], the next longer possible one: minutes reach back 24 h, hours 90 d.
    ///
    /// # Errors
    /// The peer is not watched, or the disk does not tell.
    pub async fn series(
        &self,
        peer: &str,
        from: SystemTime,
        to: SystemTime,
        step: Duration,
    ) -> Result<Series, Unreadable> {
        let memory = self.of(peer).ok_or(Unreadable::NotWatched)?;
        let key = lock(&memory).key().clone();
        let (first, last) = (minute(from), minute(to));
        let read = move |shelf: &mut Shelf| {
            shelf.read(|store| {
                let mut resolution = store.resolution_from(first)?;
                let minutes = u64::from(last.saturating_sub(first));
                if step >= HOUR || minutes > u64::from(SERIES_POINTS) * 60 {
                    resolution = Resolution::Hour;
                }
                let steps = (first / resolution.minutes(), last / resolution.minutes());
                let mut found = store.summaries(&key, resolution, steps)?;
                // Only this thread writes: nothing is seen twice or not at all. The peer is not locked while the disk
                // is waited for, so that its polls are not either.
                for (minute, summary) in lock(&memory).waiting() {
                    let at = minute / resolution.minutes();
                    if (steps.0..=steps.1).contains(&at) {
                        add(&mut found, at, summary);
                    }
                }
                Ok((resolution, found))
            })
        };
        let (resolution, found) = self.counter.ask(read).await?;
        let minutes = step_minutes(resolution, (first, last), step);
        let mut points: Vec<(u32, Summary)> = Vec::new();
        for (at, summary) in found {
            add(&mut points, at * resolution.minutes() / minutes, &summary);
        }
        let point = |(at, summary): (u32, Summary)| Point {
            at: SystemTime::UNIX_EPOCH + MINUTE * minutes * at,
            summary,
        };
        Ok(Series {
            step: MINUTE * minutes,
            points: points.into_iter().map(point).collect(),
        })
    }

    /// A peer's uptime over each of [`WINDOWS`].
    ///
    /// # Errors
    /// The peer is not watched, or the disk does not tell.
    pub async fn uptime(&self, peer: &str) -> Result<[Uptime; WINDOWS.len()], Unreadable> {
        let memory = self.of(peer).ok_or(Unreadable::NotWatched)?;
        let key = lock(&memory).key().clone();
        let now = SystemTime::now();
        let read = move |shelf: &mut Shelf| {
            shelf.read(|store| {
                let longest = WINDOWS[WINDOWS.len() - 1];
                let hours = (uptime::first_hour(longest, now), minute(now) / 60);
                let mut found = store.summaries(&key, Resolution::Hour, hours)?;
                for (minute, summary) in lock(&memory).waiting() {
                    add(&mut found, minute / 60, summary);
                }
                Ok(found)
            })
        };
        let hours = self.counter.ask(read).await?;
        Ok(uptime::uptimes(&hours, now))
    }

    /// Events after the one with this id, oldest first.
    #[must_use]
    pub fn events_since(&self, id: u64, limit: usize) -> Vec<Arc<Event>> {
        self.log.since(id, limit)
    }

    /// The last events of a peer, newest first.
    #[must_use]
    pub fn events_of(&self, peer: &str, limit: usize) -> Vec<Arc<Event>> {
        let of_peer = |event: &Event| event.peer.as_deref() == Some(peer);
        self.log.newest(of_peer, limit)
    }

    /// Follows the events from the one after `after`, or from now on.
    #[must_use]
    pub fn subscribe(&self, after: Option<u64>) -> Subscription {
        self.log.follow(after)
    }

    /// Writes what is new, in batches; says whether all of it is written. What cannot be written waits on.
    fn write_to(&self, to: &mut Shelf) -> bool {
        let first = Batch {
            summaries: std::mem::take(&mut *lock(&self.departed)),
            events: self.log.unwritten(),
        };
        let last = first.events.last().map_or(0, |event| event.id);
        if !self.write_batch(to, first) {
            return false;
        }
        self.log.wrote(last);
        let memories = self.memories();
        let batches = memories.chunks(BATCH).map(|memories| Batch {
            summaries: memories
                .iter()
                .flat_map(|it| lock(it).take_waiting())
                .collect(),
            events: Vec::new(),
        });
        for batch in batches {
            if !self.write_batch(to, batch) {
                return false;
            }
        }
        to.settle()
    }

    fn write_batch(&self, to: &mut Shelf, batch: Batch) -> bool {
        let written = to.write(&batch);
        if !written {
            self.give_back(batch);
        }
        written
    }

    fn give_back(&self, batch: Batch) {
        for (key, minute, summary) in batch.summaries {
            let memory = self.of(&key.1).filter(|it| *lock(it).key() == key);
            if let Some(memory) = memory {
                lock(&memory).take_back(minute, summary);
            } else {
                let mut departed = lock(&self.departed);
                departed.push((key, minute, summary));
                departed.truncate(DEPARTED);
            }
        }
    }

    fn memories(&self) -> Vec<Arc<Mutex<PeerMemory>>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.values().cloned().collect()
    }

    fn tell_news(&self, memory: &mut PeerMemory, record: &PeerRecord) {
        let about = About {
            peer: Some(&record.peer.name),
            network: Some(&record.peer.network),
        };
        for what in memory.news(record) {
            self.log.push(SystemTime::now(), about, what);
        }
    }
}

impl PollObserver for History {
    fn polled(&self, record: &PeerRecord, observation: &Observation, now: Instant) {
        // One that is to be followed, or is no longer.
        let Some(memory) = self.of(&record.peer.name) else {
            return;
        };
        let mut memory = lock(&memory);
        memory.poll(record, observation, now);
        self.tell_news(&mut memory, record);
        if !self.many.load(Ordering::Relaxed) || memory.is_unhealthy() {
            memory.keep(record, observation);
        } else {
            memory.forget_transcripts();
        }
    }

    fn judged(&self, record: &PeerRecord) {
        if let Some(memory) = self.of(&record.peer.name) {
            self.tell_news(&mut lock(&memory), record);
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The step of a series in minutes: a multiple of what is kept, and long enough for a series of bounded length.
fn step_minutes(resolution: Resolution, (first, last): (u32, u32), step: Duration) -> u32 {
    let asked = u32::try_from(step.as_secs().div_ceil(60)).unwrap_or(u32::MAX / 2);
    let at_least = (last.saturating_sub(first) + 1).div_ceil(SERIES_POINTS);
    let minutes = asked.max(at_least).max(1);
    minutes.div_ceil(resolution.minutes()) * resolution.minutes()
}

/// Adds a summary to that of its step, in order of the steps.
fn add(steps: &mut Vec<(u32, Summary)>, at: u32, summary: &Summary) {
    match steps.binary_search_by_key(&at, |(step, _)| *step) {
        Ok(found) => steps[found].1.merge(summary),
        Err(place) => steps.insert(place, (at, summary.clone())),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while a poll was taken leaves at most that poll half told.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

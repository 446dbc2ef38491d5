//! Where the record of one watched peer lives, and the way to the task that polls it.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cad3::Cell;
use convex_client::{FailureReason, Query, QueryError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config;

use super::commands::{CommandQueue, PollCommand};
use super::observation::Observation;
use super::{NetworkRecord, PeerRecord, lock};

/// The least time between two polls of one peer that somebody asks for.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// Where the record of one peer lives.
#[derive(Debug)]
pub struct Slot {
    pub(super) record: Mutex<Arc<PeerRecord>>,
    pub(super) network: Arc<NetworkRecord>,
    /// Set and read with `record` locked.
    pub(super) retired: AtomicBool,
    errands: CommandQueue,
    /// When somebody last asked for a poll.
    poll_asked: Mutex<Option<Instant>>,
}

/// Why a poll that somebody asked for was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPolled {
    /// One was asked for just before; how long to wait.
    #[error("a poll of this peer was asked for less than {ASKED_EVERY:?} ago")]
    TooSoon(Duration),
    /// The peer's task has ended.
    #[error("the peer is watched no longer")]
    NotWatched,
}

impl Slot {
    pub(super) fn new(peer: Arc<config::Peer>, network: Arc<NetworkRecord>) -> Self {
        let stands_for = peer.sampled.map_or(1, NonZeroU32::get);
        lock(&network.watch).expect(&peer.name, stands_for);
        Self {
            record: Mutex::new(Arc::new(PeerRecord::new(peer))),
            network,
            retired: AtomicBool::new(false),
            errands: CommandQueue::open(),
            poll_asked: Mutex::default(),
        }
    }

    /// Has the peer's task ask a question between two polls.
    ///
    /// # Errors
    /// The peer does not answer, or its task has ended.
    pub async fn ask(&self, question: Query) -> Result<Cell, QueryError> {
        let (answer, answered) = oneshot::channel();
        let gone = || {
            QueryError::from(convex_client::Failure::new(
                FailureReason::Local,
                "the peer is watched no longer",
            ))
        };
        self.errands.put(PollCommand::Ask { question, answer });
        answered.await.map_err(|_| gone())?
    }

    /// Has the peer's task poll now. It is a poll like those of the schedule, and what it saw has been taken when this
    /// returns.
    ///
    /// # Errors
    /// One was asked for less than a second ago, or the peer's task has ended.
    pub async fn poll(&self) -> Result<Observation, NotPolled> {
        self.may_be_polled(Instant::now())?;
        let (answer, answered) = oneshot::channel();
        self.errands.put(PollCommand::Poll { answer });
        answered.await.map_err(|_| NotPolled::NotWatched)
    }

    fn may_be_polled(&self, now: Instant) -> Result<(), NotPolled> {
        let mut last = lock(&self.poll_asked);
        let wait = last.map_or(Duration::ZERO, |last| {
            (last + ASKED_EVERY).saturating_duration_since(now)
        });
        if !wait.is_zero() {
            return Err(NotPolled::TooSoon(wait));
        }
        *last = Some(now);
        Ok(())
    }

    /// What the peer's task is to do.
    #[must_use]
    pub const fn errands(&self) -> &CommandQueue {
        &self.errands
    }

    /// What is known of the peer now.
    #[must_use]
    pub fn record(&self) -> Arc<PeerRecord> {
        Arc::clone(&lock(&self.record))
    }

    /// The peer as configured.
    #[must_use]
    pub fn peer(&self) -> Arc<config::Peer> {
        Arc::clone(&lock(&self.record).peer)
    }
}

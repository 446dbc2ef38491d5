//! The record of one watched peer, and the way to the task that polls it.

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
use super::network::record::NetworkRecord;
use super::observation::Observation;
use super::{PeerRecord, lock};

/// Minimum time between two polls of one peer on request.
const REQUESTED_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// One watched peer.
#[derive(Debug)]
pub struct Slot {
    pub(super) record: Mutex<Arc<PeerRecord>>,
    pub(super) network: Arc<NetworkRecord>,
    /// Set and read while `record` is locked.
    pub(super) retired: AtomicBool,
    commands: CommandQueue,
    /// When a poll was last requested.
    last_requested: Mutex<Option<Instant>>,
}

/// Why a requested poll was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PollRequestError {
    /// Another one was requested just before; how long to wait.
    #[error("a poll of this peer was requested less than {REQUESTED_POLL_INTERVAL:?} ago")]
    TooSoon(Duration),
    /// The peer's task has ended.
    #[error("the peer is no longer watched")]
    NotWatched,
}

impl Slot {
    pub(super) fn new(peer: Arc<config::Peer>, network: Arc<NetworkRecord>) -> Self {
        let represents = peer.sampled.map_or(1, NonZeroU32::get);
        lock(&network.watch).add(&peer.name, represents);
        Self {
            record: Mutex::new(Arc::new(PeerRecord::new(peer))),
            network,
            retired: AtomicBool::new(false),
            commands: CommandQueue::new(),
            last_requested: Mutex::default(),
        }
    }

    /// Sends a query to the peer, through its task and between two polls.
    ///
    /// # Errors
    /// The peer does not answer, or its task has ended.
    pub async fn query(&self, query: Query) -> Result<Cell, QueryError> {
        let (reply, received) = oneshot::channel();
        let not_watched = || {
            QueryError::from(convex_client::Failure::new(
                FailureReason::Local,
                PollRequestError::NotWatched.to_string(),
            ))
        };
        self.commands.push(PollCommand::Query { query, reply });
        received.await.map_err(|_| not_watched())?
    }

    /// Has the peer's task poll now. The poll counts like a scheduled one and is recorded when this
    /// returns.
    ///
    /// # Errors
    /// Another poll was requested less than a second ago, or the peer's task has ended.
    pub async fn poll_now(&self) -> Result<Observation, PollRequestError> {
        self.limit_request_rate(Instant::now())?;
        let (reply, received) = oneshot::channel();
        self.commands.push(PollCommand::Poll { reply });
        received.await.map_err(|_| PollRequestError::NotWatched)
    }

    fn limit_request_rate(&self, now: Instant) -> Result<(), PollRequestError> {
        let mut last = lock(&self.last_requested);
        let wait = last.map_or(Duration::ZERO, |last| {
            (last + REQUESTED_POLL_INTERVAL).saturating_duration_since(now)
        });
        if !wait.is_zero() {
            return Err(PollRequestError::TooSoon(wait));
        }
        *last = Some(now);
        Ok(())
    }

    /// Returns the commands to the peer's task.
    #[must_use]
    pub const fn commands(&self) -> &CommandQueue {
        &self.commands
    }

    /// Returns the peer's record as it is now.
    #[must_use]
    pub fn record(&self) -> Arc<PeerRecord> {
        Arc::clone(&lock(&self.record))
    }

    /// Returns the peer as configured.
    #[must_use]
    pub fn peer(&self) -> Arc<config::Peer> {
        Arc::clone(&lock(&self.record).peer)
    }
}

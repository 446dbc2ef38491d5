//! A hook into every poll, for code that keeps more than the current state.

use std::fmt::Debug;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Fleet, Observation, PeerRecord};

/// Called for each peer after its verdict was updated, in the order of its polls. The peer is
/// locked meanwhile: an observer must neither block nor call the fleet.
pub trait PollObserver: Debug + Send + Sync {
    /// `record` was updated with `observation` at `now`.
    fn on_poll(&self, record: &PeerRecord, observation: &Observation, now: Instant);

    /// The verdict of `record` was updated without a poll.
    fn on_reevaluation(&self, record: &PeerRecord);
}

impl Fleet {
    /// Creates a fleet without peers that calls `observer`.
    #[must_use]
    pub fn with_observer(observer: Arc<dyn PollObserver>) -> Self {
        Self {
            observer: Some(observer),
            ..Self::default()
        }
    }
}

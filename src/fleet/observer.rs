//! Who looks on while peers are judged: for what is kept of them beyond what is known now.

use std::fmt::Debug;
use std::sync::Arc;

use tokio::time::Instant;

use crate::fleet::Observation;

use super::{Fleet, NetworkVerdict, PeerRecord, lock};

/// Is told of each peer when it was judged, in the order of its polls. The peer is locked meanwhile: a observer must neither
/// wait nor ask the fleet anything.
pub trait PollObserver: Debug + Send + Sync {
    /// `record` has taken `observation` at `now`.
    fn polled(&self, record: &PeerRecord, observation: &Observation, now: Instant);

    /// `record` was judged anew without a poll.
    fn judged(&self, record: &PeerRecord);
}

impl Fleet {
    /// A fleet without peers that `observer` looks at.
    #[must_use]
    pub fn with_observer(observer: Arc<dyn PollObserver>) -> Self {
        Self {
            observer: Some(observer),
            ..Self::default()
        }
    }

    /// What the peers of each network say together, by name.
    #[must_use]
    pub fn network_verdicts(&self) -> Vec<(String, NetworkVerdict)> {
        let watched = lock(&self.watched);
        let now = Instant::now();
        let networks = watched.networks.iter();
        networks
            .map(|(name, network)| (name.clone(), lock(&network.watch).verdict(now)))
            .collect()
    }
}

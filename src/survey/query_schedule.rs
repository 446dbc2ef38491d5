//! When to send a query to a network, and to which peers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};

use crate::fleet::{Fleet, PeerRecord};

/// How often to look for a peer to query, before there is one.
const STARTUP_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The schedule of one query to one network.
pub(super) struct QuerySchedule {
    fleet: Arc<Fleet>,
    pub(super) network: String,
    pub(super) interval: Duration,
    ticks: Option<Interval>,
}

impl QuerySchedule {
    pub(super) const fn new(fleet: Arc<Fleet>, network: String, interval: Duration) -> Self {
        Self {
            fleet,
            network,
            interval,
            ticks: None,
        }
    }

    /// Waits until the query is due and returns the peers that can answer it: first as soon as
    /// there is one, then once per interval.
    pub(super) async fn next(&mut self) -> Vec<Arc<PeerRecord>> {
        if let Some(ticks) = &mut self.ticks {
            ticks.tick().await;
            return self.fleet.majority_peers(&self.network);
        }
        loop {
            let peers = self.fleet.majority_peers(&self.network);
            if !peers.is_empty() {
                let mut ticks = interval_at(Instant::now() + self.interval, self.interval);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                self.ticks = Some(ticks);
                return peers;
            }
            sleep(STARTUP_RETRY_INTERVAL).await;
        }
    }

    /// Makes the query due as soon as there is a peer to answer it.
    pub(super) fn restart(&mut self) {
        self.ticks = None;
    }
}

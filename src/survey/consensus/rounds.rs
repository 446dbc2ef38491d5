//! The last round of a network, for those that need what it read, and requests for another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::fleet::Round;

/// Longest wait for a requested round, which takes as long as its slowest peers.
const ROUND_TIMEOUT: Duration = Duration::from_secs(120);

/// The last round of a network.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    last: watch::Sender<Option<Arc<Round>>>,
    requests: Notify,
}

impl Rounds {
    /// Publishes a round.
    pub(super) fn publish(&self, round: Arc<Round>) {
        self.last.send_replace(Some(round));
    }

    /// Waits until another round is requested.
    pub(super) async fn requested(&self) {
        self.requests.notified().await;
    }

    /// Returns the last round, if there was one.
    pub(super) fn last(&self) -> Option<Arc<Round>> {
        self.last.borrow().clone()
    }

    /// Requests a round and returns it, or else the last one if it takes too long.
    pub(super) async fn request(&self) -> Option<Arc<Round>> {
        let mut rounds = self.last.subscribe();
        self.requests.notify_one();
        let published = timeout(ROUND_TIMEOUT, rounds.changed()).await;
        if published.is_err() {
            tracing::debug!("the requested round takes longer than {ROUND_TIMEOUT:?}");
        }
        self.last()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::time::Instant;

    use super::*;

    fn round() -> Arc<Round> {
        Arc::new(Round {
            at: Instant::now(),
            wall: SystemTime::now(),
            walks: Vec::new(),
            comparisons: Vec::new(),
            blocks: None,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_requested_round_is_the_next_one_and_not_the_last() {
        let rounds = Arc::new(Rounds::default());
        rounds.publish(round());
        let last = rounds.last().unwrap().at;
        let survey = Arc::clone(&rounds);
        let surveying = tokio::spawn(async move {
            survey.requested().await;
            tokio::time::advance(Duration::from_secs(5)).await;
            survey.publish(round());
        });
        let found = rounds.request().await.unwrap().at;
        assert!(found >= last + Duration::from_secs(5));
        surveying.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn while_no_round_is_made_the_last_one_has_to_do() {
        let rounds = Rounds::default();
        assert!(rounds.request().await.is_none());
        rounds.publish(round());
        let last = rounds.last().unwrap().at;
        assert_eq!(rounds.request().await.unwrap().at, last);
    }
}

//! Restarts are inferred from what the peer did, never from connections that the agent replaced.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_peer_monitor::config::Peer;
use convex_peer_monitor::fleet::PeerRecord;
use convex_peer_monitor::poller::Prober;
use tokio::time::Instant;

use crate::support::contract::{peer, prober};
use crate::support::fake::{FakePeer, Fault, Script};

/// A peer polled over TCP, and what is known of it.
struct Watch {
    fake: FakePeer,
    prober: Prober,
    record: PeerRecord,
}

impl Watch {
    async fn start(change: impl FnOnce(&mut Peer)) -> Self {
        let fake = FakePeer::start(Script::default()).await;
        let mut peer = peer(&[&format!("tcp://{}", fake.tcp)]);
        peer.polling.retries = 0;
        change(&mut peer);
        Self {
            prober: prober(&peer),
            record: PeerRecord::new(Arc::new(peer)),
            fake,
        }
    }

    async fn poll(&mut self, times: usize) {
        for _ in 0..times {
            let observation = self.prober.poll().await;
            self.record
                .record_poll(&observation, Instant::now(), SystemTime::now());
        }
    }

    /// Restarts, connections found dead, those that the agent replaced, and all connections.
    fn counts(&self) -> (u64, u64, u64, usize) {
        let tally = &self.record.endpoints[0].tally;
        (
            self.record.restarts,
            tally.reconnects,
            tally.replaced,
            self.fake.connections(),
        )
    }
}

#[tokio::test]
async fn a_peer_that_no_longer_knows_ping_keeps_its_connection() {
    let mut watch = Watch::start(|_| {}).await;
    watch.poll(2).await;
    assert!(watch.record.clock(Instant::now()).is_some());
    watch.fake.set(|script| script.fault = Fault::NoPing);
    watch.poll(100).await;
    assert_eq!(watch.record.poll_failures, 0);
    assert_eq!(watch.counts(), (0, 0, 0, 1));
}

#[tokio::test]
async fn a_connection_that_the_agent_gives_up_is_no_restart() {
    let mut watch = Watch::start(|peer| peer.polling.timeout = Duration::from_millis(200)).await;
    watch.poll(1).await;
    watch.fake.set(|script| script.fault = Fault::QueryHangs);
    watch.poll(32).await;
    watch.fake.set(|script| script.fault = Fault::None);
    watch.poll(2).await;
    assert!(watch.record.last_poll.is_good());
    assert_eq!(watch.counts(), (0, 0, 1, 2));
}

#[tokio::test]
async fn a_connection_that_is_replaced_for_its_age_is_no_restart() {
    let mut watch = Watch::start(|peer| peer.polling.connection_max_age = Duration::ZERO).await;
    watch.poll(5).await;
    assert_eq!(watch.record.poll_failures, 0);
    assert_eq!(watch.counts(), (0, 0, 4, 5));
}

#[tokio::test]
async fn a_connection_that_the_peer_closes_is_a_restart() {
    let mut watch = Watch::start(|_| {}).await;
    watch.poll(1).await;
    watch.fake.hang_up();
    watch.fake.until_closed(1).await;
    watch.poll(2).await;
    assert_eq!(watch.counts(), (1, 1, 0, 2));
}

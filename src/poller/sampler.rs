//! Creates blocks that several peers show, instead of waiting for one: peers are polled at fixed
//! phases, so that on a network with a regular block rate two of them may never show the same
//! block.
//!
//! Where peers lack a recent comparison, three of the operator's own peers, the *anchors*, are
//! asked for their state faster than blocks are made, for up to two seconds, and meanwhile each
//! peer that lacks a comparison once.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::Role;
use crate::fleet::{Comparable, Fleet, PeerRecord};
use crate::supervisor::liveness::Pulse;

use super::window::{MAX_ANCHORS, WINDOW, sample_common_blocks};

/// How often to look for peers without a recent comparison: twice in a poll interval, but no more
/// often than this, and at least as often as [`MAX_LOOK_INTERVAL`]. This often also when states
/// have just been found to differ.
const MIN_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// See [`MIN_LOOK_INTERVAL`].
const MAX_LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Most peers that are given a comparison in one window, so that a large network costs no poll.
const MAX_ASKED: usize = 256;

/// Minimum time between two requests to a stranger's peer: at most three a minute.
const STRANGER_INTERVAL: Duration = Duration::from_secs(20);

/// Shortest time until a peer is asked again.
const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Longest time until a peer is asked again that shows no block in common with the anchors.
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Gives the peers of one network comparisons.
#[derive(Debug)]
pub struct Sampler {
    fleet: Arc<Fleet>,
    network: String,
    /// Number of windows so far.
    windows: usize,
    /// The peers that were asked, by name.
    asked: HashMap<String, Asked>,
}

/// When a peer can be asked again.
#[derive(Debug)]
struct Asked {
    next: Instant,
    retry_interval: Duration,
}

impl Sampler {
    /// Creates a sampler for the peers of `network`.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>, network: String) -> Self {
        Self {
            fleet,
            network,
            windows: 0,
            asked: HashMap::new(),
        }
    }

    /// Gives peers comparisons forever. `ask` asks the peer of this name for its state, records
    /// that in the fleet, and returns the block.
    pub async fn run<Answer>(mut self, ask: impl Fn(String) -> Answer, pulse: Pulse)
    where
        Answer: Future<Output = Option<i64>>,
    {
        let mut look_interval = MIN_LOOK_INTERVAL;
        loop {
            pulse.expect(look_interval);
            sleep(look_interval).await;
            pulse.expect(WINDOW);
            let comparable = self.fleet.comparable(&self.network);
            look_interval = if comparable.urgent {
                MIN_LOOK_INTERVAL
            } else {
                (comparable.interval / 2).clamp(MIN_LOOK_INTERVAL, MAX_LOOK_INTERVAL)
            };
            let peers = self.due_peers(&comparable);
            if !peers.is_empty() {
                self.sample(&comparable, peers, &ask).await;
            }
            pulse.turned();
        }
    }

    /// Returns the peers to give a comparison to.
    fn due_peers(&mut self, comparable: &Comparable) -> Vec<Arc<PeerRecord>> {
        let now = Instant::now();
        let lacking = comparable.lacking.iter();
        let names: HashSet<&str> = lacking.map(|record| record.peer.name.as_str()).collect();
        // Strangers are asked rarely also if they had a comparison in between.
        self.asked
            .retain(|name, asked| names.contains(name.as_str()) || asked.next > now);
        let is_due = |record: &&Arc<PeerRecord>| {
            let asked = self.asked.get(&record.peer.name);
            asked.is_none_or(|asked| asked.next <= now)
        };
        let mut due: Vec<_> = comparable.lacking.iter().filter(is_due).collect();
        // First those that were not asked yet, then those that wait longest.
        due.sort_by_key(|record| Some(self.asked.get(&record.peer.name)?.next));
        due.into_iter().take(MAX_ASKED).cloned().collect()
    }

    /// Opens one window.
    async fn sample<Answer>(
        &mut self,
        comparable: &Comparable,
        peers: Vec<Arc<PeerRecord>>,
        ask: &impl Fn(String) -> Answer,
    ) where
        Answer: Future<Output = Option<i64>>,
    {
        let anchors = comparable.anchors_of(self.windows);
        self.windows += 1;
        let is_anchor = |record: &Arc<PeerRecord>| {
            let mut anchors = anchors.iter();
            anchors.any(|anchor| anchor.peer.name == record.peer.name)
        };
        let others: Vec<_> = peers.iter().filter(|record| !is_anchor(record)).collect();
        let anchor_names: Vec<_> = anchors.iter().map(|record| &*record.peer.name).collect();
        let other_names: Vec<_> = others.iter().map(|record| &*record.peer.name).collect();
        let ask = |name: &str| ask(name.to_owned());
        let compared = sample_common_blocks(&anchor_names, &other_names, ask).await;
        let anchored = peers.iter().filter(|record| is_anchor(record));
        let asked = others.iter().copied().zip(compared);
        for (record, is_compared) in asked.chain(anchored.map(|record| (record, true))) {
            self.asked
                .entry(record.peer.name.clone())
                .or_insert_with(Asked::new)
                .plan_next(is_compared, record.peer.role);
        }
    }
}

impl Asked {
    fn new() -> Self {
        Self {
            next: Instant::now(),
            retry_interval: MIN_RETRY_INTERVAL,
        }
    }

    fn plan_next(&mut self, is_compared: bool, role: Role) {
        self.retry_interval = if is_compared {
            MIN_RETRY_INTERVAL
        } else {
            (self.retry_interval * 2).min(MAX_RETRY_INTERVAL)
        };
        let pause = match role {
            Role::Own => self.retry_interval,
            Role::Reference => self.retry_interval.max(STRANGER_INTERVAL),
        };
        self.next = Instant::now() + pause;
    }
}

impl Comparable {
    /// Returns the anchors of a window: those whose states differ, then others in turn.
    fn anchors_of(&self, window: usize) -> Vec<Arc<PeerRecord>> {
        let (differing, others) = self.anchors.split_at(self.differing);
        let places = MAX_ANCHORS - differing.len().min(MAX_ANCHORS);
        let start = (window * places).checked_rem(others.len()).unwrap_or(0);
        let in_turn = others[start..].iter().chain(&others[..start]);
        let anchors = differing.iter().chain(in_turn);
        anchors.take(MAX_ANCHORS).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use convex_client::Endpoint;

    use crate::config::Peer;

    use super::*;

    fn record(name: &str) -> Arc<PeerRecord> {
        let endpoint = Endpoint::parse("tcp://peer.example").unwrap();
        let mut peer = Peer::from_endpoint(endpoint);
        name.clone_into(&mut peer.name);
        Arc::new(PeerRecord::new(Arc::new(peer)))
    }

    #[test]
    fn anchors_take_turns_except_those_whose_states_differ() {
        let comparable = Comparable {
            anchors: ["x", "a", "b", "c"].map(record).into(),
            differing: 1,
            ..Comparable::default()
        };
        let names = |window| {
            let anchors = comparable.anchors_of(window).into_iter();
            anchors
                .map(|anchor| anchor.peer.name.clone())
                .collect::<String>()
        };
        assert_eq!([0, 1, 2].map(names), ["xab", "xca", "xbc"]);
        assert_eq!(Comparable::default().anchors_of(7).len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_strangers_peer_is_asked_at_most_three_times_a_minute() {
        for (role, is_compared, least) in [
            (Role::Reference, true, 20),
            (Role::Reference, false, 20),
            (Role::Own, true, 2),
            (Role::Own, false, 4),
        ] {
            let mut asked = Asked::new();
            asked.plan_next(is_compared, role);
            assert_eq!((asked.next - Instant::now()).as_secs(), least);
        }
        let mut asked = Asked::new();
        for _ in 0..10 {
            asked.plan_next(false, Role::Own);
        }
        assert_eq!(asked.next - Instant::now(), MAX_RETRY_INTERVAL);
    }
}

//! Creates blocks that several peers show, instead of waiting for one: peers are polled at fixed
//! phases, so that on a network with a regular block rate two of them may never show the same block.
//!
//! Where peers lack a recent comparison, three of the operator's own peers, the *anchors*, are asked
//! for their state faster than blocks are made, for up to two seconds, and meanwhile each peer that
//! lacks a comparison once.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::Role;
use crate::fleet::{Comparable, Fleet, PeerRecord};
use crate::supervisor::liveness::Pulse;

/// How often to look for peers without a recent comparison: twice in a poll interval, but no more
/// often than this, and at least as often as [`MAX_LOOK_INTERVAL`]. This often also when states have
/// just been found to differ.
const MIN_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// See [`MIN_LOOK_INTERVAL`].
const MAX_LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long anchors are sampled.
const WINDOW: Duration = Duration::from_secs(2);

/// When the other peers are asked: their blocks may be somewhat older than those of the anchors, or
/// newer.
const ASK_AFTER: Duration = Duration::from_millis(600);

/// Number of peers that are sampled often.
const MAX_ANCHORS: usize = 3;

/// Most samples of one anchor in a window.
const MAX_SAMPLES: u32 = 40;

/// Most peers that are given a comparison in one window, so that a large network costs no poll.
const MAX_ASKED: usize = 256;

/// Pause between two samples of an anchor whose block stands still, moves by one, or by more.
const SAMPLE_INTERVALS: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(50),
    Duration::from_millis(25),
];

/// After this many samples with the same block it stands still.
const STANDING_AFTER: u32 = 4;

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

    /// Gives peers comparisons for ever. `ask` asks the peer of this name for its state, records
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
        let common = CommonBlocks::default();
        let end = Instant::now() + WINDOW;
        let anchored = anchors.iter().map(|anchor| {
            let name = &anchor.peer.name;
            sample_anchor(name, end, &common, ask)
        });
        let is_anchor = |record: &Arc<PeerRecord>| {
            let mut anchors = anchors.iter();
            anchors.any(|anchor| anchor.peer.name == record.peer.name)
        };
        let others: Vec<_> = peers.iter().filter(|record| !is_anchor(record)).collect();
        let asking = async {
            sleep(ASK_AFTER).await;
            let answers = others.iter().map(|record| async {
                let block = ask(record.peer.name.clone()).await;
                common.lock().wanted.extend(block);
                block
            });
            let answers = join_all(answers).await;
            common.lock().all_asked = true;
            answers
        };
        let (_, answers) = join(join_all(anchored), asking).await;
        let seen = common.lock();
        for (record, block) in others.iter().zip(answers) {
            let is_compared = block.is_some_and(|block| seen.blocks.contains(&block));
            self.asked
                .entry(record.peer.name.clone())
                .or_insert_with(Asked::new)
                .plan_next(is_compared, record.peer.role);
        }
        drop(seen);
        for anchor in peers.iter().filter(|record| is_anchor(record)) {
            self.asked
                .entry(anchor.peer.name.clone())
                .or_insert_with(Asked::new)
                .plan_next(true, anchor.peer.role);
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

/// The blocks that were seen in a window.
#[derive(Debug, Default)]
struct CommonBlocks(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Blocks that anchors showed.
    blocks: HashSet<i64>,
    /// Blocks that other peers showed.
    wanted: HashSet<i64>,
    /// Whether all other peers were asked.
    all_asked: bool,
}

impl CommonBlocks {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        // A panic leaves a set of blocks that is valid.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether each block that was wanted has been seen.
    fn is_complete(&self) -> bool {
        let seen = self.lock();
        seen.all_asked && seen.wanted.is_subset(&seen.blocks)
    }
}

/// Samples one anchor until `end`, or until every peer has a block in common with an anchor.
async fn sample_anchor<Answer>(
    name: &str,
    end: Instant,
    common: &CommonBlocks,
    ask: &impl Fn(String) -> Answer,
) where
    Answer: Future<Output = Option<i64>>,
{
    let mut last = None;
    let mut standing = 0;
    for _ in 0..MAX_SAMPLES {
        let asked = Instant::now();
        if asked >= end || common.is_complete() {
            return;
        }
        let Some(block) = ask(name.to_owned()).await else {
            return;
        };
        common.lock().blocks.insert(block);
        let moved = last.map_or(1, |last| block - last);
        last = Some(block);
        standing = if moved == 0 { standing + 1 } else { 0 };
        let [slow, normal, fast] = SAMPLE_INTERVALS;
        let interval = match moved {
            0 if standing >= STANDING_AFTER => slow,
            0 | 1 => normal,
            _ => fast,
        };
        sleep_until(asked + interval).await;
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

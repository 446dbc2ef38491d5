//! A short time in which some peers are asked for their state faster than blocks are made, and
//! others once, so that they show blocks in common.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::time::{Instant, sleep, sleep_until};

/// How long anchors are sampled.
pub(super) const WINDOW: Duration = Duration::from_secs(2);

/// When the other peers are asked: their blocks may be somewhat older than those of the anchors, or
/// newer.
const ASK_AFTER: Duration = Duration::from_millis(600);

/// Number of peers that are sampled often, at most.
pub const MAX_ANCHORS: usize = 3;

/// Most samples of one anchor in a window.
const MAX_SAMPLES: u32 = 40;

/// Pause between two samples of an anchor whose block stands still, moves by one, or by more.
const SAMPLE_INTERVALS: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(50),
    Duration::from_millis(25),
];

/// After this many samples with the same block it stands still.
const STANDING_AFTER: u32 = 4;

/// Samples the peers `anchors` for up to two seconds and 40 times each, and asks each of `others`
/// once meanwhile. Ends as soon as each peer has shown a block that an anchor has shown too. `ask`
/// asks a peer for its state and returns the block. Returns which of the others have
/// shown such a block.
pub async fn sample_common_blocks<Peer, Answer>(
    anchors: &[Peer],
    others: &[Peer],
    ask: impl Fn(Peer) -> Answer,
) -> Vec<bool>
where
    Peer: Copy + Eq + Hash,
    Answer: Future<Output = Option<i64>>,
{
    let end = Instant::now() + WINDOW;
    let shown = ShownBlocks::new(anchors, others);
    let sampling = anchors
        .iter()
        .map(|anchor| sample_anchor(*anchor, end, &shown, &ask));
    let asking = async {
        sleep(ASK_AFTER).await;
        let answers = others.iter().map(|peer| async {
            let block = ask(*peer).await;
            shown.lock().add_other(*peer, block);
            block
        });
        join_all(answers).await
    };
    let (_, blocks) = join(join_all(sampling), asking).await;
    let shown = shown.lock();
    let is_common = |block: &i64| shown.of_anchors.contains_key(block);
    let compared = blocks
        .iter()
        .map(|block| block.as_ref().is_some_and(is_common));
    compared.collect()
}

/// The blocks that were shown in a window.
#[derive(Debug)]
struct ShownBlocks<Peer>(Mutex<Shown<Peer>>);

#[derive(Debug)]
struct Shown<Peer> {
    /// Blocks that anchors showed, each with the first one.
    of_anchors: HashMap<i64, Peer>,
    /// Blocks of other peers that no anchor has shown yet.
    of_others: HashMap<i64, Vec<Peer>>,
    /// The peers that have shown no block in common with an anchor yet.
    waiting: HashSet<Peer>,
}

impl<Peer: Copy + Eq + Hash> ShownBlocks<Peer> {
    fn new(anchors: &[Peer], others: &[Peer]) -> Self {
        // A single anchor has nothing in common with itself.
        let anchors = anchors.iter().filter(|_| anchors.len() > 1);
        Self(Mutex::new(Shown {
            of_anchors: HashMap::new(),
            of_others: HashMap::new(),
            waiting: anchors.chain(others).copied().collect(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Shown<Peer>> {
        // A panic leaves blocks that were shown.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Peer: Copy + Eq + Hash> Shown<Peer> {
    fn add_anchor(&mut self, peer: Peer, block: Option<i64>) {
        let Some(block) = block else {
            self.waiting.remove(&peer);
            return;
        };
        let first = *self.of_anchors.entry(block).or_insert(peer);
        if first != peer {
            self.waiting.remove(&first);
            self.waiting.remove(&peer);
        }
        for other in self.of_others.remove(&block).into_iter().flatten() {
            self.waiting.remove(&other);
        }
    }

    fn add_other(&mut self, peer: Peer, block: Option<i64>) {
        match block {
            Some(block) if !self.of_anchors.contains_key(&block) => {
                self.of_others.entry(block).or_default().push(peer);
            }
            Some(_) | None => {
                self.waiting.remove(&peer);
            }
        }
    }
}

/// Samples one anchor until `end`, until it does not answer, or until no peer waits for a block.
async fn sample_anchor<Peer, Answer>(
    peer: Peer,
    end: Instant,
    shown: &ShownBlocks<Peer>,
    ask: &impl Fn(Peer) -> Answer,
) where
    Peer: Copy + Eq + Hash,
    Answer: Future<Output = Option<i64>>,
{
    let mut last = None;
    let mut standing = 0;
    for _ in 0..MAX_SAMPLES {
        let asked = Instant::now();
        if asked >= end || shown.lock().waiting.is_empty() {
            return;
        }
        let answer = ask(peer).await;
        shown.lock().add_anchor(peer, answer);
        let Some(block) = answer else {
            return;
        };
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Samples anchors and others of a network with a block each `block_interval`, where the peer
    /// at this position is behind by `behind`. Returns how often each was asked, and which of the
    /// others were compared.
    async fn window(
        anchors: &[usize],
        others: &[usize],
        block_interval: Duration,
        behind: &[Duration],
    ) -> (Vec<u32>, Vec<bool>) {
        let start = Instant::now();
        let asked = RefCell::new(vec![0; behind.len()]);
        let ask = |peer: usize| {
            asked.borrow_mut()[peer] += 1;
            let time = Duration::from_secs(3600) + start.elapsed();
            let time = time.saturating_sub(behind[peer]);
            let block = i64::try_from(time.as_millis() / block_interval.as_millis()).unwrap();
            async move { Some(block) }
        };
        let compared = sample_common_blocks(anchors, others, ask).await;
        assert!(start.elapsed() < WINDOW + SAMPLE_INTERVALS[0]);
        (asked.into_inner(), compared)
    }

    #[tokio::test(start_paused = true)]
    async fn peers_up_to_half_a_second_behind_are_compared_at_every_rate_of_blocks() {
        for block_ms in [50, 200, 1_000, 30_000] {
            let behind = [0, 0, 0, 20, 480].map(Duration::from_millis);
            let block_interval = Duration::from_millis(block_ms);
            let (asked, compared) = window(&[0, 1, 2], &[3, 4], block_interval, &behind).await;
            assert_eq!(compared, [true, true], "{block_ms} ms");
            assert_eq!(asked[3..], [1, 1], "{block_ms} ms");
            assert!(
                asked[..3].iter().all(|asked| *asked <= MAX_SAMPLES),
                "{asked:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_anchors_a_second_apart_are_sampled_until_they_meet() {
        let behind = [0, 1_000].map(Duration::from_millis);
        let start = Instant::now();
        window(&[0, 1], &[], Duration::from_millis(200), &behind).await;
        let took = start.elapsed();
        let expected = Duration::from_millis(700)..Duration::from_millis(1_300);
        assert!(expected.contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_ends_as_soon_as_everybody_has_a_block_in_common() {
        let behind = [Duration::ZERO; 2];
        let (asked, _) = window(&[0, 1], &[], Duration::from_secs(1), &behind).await;
        assert!(asked.iter().all(|asked| *asked <= 2), "{asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_shows_no_block_of_the_others_costs_at_most_forty_samples_each() {
        let behind = [0, 0, 0, 3600].map(Duration::from_secs);
        let block_interval = Duration::from_millis(50);
        let (asked, compared) = window(&[0, 1, 2], &[3], block_interval, &behind).await;
        assert_eq!(compared, [false]);
        assert!(asked.iter().all(|asked| *asked <= MAX_SAMPLES), "{asked:?}");
    }
}

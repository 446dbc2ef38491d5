//! Who makes the blocks, and how old the oldest is that is not final. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{seconds_from_ms, seconds_since_epoch};
use tokio::time::Instant;

use super::facts::{BlocksFacts, RoundFacts, WalkFacts};
use super::round::MAX_BLOCKS_IN_ROUND;
use super::verdict::{LastBlock, Pending, Production};

/// Number of blocks that are shown.
const LAST_BLOCKS: u64 = 100;

/// Transactions a second are the mean over this time, or since blocks were first read.
const RATE_WINDOW: Duration = Duration::from_secs(300);

/// The blocks of a network's history as they were read, round by round.
#[derive(Clone, Debug, Default)]
pub(super) struct ProductionWatch {
    last: VecDeque<LastBlock>,
    pending: Option<Pending>,
    transactions: u64,
    made: BTreeMap<Hash, u64>,
    skipped: u64,
    /// Number of blocks that were final when the last ones were read: these are counted.
    counted: Option<u64>,
    /// Until when what was read counts.
    until: Option<Instant>,
    /// The number of transactions when blocks were read, within [`RATE_WINDOW`].
    totals: VecDeque<(Instant, u64)>,
    /// The last time from block to final that an order shows.
    finality_seconds: Option<f64>,
}

impl ProductionWatch {
    /// Returns which blocks of an order with so many blocks to read next, and how many final ones
    /// before are left out.
    pub(super) fn to_read(&self, blocks: u64) -> (Range<u64>, u64) {
        let next = self
            .counted
            .unwrap_or_else(|| blocks.saturating_sub(LAST_BLOCKS));
        // The one before tells how old the first can be.
        let start = next.saturating_sub(1).min(blocks);
        let least = blocks.saturating_sub(MAX_BLOCKS_IN_ROUND);
        (start.max(least)..blocks, least.saturating_sub(next))
    }

    /// Takes the blocks that a round read, if it read any.
    pub(super) fn take(&mut self, round: &RoundFacts) {
        let Some(read) = round.blocks.as_ref() else {
            return;
        };
        let counted_before = self.counted;
        self.count(read);
        self.record_total(round.at, read.skipped);
        for block in &read.blocks {
            let Some(made) = block.made else {
                continue;
            };
            let finality_seconds = self.known_finality(block.index, &made.maker);
            self.last.retain(|known| known.index != block.index);
            self.last.push_back(LastBlock {
                index: block.index,
                maker: made.maker,
                timestamp_ms: made.timestamp_ms,
                transactions: made.transactions,
                of_canary: made.of_canary,
                is_final: block.index < read.finality,
                finality_seconds,
            });
        }
        let end = read.blocks.last().map_or(0, |block| block.index + 1);
        // What is no longer in the order was never final.
        self.last.retain(|known| known.index < end);
        for known in &mut self.last {
            known.is_final |= known.index < read.finality;
        }
        self.last.make_contiguous().sort_by_key(|known| known.index);
        while self.last.len() as u64 > LAST_BLOCKS {
            self.last.pop_front();
        }
        self.pending = self.oldest_pending(round.wall);
        self.record_finality(round, counted_before);
        let untils = round.walks.iter().map(WalkFacts::counts_until);
        // Blocks are read in each round, so the shortest interval of its walks counts.
        self.until = untils.min();
    }

    /// Counts the blocks that have become final since the last reading. Those before the first
    /// reading were made before the agent started.
    fn count(&mut self, read: &BlocksFacts) {
        let Some(counted) = self.counted else {
            self.counted = Some(read.finality);
            return;
        };
        let end = read.blocks.last().map_or(0, |block| block.index + 1);
        let finality = read.finality.min(end);
        for block in &read.blocks {
            let is_new = block.index >= counted && block.index < finality;
            if let Some(made) = block.made.filter(|_| is_new) {
                let of_others = made.transactions.saturating_sub(made.of_canary);
                self.transactions = self.transactions.saturating_add(of_others);
                *self.made.entry(made.maker).or_default() += 1;
            }
        }
        self.skipped += read.skipped;
        self.counted = Some(finality.max(counted));
    }

    /// Remembers how many transactions there were when blocks were read. Where blocks were left out
    /// the number is not known.
    fn record_total(&mut self, at: Instant, skipped: u64) {
        if skipped > 0 {
            self.totals.clear();
        }
        self.totals.push_back((at, self.transactions));
        // One reading that is older than the window remains as its beginning.
        while let Some((second, _)) = self.totals.get(1)
            && *second + RATE_WINDOW <= at
        {
            self.totals.pop_front();
        }
    }

    /// Returns the transactions a second; none before the second reading.
    fn transactions_per_second(&self) -> Option<f64> {
        let ((began, first), (ended, last)) = (self.totals.front()?, self.totals.back()?);
        let elapsed = ended.saturating_duration_since(*began).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
        let transactions = last.saturating_sub(*first) as f64;
        (elapsed > 0.0).then(|| transactions / elapsed)
    }

    /// Finds how long it took from each block's date until the order of its maker had it final.
    /// Both are by the clock of the maker. An order that has blocks which are not final has changed
    /// since.
    fn record_finality(&mut self, round: &RoundFacts, counted_before: Option<u64>) {
        let Some(counted) = counted_before else {
            return;
        };
        let orders = round.walks.iter().filter_map(WalkFacts::own_order);
        let settled = orders.filter(|order| order.points.pending() == 0);
        let times = settled.filter_map(|order| {
            let index = u64::try_from(order.points.finality - 1).ok()?;
            let block = self.last.iter().find(|block| block.index == index)?;
            // An older one may have been signed again since.
            let is_new = index >= counted && block.maker == order.key;
            let took_ms = order.signed_ms - block.timestamp_ms;
            (is_new && took_ms >= 0).then(|| (index, seconds_from_ms(took_ms)))
        });
        let times: BTreeMap<u64, f64> = times.collect();
        for block in &mut self.last {
            if let Some(seconds) = times.get(&block.index) {
                block.finality_seconds = Some(*seconds);
            }
        }
        if let Some((_, seconds)) = times.last_key_value() {
            self.finality_seconds = Some(*seconds);
        }
    }

    /// Returns what is known already of a block that is read once more.
    fn known_finality(&self, index: u64, maker: &Hash) -> Option<f64> {
        let mut known = self.last.iter();
        let block = known.find(|known| known.index == index && known.maker == *maker)?;
        block.finality_seconds
    }

    fn oldest_pending(&self, wall: SystemTime) -> Option<Pending> {
        let at = self.last.iter().position(|block| !block.is_final)?;
        let block = self.last[at].clone();
        let before = at
            .checked_sub(1)
            .map(|before| self.last[before].timestamp_ms);
        let since_ms = before.map_or(block.timestamp_ms, |before| before.max(block.timestamp_ms));
        Some(Pending {
            age_seconds: seconds_since_epoch(wall) - seconds_from_ms(since_ms),
            block,
        })
    }

    /// Returns when what was read becomes too old to count.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// Returns what is known at `now`; none if no blocks were read recently.
    pub(super) fn verdict(&self, now: Instant) -> Option<Production> {
        self.until.filter(|until| *until > now)?;
        Some(Production {
            last: self.last.iter().cloned().collect(),
            pending: self.pending.clone(),
            transactions: self.transactions,
            made: self.made.clone(),
            skipped: self.skipped,
            transactions_per_second: self.transactions_per_second(),
            finality_seconds: self.finality_seconds,
        })
    }
}

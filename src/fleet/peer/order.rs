//! Whether a peer's order advances, judged over several polls. Pure: times and points in, verdicts
//! out.

use std::time::Duration;

use convex_client::OrderPoints;
use tokio::time::Instant;

use crate::label_enum::label_enum;

/// How long an order that never regains its earlier points is `receding`; after that the lower
/// points are the new reference.
const MAX_RECEDING: Duration = Duration::from_secs(3600);

label_enum! {
    /// State of an order.
    #[derive(Default)]
    pub enum OrderState {
        #[default]
        Unknown = "unknown", "No status, or the first one, which shows no pending blocks: one look cannot tell whether there is traffic.";
        Receding = "receding", "Block, finality or state block has been below an earlier value for `stall_after`.";
        Stalled = "stalled", "Blocks are pending, and finality was the same in every poll of the last `stall_after`.";
        Advancing = "advancing", "Blocks are pending, or finality advanced since the previous poll.";
        Idle = "idle", "No blocks are pending and finality does not advance: the network has no traffic.";
    }
}

/// History of a peer's order, as far as its state depends on it.
#[derive(Clone, Debug, Default)]
pub struct OrderWatch {
    pub(in crate::fleet) last: Option<OrderPoints>,
    /// Whether there was a poll before the last one.
    pub(in crate::fleet) has_previous: bool,
    /// Whether finality was higher in the last poll than in the one before.
    pub(in crate::fleet) finality_advanced: bool,
    /// Highest block point, finality point and state block so far.
    pub(in crate::fleet) highest: Option<[i64; 3]>,
    /// Since when every poll found blocks pending above the same finality.
    pub(in crate::fleet) stuck_since: Option<Instant>,
    /// Since when every poll found a value below `highest`.
    pub(in crate::fleet) below_since: Option<Instant>,
    /// Since when every poll found the same finality point, below `highest`.
    pub(in crate::fleet) lost_since: Option<Instant>,
    /// A finality point that the state has not reached, and the first poll that found it so. On a
    /// busy network a few blocks are always being executed, but other ones in each poll.
    pub(in crate::fleet) unexecuted: Option<(i64, Instant)>,
}

impl OrderWatch {
    /// Records the points of one poll and, if known, the block of the state.
    pub fn record(&mut self, order: OrderPoints, state_block: Option<i64>, now: Instant) {
        let same_finality = self
            .last
            .is_some_and(|last| last.finality == order.finality);
        self.has_previous = self.last.is_some();
        self.finality_advanced = self.last.is_some_and(|last| last.finality < order.finality);
        self.last = Some(order);
        let pending = order.pending() > 0;
        // The time starts with the first poll that finds blocks pending: before, the network was
        // idle.
        self.stuck_since = match self.stuck_since {
            Some(since) if pending && same_finality => Some(since),
            _ => pending.then_some(now),
        };
        let is_unexecuted =
            |finality: i64| state_block.is_some_and(|block| block < finality.saturating_sub(1));
        // A point that the order itself has lost is not missing from the state: the order recedes.
        let unexecuted = self
            .unexecuted
            .filter(|(finality, _)| is_unexecuted(*finality) && *finality <= order.finality);
        self.unexecuted =
            unexecuted.or_else(|| is_unexecuted(order.finality).then_some((order.finality, now)));

        let highest = self.highest.unwrap_or([i64::MIN; 3]);
        let current = [
            order.block,
            order.finality,
            state_block.unwrap_or(highest[2]),
        ];
        let below = current.iter().zip(highest).any(|(value, max)| *value < max);
        self.below_since = below.then(|| self.below_since.unwrap_or(now));
        let expired = self
            .below_since
            .is_some_and(|since| now - since >= MAX_RECEDING);
        let is_lost = order.finality < highest[1] && !expired;
        self.lost_since = match self.lost_since {
            Some(since) if is_lost && same_finality => Some(since),
            _ => is_lost.then_some(now),
        };
        if expired {
            self.below_since = None;
            self.highest = Some(current);
        } else {
            self.highest = Some([0, 1, 2].map(|i| current[i].max(highest[i])));
        }
    }

    /// Returns the state of the order as of the last poll, which was at `asked`.
    #[must_use]
    pub fn state(&self, asked: Instant, stall_after: Duration) -> OrderState {
        match self.last {
            Some(_) if lasts(self.below_since, asked, stall_after) => OrderState::Receding,
            Some(_) if self.is_stuck(asked, stall_after) => OrderState::Stalled,
            Some(order) if order.pending() > 0 || self.finality_advanced => OrderState::Advancing,
            Some(_) if self.has_previous => OrderState::Idle,
            None | Some(_) => OrderState::Unknown,
        }
    }

    /// Whether, as of the last poll at `asked`, blocks have been pending above the same finality
    /// for `stall_after`.
    #[must_use]
    pub fn is_stuck(&self, asked: Instant, stall_after: Duration) -> bool {
        lasts(self.stuck_since, asked, stall_after)
    }

    /// Whether, as of the last poll at `asked`, the finality point went back and has stood still
    /// since for `restart_grace`.
    #[must_use]
    pub fn finality_lost(&self, asked: Instant, restart_grace: Duration) -> bool {
        lasts(self.lost_since, asked, restart_grace)
    }

    /// Whether, as of the last poll at `asked`, execution is behind: the state lacks a block that
    /// was final `stall_after` before.
    #[must_use]
    pub fn state_behind(&self, asked: Instant, stall_after: Duration) -> bool {
        let since = self.unexecuted.map(|(_, since)| since);
        lasts(since, asked, stall_after)
    }
}

/// Whether polls from `since` to `asked`, which all found the same, cover `time`.
fn lasts(since: Option<Instant>, asked: Instant, time: Duration) -> bool {
    since.is_some_and(|since| asked.saturating_duration_since(since) >= time)
}

#[cfg(test)]
mod tests {
    use OrderState::{Advancing, Idle, Receding, Stalled, Unknown};

    use super::*;

    const STALL_AFTER: Duration = Duration::from_secs(60);

    /// States after polls every 15 s that show (block, finality, state block).
    fn states(polls: &[(i64, i64, i64)]) -> Vec<OrderState> {
        let start = Instant::now();
        let mut watch = OrderWatch::default();
        let state = |(i, (block, finality, state_block)): (usize, &(i64, i64, i64))| {
            let now = start + Duration::from_secs(15) * u32::try_from(i).unwrap();
            let order = OrderPoints {
                block: *block,
                proposal: *finality,
                consensus: *finality,
                finality: *finality,
            };
            watch.record(order, Some(*state_block), now);
            watch.state(now, STALL_AFTER)
        };
        polls.iter().enumerate().map(state).collect()
    }

    #[test]
    fn an_idle_network_does_not_stall_with_its_next_block() {
        let mut polls = vec![(7, 7, 6); 100];
        polls.extend([(8, 7, 6), (8, 8, 7), (8, 8, 7)]);
        let states = states(&polls);
        assert_eq!(states[0], Unknown, "one look cannot tell");
        assert!(states[1..100].iter().all(|state| *state == Idle));
        assert_eq!(states[100..], [Advancing, Advancing, Idle]);
    }

    #[test]
    fn blocks_pending_above_the_same_finality_for_the_whole_time_are_a_stall() {
        let polls = [
            (8, 7, 6),
            (9, 7, 6),
            (10, 7, 6),
            (11, 7, 6),
            (12, 7, 6),
            (13, 7, 6),
            (13, 13, 12),
        ];
        let expected = [
            Advancing, Advancing, Advancing, Advancing, Stalled, Stalled, Advancing,
        ];
        assert_eq!(states(&polls), expected);
    }

    #[test]
    fn a_busy_network_with_pending_blocks_in_every_poll_advances() {
        let polls: Vec<_> = (0..40)
            .map(|i| (i * 300 + 3, i * 300, i * 300 - 1))
            .collect();
        assert!(states(&polls).iter().all(|state| *state == Advancing));
    }

    #[test]
    fn an_order_that_went_back_recedes_until_it_reaches_its_earlier_points() {
        let polls = [
            (9, 9, 8),
            (3, 3, 2),
            (3, 3, 2),
            (3, 3, 2),
            (3, 3, 2),
            (3, 3, 2),
            (9, 9, 8),
        ];
        let expected = [Unknown, Idle, Idle, Idle, Idle, Receding, Advancing];
        assert_eq!(states(&polls), expected);
    }

    #[test]
    fn a_state_is_not_behind_finality_that_the_order_has_lost() {
        let start = Instant::now();
        let mut watch = OrderWatch::default();
        // The status is from before the order went back, the state from after.
        for (i, (finality, state_block)) in [(60, 59), (61, 9), (10, 9), (10, 9)]
            .into_iter()
            .enumerate()
        {
            let now = start + STALL_AFTER * u32::try_from(i).unwrap();
            let order = OrderPoints {
                block: finality,
                proposal: finality,
                consensus: finality,
                finality,
            };
            watch.record(order, Some(state_block), now);
            assert!(!watch.state_behind(now, STALL_AFTER), "{i}");
        }
    }

    #[test]
    fn one_absurd_answer_stops_counting_after_an_hour() {
        let mut polls = vec![(7, 7, 6), (1 << 62, 1 << 62, 1 << 62)];
        polls.extend(vec![(7, 7, 6); 250]);
        let states = states(&polls);
        assert_eq!(states[10], Receding);
        assert_eq!(states[251], Idle);
    }

    #[test]
    fn only_a_growing_backlog_of_unexecuted_blocks_is_behind() {
        let start = Instant::now();
        for (executed_each_poll, expected) in [(15, false), (3, true)] {
            let mut watch = OrderWatch::default();
            for poll in 0..20_u32 {
                let finality = 100 + 15 * i64::from(poll);
                let order = OrderPoints {
                    block: finality,
                    proposal: finality,
                    consensus: finality,
                    finality,
                };
                let now = start + Duration::from_secs(15) * poll;
                watch.record(order, Some(97 + executed_each_poll * i64::from(poll)), now);
            }
            let now = start + Duration::from_secs(15) * 19;
            assert_eq!(watch.state_behind(now, STALL_AFTER), expected);
        }
    }

    #[test]
    fn a_state_that_stays_behind_finality_is_detected() {
        let start = Instant::now();
        let mut watch = OrderWatch::default();
        let order = OrderPoints {
            block: 9,
            proposal: 9,
            consensus: 9,
            finality: 9,
        };
        for (seconds, state_block, expected) in [
            (0, 7, false),
            (30, 7, false),
            (60, 7, true),
            (75, 8, false),
            (90, 7, false),
        ] {
            let now = start + Duration::from_secs(seconds);
            watch.record(order, Some(state_block), now);
            assert_eq!(
                watch.state_behind(now, STALL_AFTER),
                expected,
                "after {seconds} s"
            );
        }
    }
}

//! Whether a peer's order moves, judged over polls. Pure: times and points in, verdicts out.

use std::time::Duration;

use convex_client::OrderPoints;
use tokio::time::Instant;

use crate::label_enum::label_enum;

/// How long a peer that went back stays `receding` when it never regains what it had: after that the lower order is
/// taken for its own.
const RECEDING_FORGOTTEN: Duration = Duration::from_secs(3600);

label_enum! {
    /// What an order does.
    #[derive(Default)]
    pub enum OrderState {
        #[default]
        Unknown = "unknown", "No status.";
        Receding = "receding", "Block, finality or state block is below an earlier value, and has been for `stall_after`.";
        Stalled = "stalled", "Blocks wait, and finality has stood still in every poll of the last `stall_after`.";
        Advancing = "advancing", "Blocks wait, or finality moved since the last poll.";
        Idle = "idle", "Nothing waits and nothing moves: a quiet network.";
    }
}

/// What one peer's polls have shown of its order.
#[derive(Clone, Debug, Default)]
pub struct OrderWatch {
    pub(in crate::fleet) last: Option<OrderPoints>,
    /// Whether finality was higher in the last poll than in the one before.
    pub(in crate::fleet) moved: bool,
    /// Highest block and finality points and state block so far.
    pub(in crate::fleet) highest: Option<[i64; 3]>,
    /// Since when every poll found blocks waiting above the same finality.
    pub(in crate::fleet) stuck_since: Option<Instant>,
    /// Since when every poll found one of `highest` not reached.
    pub(in crate::fleet) below_since: Option<Instant>,
    /// The finality point that the state has to reach, and since when: that of the first poll that found it not reached.
    /// On a busy network a few blocks are always under way; they are others in each poll.
    pub(in crate::fleet) owed: Option<(i64, Instant)>,
}

impl OrderWatch {
    /// Takes one poll's points and, where known, the index of the state's block.
    pub fn observe(&mut self, order: OrderPoints, state_block: Option<i64>, now: Instant) {
        let same_finality = self
            .last
            .is_some_and(|last| last.finality == order.finality);
        self.moved = self.last.is_some_and(|last| last.finality < order.finality);
        self.last = Some(order);
        let waiting = order.pending() > 0;
        // The first poll that finds blocks waiting begins the count: how long the network was quiet before says nothing.
        self.stuck_since = match self.stuck_since {
            Some(since) if waiting && same_finality => Some(since),
            _ => waiting.then_some(now),
        };
        let lacks =
            |finality: i64| state_block.is_some_and(|block| block < finality.saturating_sub(1));
        // What an order that went back has lost is not owed any longer: it recedes.
        let owed = self
            .owed
            .filter(|(finality, _)| lacks(*finality) && *finality <= order.finality);
        self.owed = owed.or_else(|| lacks(order.finality).then_some((order.finality, now)));

        let known = self.highest.unwrap_or([i64::MIN; 3]);
        let seen = [order.block, order.finality, state_block.unwrap_or(known[2])];
        let below = seen.iter().zip(known).any(|(seen, known)| *seen < known);
        self.below_since = below.then(|| self.below_since.unwrap_or(now));
        let forgotten = self
            .below_since
            .is_some_and(|since| now - since >= RECEDING_FORGOTTEN);
        if forgotten {
            self.below_since = None;
            self.highest = Some(seen);
        } else {
            self.highest = Some([0, 1, 2].map(|i| seen[i].max(known[i])));
        }
    }

    /// What the order does, as of the last poll, which was at `now`.
    #[must_use]
    pub fn state(&self, now: Instant, stall_after: Duration) -> OrderState {
        let lasts = |since: Option<Instant>| since.is_some_and(|since| now - since >= stall_after);
        match self.last {
            None => OrderState::Unknown,
            Some(_) if lasts(self.below_since) => OrderState::Receding,
            Some(_) if lasts(self.stuck_since) => OrderState::Stalled,
            Some(order) if order.pending() > 0 || self.moved => OrderState::Advancing,
            Some(_) => OrderState::Idle,
        }
    }

    /// Whether execution is behind: the state lacks a block that was final `stall_after` ago.
    #[must_use]
    pub fn state_behind(&self, now: Instant, stall_after: Duration) -> bool {
        self.owed
            .is_some_and(|(_, since)| now - since >= stall_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL_AFTER: Duration = Duration::from_secs(60);

    /// States after polls, one each 15 s, of (block, finality, state block).
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
            watch.observe(order, Some(*state_block), now);
            watch.state(now, STALL_AFTER)
        };
        polls.iter().enumerate().map(state).collect()
    }

    use OrderState::{Advancing, Idle, Receding, Stalled};

    #[test]
    fn a_quiet_network_is_idle_and_its_next_block_is_no_stall() {
        let mut polls = vec![(7, 7, 6); 100];
        polls.extend([(8, 7, 6), (8, 8, 7), (8, 8, 7)]);
        let states = states(&polls);
        assert!(states[..100].iter().all(|state| *state == Idle));
        assert_eq!(states[100..], [Advancing, Advancing, Idle]);
    }

    #[test]
    fn blocks_that_wait_above_one_finality_for_the_whole_time_are_a_stall() {
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
    fn a_loaded_network_has_blocks_waiting_in_every_poll_and_advances() {
        let polls: Vec<_> = (0..40)
            .map(|i| (i * 300 + 3, i * 300, i * 300 - 1))
            .collect();
        assert!(states(&polls).iter().all(|state| *state == Advancing));
    }

    #[test]
    fn an_order_that_went_back_recedes_until_it_has_regained_what_it_had() {
        let polls = [
            (9, 9, 8),
            (3, 3, 2),
            (3, 3, 2),
            (3, 3, 2),
            (3, 3, 2),
            (3, 3, 2),
            (9, 9, 8),
        ];
        let expected = [Idle, Idle, Idle, Idle, Idle, Receding, Advancing];
        assert_eq!(states(&polls), expected);
    }

    #[test]
    fn a_state_owes_nothing_that_the_order_has_lost() {
        let start = Instant::now();
        let mut watch = OrderWatch::default();
        // The status was of before the fall, the state of after it.
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
            watch.observe(order, Some(state_block), now);
            assert!(!watch.state_behind(now, STALL_AFTER), "{i}");
        }
    }

    #[test]
    fn one_absurd_answer_is_forgotten_after_an_hour() {
        let mut polls = vec![(7, 7, 6), (1 << 62, 1 << 62, 1 << 62)];
        polls.extend(vec![(7, 7, 6); 250]);
        let states = states(&polls);
        assert_eq!(states[10], Receding);
        assert_eq!(states[251], Idle);
    }

    #[test]
    fn blocks_that_are_just_being_executed_are_no_backlog_but_a_growing_one_is() {
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
                watch.observe(order, Some(97 + executed_each_poll * i64::from(poll)), now);
            }
            let now = start + Duration::from_secs(15) * 19;
            assert_eq!(watch.state_behind(now, STALL_AFTER), expected);
        }
    }

    #[test]
    fn execution_that_stays_behind_finality_is_noticed() {
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
            watch.observe(order, Some(state_block), now);
            assert_eq!(
                watch.state_behind(now, STALL_AFTER),
                expected,
                "after {seconds} s"
            );
        }
    }
}

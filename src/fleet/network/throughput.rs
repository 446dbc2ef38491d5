//! How many transactions a second a network executes, by its accounts. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use convex_client::chain::ExecutedTransactions;
use tokio::time::Instant;

use crate::label_enum::label_enum;

/// Transactions a second are the mean over this time, or between the last two readings.
const RATE_WINDOW: Duration = Duration::from_secs(300);

/// A reading counts for this many intervals.
const VALID_INTERVALS: u32 = 3;

/// Transactions of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throughput {
    /// Transactions a second.
    pub transactions_per_second: f64,
    /// Source of the counts.
    pub source: ThroughputSource,
}

label_enum! {
    /// What the transactions of a network are counted in.
    pub enum ThroughputSource {
        Orders = "orders", "In the final blocks of signed orders.";
        Sequences = "sequences", "By the sequence numbers of all accounts.";
    }
}

/// Numbers of executed transactions, read one after the other from peers of the majority.
#[derive(Clone, Debug, Default)]
pub(in crate::fleet) struct ExecutedWatch {
    /// When each was read, with block and number, the oldest first.
    readings: VecDeque<(Instant, i64, u64)>,
    /// Until when the last one counts.
    until: Option<Instant>,
}

impl ExecutedWatch {
    /// Takes what was read at `at`; the next reading is due after `interval`.
    pub(in crate::fleet) fn take(
        &mut self,
        executed: ExecutedTransactions,
        at: Instant,
        interval: Duration,
    ) {
        let Some(count) = executed.count else {
            *self = Self::default();
            return;
        };
        if let Some((last, block, counted)) = self.readings.back() {
            let is_recent = at.saturating_duration_since(*last) < RATE_WINDOW;
            if executed.block < *block && is_recent {
                // This peer is behind the one that was read before.
                return;
            }
            if executed.block < *block || count < *counted {
                // Another network, or one that went back to an older state.
                self.readings.clear();
            }
        }
        self.readings.push_back((at, executed.block, count));
        // One reading that is older than the window remains as its beginning.
        while let Some((second, ..)) = self.readings.get(1)
            && *second + RATE_WINDOW <= at
        {
            self.readings.pop_front();
        }
        self.until = Some(at + interval * VALID_INTERVALS);
    }

    /// Returns the transactions a second; none before the second reading, and after the last one
    /// has become too old.
    pub(in crate::fleet) fn per_second(&self, now: Instant) -> Option<f64> {
        self.until.filter(|until| *until > now)?;
        let ((began, _, first), (ended, _, last)) = (self.readings.front()?, self.readings.back()?);
        let elapsed = ended.saturating_duration_since(*began).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
        let transactions = last.saturating_sub(*first) as f64;
        (elapsed > 0.0).then(|| transactions / elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(60);

    /// Returns the rate, `later` seconds after the last of these readings: seconds, block and
    /// number.
    fn rate(readings: &[(u64, i64, Option<u64>)], later: u64) -> Option<f64> {
        let start = Instant::now();
        let mut watch = ExecutedWatch::default();
        let mut now = start;
        for (seconds, block, count) in readings {
            now = start + Duration::from_secs(*seconds);
            let executed = ExecutedTransactions {
                block: *block,
                count: *count,
            };
            watch.take(executed, now, INTERVAL);
        }
        watch.per_second(now + Duration::from_secs(later))
    }

    #[test]
    fn a_rate_is_the_difference_of_readings_of_five_minutes() {
        let minute =
            |minute: u64, count: u64| (60 * minute, i64::try_from(count).unwrap(), Some(count));
        for (what, readings, expected) in [
            ("nothing was read", vec![], None),
            ("one reading", vec![minute(0, 5)], None),
            (
                "an idle network",
                vec![minute(0, 5), minute(1, 5)],
                Some(0.0),
            ),
            ("two readings", vec![minute(0, 5), minute(1, 65)], Some(1.0)),
            (
                "what is older than the window does not count",
                vec![minute(0, 0), minute(1, 6_000), minute(6, 6_600)],
                Some(2.0),
            ),
            (
                "readings that are further apart than the window",
                vec![minute(0, 0), minute(60, 3_600)],
                Some(1.0),
            ),
        ] {
            assert_eq!(rate(&readings, 0), expected, "{what}");
        }
    }

    #[test]
    fn a_peer_that_is_behind_changes_nothing_and_an_older_state_begins_again() {
        let before = [(0, 100, Some(100)), (60, 160, Some(160))];
        let with = |more: &[(u64, i64, Option<u64>)]| rate(&[&before[..], more].concat(), 0);
        assert_eq!(with(&[(120, 159, Some(159))]), Some(1.0));
        assert_eq!(with(&[(360, 3, Some(3))]), None, "behind for five minutes");
        assert_eq!(with(&[(360, 3, Some(3)), (420, 63, Some(63))]), Some(1.0));
        assert_eq!(with(&[(120, 200, Some(9))]), None, "another network");
        assert_eq!(with(&[(120, 200, None)]), None, "too many accounts");
    }

    #[test]
    fn a_rate_is_unknown_three_intervals_after_the_last_reading() {
        let readings = [(0, 0, Some(0)), (60, 60, Some(60))];
        assert_eq!(rate(&readings, 179), Some(1.0));
        assert_eq!(rate(&readings, 180), None);
    }
}

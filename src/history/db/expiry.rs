//! How much may be deleted because of its age. A wall clock that is wrong must not erase history,
//! so it is believed only as far as the monotonic clock confirms it.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::history::time::{HOUR, MINUTE};

use super::schema::Resolution;

/// A wall clock that advances by this much more or less than the monotonic clock has jumped.
const MAX_DEVIATION: Duration = Duration::from_secs(5);

/// After a start or a jump, nothing is deleted for this long: wrong clocks are often set right.
const DOUBT: Duration = Duration::from_secs(600);

/// Rows in the future are not those of an earlier, right clock if the clock has not jumped for this
/// long.
const FUTURE_DOUBT: Duration = Duration::from_secs(24 * 3600);

/// History expires at most this many times as fast as time passes: faster than it is recorded, to
/// catch up after the agent was stopped.
const SPEED: u32 = 2;

/// Longest history that may expire at once, to keep transactions small.
const MAX_CREDIT: Duration = HOUR;

/// Compares the clocks, and keeps account of how much history may expire.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    last: Option<(SystemTime, Instant)>,
    /// How long the wall clock has kept pace with the monotonic clock.
    steady: Duration,
    /// History that may expire, by resolution.
    credit: [Duration; Resolution::ALL.len()],
}

impl Expiry {
    /// Records that the clocks show these times.
    pub(super) fn advance(&mut self, wall: SystemTime, monotonic: Instant) {
        let last = self.last.replace((wall, monotonic));
        let Some((last_wall, last_monotonic)) = last else {
            return;
        };
        let elapsed = monotonic.saturating_duration_since(last_monotonic);
        let keeps_pace = wall
            .duration_since(last_wall)
            .is_ok_and(|advanced| advanced.abs_diff(elapsed) <= MAX_DEVIATION);
        if keeps_pace {
            self.steady += elapsed;
            for credit in &mut self.credit {
                *credit = (*credit + elapsed * SPEED).min(MAX_CREDIT);
            }
        } else {
            self.steady = Duration::ZERO;
            self.credit = Default::default();
        }
    }

    /// Returns how many steps may expire now.
    pub(super) fn allowed_steps(&self, resolution: Resolution) -> u32 {
        if self.steady < DOUBT {
            return 0;
        }
        let steps = self.credit[resolution as usize].as_secs() / step(resolution).as_secs();
        u32::try_from(steps).unwrap_or(u32::MAX)
    }

    /// Records that `steps` have expired.
    pub(super) fn spend(&mut self, resolution: Resolution, steps: u32) {
        let credit = &mut self.credit[resolution as usize];
        *credit = credit.saturating_sub(step(resolution) * steps);
    }

    /// Whether rows in the future were written by a clock that was wrong.
    pub(super) fn disproves_future(&self) -> bool {
        self.steady >= FUTURE_DOUBT
    }

    /// One that allows as much as any.
    #[cfg(test)]
    pub(super) fn ample() -> Self {
        Self {
            last: None,
            steady: DOUBT,
            credit: [MAX_CREDIT; 2],
        }
    }
}

fn step(resolution: Resolution) -> Duration {
    MINUTE * resolution.minutes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Two clocks that advance together unless the test sets the first one.
    struct Clocks {
        wall: SystemTime,
        monotonic: Instant,
        expiry: Expiry,
    }

    impl Clocks {
        fn new() -> Self {
            Self {
                wall: SystemTime::UNIX_EPOCH + DAY * 20_000,
                monotonic: Instant::now(),
                expiry: Expiry::default(),
            }
        }

        /// Lets so many minutes pass and returns how many steps expire.
        fn run(&mut self, minutes: u32, resolution: Resolution) -> u32 {
            let mut expired = 0;
            for _ in 0..minutes {
                self.wall += MINUTE;
                self.monotonic += MINUTE;
                self.expiry.advance(self.wall, self.monotonic);
                let steps = self.expiry.allowed_steps(resolution);
                self.expiry.spend(resolution, steps);
                expired += steps;
            }
            expired
        }
    }

    #[test]
    fn history_expires_at_most_twice_as_fast_as_time_passes() {
        let mut clocks = Clocks::new();
        assert_eq!(clocks.run(10, Resolution::Minute), 0, "after a start");
        assert_eq!(clocks.run(24 * 60, Resolution::Minute), 2 * (24 * 60 + 9));
        let mut clocks = Clocks::new();
        assert_eq!(clocks.run(24 * 60 + 1, Resolution::Hour), 48);
    }

    #[test]
    fn nothing_expires_after_a_jump_of_the_clock_nor_is_there_much_to_spend_later() {
        let mut clocks = Clocks::new();
        clocks.run(100 * 60, Resolution::Minute);
        clocks.wall += DAY * 100;
        assert_eq!(clocks.run(4, Resolution::Hour), 0);
        clocks.wall -= DAY * 100;
        assert_eq!(clocks.run(10, Resolution::Hour), 0);
        assert_eq!(
            clocks.run(25, Resolution::Hour),
            1,
            "the clock is right again"
        );
    }

    #[test]
    fn rows_in_the_future_are_wrong_only_after_a_day_without_a_jump() {
        let mut clocks = Clocks::new();
        clocks.run(24 * 60, Resolution::Hour);
        assert!(!clocks.expiry.disproves_future());
        clocks.run(1, Resolution::Hour);
        assert!(clocks.expiry.disproves_future());
        clocks.wall -= DAY;
        clocks.run(24 * 60, Resolution::Hour);
        assert!(!clocks.expiry.disproves_future());
    }
}

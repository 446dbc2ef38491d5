//! Detects late timers and jumps of the wall clock.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A timer that fires later than this shows that the agent does not get enough CPU time.
const MAX_TIMER_DELAY: Duration = Duration::from_secs(1);

/// A wall clock that advances by this much more or less than the monotonic clock has jumped.
const MAX_CLOCK_DEVIATION: Duration = Duration::from_secs(1);

/// How long a late timer or a jump counts. Polls that it disturbs end within that time.
pub(super) const HOLD_TIME: Duration = Duration::from_secs(15);

/// Samples timers and clocks, once per tick of its caller.
pub(super) struct ClockProbe {
    wall: SystemTime,
    monotonic: Instant,
    timer_late: Option<Instant>,
    clock_jumped: Option<Instant>,
}

/// Problems within the last [`HOLD_TIME`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockSample {
    pub(super) timer_late: bool,
    pub(super) clock_jumped: bool,
}

impl ClockProbe {
    pub(super) fn new() -> Self {
        Self {
            wall: SystemTime::now(),
            monotonic: Instant::now(),
            timer_late: None,
            clock_jumped: None,
        }
    }

    /// Compares both clocks with the previous sample. `timer_delay` is how late the caller's timer
    /// fired.
    pub(super) fn sample(&mut self, timer_delay: Duration) -> ClockSample {
        let (wall, now) = (SystemTime::now(), Instant::now());
        if timer_delay > MAX_TIMER_DELAY {
            self.timer_late = Some(now);
        }
        if has_jumped(self.wall, wall, now - self.monotonic) {
            self.clock_jumped = Some(now);
        }
        (self.wall, self.monotonic) = (wall, now);
        let is_recent = |time: Option<Instant>| time.is_some_and(|time| now - time < HOLD_TIME);
        ClockSample {
            timer_late: is_recent(self.timer_late),
            clock_jumped: is_recent(self.clock_jumped),
        }
    }
}

/// Whether the wall clock jumped between `before` and `now`, while the monotonic clock advanced by
/// `elapsed`.
fn has_jumped(before: SystemTime, now: SystemTime, elapsed: Duration) -> bool {
    match now.duration_since(before) {
        Ok(advanced) => advanced.abs_diff(elapsed) > MAX_CLOCK_DEVIATION,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_late_timer_counts_for_fifteen_seconds() {
        let mut probe = ClockProbe::new();
        let in_time = probe.sample(Duration::from_millis(3));
        assert_eq!((in_time.timer_late, in_time.clock_jumped), (false, false));
        assert!(probe.sample(Duration::from_secs(2)).timer_late);
        tokio::time::advance(HOLD_TIME / 2).await;
        assert!(probe.sample(Duration::ZERO).timer_late);
        tokio::time::advance(HOLD_TIME / 2).await;
        assert!(!probe.sample(Duration::ZERO).timer_late);
    }

    #[test]
    fn a_wall_clock_that_keeps_up_with_the_monotonic_clock_has_not_jumped() {
        let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let elapsed = Duration::from_secs(1);
        for (advanced_ms, expected) in [
            (1_000, false),
            (1_900, false),
            (100, false),
            (2_100, true),
            (3_600_000, true),
        ] {
            let now = before + Duration::from_millis(advanced_ms);
            assert_eq!(
                has_jumped(before, now, elapsed),
                expected,
                "{advanced_ms} ms"
            );
        }
        let back = before - Duration::from_secs(3600);
        assert!(has_jumped(before, back, elapsed));
    }
}

//! How much of the time a peer was up, and how much of it anybody was looking. Pure.

use std::time::{Duration, SystemTime};

use super::log::milliseconds;
use super::summary::Summary;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The windows that uptime is told of, ending now.
pub const WINDOWS: [Duration; 4] = [
    DAY,
    DAY.saturating_mul(7),
    DAY.saturating_mul(30),
    DAY.saturating_mul(90),
];

/// A peer's uptime in one window. Times are whole hours, the one under way included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uptime {
    /// The window's length.
    pub window: Duration,
    /// The part of it that whole hours cover: at most an hour less than the window.
    pub span: Duration,
    /// Time for which good polls stand, maintenance left out.
    pub up: Duration,
    /// Time for which failed polls stand, maintenance left out.
    pub down: Duration,
    /// Observed time in maintenance, up or not.
    pub maintenance: Duration,
}

impl Uptime {
    /// The part of the judged time in which the peer was up, 0 to 1; none when nothing was judged. Maintenance, the monitor's
    /// own trouble and time in which nobody looked are left out.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let judged = self.up + self.down;
        (!judged.is_zero()).then(|| self.up.as_secs_f64() / judged.as_secs_f64())
    }

    /// The part of the window that was observed, 0 to 1, maintenance included.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        if self.span.is_zero() {
            return 0.0;
        }
        let observed = self.up + self.down + self.maintenance;
        (observed.as_secs_f64() / self.span.as_secs_f64()).min(1.0)
    }
}

/// The first hour (since the epoch) that lies wholly in the window that ends at `now`.
pub(super) fn first_hour(window: Duration, now: SystemTime) -> u32 {
    let begin = now.checked_sub(window).unwrap_or(SystemTime::UNIX_EPOCH);
    let hours = milliseconds(begin).div_ceil(3_600_000);
    u32::try_from(hours).unwrap_or(u32::MAX)
}

/// Uptime in each of [`WINDOWS`], from the hours' summaries.
pub(super) fn uptimes(hours: &[(u32, Summary)], now: SystemTime) -> [Uptime; WINDOWS.len()] {
    WINDOWS.map(|window| {
        let first = first_hour(window, now);
        let begin = SystemTime::UNIX_EPOCH + HOUR * first;
        let mut uptime = Uptime {
            window,
            span: now.duration_since(begin).unwrap_or_default(),
            ..Uptime::default()
        };
        for (_, summary) in hours.iter().filter(|(hour, _)| *hour >= first) {
            uptime.up += Duration::from_millis(summary.good_ms);
            uptime.down += Duration::from_millis(summary.failed_ms);
            uptime.maintenance += Duration::from_millis(summary.maintenance_ms);
        }
        uptime
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(good_ms: u64, failed_ms: u64, maintenance_ms: u64) -> Summary {
        Summary {
            good_ms,
            failed_ms,
            maintenance_ms,
            ..Summary::default()
        }
    }

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn maintenance_is_left_out_and_time_unseen_lowers_only_the_coverage() {
        let now = SystemTime::UNIX_EPOCH + HOUR * 1_000;
        let hours = [
            (100, hour(0, HOUR_MS, 0)),
            (900, hour(0, HOUR_MS, 0)),
            (980, hour(HOUR_MS / 2, HOUR_MS / 2, 0)),
            (981, hour(0, 0, HOUR_MS)),
            (999, hour(HOUR_MS, 0, 0)),
        ];
        let [day, week, month, quarter] = uptimes(&hours, now);
        assert_eq!(day.ratio(), Some(0.75));
        assert!((day.coverage() - 3.0 / 24.0).abs() < 1e-9);
        assert_eq!(week.ratio(), Some(0.5));
        assert_eq!(month.ratio(), week.ratio(), "hour 100 is longer ago");
        assert_eq!(quarter.ratio(), Some(0.375));
        assert_eq!(day.maintenance, HOUR);
    }

    #[test]
    fn of_nothing_nothing_is_said() {
        let [day, ..] = uptimes(&[], SystemTime::UNIX_EPOCH);
        assert_eq!((day.ratio(), day.coverage()), (None, 0.0));
        let [day, ..] = uptimes(&[], SystemTime::UNIX_EPOCH + HOUR * 1_000);
        assert_eq!((day.ratio(), day.coverage()), (None, 0.0));
    }

    #[test]
    fn a_window_begins_with_its_first_whole_hour() {
        let now = SystemTime::UNIX_EPOCH + HOUR * 1_000 + HOUR / 2;
        let hours = [(976, hour(0, HOUR_MS, 0)), (977, hour(HOUR_MS, 0, 0))];
        let [day, ..] = uptimes(&hours, now);
        assert_eq!((day.span, day.ratio()), (HOUR * 23 + HOUR / 2, Some(1.0)));
    }
}

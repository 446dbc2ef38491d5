//! Computes the uptime of a peer and the share of time in which it was observed.

use std::time::{Duration, SystemTime};

use super::summary::Summary;
use super::time::{HOUR, unix_millis};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Lengths of the windows for which uptime is computed. All end now.
pub const WINDOWS: [Duration; 4] = [
    DAY,
    DAY.saturating_mul(7),
    DAY.saturating_mul(30),
    DAY.saturating_mul(90),
];

/// The uptime of a peer in one window. Only full hours count, and the current one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uptime {
    /// Length of the window.
    pub window: Duration,
    /// The part of the window that full hours cover, at most an hour shorter.
    pub span: Duration,
    /// Time covered by successful polls, excluding maintenance.
    pub up: Duration,
    /// Time covered by failed polls, excluding maintenance.
    pub down: Duration,
    /// Observed time in maintenance, whether the peer was up or not.
    pub maintenance: Duration,
}

impl Uptime {
    /// Adds the polls of a summary within the window.
    pub(super) fn add(&mut self, summary: &Summary) {
        self.up += Duration::from_millis(summary.good_ms);
        self.down += Duration::from_millis(summary.failed_ms);
        self.maintenance += Duration::from_millis(summary.maintenance_ms);
    }

    /// Returns the share of time in which the peer was up, from 0 to 1; `None` if there is no data.
    /// Maintenance, excused polls and time without polls are excluded.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let counted = self.up + self.down;
        (!counted.is_zero()).then(|| self.up.as_secs_f64() / counted.as_secs_f64())
    }

    /// Returns the share of the window that was observed, from 0 to 1, including maintenance.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        if self.span.is_zero() {
            return 0.0;
        }
        let observed = self.up + self.down + self.maintenance;
        (observed.as_secs_f64() / self.span.as_secs_f64()).min(1.0)
    }
}

/// Returns the first full hour (since the epoch) of the window that ends at `now`.
pub(super) fn first_hour(window: Duration, now: SystemTime) -> u32 {
    let begin = now.checked_sub(window).unwrap_or(SystemTime::UNIX_EPOCH);
    let hours = unix_millis(begin).div_ceil(3_600_000);
    u32::try_from(hours).unwrap_or(u32::MAX)
}

/// Computes the uptime in each of [`WINDOWS`] from summaries by hour.
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
            uptime.add(summary);
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
    fn maintenance_is_excluded_and_unobserved_time_lowers_only_the_coverage() {
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
        assert_eq!(month.ratio(), week.ratio(), "hour 100 is before the window");
        assert_eq!(quarter.ratio(), Some(0.375));
        assert_eq!(day.maintenance, HOUR);
    }

    #[test]
    fn there_is_no_uptime_without_data() {
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

//! The clock of a receiver, as its answers show it.

use std::time::{Duration, SystemTime};

use convex_client::ClockSample;
use tokio::time::Instant;

/// The clock of a receiver.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiverClock {
    /// What it said, in whole seconds.
    date: SystemTime,
    /// When it said so.
    heard: Instant,
}

impl ReceiverClock {
    /// The receiver said at `heard` that it was `date`.
    pub(super) const fn new(date: SystemTime, heard: Instant) -> Self {
        Self { date, heard }
    }

    /// Compares it with the clock of this host, which said `heard_wall` when the answer to a
    /// request arrived that was sent `round_trip` before.
    pub(super) fn compare(self, heard_wall: SystemTime, round_trip: Duration) -> ClockSample {
        ClockSample::from_whole_seconds(self.date, heard_wall, round_trip)
    }

    /// Returns what it says now, or up to a second less.
    pub(super) fn now(self, now: Instant) -> SystemTime {
        self.date + now.saturating_duration_since(self.heard)
    }

    /// Converts a time of this host's clock, which says `wall` at `now`, to this clock. A time in
    /// the future becomes now: this host's clock was ahead then.
    pub(super) fn convert(self, time: SystemTime, now: Instant, wall: SystemTime) -> SystemTime {
        let age = wall.duration_since(time).unwrap_or_default();
        let converted = self.now(now).checked_sub(age);
        // Times before the epoch have no text.
        converted
            .unwrap_or(SystemTime::UNIX_EPOCH)
            .max(SystemTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_converted_by_their_age() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let heard = Instant::now();
        let clock = ReceiverClock::new(at(1_000), heard);
        let now = heard + Duration::from_secs(30);
        assert_eq!(clock.now(now), at(1_030));
        // The clock of this host is behind, right, and ahead.
        for wall in [at(430), at(1_030), at(1_630)] {
            let ago = wall - Duration::from_secs(20);
            assert_eq!(clock.convert(ago, now, wall), at(1_010));
            assert_eq!(
                clock.convert(wall + Duration::from_secs(600), now, wall),
                at(1_030)
            );
        }
        assert_eq!(
            clock.convert(at(0), now, at(9_999)),
            at(0),
            "before its epoch"
        );
    }

    #[test]
    fn it_is_compared_with_the_clock_of_this_host() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let clock = ReceiverClock::new(at(1_600), Instant::now());
        let sample = clock.compare(at(1_000), Duration::ZERO);
        assert!((sample.skew - 600.5).abs() < 1e-6, "{sample:?}");
    }
}

//! Clock of the peer compared with the local clock, and conversions of times.

use std::time::{Duration, SystemTime};

/// Half a millisecond, in seconds.
const HALF_MS: f64 = 0.0005;

/// Difference between the peer's clock and the local clock, as bounded by Cristian's algorithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockSample {
    /// Peer's clock minus local clock, in seconds.
    pub skew: f64,
    /// Maximum error of `skew`, in seconds: half the round trip, and half of the unit in which the
    /// peer's clock was reported, which is a millisecond or a second.
    pub uncertainty: f64,
}

impl ClockSample {
    /// Creates a sample from the peer's clock in whole milliseconds since the epoch. The request
    /// was sent at the local time `sent`, and the answer arrived `round_trip` later.
    #[must_use]
    pub fn new(peer_ms: i64, sent: SystemTime, round_trip: Duration) -> Self {
        let half_trip = round_trip.as_secs_f64() / 2.0;
        Self {
            skew: seconds_from_ms(peer_ms) + HALF_MS - (seconds_since_epoch(sent) + half_trip),
            uncertainty: half_trip + HALF_MS,
        }
    }

    /// Creates a sample from a clock with a resolution of one second. The peer's clock was `date`
    /// when it answered; the answer arrived at the local time `answered_at`, `round_trip` after the
    /// request.
    #[must_use]
    pub fn from_whole_seconds(
        date: SystemTime,
        answered_at: SystemTime,
        round_trip: Duration,
    ) -> Self {
        let half_trip = round_trip.as_secs_f64() / 2.0;
        let local = seconds_since_epoch(answered_at) - half_trip;
        Self {
            skew: seconds_since_epoch(date) + 0.5 - local,
            uncertainty: 0.5 + half_trip,
        }
    }
}

/// Converts milliseconds to seconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ms")]
pub fn seconds_from_ms(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Returns the seconds since the Unix epoch, negative for times before it.
#[must_use]
pub fn seconds_since_epoch(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_whole_seconds_adds_half_a_second_of_uncertainty() {
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        for answered in [1_000_100, 1_000_550, 1_001_090] {
            // The peer's clock is right, and it answered in the middle of the 200 ms.
            let date = at((answered - 100) / 1000 * 1000);
            let sample =
                ClockSample::from_whole_seconds(date, at(answered), Duration::from_millis(200));
            assert!(sample.skew.abs() <= sample.uncertainty, "{sample:?}");
            assert!((sample.uncertainty - 0.6).abs() < 1e-9, "{sample:?}");
        }
    }

    #[test]
    fn the_skew_is_measured_at_the_middle_of_the_round_trip() {
        let sent = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let sample = ClockSample::new(1_005_100, sent, Duration::from_millis(200));
        assert!((sample.skew - 5.0005).abs() < 1e-9, "{sample:?}");
        assert!((sample.uncertainty - 0.1005).abs() < 1e-9, "{sample:?}");
    }

    #[test]
    fn a_clock_in_whole_milliseconds_is_right_within_the_uncertainty() {
        let sent = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let round_trip = Duration::from_micros(60);
        // The peer's clock is right, and it answered at any time of the round trip.
        for answered_us in [0, 10, 60] {
            for begun_us in [0, 1, 500, 999] {
                let sent = sent + Duration::from_micros(begun_us);
                let peer_ms = 1_000_000 + i64::try_from((begun_us + answered_us) / 1000).unwrap();
                let sample = ClockSample::new(peer_ms, sent, round_trip);
                assert!(sample.skew.abs() <= sample.uncertainty + 1e-9, "{sample:?}");
            }
        }
    }
}

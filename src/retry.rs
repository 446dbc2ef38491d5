//! Pauses between retries. The only file that names `backoff`.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// Pause before the first retry of a poll, and the longest one.
const OF_A_POLL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The same for a notification.
const OF_A_DELIVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Pauses between tries: exponential, with jitter, without end (who tries knows when to give up).
#[derive(Debug)]
pub struct RetryPauses {
    pauses: ExponentialBackoff,
    longest: Duration,
}

impl RetryPauses {
    /// Pauses between the tries of one poll, from about 100 ms to 5 s.
    #[must_use]
    pub fn new() -> Self {
        Self::between(OF_A_POLL)
    }

    /// Pauses between the tries of one delivery, from about a second to 30 s.
    #[must_use]
    pub fn between_deliveries() -> Self {
        Self::between(OF_A_DELIVERY)
    }

    fn between((first, longest): (Duration, Duration)) -> Self {
        let pauses = ExponentialBackoffBuilder::new()
            .with_initial_interval(first)
            .with_multiplier(2.0)
            .with_randomization_factor(0.3)
            .with_max_interval(longest)
            .with_max_elapsed_time(None)
            .build();
        Self { pauses, longest }
    }

    /// How long to wait before the next try.
    pub fn next_pause(&mut self) -> Duration {
        // The library adds its jitter on top of its own cap.
        let pause = self.pauses.next_backoff();
        pause.map_or(self.longest, |pause| pause.min(self.longest))
    }
}

impl Default for RetryPauses {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_pauses_grow_without_end_and_stay_below_the_cap() {
        let mut pauses = RetryPauses::new();
        let pauses: Vec<Duration> = (0..20).map(|_| pauses.next_pause()).collect();
        assert!(pauses[0] >= OF_A_POLL.0.mul_f64(0.7) && pauses[0] <= OF_A_POLL.0.mul_f64(1.31));
        assert!(
            pauses[10..]
                .iter()
                .all(|pause| *pause > Duration::from_secs(3) && *pause <= OF_A_POLL.1)
        );
    }
}

//! Pauses between retries. The only file that uses `backoff`.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// First and longest pause between attempts of a poll.
const POLL_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// First and longest pause between attempts of a delivery.
const DELIVERY_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Pauses between attempts: exponential, with jitter, and unlimited in number. The caller decides
/// when to give up.
#[derive(Debug)]
pub struct RetryPauses {
    backoff: ExponentialBackoff,
    max: Duration,
}

impl RetryPauses {
    /// Returns the pauses between attempts of one poll, from about 100 ms to 5 s.
    #[must_use]
    pub fn for_poll() -> Self {
        Self::new(POLL_PAUSES)
    }

    /// Returns the pauses between attempts of one delivery, from about 1 s to 30 s.
    #[must_use]
    pub fn for_delivery() -> Self {
        Self::new(DELIVERY_PAUSES)
    }

    fn new((first, max): (Duration, Duration)) -> Self {
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(first)
            .with_multiplier(2.0)
            .with_randomization_factor(0.3)
            .with_max_interval(max)
            .with_max_elapsed_time(None)
            .build();
        Self { backoff, max }
    }

    /// Returns how long to wait before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        // The library adds its jitter on top of its own maximum.
        let pause = self.backoff.next_backoff();
        pause.map_or(self.max, |pause| pause.min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_maximum_and_never_run_out() {
        let mut pauses = RetryPauses::for_poll();
        let pauses: Vec<Duration> = (0..20).map(|_| pauses.next_pause()).collect();
        assert!(
            pauses[0] >= POLL_PAUSES.0.mul_f64(0.7) && pauses[0] <= POLL_PAUSES.0.mul_f64(1.31)
        );
        assert!(
            pauses[10..]
                .iter()
                .all(|pause| *pause > Duration::from_secs(3) && *pause <= POLL_PAUSES.1)
        );
    }
}

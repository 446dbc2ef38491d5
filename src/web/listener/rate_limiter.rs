//! The limit on the rate of requests of all clients together: a token bucket.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::RateLimit;

/// Counts requests.
pub(super) struct RateLimiter {
    limit: RateLimit,
    /// When the bucket is full again.
    full_at: Mutex<Instant>,
}

impl RateLimiter {
    /// Begins with a full bucket.
    pub(super) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            full_at: Mutex::new(Instant::now()),
        }
    }

    /// Counts a request, unless there are too many.
    ///
    /// # Errors
    /// The time until the next request can be answered.
    pub(super) fn take(&self) -> Result<(), Duration> {
        let RateLimit { interval, burst } = self.limit;
        let now = Instant::now();
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = full_at.saturating_duration_since(now);
        let wait = missing.saturating_sub(interval.saturating_mul(burst - 1));
        if wait > Duration::ZERO {
            return Err(wait);
        }
        *full_at = now + missing + interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn limiter(interval: Duration, burst: u32) -> RateLimiter {
        RateLimiter::new(RateLimit { interval, burst })
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_answered_and_then_one_request_each_interval() {
        let interval = Duration::from_secs(2);
        let limiter = limiter(interval, 3);
        for _ in 0..3 {
            assert_eq!(limiter.take(), Ok(()));
        }
        assert_eq!(limiter.take(), Err(interval));
        advance(interval / 2).await;
        assert_eq!(limiter.take(), Err(interval / 2));
        advance(interval / 2).await;
        assert_eq!(limiter.take(), Ok(()));
        assert_eq!(limiter.take(), Err(interval), "a refused one costs nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_allows_no_more_than_a_burst() {
        let limiter = limiter(Duration::from_millis(10), 2);
        advance(Duration::from_secs(3600)).await;
        let answered = (0..9).filter(|_| limiter.take().is_ok()).count();
        assert_eq!(answered, 2);
    }
}

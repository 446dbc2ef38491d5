//! Counters of polls: of one endpoint, or of all endpoints with one transport in a network.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::failure::Reason;
use crate::fleet::EndpointObservation;

/// Upper bounds of the buckets of latency histograms, in seconds.
pub const BUCKETS_SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// A histogram with the buckets of [`BUCKETS_SECONDS`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatencyHistogram {
    counts: [u64; BUCKETS_SECONDS.len()],
    count: u64,
    sum: f64,
}

impl LatencyHistogram {
    pub(crate) fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BUCKETS_SECONDS.iter().position(|bound| seconds <= *bound) {
            self.counts[bucket] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }

    /// Returns the upper bound and the cumulative count of each finite bucket; the count of the
    /// infinite one is [`Self::count`].
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut cumulative = 0;
        BUCKETS_SECONDS
            .into_iter()
            .zip(self.counts)
            .map(move |(bound, count)| {
                cumulative += count;
                (bound, cumulative)
            })
    }

    /// Returns the number of observations.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the sum of the observations, in seconds.
    #[must_use]
    pub const fn sum(&self) -> f64 {
        self.sum
    }
}

/// Counters of polls.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// When all of them were at 0.
    pub since: SystemTime,
    /// Polls; retries are not counted.
    pub attempts: u64,
    /// Failed polls by the reason of the last attempt; reasons that never occurred are absent.
    pub failures: BTreeMap<Reason, u64>,
    /// Attempts after the first one of each poll.
    pub retries: u64,
    /// Reused connections that were found dead and replaced.
    pub reconnects: u64,
    /// Connections that the agent itself replaced.
    pub replaced: u64,
    /// Messages that no request was waiting for.
    pub ignored: u64,
    /// Durations of successful polls.
    pub latencies: LatencyHistogram,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            since: SystemTime::now(),
            attempts: 0,
            failures: BTreeMap::new(),
            retries: 0,
            reconnects: 0,
            replaced: 0,
            ignored: 0,
            latencies: LatencyHistogram::default(),
        }
    }
}

impl Tally {
    /// Counts one poll of an endpoint.
    pub fn record(&mut self, observation: &EndpointObservation) {
        let attempt = &observation.attempt;
        self.attempts += 1;
        self.retries += u64::from(observation.retries);
        self.reconnects += u64::from(attempt.reconnects);
        self.replaced += u64::from(attempt.replaced);
        self.ignored += u64::from(attempt.ignored);
        if let Some(failure) = &observation.failure {
            *self.failures.entry(failure.reason).or_default() += 1;
        } else if let Some(took) = observation.took {
            self.latencies.observe(took);
        }
    }

    /// Returns the number of polls that failed with `reason`.
    #[must_use]
    pub fn failed(&self, reason: Reason) -> u64 {
        self.failures.get(&reason).copied().unwrap_or(0)
    }

    /// Returns the number of failed polls.
    #[must_use]
    pub fn total_failures(&self) -> u64 {
        self.failures.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_counts_in_its_bucket_and_in_all_above() {
        let mut latencies = LatencyHistogram::default();
        for ms in [1, 2, 300, 60_000] {
            latencies.observe(Duration::from_millis(ms));
        }
        let counts: Vec<u64> = latencies.cumulative().map(|(_, count)| count).collect();
        // An upper bound belongs to its bucket (1 ms). 60 s is only in the infinite one.
        assert_eq!(counts, [0, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
        assert_eq!(latencies.count(), 4);
        assert!((latencies.sum() - 60.303).abs() < 1e-9);
    }
}

//! Counters of the polls of one endpoint, or of all endpoints of one transport in a network.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::failure::Reason;

/// Upper bounds of the latency histograms' buckets, seconds.
pub const BUCKETS_SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// A histogram with the buckets of [`BUCKETS_SECONDS`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latencies {
    counts: [u64; BUCKETS_SECONDS.len()],
    count: u64,
    sum: f64,
}

impl Latencies {
    pub(crate) fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BUCKETS_SECONDS.iter().position(|bound| seconds <= *bound) {
            self.counts[bucket] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }

    /// Upper bound and cumulative count of each bucket; the last, infinite one is [`Self::count`].
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut below = 0;
        BUCKETS_SECONDS
            .into_iter()
            .zip(self.counts)
            .map(move |(bound, count)| {
                below += count;
                (bound, below)
            })
    }

    /// Number of observations.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Sum of the observations, seconds.
    #[must_use]
    pub const fn sum(&self) -> f64 {
        self.sum
    }
}

/// What is counted of each poll of an endpoint, whatever the number of tries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Polls of the endpoint.
    pub attempts: u64,
    /// Failed ones by the reason of the last try; reasons that never came are absent.
    pub failures: BTreeMap<Reason, u64>,
    /// Tries beyond the first of each poll.
    pub retries: u64,
    /// Kept connections that were found dead and replaced.
    pub reconnects: u64,
    /// Messages that nobody waited for.
    pub ignored: u64,
    /// How long the successful ones took.
    pub latencies: Latencies,
}

impl Tally {
    /// Counts one poll of an endpoint.
    pub fn count(&mut self, probed: &crate::fleet::Probed) {
        let attempt = &probed.attempt;
        self.attempts += 1;
        self.retries += u64::from(probed.retries);
        self.reconnects += u64::from(attempt.reconnects);
        self.ignored += u64::from(attempt.ignored);
        if let Some(failure) = &probed.failure {
            *self.failures.entry(failure.reason).or_default() += 1;
        } else if let Some(took) = probed.took {
            self.latencies.observe(took);
        }
    }

    /// Failed polls with `reason`.
    #[must_use]
    pub fn failed(&self, reason: Reason) -> u64 {
        self.failures.get(&reason).copied().unwrap_or(0)
    }

    /// Failed polls in all.
    #[must_use]
    pub fn failed_in_all(&self) -> u64 {
        self.failures.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_counts_in_its_bucket_and_all_above() {
        let mut latencies = Latencies::default();
        for ms in [1, 2, 300, 60_000] {
            latencies.observe(Duration::from_millis(ms));
        }
        let below: Vec<u64> = latencies.cumulative().map(|(_, count)| count).collect();
        // A bound belongs to its bucket (1 ms); what is above all bounds is only in the infinite one.
        assert_eq!(below, [0, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
        assert_eq!(latencies.count(), 4);
        assert!((latencies.sum() - 60.303).abs() < 1e-9);
    }
}

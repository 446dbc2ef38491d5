//! Summaries of all polls in a minute, an hour or a step of a chart.

use std::time::Duration;

use convex_client::{OrderPoints, Transport};

use crate::fleet::Health;

use super::recent_polls::{Outcome, Poll};

/// A summary of the polls in a period. Each poll is counted as exactly one of good, failed, excused
/// and maintenance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Successful polls.
    pub good: u64,
    /// Failed polls.
    pub failed: u64,
    /// Polls that failed because of the agent itself.
    pub excused: u64,
    /// Polls during maintenance, whatever their outcome.
    pub maintenance: u64,
    /// Time covered by successful polls, in milliseconds.
    pub good_ms: u64,
    /// Time covered by failed polls, in milliseconds.
    pub failed_ms: u64,
    /// Time covered by polls during maintenance, in milliseconds.
    pub maintenance_ms: u64,
    /// Polls by the peer's health after them, in the order of [`Health::ALL`].
    pub by_health: [u64; Health::ALL.len()],
    /// Latencies, in the order of [`Transport::ALL`].
    pub latency: [Latency; Transport::ALL.len()],
    /// Heights of the peer's order, last value.
    pub order: Option<OrderPoints>,
    /// Block of the peer's state, last value.
    pub state_block: Option<i64>,
    /// Largest lag in blocks.
    pub worst_lag: Option<i64>,
}

/// Count, sum, minimum and maximum of latencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Number of answers.
    pub count: u64,
    /// Sum in microseconds.
    pub sum_us: u64,
    /// Shortest latency in microseconds; 0 without answers.
    pub min_us: u64,
    /// Longest latency in microseconds; 0 without answers.
    pub max_us: u64,
}

impl Latency {
    fn from_duration(latency: Duration) -> Self {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        Self {
            count: 1,
            sum_us: us,
            min_us: us,
            max_us: us,
        }
    }

    /// Returns the mean latency; `None` without answers.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let mean = self.sum_us.checked_div(self.count)?;
        Some(Duration::from_micros(mean))
    }

    fn merge(&mut self, later: &Self) {
        self.min_us = match (self.count, later.count) {
            (0, _) => later.min_us,
            (_, 0) => self.min_us,
            _ => self.min_us.min(later.min_us),
        };
        self.max_us = self.max_us.max(later.max_us);
        self.count = self.count.saturating_add(later.count);
        self.sum_us = self.sum_us.saturating_add(later.sum_us);
    }
}

impl Summary {
    /// Summarises one poll. `covered` is the time since the previous poll.
    #[must_use]
    pub fn from_poll(poll: &Poll, covered: Duration) -> Self {
        let ms = u64::try_from(covered.as_millis()).unwrap_or(u64::MAX);
        let mut summary = Self {
            latency: poll
                .latency
                .map(|latency| latency.map_or(Latency::default(), Latency::from_duration)),
            order: poll.order,
            state_block: poll.state_block,
            worst_lag: poll.lag.map(|lag| lag.blocks),
            ..Self::default()
        };
        summary.by_health[poll.health as usize] = 1;
        match poll.outcome {
            _ if poll.maintenance => (summary.maintenance, summary.maintenance_ms) = (1, ms),
            Outcome::Up => (summary.good, summary.good_ms) = (1, ms),
            Outcome::Failed => (summary.failed, summary.failed_ms) = (1, ms),
            Outcome::Excused => summary.excused = 1,
        }
        summary
    }

    /// Adds the summary of later polls. Counts that were read from a damaged file do not overflow.
    pub fn merge(&mut self, later: &Self) {
        for (mine, theirs) in [
            (&mut self.good, later.good),
            (&mut self.failed, later.failed),
            (&mut self.excused, later.excused),
            (&mut self.maintenance, later.maintenance),
            (&mut self.good_ms, later.good_ms),
            (&mut self.failed_ms, later.failed_ms),
            (&mut self.maintenance_ms, later.maintenance_ms),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        for (mine, theirs) in self.by_health.iter_mut().zip(later.by_health) {
            *mine = mine.saturating_add(theirs);
        }
        for (mine, theirs) in self.latency.iter_mut().zip(&later.latency) {
            mine.merge(theirs);
        }
        self.order = later.order.or(self.order);
        self.state_block = later.state_block.or(self.state_block);
        self.worst_lag = self.worst_lag.max(later.worst_lag);
    }

    /// Returns the number of polls.
    #[must_use]
    pub const fn polls(&self) -> u64 {
        self.good
            .saturating_add(self.failed)
            .saturating_add(self.excused)
            .saturating_add(self.maintenance)
    }
}

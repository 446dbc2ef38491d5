//! Many polls in a few figures: those of a minute, of an hour, or of any stretch that is charted.

use std::time::Duration;

use convex_client::{OrderPoints, Transport};

use crate::fleet::Health;

use super::recent::{Outcome, Poll};

/// What the polls of one stretch of time showed. Each poll is counted as exactly one of good, failed, own and maintenance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Polls that were good.
    pub good: u64,
    /// Polls that failed.
    pub failed: u64,
    /// Polls that failed and that the monitor's own trouble excuses.
    pub excused: u64,
    /// Polls during maintenance, however they ended.
    pub maintenance: u64,
    /// The time that the good polls stand for, milliseconds.
    pub good_ms: u64,
    /// The time that the failed polls stand for, milliseconds.
    pub failed_ms: u64,
    /// The time that the polls during maintenance stand for, milliseconds.
    pub maintenance_ms: u64,
    /// Polls by the health after them, in the order of [`Health::ALL`].
    pub by_health: [u64; Health::ALL.len()],
    /// How long answers took, in the order of [`Transport::ALL`].
    pub latency: [Latency; Transport::ALL.len()],
    /// The points of the order, seen last.
    pub order: Option<OrderPoints>,
    /// The state's block, seen last.
    pub state_block: Option<i64>,
    /// The most blocks that the peer was behind.
    pub worst_lag: Option<i64>,
}

/// Latencies in three figures and their count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Answers.
    pub count: u64,
    /// Their sum, microseconds.
    pub sum_us: u64,
    /// The shortest, microseconds; 0 without answers.
    pub min_us: u64,
    /// The longest, microseconds; 0 without answers.
    pub max_us: u64,
}

impl Latency {
    fn of(took: Duration) -> Self {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Self {
            count: 1,
            sum_us: us,
            min_us: us,
            max_us: us,
        }
    }

    /// The mean; none without answers.
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
        self.count += later.count;
        self.sum_us = self.sum_us.saturating_add(later.sum_us);
    }
}

impl Summary {
    /// One poll, which stands for `span`: the time since the one before.
    #[must_use]
    pub fn of(poll: &Poll, span: Duration) -> Self {
        let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let mut summary = Self {
            latency: poll
                .latency
                .map(|took| took.map_or(Latency::default(), Latency::of)),
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

    /// Adds what was seen later.
    pub fn merge(&mut self, later: &Self) {
        self.good += later.good;
        self.failed += later.failed;
        self.excused += later.excused;
        self.maintenance += later.maintenance;
        self.good_ms += later.good_ms;
        self.failed_ms += later.failed_ms;
        self.maintenance_ms += later.maintenance_ms;
        for (mine, theirs) in self.by_health.iter_mut().zip(later.by_health) {
            *mine += theirs;
        }
        for (mine, theirs) in self.latency.iter_mut().zip(&later.latency) {
            mine.merge(theirs);
        }
        self.order = later.order.or(self.order);
        self.state_block = later.state_block.or(self.state_block);
        self.worst_lag = self.worst_lag.max(later.worst_lag);
    }

    /// All polls.
    #[must_use]
    pub const fn polls(&self) -> u64 {
        self.good + self.failed + self.excused + self.maintenance
    }
}

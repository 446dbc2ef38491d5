//! For how long an action counts.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::fleet::UnixMillis;

/// From when until when an action counts. It ends by the wall clock, but never later than that long
/// after it was declared, to whatever time the wall clock is set meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) declared: SystemTime,
    pub(super) starts_at: SystemTime,
    pub(super) ends_at: SystemTime,
    /// The latest end, by a clock that nobody sets.
    deadline: Instant,
}

impl Term {
    /// A term of `length` from `starts_at`, declared at `now` or `wall`, the same moment.
    pub(super) fn new(
        starts_at: SystemTime,
        length: Duration,
        now: Instant,
        wall: SystemTime,
    ) -> Self {
        // As it is saved, so that a restart changes nothing.
        let whole = |time| UnixMillis::from_time(time).to_time().unwrap_or(time);
        let starts_at = whole(starts_at);
        let ends_at = starts_at.checked_add(length).unwrap_or(starts_at);
        Self::at([whole(wall), starts_at, ends_at], now, wall)
    }

    /// A term that was declared at `declared`, before `now` and `wall`: the clock may have been set
    /// since, and the time that is left is then at most the whole.
    pub(super) fn at(
        [declared, starts_at, ends_at]: [SystemTime; 3],
        now: Instant,
        wall: SystemTime,
    ) -> Self {
        let whole = ends_at.duration_since(declared).unwrap_or_default();
        let left = ends_at.duration_since(wall).unwrap_or_default();
        Self {
            declared,
            starts_at,
            ends_at,
            deadline: now.checked_add(left.min(whole)).unwrap_or(now),
        }
    }

    /// Returns when it begins. What began when it was declared has begun, to whatever time the
    /// clock was set back since.
    pub(super) fn starts_at(&self, wall: SystemTime) -> SystemTime {
        if self.starts_at <= self.declared {
            self.starts_at.min(wall)
        } else {
            self.starts_at
        }
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self, now: Instant, wall: SystemTime) -> bool {
        self.ends_at <= wall || self.deadline <= now
    }

    /// Returns when it will end, by the wall clock as it is now.
    pub(super) fn ends_at(&self, now: Instant, wall: SystemTime) -> SystemTime {
        let left = self.deadline.saturating_duration_since(now);
        let latest = wall.checked_add(left).unwrap_or(self.ends_at);
        // To a second: the two clocks do not tick alike.
        if self.ends_at > latest + Duration::from_secs(1) {
            latest
        } else {
            self.ends_at
        }
    }
}

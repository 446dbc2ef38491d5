//! Times of the wall clock for instants, and as peers write them.

use std::time::SystemTime;

use tokio::time::Instant;

/// Converts an instant to a time of the wall clock; `now` and `wall` are the same moment. None if
/// it is too far back for the wall clock.
pub(super) fn wall_time(at: Instant, now: Instant, wall: SystemTime) -> Option<SystemTime> {
    wall.checked_sub(now.saturating_duration_since(at))
}

/// Returns the milliseconds since the epoch; times before it become 0.
pub(super) fn unix_millis(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since_epoch.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

//! Times of the wall clock for instants.

use std::time::SystemTime;

use tokio::time::Instant;

/// Converts an instant to a time of the wall clock; `now` and `wall` are the same moment. None if it
/// is too far back for the wall clock.
pub(super) fn wall_time(at: Instant, now: Instant, wall: SystemTime) -> Option<SystemTime> {
    wall.checked_sub(now.saturating_duration_since(at))
}

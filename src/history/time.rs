//! Units of time since the epoch. Times before the epoch count as the epoch.

use std::time::{Duration, SystemTime};

use crate::fleet::UnixMillis;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// Returns the milliseconds since the epoch.
#[must_use]
pub fn unix_millis(time: SystemTime) -> u64 {
    UnixMillis::from_time(time).0
}

/// Returns the full minutes since the epoch.
pub(super) fn unix_minute(time: SystemTime) -> u32 {
    u32::try_from(unix_millis(time) / 60_000).unwrap_or(u32::MAX)
}

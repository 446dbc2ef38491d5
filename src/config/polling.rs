//! When and how often peers are polled: the polling keys of `defaults`, `references` and peers.

use std::ops::RangeInclusive;
use std::time::Duration;

use humantime::format_duration;

use super::keys::{DEFAULTS, REFERENCES};
use super::scalar::{DAY, count, duration};
use super::section::Section;
use super::source::Reported;

/// Shorter intervals would measure the agent's own load; longer ones hide more than a day.
pub(super) const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;
/// Default minimum interval of other people's peers.
const REFERENCE_INTERVAL: Duration = Duration::from_secs(60);
/// Default minimum of `max_interval` of other people's peers, while they are down.
const REFERENCE_MAX_INTERVAL: Duration = Duration::from_secs(600);
/// Shorter ages would measure handshakes in each poll; longer ones would hide for a day that no new
/// connection works.
const CONNECTION_MAX_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=DAY;

/// When and how often a peer is polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polling {
    /// Time between the starts of two polls.
    pub interval: Duration,
    /// Deadline of a whole poll, retries included; shorter than `interval`.
    pub timeout: Duration,
    /// Retries within the deadline.
    pub retries: u32,
    /// Consecutive failed polls after which a peer is down.
    pub down_after: u32,
    /// Consecutive successful polls after which a peer is up.
    pub up_after: u32,
    /// Longest interval for a peer that stays down; at least `interval`.
    pub max_interval: Duration,
    /// Age from which a connection is replaced by a new one.
    pub connection_max_age: Duration,
}

impl Default for Polling {
    fn default() -> Self {
        PollingKeys::DEFAULT.into()
    }
}

/// The polling keys as read, where `max_interval` may still follow from `interval`.
#[derive(Clone, Copy)]
pub(super) struct PollingKeys {
    interval: Duration,
    timeout: Duration,
    retries: u32,
    down_after: u32,
    up_after: u32,
    max_interval: Option<Duration>,
    connection_max_age: Duration,
    /// Minimum of the longest interval if `max_interval` is not set.
    min_max_interval: Duration,
}

impl PollingKeys {
    const DEFAULT: Self = Self {
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(5),
        retries: 1,
        down_after: 2,
        up_after: 2,
        max_interval: None,
        connection_max_age: Duration::from_secs(300),
        min_max_interval: Duration::ZERO,
    };

    /// The defaults for other people's peers: `self`, but never more frequent than they allow.
    fn for_references(self) -> Self {
        Self {
            interval: self.interval.max(REFERENCE_INTERVAL),
            retries: 0,
            max_interval: None,
            min_max_interval: self
                .max_interval
                .unwrap_or_default()
                .max(REFERENCE_MAX_INTERVAL),
            ..self
        }
    }

    /// Reads the polling keys of a section; `base` has the values of those that are not set.
    pub(super) fn read(section: &Section, base: Result<Self, Reported>) -> Result<Self, Reported> {
        let interval = section.read("interval", |value| duration(value, INTERVAL));
        let timeout = section.read("timeout", |value| duration(value, TIMEOUT));
        let retries = section.read("retries", |value| count(value, 0..=100));
        let down_after = section.read("down_after", |value| count(value, 1..=1000));
        let up_after = section.read("up_after", |value| count(value, 1..=1000));
        let max_interval = section.read("max_interval", |value| duration(value, INTERVAL));
        let connection_max_age = section.read("connection_max_age", |value| {
            duration(value, CONNECTION_MAX_AGE)
        });
        let base = base?;
        let mut keys = Self {
            interval: interval?.unwrap_or(base.interval),
            timeout: timeout?.unwrap_or(base.timeout),
            max_interval: max_interval?.or(base.max_interval),
            ..base
        };
        keys.check(section)?;
        keys.retries = retries?.unwrap_or(base.retries);
        keys.down_after = down_after?.unwrap_or(base.down_after);
        keys.up_after = up_after?.unwrap_or(base.up_after);
        keys.connection_max_age = connection_max_age?.unwrap_or(base.connection_max_age);
        Ok(keys)
    }

    /// Checks that the durations fit together. A problem is reported at a key of this section,
    /// even if the other duration is inherited.
    fn check(&self, section: &Section) -> Result<(), Reported> {
        let report = |key, message| {
            let position = |key| section.value_position(key).map(|position| (key, position));
            let (key, position) = position(key)
                .or_else(|| position("interval"))
                .unwrap_or((key, section.position));
            Err(section.report(position, key, message))
        };
        let interval = format_duration(self.interval);
        let mut result = Ok(());
        if self.timeout >= self.interval {
            let timeout = format_duration(self.timeout);
            result = report(
                "timeout",
                if section.key_position("timeout").is_some() {
                    format!(
                        "timeout {timeout} is not shorter than interval {interval}; set `timeout` \
                         below it"
                    )
                } else {
                    format!(
                        "interval {interval} is not longer than the timeout, which is {timeout} \
                         here; add for example `timeout: {}`",
                        format_duration(shorter(self.interval))
                    )
                },
            );
        }
        if let Some(longest) = self.max_interval.filter(|longest| *longest < self.interval) {
            let longest = format_duration(longest);
            result = report(
                "max_interval",
                format!(
                    "max_interval {longest} is shorter than interval {interval}; \
                     set `max_interval` to at least that"
                ),
            );
        }
        result
    }
}

/// Returns a round duration below `interval`.
fn shorter(interval: Duration) -> Duration {
    let shorter = interval * 4 / 5;
    match shorter.as_secs() {
        0 => shorter,
        seconds => Duration::from_secs(seconds),
    }
}

impl From<PollingKeys> for Polling {
    fn from(keys: PollingKeys) -> Self {
        Self {
            interval: keys.interval,
            timeout: keys.timeout,
            retries: keys.retries,
            down_after: keys.down_after,
            up_after: keys.up_after,
            max_interval: keys
                .max_interval
                .unwrap_or(keys.interval.max(keys.min_max_interval)),
            connection_max_age: keys.connection_max_age,
        }
    }
}

/// Reads `defaults`, on top of the built-in defaults.
pub(super) fn defaults(file: &Section) -> Result<PollingKeys, Reported> {
    match file.section("defaults", &DEFAULTS)? {
        Some(section) => PollingKeys::read(&section, Ok(PollingKeys::DEFAULT)),
        None => Ok(PollingKeys::DEFAULT),
    }
}

/// Reads `references`, the polling keys of other people's peers, on top of `defaults`.
pub(super) fn references(
    file: &Section,
    defaults: Result<PollingKeys, Reported>,
) -> Result<PollingKeys, Reported> {
    let base = defaults.map(PollingKeys::for_references);
    match file.section("references", &REFERENCES)? {
        Some(section) => PollingKeys::read(&section, base),
        None => base,
    }
}

//! When to poll: the cadence keys, each over what holds without it.

use std::ops::RangeInclusive;
use std::time::Duration;

use humantime::format_duration;

use super::Cadence;
use super::keys::{DEFAULTS, REFERENCES};
use super::scalar::{DAY, count, duration};
use super::section::{Refused, Section};

/// Shorter intervals would measure the monitor's own load; longer ones hide more than a day.
pub(super) const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;
/// A stranger's peer is polled no more often by default.
const OF_REFERENCES: Duration = Duration::from_secs(60);
/// And this seldom while it is down.
const OF_REFERENCES_DOWN: Duration = Duration::from_secs(600);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=DAY;

/// A cadence whose longest interval may still follow its interval.
#[derive(Clone, Copy)]
pub(super) struct Rhythm {
    interval: Duration,
    timeout: Duration,
    retries: u32,
    down_after: u32,
    up_after: u32,
    max_interval: Option<Duration>,
    /// Without `max_interval` the longest interval is at least this.
    slows_to: Duration,
}

impl Rhythm {
    pub(super) const DEFAULT: Self = Self {
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(5),
        retries: 1,
        down_after: 2,
        up_after: 2,
        max_interval: None,
        slows_to: Duration::ZERO,
    };

    /// What holds for strangers' peers over what holds for all: the gentler of both.
    fn gentle(self) -> Self {
        Self {
            interval: self.interval.max(OF_REFERENCES),
            retries: 0,
            max_interval: None,
            slows_to: self
                .max_interval
                .unwrap_or_default()
                .max(OF_REFERENCES_DOWN),
            ..self
        }
    }

    /// Reads the cadence keys of a section over what holds without them.
    pub(super) fn read(section: &Section, base: Result<Self, Refused>) -> Result<Self, Refused> {
        let interval = section.read("interval", |value| duration(value, INTERVAL));
        let timeout = section.read("timeout", |value| duration(value, TIMEOUT));
        let retries = section.read("retries", |value| count(value, 0..=100));
        let down_after = section.read("down_after", |value| count(value, 1..=1000));
        let up_after = section.read("up_after", |value| count(value, 1..=1000));
        let max_interval = section.read("max_interval", |value| duration(value, INTERVAL));
        let base = base?;
        let mut rhythm = Self {
            interval: interval?.unwrap_or(base.interval),
            timeout: timeout?.unwrap_or(base.timeout),
            max_interval: max_interval?.or(base.max_interval),
            ..base
        };
        rhythm.check(section)?;
        rhythm.retries = retries?.unwrap_or(base.retries);
        rhythm.down_after = down_after?.unwrap_or(base.down_after);
        rhythm.up_after = up_after?.unwrap_or(base.up_after);
        Ok(rhythm)
    }

    /// Holds the durations against each other; what is wrong stands at the key that this section has.
    fn check(&self, section: &Section) -> Result<(), Refused> {
        let report = |key, message| {
            let at = |key| section.value_position(key).map(|position| (key, position));
            let (key, position) = at(key)
                .or_else(|| at("interval"))
                .unwrap_or((key, section.position));
            Err(section.report(position, key, message))
        };
        let interval = format_duration(self.interval);
        let mut sound = Ok(());
        if self.timeout >= self.interval {
            let timeout = format_duration(self.timeout);
            sound = report(
                "timeout",
                format!(
                    "timeout {timeout} is not shorter than interval {interval}; set `timeout` below it"
                ),
            );
        }
        if let Some(longest) = self.max_interval.filter(|longest| *longest < self.interval) {
            let longest = format_duration(longest);
            sound = report(
                "max_interval",
                format!(
                    "max_interval {longest} is shorter than interval {interval}; set `max_interval` to at least that"
                ),
            );
        }
        sound
    }

    pub(super) fn cadence(self) -> Cadence {
        Cadence {
            interval: self.interval,
            timeout: self.timeout,
            retries: self.retries,
            down_after: self.down_after,
            up_after: self.up_after,
            max_interval: self
                .max_interval
                .unwrap_or(self.interval.max(self.slows_to)),
        }
    }
}

/// The file's `defaults`, over the built-in ones.
pub(super) fn defaults(file: &Section) -> Result<Rhythm, Refused> {
    match file.section("defaults", &DEFAULTS)? {
        Some(section) => Rhythm::read(&section, Ok(Rhythm::DEFAULT)),
        None => Ok(Rhythm::DEFAULT),
    }
}

/// The file's `references`: what holds for peers of strangers, over `defaults` made gentle.
pub(super) fn references(
    file: &Section,
    defaults: Result<Rhythm, Refused>,
) -> Result<Rhythm, Refused> {
    let gentle = defaults.map(Rhythm::gentle);
    match file.section("references", &REFERENCES)? {
        Some(section) => Rhythm::read(&section, gentle),
        None => gentle,
    }
}

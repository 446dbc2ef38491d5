//! The availability of many peers or networks in bars of equal length, as an overview shows it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::db::{PeerKey, ReadError, Resolution, Thread};
use super::in_memory::PeerHistory;
use super::network_uptime;
use super::recorder::{History, UnownedSummaries, lock};
use super::series::merge_into_step;
use super::summary::Summary;
use super::time::{HOUR, unix_minute};
use super::uptime::Uptime;

/// How a time up to now is cut into bars. They begin at whole hours or days, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bars {
    /// Number of bars.
    pub count: u32,
    /// Length of a bar in hours.
    pub hours: u32,
}

impl Bars {
    /// Returns the length of a bar.
    #[must_use]
    pub fn length(self) -> Duration {
        HOUR * self.hours
    }

    /// Returns the first hour since the epoch, and the one after the last.
    fn range(self, now: SystemTime) -> (u32, u32) {
        let current = unix_minute(now) / 60 / self.hours;
        let first = (current + 1).saturating_sub(self.count);
        (first * self.hours, (current + 1) * self.hours)
    }

    /// Sums up summaries by hour, each with its hour since the epoch.
    fn sum_up(self, hours: &[(u32, Summary)], now: SystemTime) -> Vec<Uptime> {
        let (first, end) = self.range(now);
        let length = usize::try_from(self.hours).unwrap_or(1);
        let empty = |begin: u32| {
            let begins = SystemTime::UNIX_EPOCH + HOUR * begin;
            let elapsed = now.duration_since(begins).unwrap_or_default();
            Uptime {
                window: self.length(),
                span: elapsed.min(self.length()),
                ..Uptime::default()
            }
        };
        let mut bars: Vec<Uptime> = (first..end).step_by(length).map(empty).collect();
        for (hour, summary) in hours {
            let place = hour.checked_sub(first).map(|place| place / self.hours);
            let place = place.and_then(|place| usize::try_from(place).ok());
            if let Some(bar) = place.and_then(|place| bars.get_mut(place)) {
                bar.add(summary);
            }
        }
        bars
    }

    /// Returns when the first bar begins.
    #[must_use]
    pub fn begin(self, now: SystemTime) -> SystemTime {
        SystemTime::UNIX_EPOCH + HOUR * self.range(now).0
    }
}

impl History {
    /// Returns the uptime of `peers` in each of `bars`, oldest first, by the name of the peer. A
    /// peer that is not watched is left out.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn availability(
        &self,
        peers: &[String],
        bars: Bars,
        now: SystemTime,
    ) -> Result<HashMap<String, Vec<Uptime>>, ReadError> {
        let sources = peers.iter();
        let sources =
            sources.filter_map(|name| Some((name.clone(), Source::Peer(self.peer(name)?))));
        self.read_bars(sources.collect(), bars, now).await
    }

    /// Returns for how long each of `networks` worked in each of `bars`, as
    /// [`History::availability`] does of peers.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn network_availability(
        &self,
        networks: &[String],
        bars: Bars,
        now: SystemTime,
    ) -> Result<HashMap<String, Vec<Uptime>>, ReadError> {
        let sources = networks.iter().map(|name| {
            let unwritten = Arc::clone(&self.unowned);
            let source = Source::Network(network_uptime::key(name), unwritten);
            (name.clone(), source)
        });
        self.read_bars(sources.collect(), bars, now).await
    }

    async fn read_bars(
        &self,
        sources: Vec<(String, Source)>,
        bars: Bars,
        now: SystemTime,
    ) -> Result<HashMap<String, Vec<Uptime>>, ReadError> {
        if sources.is_empty() {
            return Ok(HashMap::new());
        }
        let (first, end) = bars.range(now);
        let read = move |thread: &mut Thread| {
            thread.read(|store| {
                let mut found = HashMap::with_capacity(sources.len());
                for (name, source) in &sources {
                    let range = (first, end - 1);
                    let mut hours = store.summaries(&source.key(), Resolution::Hour, range)?;
                    source.add_unwritten(&mut hours);
                    found.insert(name.clone(), bars.sum_up(&hours, now));
                }
                Ok(found)
            })
        };
        self.db.query(read).await
    }
}

/// What has summaries in the database, and newer ones that are not written yet.
enum Source {
    Peer(Arc<Mutex<PeerHistory>>),
    Network(PeerKey, Arc<Mutex<UnownedSummaries>>),
}

impl Source {
    fn key(&self) -> PeerKey {
        match self {
            Self::Peer(history) => lock(history).key().clone(),
            Self::Network(key, _) => key.clone(),
        }
    }

    /// Adds the unwritten summaries to those by hour.
    fn add_unwritten(&self, hours: &mut Vec<(u32, Summary)>) {
        match self {
            Self::Peer(history) => {
                for (minute, summary) in lock(history).unwritten() {
                    merge_into_step(hours, minute / 60, summary);
                }
            }
            Self::Network(key, unwritten) => {
                let unwritten = lock(unwritten);
                for (_, minute, summary) in unwritten.iter().filter(|it| it.0 == *key) {
                    merge_into_step(hours, minute / 60, summary);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_end_with_the_current_one_and_hold_what_was_polled_in_them() {
        let now = SystemTime::UNIX_EPOCH + HOUR * 100 + HOUR / 2;
        let polled = |good_ms, failed_ms| Summary {
            good_ms,
            failed_ms,
            ..Summary::default()
        };
        let hours = [(75, polled(1, 0)), (98, polled(3, 1)), (100, polled(4, 0))];
        let by_hour = Bars {
            count: 24,
            hours: 1,
        };
        let bars = by_hour.sum_up(&hours, now);
        assert_eq!(bars.len(), 24);
        assert_eq!(by_hour.begin(now), SystemTime::UNIX_EPOCH + HOUR * 77);
        assert_eq!(bars[21].ratio(), Some(0.75));
        assert_eq!((bars[22].ratio(), bars[23].ratio()), (None, Some(1.0)));
        assert_eq!((bars[22].span, bars[23].span), (HOUR, HOUR / 2));

        let by_day = Bars {
            count: 2,
            hours: 24,
        };
        let bars = by_day.sum_up(&hours, now);
        let ratios: Vec<_> = bars.iter().map(Uptime::ratio).collect();
        assert_eq!(ratios, [Some(1.0), Some(0.875)]);
    }
}

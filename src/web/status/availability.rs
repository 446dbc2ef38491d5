//! The availability of what is published: read from the history, and drawn as the other pages draw
//! it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::history::{Bars, History, ReadError, Uptime};
use crate::web::pages::availability::Availability;

use super::model::PublicBars;

/// A time over which a page shows availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Period {
    Day,
    Month,
    Quarter,
}

impl Period {
    pub(super) const ALL: [Self; 3] = [Self::Day, Self::Month, Self::Quarter];

    /// Returns its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Day => "24 hours",
            Self::Month => "30 days",
            Self::Quarter => "90 days",
        }
    }

    /// Returns the file of the page with it.
    pub(super) const fn file(self) -> &'static str {
        match self {
            Self::Day => "24h.html",
            Self::Month => "30d.html",
            Self::Quarter => "index.html",
        }
    }

    /// Returns how it is cut into bars.
    pub(super) const fn bars(self) -> Bars {
        let (count, hours) = match self {
            Self::Day => (24, 1),
            Self::Month => (30, 24),
            Self::Quarter => (90, 24),
        };
        Bars { count, hours }
    }

    /// Returns its length in seconds.
    pub(super) const fn seconds(self) -> u64 {
        let Bars { count, hours } = self.bars();
        count as u64 * hours as u64 * 3600
    }
}

/// Reads the availability of peers by name. What cannot be read is absent.
pub(super) async fn of_peers(
    history: &History,
    peers: &[String],
    now: SystemTime,
) -> HashMap<String, PublicBars> {
    let read = |period: Period| history.availability(peers, period.bars(), now);
    join(read(Period::Day).await, read(Period::Quarter).await)
}

/// Reads the availability of networks by name. What cannot be read is absent.
pub(super) async fn of_networks(
    history: &History,
    networks: &[String],
    now: SystemTime,
) -> HashMap<String, PublicBars> {
    let read = |period: Period| history.network_availability(networks, period.bars(), now);
    join(read(Period::Day).await, read(Period::Quarter).await)
}

type ReadBars = Result<HashMap<String, Vec<Uptime>>, ReadError>;

/// Joins the bars of hours and days.
fn join(hours: ReadBars, days: ReadBars) -> HashMap<String, PublicBars> {
    let (hours, mut days) = match (hours, days) {
        (Ok(hours), Ok(days)) => (hours, days),
        (Err(error), _) | (_, Err(error)) => {
            tracing::debug!(%error, "the status page has no availability");
            return HashMap::new();
        }
    };
    let bars = hours.into_iter().filter_map(|(name, hours)| {
        let days = days.remove(&name)?;
        let bars = PublicBars {
            hours: hours.iter().map(seconds).collect(),
            days: days.iter().map(seconds).collect(),
        };
        Some((name, bars))
    });
    bars.collect()
}

/// Returns the seconds of a bar. A part of a second down is a second, so that it is seen.
fn seconds(uptime: &Uptime) -> [u32; 3] {
    let floor = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let down = uptime.down.as_millis().div_ceil(1000);
    [
        floor(uptime.up),
        u32::try_from(down).unwrap_or(u32::MAX),
        floor(uptime.maintenance),
    ]
}

impl PublicBars {
    /// Draws the availability over `period` as it was at `at`.
    pub(super) fn draw(&self, period: Period, at: SystemTime) -> Arc<Availability> {
        Arc::new(Availability::new(
            &self.uptimes(period, at),
            period.bars(),
            at,
        ))
    }

    /// Returns the availability over all of `period`.
    pub(super) fn total(&self, period: Period, at: SystemTime) -> Uptime {
        let bars = period.bars();
        let window = bars.length() * bars.count;
        let zero = Uptime {
            window,
            ..Uptime::default()
        };
        self.uptimes(period, at)
            .iter()
            .fold(zero, |sum, bar| Uptime {
                window,
                span: sum.span + bar.span,
                up: sum.up + bar.up,
                down: sum.down + bar.down,
                maintenance: sum.maintenance + bar.maintenance,
            })
    }

    fn uptimes(&self, period: Period, at: SystemTime) -> Vec<Uptime> {
        let bars = period.bars();
        let all = match period {
            Period::Day => &self.hours,
            Period::Month | Period::Quarter => &self.days,
        };
        let count = usize::try_from(bars.count).unwrap_or(usize::MAX);
        let (begin, length) = (bars.begin(at), bars.length());
        let shown = all.iter().skip(all.len().saturating_sub(count));
        shown
            .zip(0_u32..)
            .map(|(&[up, down, maintenance], i)| {
                let elapsed = at.duration_since(begin + length * i).unwrap_or_default();
                let duration = |seconds: u32| Duration::from_secs(seconds.into());
                Uptime {
                    window: length,
                    span: elapsed.min(length),
                    up: duration(up),
                    down: duration(down),
                    maintenance: duration(maintenance),
                }
            })
            .collect()
    }
}

//! When blocks are made, and by which peers: `[random:]PERIOD[:PEERS]`.

use std::time::Duration;

use cad3::Hash;

use super::fault_kind::parse_duration;
use super::peers::{PeerSet, PeerSetError};

/// More frequent blocks would measure the simulation instead of the program under test.
const MIN_PERIOD: Duration = Duration::from_millis(10);
/// Longest random interval, in periods. One in 22,000 would be longer.
const MAX_PERIODS: f64 = 10.0;

/// Where blocks come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Time between two blocks; the mean, if random.
    pub period: Duration,
    /// Whether the intervals are random, as those of independent senders of transactions are. The
    /// same at each start.
    pub random: bool,
    /// The peers that make them, in turn.
    pub makers: PeerSet,
}

/// Why a text does not describe traffic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// The period is not a duration, or is too short.
    #[error(
        "{0:?} is not a period of at least 10ms; expected [random:]PERIOD[:PEERS], such as 1s, \
         random:30s or 1s:2,5"
    )]
    Period(String),
    /// The makers are not peers of the network.
    #[error(transparent)]
    Makers(#[from] PeerSetError),
}

impl Traffic {
    /// Parses `[random:]PERIOD[:PEERS]` for a network of `count` peers. Without peers, all of them
    /// make blocks.
    ///
    /// # Errors
    /// The period is not a duration of at least 10 ms, or the peers are not in the network.
    pub fn parse(text: &str, count: usize) -> Result<Self, TrafficError> {
        let (random, regular) = match text.strip_prefix("random:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (period, makers) = match regular.split_once(':') {
            Some((period, makers)) => (period, PeerSet::parse(makers, count)?),
            None => (regular, PeerSet::all(count)),
        };
        match parse_duration(period) {
            Ok(period) if period >= MIN_PERIOD => Ok(Self {
                period,
                random,
                makers,
            }),
            _ => Err(TrafficError::Period(text.to_owned())),
        }
    }

    /// Returns the time from block `number` to the next one.
    pub(super) fn interval(&self, number: usize) -> Duration {
        if !self.random {
            return self.period;
        }
        let hash = Hash::of(format!("interval {number}").as_bytes());
        let [a, b, c, d, ..] = *hash.as_bytes();
        // Above 0, at most 1.
        let uniform = (f64::from(u32::from_be_bytes([a, b, c, d])) + 1.0) / 2.0f64.powi(32);
        let periods = (-uniform.ln()).min(MAX_PERIODS);
        self.period.mul_f64(periods).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_regular_or_random_and_of_all_or_some_peers() {
        let parse = |text: &str| Traffic::parse(text, 5).unwrap();
        let all = parse("50ms");
        assert_eq!((all.period, all.random), (Duration::from_millis(50), false));
        let random = parse("random:5m:2,5");
        assert_eq!(
            (random.period, random.random),
            (Duration::from_secs(300), true)
        );
        assert_eq!(random.makers, parse("1s:2,5").makers);
        for text in ["random", "random:", "5ms", "random:9ms", "1s:6", "soon"] {
            assert!(Traffic::parse(text, 5).is_err(), "{text}");
        }
        let error = Traffic::parse("soon", 5).unwrap_err().to_string();
        assert!(
            error.contains("such as 1s, random:30s or 1s:2,5"),
            "{error}"
        );
    }

    #[test]
    fn random_intervals_vary_around_the_period() {
        let traffic = Traffic::parse("random:1s", 1).unwrap();
        let intervals: Vec<f64> = (0..2000)
            .map(|i| traffic.interval(i).as_secs_f64())
            .collect();
        let mean = intervals.iter().sum::<f64>() / 2000.0;
        assert!((0.9..1.1).contains(&mean), "{mean}");
        let within =
            |range: std::ops::Range<f64>| intervals.iter().filter(|it| range.contains(it)).count();
        assert!(within(0.0..0.2) > 300 && within(2.0..11.0) > 200);
        assert_eq!(traffic.interval(7), traffic.interval(7));
    }
}

//! Tests in real time, at a pace that the machine can keep.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::contract::{peer, prober};
use super::simulated::network;

/// Only one test at a time watches many networks.
static TURN: Mutex<()> = Mutex::const_new(());

/// Time for one poll of an endpoint that allows the shortest times.
const FAST_POLL: Duration = Duration::from_millis(1);

/// How long polls are timed.
const MEASURED_FOR: Duration = Duration::from_secs(2);

/// The largest factor: weights of stake decay in networks that run for more than three minutes.
const MAX_FACTOR: usize = 3;

/// A factor for all times of a test, and into how many parts a test of many networks divides them.
/// Other tests with a pace wait until this one is dropped.
pub(crate) struct Pace {
    factor: u32,
    pub(crate) parts: usize,
    _turn: MutexGuard<'static, ()>,
}

impl Pace {
    /// Waits for other tests with a pace, then measures how fast peers can be polled.
    pub(crate) async fn measure() -> Self {
        let turn = TURN.lock().await;
        let network = network(1, &[], None).await;
        let peer = peer(&[&format!("tcp://{}", network.tcp(1))]);
        let mut prober = prober(&peer);
        let (began, mut polls) = (Instant::now(), 0);
        while began.elapsed() < MEASURED_FOR {
            prober.poll().await;
            polls += 1;
        }
        let one_poll = began.elapsed() / polls;
        let slowness = one_poll.as_micros().div_ceil(FAST_POLL.as_micros());
        let slowness = usize::try_from(slowness).unwrap().max(1);
        Self {
            factor: u32::try_from(slowness.min(MAX_FACTOR)).unwrap(),
            // Two at least: beside other tests the machine is slower than it was found to be.
            parts: 2 * slowness.div_ceil(MAX_FACTOR),
            _turn: turn,
        }
    }

    /// Returns a multiple of `time`.
    pub(crate) fn stretch(&self, time: Duration) -> Duration {
        time * self.factor
    }

    /// Returns a multiple of `ms` milliseconds, as in a configuration.
    pub(crate) fn ms(&self, ms: u64) -> String {
        format!("{}ms", ms * u64::from(self.factor))
    }

    /// Stretches the start of a fault, as in `stall:2:10s`, and the time of an upgrade.
    pub(crate) fn fault(&self, fault: &str) -> String {
        let upgrade = fault.strip_prefix("upgrade=");
        match upgrade.and_then(|upgrade| upgrade.split_once(':')) {
            Some((at, rest)) => format!("upgrade={}:{}", self.text(at), self.start(rest)),
            None => self.start(fault),
        }
    }

    /// Stretches the time after the last colon.
    fn start(&self, fault: &str) -> String {
        match fault.rsplit_once(':') {
            Some((kind_and_peers, start)) if humantime::parse_duration(start).is_ok() => {
                format!("{kind_and_peers}:{}", self.text(start))
            }
            _ => fault.to_owned(),
        }
    }

    /// Stretches the period of traffic, as in `450ms:1`.
    pub(crate) fn traffic(&self, traffic: &str) -> String {
        if let Some(regular) = traffic.strip_prefix("random:") {
            return format!("random:{}", self.traffic(regular));
        }
        match traffic.split_once(':') {
            Some((period, peers)) => format!("{}:{peers}", self.text(period)),
            None => self.text(traffic),
        }
    }

    fn text(&self, duration: &str) -> String {
        let duration = humantime::parse_duration(duration).unwrap();
        self.ms(duration.as_millis().try_into().unwrap())
    }
}

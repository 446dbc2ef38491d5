//! What was: fed by the fleet, read while it waits and when it is written, and still there after a restart.

mod events;
mod polls;
mod series;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{Attempt, OrderPoints, PollAnswer, Status, Timed, Transport};
use convex_peer_monitor::config;
use convex_peer_monitor::failure::{Failure, Reason};
use convex_peer_monitor::fleet::{Fleet, Observation, Probed};
use convex_peer_monitor::history::{Event, History};
use tokio_util::sync::CancellationToken;

const LARGE: u64 = 1 << 30;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const TWO: &str = "defaults: { interval: 30s, timeout: 5s }\n\
    networks: [{ name: main }]\n\
    peers:\n\
    - { name: one, endpoints: ['tcp://192.0.2.1:1'] }\n\
    - { name: two, endpoints: ['tcp://192.0.2.2:1'] }\n";

/// A fleet with its history.
struct Watched {
    fleet: Arc<Fleet>,
    history: Arc<History>,
}

impl Watched {
    async fn start(dir: Option<&Path>, config: &str) -> Self {
        let history = History::start(dir.map(Path::to_owned), LARGE).await;
        let fleet = Arc::new(Fleet::with_observer(Arc::clone(&history) as _));
        let watched = Self { fleet, history };
        watched.apply(config);
        watched
    }

    fn apply(&self, config: &str) {
        let config = config::parse(config, "test.yml", Path::new(""), &|_| None).unwrap();
        self.fleet.apply(&config);
        self.history.follow(&self.fleet.snapshot());
    }

    /// Has the peer at this position polled.
    fn poll(&self, peer: usize, began: SystemTime, (attempt, outcome): Ended) {
        let times = (began, began + Duration::from_millis(3));
        let endpoints = vec![Probed::new(Transport::Tcp, times, attempt, outcome)];
        let slot = &self.fleet.slots()[peer];
        self.fleet.record(slot, &Observation { endpoints });
    }

    /// Writes everything, as an agent does that ends.
    async fn write(&self) {
        let stop = CancellationToken::new();
        stop.cancel();
        let (history, fleet) = (Arc::clone(&self.history), Arc::clone(&self.fleet));
        history.run(fleet, stop).await;
    }

    /// What has happened, in words, with the peers.
    fn told(&self) -> Vec<String> {
        words(&self.history.events_since(0, usize::MAX))
    }
}

fn words(events: &[Arc<Event>]) -> Vec<String> {
    let word = |event: &Arc<Event>| match &event.peer {
        Some(peer) => format!("{peer}: {}", event.what),
        None => event.what.to_string(),
    };
    events.iter().map(word).collect()
}

/// An attempt, and how it ended.
type Ended = (Attempt, Result<Duration, Failure>);

fn good(key: u8, block: i64, hash: u8) -> Ended {
    let took = Duration::from_millis(2);
    let value = Status {
        genesis: Hash::new([1; 32]),
        peer_key: Hash::new([key; 32]),
        order: OrderPoints {
            block,
            proposal: block,
            consensus: block,
            finality: block,
        },
    };
    let figures = PollAnswer {
        state_block: Some(block - 1),
        state_hash: Some(Hash::new([hash; 32])),
        ..PollAnswer::default()
    };
    let attempt = Attempt {
        status: Some(Timed { value, took }),
        query: Some(Timed {
            value: Ok(figures),
            took,
        }),
        ..Attempt::default()
    };
    (attempt, Ok(took))
}

fn failed(reason: Reason) -> Ended {
    (Attempt::default(), Err(Failure::new(reason, "as scripted")))
}

/// The beginning of the hour that was so many hours ago.
fn hours_ago(hours: u32) -> SystemTime {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 3600;
    SystemTime::UNIX_EPOCH + HOUR * u32::try_from(now).unwrap() - HOUR * hours
}

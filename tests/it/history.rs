//! The history: recorded by the fleet, readable before and after it is written to disk.

mod agreement;
mod events;
mod evidence;
mod network_uptime;
mod recent;
mod series;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{PollAnswer, Transport};
use convex_peer_monitor::fleet::{EndpointObservation, Fleet, Observation};
use convex_peer_monitor::history::{Event, History};
use convex_peer_monitor::supervisor::liveness::{Liveness, Part};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::fleet::{config, equal_stakes};
use crate::support::polls::{self, PollResult};

const LARGE: u64 = 1 << 30;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const TWO: &str = "defaults: { interval: 30s, timeout: 5s }\n\
    networks: [{ name: main }]\n\
    peers:\n\
    - { name: one, endpoints: ['tcp://192.0.2.1:1'] }\n\
    - { name: two, endpoints: ['tcp://192.0.2.2:1'] }\n";

/// A fleet and its history.
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

    fn apply(&self, text: &str) {
        self.fleet.apply(&config(text));
        self.history.set_peers(&self.fleet.snapshot());
    }

    /// Records a poll of the peer at this position.
    fn poll(&self, peer: usize, began: SystemTime, (attempt, outcome): PollResult) {
        let times = (began, began + Duration::from_millis(3));
        let endpoints = vec![EndpointObservation::new(
            Transport::Tcp,
            times,
            attempt,
            outcome,
        )];
        let slot = &self.fleet.slots()[peer];
        self.fleet.record(
            slot,
            &Observation {
                asked: Instant::now(),
                endpoints,
            },
        );
        self.fleet.judge_all();
    }

    /// Registers peers with these keys and equal stakes.
    fn register(&self, keys: &[u8]) {
        let registry = equal_stakes(keys.iter().map(|key| Hash::new([*key; 32])));
        self.fleet
            .record_registry("main", Some((registry, "one".to_owned(), false)));
    }

    /// Writes everything, like an agent that stops.
    async fn write(&self) {
        let stop = CancellationToken::new();
        stop.cancel();
        let (history, fleet) = (Arc::clone(&self.history), Arc::clone(&self.fleet));
        let pulse = Liveness::default().pulse(Part::History, "history");
        history.run(fleet, pulse, stop).await;
    }

    /// Returns all events as text.
    fn events(&self) -> Vec<String> {
        as_text(&self.history.events_since(0, usize::MAX))
    }
}

fn as_text(events: &[Arc<Event>]) -> Vec<String> {
    let text = |event: &Arc<Event>| match &event.peer {
        Some(peer) => format!("{peer}: {}", event.kind),
        None => event.kind.to_string(),
    };
    events.iter().map(text).collect()
}

/// A poll at which all levels of the order are at `block`.
fn good(key: u8, block: i64, state_hash: u8) -> PollResult {
    let answer = PollAnswer {
        state_block: Some(block - 1),
        state_hash: Some(Hash::new([state_hash; 32])),
        ..PollAnswer::default()
    };
    polls::good(polls::status(key, polls::points([block; 4])), answer)
}

/// Returns the start of the hour this many hours ago. Call it once in a test: the next hour may
/// begin between two calls.
fn hours_ago(hours: u32) -> SystemTime {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 3600;
    SystemTime::UNIX_EPOCH + HOUR * u32::try_from(now).unwrap() - HOUR * hours
}

//! Sends the queries of each network once per interval, to one healthy peer of the majority instead
//! of to all peers.

use std::sync::Arc;
use std::time::Duration;

use convex_client::chain::{Registry, RegistryReader, to_number};
use convex_client::resolve_all;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, CustomQuery};
use crate::fleet::{Fleet, Slot};
use crate::reloadable_tasks::ReloadableTasks;

use super::discovery::{ScanResult, Scanner};
use super::query_schedule::QuerySchedule;

/// Most peers that are queried for one answer.
const MAX_ATTEMPTS: usize = 3;

/// Pause before discovery reads the registry again after a failure, because its interval is long.
const DISCOVERY_RETRY_PAUSE: Duration = Duration::from_secs(15);

/// Longest wait for one answer. Longer than a peer's own timeout, because the peer's task can be
/// busy with a poll.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The queries of all networks, with one task each.
#[derive(Debug)]
pub struct NetworkSurvey {
    fleet: Arc<Fleet>,
    scans: mpsc::Sender<ScanResult>,
    tasks: ReloadableTasks,
}

impl NetworkSurvey {
    /// Creates a survey without queries. Sends the results of discovery to `scans`, and ends with
    /// `stop`.
    #[must_use]
    pub fn new(
        fleet: Arc<Fleet>,
        scans: mpsc::Sender<ScanResult>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            fleet,
            scans,
            tasks: ReloadableTasks::new(stop),
        }
    }

    /// Replaces the queries by those of `config`. The fleet keeps the answers it has.
    pub fn apply(&mut self, config: &Config) {
        self.tasks.restart();
        for network in &config.networks {
            let every = |interval| {
                QuerySchedule::new(Arc::clone(&self.fleet), network.name.clone(), interval)
            };
            self.tasks
                .start(survey_registry(every(network.stake_interval)));
            if let (Some(discovery), Some(scanner)) =
                (&network.discovery, Scanner::new(config, network))
            {
                let schedule = every(discovery.interval);
                self.tasks
                    .start(discover(schedule, scanner, self.scans.clone()));
            }
            let queries = config.queries.iter();
            for query in queries.filter(|query| query.networks.contains(&network.name)) {
                self.tasks
                    .start(survey_value(every(query.interval), query.clone()));
            }
        }
    }

    /// Waits until all tasks have ended. `stop` must have been cancelled.
    pub async fn drained(self) {
        self.tasks.drained().await;
    }
}

/// Keeps the registry in the fleet up to date, and checks the advertised hosts.
async fn survey_registry(mut schedule: QuerySchedule) {
    loop {
        let peers = schedule.next().await;
        let registry = read_registry(&peers).await;
        let QuerySchedule { fleet, network, .. } = &schedule;
        fleet.record_registry(network, registry.clone());
        if let Some(registry) = registry {
            let hosts = fleet.advertised_hosts(network, &registry);
            let addresses = resolve_all(hosts).await;
            fleet.check_advertised_urls(network, &registry, &addresses);
        }
    }
}

/// Scans the registry once per interval. A registry that cannot be read gives no scan.
async fn discover(mut schedule: QuerySchedule, scanner: Scanner, scans: mpsc::Sender<ScanResult>) {
    loop {
        let peers = schedule.next().await;
        let Some(registry) = read_registry(&peers).await else {
            schedule.restart();
            sleep(DISCOVERY_RETRY_PAUSE.min(schedule.interval)).await;
            continue;
        };
        let scan = scanner.scan(&registry, &schedule.fleet.snapshot()).await;
        if scans.send(scan).await.is_err() {
            return;
        }
    }
}

/// Reads the registry page by page from one peer. If that fails, the next peer continues.
async fn read_registry(peers: &[Arc<Slot>]) -> Option<Registry> {
    let mut reader = RegistryReader::default();
    let mut peers = peers.iter().take(MAX_ATTEMPTS);
    let mut peer = peers.next()?;
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    while let Some(query) = reader.next_query() {
        let answer = tokio::time::timeout_at(deadline, peer.query(query))
            .await
            .ok()?;
        if let Err(error) = reader.handle_answer(answer) {
            tracing::debug!(peer.name = %peer.peer().name, %error, "cannot read the registry from this peer");
            peer = peers.next()?;
        }
    }
    reader.finish()
}

/// Keeps the value of an operator's query in the fleet up to date.
async fn survey_value(mut schedule: QuerySchedule, query: CustomQuery) {
    loop {
        let peers = schedule.next().await;
        let value = read_value(&peers, &query).await;
        let QuerySchedule { fleet, network, .. } = &schedule;
        fleet.record_query_value(network, &query.name, value);
    }
}

/// Reads the value from the first peer that answers with a number.
async fn read_value(peers: &[Arc<Slot>], query: &CustomQuery) -> Option<f64> {
    for peer in peers.iter().take(MAX_ATTEMPTS) {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, peer.query(query.query.clone()))
            .await
            .ok()?;
        let value = answer.map_err(|error| error.to_string());
        match value.and_then(|value| to_number(&value).map_err(|error| error.to_string())) {
            Ok(value) => return Some(value),
            Err(error) => {
                tracing::debug!(peer.name = %peer.peer().name, query = %query.name, %error, "cannot read the query's value from this peer");
            }
        }
    }
    None
}

//! Sends the queries of each network once per interval, to one healthy peer of the majority instead
//! of to all peers, and starts the walks of their beliefs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use convex_client::chain::{
    Registry, RegistryReader, executed_transactions_query, read_executed_transactions, to_number,
};
use convex_client::resolve_all;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::config::{self, Canary, Config, CustomQuery};
use crate::fleet::{Fleet, PeerRecord};
use crate::history::History;
use crate::poller::PeerCommands;
use crate::supervisor::{Supervisor, TaskSet};

use super::canary::CanarySurvey;
use super::consensus::{ConsensusSurvey, OthersWalked};
use super::discovery::{ScanResult, Scanner};
use super::query_schedule::QuerySchedule;

/// Most peers that are queried for one answer.
const MAX_ATTEMPTS: usize = 3;

/// Pause before discovery reads the registry again after a failure, because its interval is long.
const DISCOVERY_RETRY_PAUSE: Duration = Duration::from_secs(15);

/// Longest wait for one answer, and for a whole registry. Longer than a peer's own timeout, because
/// the peer's task can be busy with a poll.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the survey tasks use.
#[derive(Clone, Debug)]
pub struct Surveyor {
    /// Has the peers that can be queried, and takes the answers.
    pub fleet: Arc<Fleet>,
    /// Sends queries to the peers.
    pub commands: Arc<PeerCommands>,
    /// Takes what discovery finds.
    pub scans: mpsc::Sender<ScanResult>,
    /// When other people's peers were last walked.
    pub others_walked: Arc<OthersWalked>,
    /// Keeps evidence.
    pub history: Arc<History>,
}

/// The queries of all networks, with one task each.
#[derive(Debug)]
pub struct NetworkSurvey {
    surveyor: Surveyor,
    tasks: TaskSet<Survey>,
}

/// What one task asks, and how often.
#[derive(Clone, Debug, PartialEq)]
struct Survey {
    network: String,
    interval: Duration,
    kind: SurveyKind,
}

#[derive(Clone, Debug, PartialEq)]
enum SurveyKind {
    Registry,
    Consensus,
    Discovery(Box<Scanner>),
    Value(CustomQuery),
    /// With the state directory, in which it keeps what it signed.
    Canary(Box<Canary>, PathBuf),
}

impl NetworkSurvey {
    /// Creates a survey without queries.
    #[must_use]
    pub fn new(surveyor: Surveyor, supervisor: Supervisor) -> Self {
        Self {
            surveyor,
            tasks: TaskSet::new(supervisor),
        }
    }

    /// Replaces the queries by those of `config`. The fleet keeps the answers it has.
    pub fn apply(&mut self, config: &Config) {
        let surveyor = &self.surveyor;
        let networks = config.networks.iter();
        let wanted = networks.flat_map(|network| surveys(config, network));
        self.tasks.apply(wanted, |name, survey, supervisor| {
            let (surveyor, survey) = (surveyor.clone(), survey.clone());
            supervisor.start(name.to_owned(), move || {
                surveyor.clone().run(survey.clone())
            });
        });
    }
}

/// Returns the surveys of a network by the names of their tasks.
fn surveys(config: &Config, network: &config::Network) -> Vec<(String, Survey)> {
    let name = &network.name;
    let survey = |what: &str, interval, kind| {
        let survey = Survey {
            network: name.clone(),
            interval,
            kind,
        };
        (format!("{what} of {name}"), survey)
    };
    let registry = survey("registry", network.stake_interval, SurveyKind::Registry);
    let consensus = network
        .consensus_interval
        .map(|interval| survey("consensus", interval, SurveyKind::Consensus));
    let discovery = network.discovery.as_ref().and_then(|discovery| {
        let scanner = Box::new(Scanner::new(config, network)?);
        Some(survey(
            "discovery",
            discovery.interval,
            SurveyKind::Discovery(scanner),
        ))
    });
    let queries = config.queries.iter();
    let values = queries
        .filter(|query| query.networks.contains(name))
        .map(|query| {
            let what = format!("query {}", query.name);
            survey(&what, query.interval, SurveyKind::Value(query.clone()))
        });
    let canary = network.canary.as_ref().zip(config.state_dir.as_ref());
    let canary = canary.map(|(canary, state_dir)| {
        let kind = SurveyKind::Canary(Box::new(canary.clone()), state_dir.clone());
        survey("canary", canary.interval, kind)
    });
    std::iter::once(registry)
        .chain(canary)
        .chain(consensus)
        .chain(discovery)
        .chain(values)
        .collect()
}

impl Surveyor {
    /// Does what `survey` says until it is dropped.
    async fn run(self, survey: Survey) {
        let Survey {
            network,
            interval,
            kind,
        } = survey;
        let schedule = || QuerySchedule::new(Arc::clone(&self.fleet), network.clone(), interval);
        match kind {
            SurveyKind::Registry => self.survey_registry(schedule()).await,
            SurveyKind::Consensus => self.survey_consensus(network, interval).await,
            SurveyKind::Discovery(scanner) => self.discover(schedule(), *scanner).await,
            SurveyKind::Value(query) => self.survey_value(schedule(), query).await,
            SurveyKind::Canary(canary, state_dir) => {
                let (fleet, peers) = (Arc::clone(&self.fleet), Arc::clone(&self.commands));
                let canary = CanarySurvey::new(fleet, network, *canary, peers, state_dir);
                canary.run().await;
            }
        }
    }

    /// Keeps what beliefs say in the fleet up to date, and evidence of what they prove.
    async fn survey_consensus(&self, network: String, interval: Duration) {
        let (fleet, peers) = (Arc::clone(&self.fleet), Arc::clone(&self.commands));
        let others = Arc::clone(&self.others_walked);
        let survey = ConsensusSurvey::new(fleet, network, interval, peers, others);
        let evidence = survey.evidence(Arc::clone(&self.history));
        tokio::join!(survey.run(), evidence.run());
    }

    /// Keeps the registry in the fleet up to date, and checks the advertised hosts.
    async fn survey_registry(&self, mut schedule: QuerySchedule) {
        let mut last_reader = String::new();
        loop {
            let mut peers = schedule.next().await;
            prefer_another(&mut peers, &last_reader);
            let (fleet, network) = (&self.fleet, &schedule.network);
            let reader = RegistryReader::new(fleet.own_keys(network));
            let reading = self.read_registry(&peers, reader).await;
            let source = reading.clone();
            fleet.record_registry(
                network,
                source.map(|(registry, reader)| (registry, reader, peers.len() == 1)),
            );
            if !fleet.orders_tell_throughput(network) {
                self.survey_throughput(&peers, &schedule).await;
            }
            if let Some((registry, reader)) = reading {
                last_reader = reader;
                let hosts = fleet.advertised_hosts(network, &registry);
                let addresses = resolve_all(hosts).await;
                fleet.check_advertised_urls(network, &registry, &addresses);
            }
        }
    }

    /// Asks one peer how many transactions were executed.
    async fn survey_throughput(&self, peers: &[Arc<PeerRecord>], schedule: &QuerySchedule) {
        let Some(name) = names(peers).next() else {
            return;
        };
        let query = executed_transactions_query(self.fleet.canary_account(&schedule.network));
        let answer = self.commands.query(name, query);
        let Ok(answer) = tokio::time::timeout(ANSWER_TIMEOUT, answer).await else {
            return;
        };
        let answer = answer.map_err(|error| error.to_string());
        match answer.and_then(|value| read_executed_transactions(&value)) {
            Ok(executed) => {
                let (network, interval) = (&schedule.network, schedule.interval);
                self.fleet
                    .record_executed(network, executed, Instant::now(), interval);
            }
            Err(error) => {
                tracing::debug!(peer.name = %name, %error, "cannot read the number of transactions from this peer");
            }
        }
    }

    /// Scans the registry once per interval. A registry that cannot be read gives no scan.
    async fn discover(&self, mut schedule: QuerySchedule, scanner: Scanner) {
        loop {
            let peers = schedule.next().await;
            let reader = RegistryReader::default();
            let Some((registry, _)) = self.read_registry(&peers, reader).await else {
                schedule.restart();
                sleep(DISCOVERY_RETRY_PAUSE.min(schedule.interval)).await;
                continue;
            };
            let scan = scanner.scan(&registry, &self.fleet.snapshot()).await;
            if self.scans.send(scan).await.is_err() {
                return;
            }
        }
    }

    /// Reads the registry page by page from one peer. If that fails, the next peer continues. Also
    /// returns the name of the last peer that was read.
    async fn read_registry(
        &self,
        peers: &[Arc<PeerRecord>],
        mut reader: RegistryReader,
    ) -> Option<(Registry, String)> {
        let mut names = names(peers);
        let mut name = names.next()?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        while let Some(query) = reader.next_query() {
            let answer = self.commands.query(name, query);
            let answer = tokio::time::timeout_at(deadline, answer).await.ok()?;
            if let Err(error) = reader.handle_answer(answer) {
                tracing::debug!(peer.name = %name, %error, "cannot read the registry from this peer");
                name = names.next()?;
            }
        }
        Some((reader.finish()?, name.to_owned()))
    }

    /// Keeps the value of an operator's query in the fleet up to date.
    async fn survey_value(&self, mut schedule: QuerySchedule, query: CustomQuery) {
        loop {
            let peers = schedule.next().await;
            let value = self.read_value(&peers, &query).await;
            self.fleet
                .record_query_value(&schedule.network, &query.name, value);
        }
    }

    /// Reads the value from the first peer that answers with a number.
    async fn read_value(&self, peers: &[Arc<PeerRecord>], query: &CustomQuery) -> Option<f64> {
        for name in names(peers) {
            let answer = self.commands.query(name, query.query.clone());
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await.ok()?;
            let value = answer.map_err(|error| error.to_string());
            match value.and_then(|value| to_number(&value).map_err(|error| error.to_string())) {
                Ok(value) => return Some(value),
                Err(error) => {
                    tracing::debug!(peer.name = %name, query = %query.name, %error, "cannot read the query's value from this peer");
                }
            }
        }
        None
    }
}

/// Puts the first peer with another name first: what the registry lacks has to be seen at two
/// peers, and which of them has the newest state changes all the time.
pub fn prefer_another(peers: &mut [Arc<PeerRecord>], name: &str) {
    if let Some(other) = peers.iter().position(|peer| peer.peer.name != name) {
        peers[..=other].rotate_right(1);
    }
}

/// Returns the names of the peers that are queried for one answer.
fn names(peers: &[Arc<PeerRecord>]) -> impl Iterator<Item = &str> {
    let peers = peers.iter().take(MAX_ATTEMPTS);
    peers.map(|record| record.peer.name.as_str())
}

#[cfg(test)]
mod tests {
    use convex_client::Endpoint;

    use super::*;

    #[test]
    fn two_readings_in_a_row_are_of_two_peers_whatever_their_order() {
        for (order, last, expected) in [
            ("1 2 3", "", "1 2 3"),
            ("1 2 3", "1", "2 1 3"),
            ("2 1 3", "1", "2 1 3"),
            ("1", "1", "1"),
        ] {
            let record = |name: &str| {
                let endpoint = Endpoint::parse("tcp://127.0.0.1:1").expect("an endpoint");
                let mut peer = config::Peer::from_endpoint(endpoint);
                name.clone_into(&mut peer.name);
                Arc::new(PeerRecord::new(Arc::new(peer)))
            };
            let mut peers: Vec<_> = order.split(' ').map(record).collect();
            prefer_another(&mut peers, last);
            let found: Vec<&str> = names(&peers).collect();
            assert_eq!(found.join(" "), expected, "{order}, last {last}");
        }
    }
}

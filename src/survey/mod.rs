//! What is asked of the chain once per interval, of one healthy peer of the majority rather than of each: the registry of
//! peers, and the operator's own queries.

pub mod discovery;

use std::sync::Arc;
use std::time::Duration;

use convex_client::chain::custom;
use convex_client::chain::stake::{Reading, Registry};
use convex_client::resolve_all;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, CustomQuery};
use crate::fleet::{Fleet, Slot};
use crate::reloadable_tasks::ReloadableTasks;
use crate::survey::discovery::{ScanResult, Scanner};

/// Peers that are tried for one answer.
const TRIES: usize = 3;

/// How often it is looked whether there is a peer to ask, before the first answer.
const UNTIL_FIRST: Duration = Duration::from_secs(1);

/// Discovery, whose intervals are long, does not wait for its next one when the registry was not told.
const UNTIL_AGAIN: Duration = Duration::from_secs(15);

/// Longest wait for one answer; a peer's own timeout is shorter, but its task may be at a poll.
const PATIENCE: Duration = Duration::from_secs(30);

/// The questions of all networks, a task each.
#[derive(Debug)]
pub struct NetworkSurvey {
    fleet: Arc<Fleet>,
    /// Takes what discovery finds.
    rounds: mpsc::Sender<ScanResult>,
    tasks: ReloadableTasks,
}

impl NetworkSurvey {
    /// Asks nothing yet; ends with `stop`. What is discovered goes to `rounds`.
    #[must_use]
    pub fn new(
        fleet: Arc<Fleet>,
        rounds: mpsc::Sender<ScanResult>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            fleet,
            rounds,
            tasks: ReloadableTasks::new(stop),
        }
    }

    /// Makes the questions those of `config`. What was learned stays.
    pub fn apply(&mut self, config: &Config) {
        self.tasks.renew();
        for network in &config.networks {
            let turns = |every| Turns {
                fleet: Arc::clone(&self.fleet),
                network: network.name.clone(),
                every,
                ticks: None,
            };
            self.tasks
                .start(ask_registry(turns(network.stake_interval)));
            if let (Some(discovery), Some(scout)) =
                (&network.discovery, Scanner::new(config, network))
            {
                self.tasks.start(discover(
                    turns(discovery.interval),
                    scout,
                    self.rounds.clone(),
                ));
            }
            for query in config
                .queries
                .iter()
                .filter(|query| query.networks.contains(&network.name))
            {
                self.tasks
                    .start(ask_value(turns(query.interval), query.clone()));
            }
        }
    }

    /// Waits until all tasks have ended; `stop` must be cancelled.
    pub async fn drained(self) {
        self.tasks.drained().await;
    }
}

/// When to ask in one network, and whom.
struct Turns {
    fleet: Arc<Fleet>,
    network: String,
    every: Duration,
    ticks: Option<Interval>,
}

impl Turns {
    /// Waits for the next turn: the first as soon as there are peers to ask, then one each interval.
    async fn next(&mut self) -> Vec<Arc<Slot>> {
        if let Some(ticks) = &mut self.ticks {
            ticks.tick().await;
            return self.fleet.of_majority(&self.network);
        }
        loop {
            let peers = self.fleet.of_majority(&self.network);
            if !peers.is_empty() {
                let mut ticks = interval_at(Instant::now() + self.every, self.every);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                self.ticks = Some(ticks);
                return peers;
            }
            sleep(UNTIL_FIRST).await;
        }
    }
}

async fn ask_registry(mut turns: Turns) {
    loop {
        let peers = turns.next().await;
        let registry = read_registry(&peers).await;
        turns.fleet.learn_registry(&turns.network, registry.clone());
        if let Some(registry) = registry {
            let hosts = turns.fleet.advertised_hosts(&turns.network, &registry);
            let addresses = resolve_all(hosts).await;
            turns
                .fleet
                .judge_advertised(&turns.network, &registry, &addresses);
        }
    }
}

/// Has the scout look where the registered peers are, once each interval. A registry that nobody tells is no round.
async fn discover(mut turns: Turns, scout: Scanner, rounds: mpsc::Sender<ScanResult>) {
    loop {
        let peers = turns.next().await;
        let Some(registry) = read_registry(&peers).await else {
            turns.ticks = None;
            sleep(UNTIL_AGAIN.min(turns.every)).await;
            continue;
        };
        let round = scout.look(&registry, &turns.fleet.snapshot()).await;
        if rounds.send(round).await.is_err() {
            return;
        }
    }
}

/// Reads the registry of one peer, page by page; a peer that fails is replaced by the next, which goes on.
async fn read_registry(peers: &[Arc<Slot>]) -> Option<Registry> {
    let mut reading = Reading::default();
    let mut peers = peers.iter().take(TRIES);
    let mut peer = peers.next()?;
    let deadline = Instant::now() + PATIENCE;
    while let Some(question) = reading.next_question() {
        let answer = tokio::time::timeout_at(deadline, peer.ask(question))
            .await
            .ok()?;
        if let Err(error) = reading.take(answer) {
            tracing::debug!(peer.name = %peer.peer().name, %error, "the registry was not told");
            peer = peers.next()?;
        }
    }
    reading.finish()
}

async fn ask_value(mut turns: Turns, query: CustomQuery) {
    loop {
        let peers = turns.next().await;
        let value = read_value(&peers, &query).await;
        turns.fleet.learn_value(&turns.network, &query.name, value);
    }
}

async fn read_value(peers: &[Arc<Slot>], query: &CustomQuery) -> Option<f64> {
    for peer in peers.iter().take(TRIES) {
        let answer = tokio::time::timeout(PATIENCE, peer.ask(query.question.clone()))
            .await
            .ok()?;
        let value = answer.map_err(|error| error.to_string());
        match value.and_then(|value| custom::gauge(&value).map_err(|error| error.to_string())) {
            Ok(value) => return Some(value),
            Err(error) => {
                tracing::debug!(peer.name = %peer.peer().name, query = %query.name, %error, "no value");
            }
        }
    }
    None
}

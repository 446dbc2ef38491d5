//! A simulated network in paused time, and the agent's schedule, samples and verdicts on it.

use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cad3::{Cell, Hash};
use convex_client::belief::{BeliefHead, CellSource};
use convex_client::chain::{Registry, RegistryReader};
use convex_client::transaction::{
    AccountState, SignedTransaction, SubmitError, TransactionResult, account_query, read_account,
};
use convex_client::{Failure as ClientFailure, Query, QueryError, Transport};
use convex_peer_monitor::config::{Canary, Config, Peer, Role};
use convex_peer_monitor::failure::Failure;
use convex_peer_monitor::fleet::{EndpointObservation, Fleet, Observation, Slot};
use convex_peer_monitor::poller::{Sampler, schedule};
use convex_peer_monitor::supervisor::liveness::{Liveness, Part};
use convex_peer_monitor::survey::{
    AskedPeers, CanaryPeers, CanarySurvey, ConsensusSurvey, OthersWalked, prefer_another,
};
use convex_simulator::{Options, SimulatedCells, Simulation};
use futures_util::FutureExt;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::fleet::config;

/// The network.
const NETWORK: &str = "n";

/// How long a poll may take, and a sample.
const TIMEOUT: Duration = Duration::from_secs(5);
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a request for cells or a query takes.
const ROUND_TRIP: Duration = Duration::from_millis(1);

/// How often beliefs are read.
const CONSENSUS_INTERVAL: Duration = Duration::from_secs(60);

/// How often the registry is read, and how often to look for the first peer that can be asked.
const STAKE_INTERVAL: Duration = Duration::from_secs(60);
const STARTUP_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A simulated network that an agent watches at default intervals. Time passes as the test waits.
pub(super) struct Watched {
    world: Arc<World>,
    /// The peers that are watched.
    config: Config,
    tasks: JoinSet<()>,
    canary: Option<AbortHandle>,
}

struct World {
    simulation: Mutex<Simulation>,
    fleet: Arc<Fleet>,
    start: Instant,
    /// The wall clock at the start. Peers have other phases in it, depending on their names.
    wall: SystemTime,
    /// Begins the names of peers.
    prefix: String,
    scope: Scope,
    /// Which peers were walked, and when.
    walks: Mutex<Vec<(usize, Duration)>>,
}

/// What is watched of a simulation.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// Number of peers from the first on.
    pub(super) peers: usize,
    /// How many of them, from the last one back, are strangers' peers that discovery found.
    pub(super) strangers: usize,
    /// Peers that are configured once more, under another name and address.
    pub(super) twice: Vec<usize>,
    /// How often they are polled, if not at the default interval.
    pub(super) interval: Option<&'static str>,
}

impl Watched {
    /// Starts to watch a network. `prefix` begins the names of its peers, which determine when they
    /// are polled. `is_sampled`: whether they are also sampled between polls.
    pub(super) fn start(options: Options, scope: &Scope, is_sampled: bool, prefix: &str) -> Self {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let mut simulation = Simulation::new(options, wall).unwrap();
        let config = configured(&mut simulation, scope, prefix);
        let fleet = Arc::new(Fleet::default());
        fleet.apply(&config);
        let world = Arc::new(World {
            simulation: Mutex::new(simulation),
            fleet,
            start: Instant::now(),
            wall,
            prefix: prefix.to_owned(),
            scope: scope.clone(),
            walks: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for slot in world.fleet.slots() {
            tasks.spawn(Arc::clone(&world).keep_polling(slot));
        }
        tasks.spawn(Arc::clone(&world).keep_reading_the_registry());
        let pulse = |what| Liveness::default().pulse(Part::Verdicts, what);
        let fleet = &world.fleet;
        tasks.spawn(Arc::clone(fleet).keep_judging(NETWORK.to_owned(), pulse("verdict")));
        if is_sampled {
            let sampler = Sampler::new(Arc::clone(fleet), NETWORK.to_owned());
            let asked = Arc::clone(&world);
            let ask = move |peer: String| Arc::clone(&asked).sample(peer);
            tasks.spawn(sampler.run(ask, pulse("samples")));
        }
        let survey = ConsensusSurvey::new(
            Arc::clone(fleet),
            NETWORK.to_owned(),
            CONSENSUS_INTERVAL,
            Arc::new(Asked(Arc::clone(&world))),
            Arc::new(OthersWalked::default()),
        );
        tasks.spawn(survey.run());
        Self {
            world,
            config,
            tasks,
            canary: None,
        }
    }

    /// Makes the peers after the first `own` ones those of others.
    pub(super) fn make_references(&mut self, own: usize) {
        for peer in &mut self.config.peers[own..] {
            Arc::make_mut(peer).role = Role::Reference;
        }
        self.world.fleet.apply(&self.config);
    }

    /// Starts the canary of the network.
    pub(super) fn start_canary(&mut self, canary: &Canary, state_dir: &Path) {
        self.config.networks[0].canary = Some(canary.clone());
        self.world.fleet.apply(&self.config);
        self.canary = Some(self.spawn_canary(state_dir));
    }

    /// Ends the canary wherever it is, and starts it again.
    pub(super) fn restart_canary(&mut self, state_dir: &Path) {
        self.canary.take().unwrap().abort();
        self.canary = Some(self.spawn_canary(state_dir));
    }

    /// Starts another canary with the same account.
    pub(super) fn add_canary(&mut self, state_dir: &Path) {
        self.spawn_canary(state_dir);
    }

    fn spawn_canary(&mut self, state_dir: &Path) -> AbortHandle {
        let canary = self.config.networks[0].canary.clone().unwrap();
        let (fleet, asked) = (
            Arc::clone(&self.world.fleet),
            Asked(Arc::clone(&self.world)),
        );
        let network = NETWORK.to_owned();
        let survey = CanarySurvey::new(
            fleet,
            network,
            canary,
            Arc::new(asked),
            state_dir.to_owned(),
        );
        self.tasks.spawn(survey.run())
    }

    /// Returns an account as the first peer has it.
    pub(super) fn account(&self, account: u64) -> AccountState {
        let query = account_query(account);
        let value = self.ask(|simulation, at| simulation.query(1, at, TIMEOUT, &query));
        read_account(&value.unwrap()).unwrap().unwrap()
    }

    /// Asks the simulated network something now.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&mut Simulation, Duration) -> T) -> T {
        self.world.ask(ask)
    }

    pub(super) fn fleet(&self) -> &Fleet {
        &self.world.fleet
    }

    /// Returns the time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.world.start.elapsed()
    }

    /// Returns the number of the last block that a peer has executed.
    pub(super) fn block(&self, peer: usize) -> i64 {
        let pair = self
            .world
            .ask(|simulation, at| simulation.state_pair(peer, at));
        pair.block
    }

    /// Returns which peers were walked so far, and when.
    pub(super) fn walks(&self) -> Vec<(usize, Duration)> {
        self.world.walks.lock().unwrap().clone()
    }

    /// Forgets the peers that discovery found.
    pub(super) fn drop_strangers(&mut self) {
        self.config.peers.retain(|peer| !peer.discovered);
        self.world.fleet.apply(&self.config);
    }

    /// Stops watching. A task that has failed fails the test.
    pub(super) async fn stop(mut self) {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next().await {
            let failure = ended.err().filter(tokio::task::JoinError::is_panic);
            assert!(failure.is_none(), "{failure:?}");
        }
    }
}

/// Returns the configuration of the first peers of a network.
fn configured(simulation: &mut Simulation, scope: &Scope, prefix: &str) -> Config {
    let genesis = simulation.genesis();
    let mut text = format!("networks: [{{ name: {NETWORK}, genesis: '{genesis}' }}]\n");
    if let Some(interval) = scope.interval {
        writeln!(text, "defaults: {{ interval: {interval} }}").unwrap();
    }
    text.push_str("peers:\n");
    for i in 1..=scope.peers + scope.twice.len() {
        let key = shown_key(simulation, scope.number(i));
        let (a, b) = (i / 250, i % 250);
        writeln!(
            text,
            "  - {{ name: {prefix}{i}, network: {NETWORK}, key: '{key}', endpoints: ['tcp://10.0.{a}.{b}:1'] }}"
        )
        .unwrap();
    }
    let mut config = config(&text);
    let configured = scope.peers - scope.strangers;
    for peer in &mut config.peers[configured..scope.peers] {
        let peer = Arc::make_mut(peer);
        *peer = Peer {
            role: Role::Reference,
            discovered: true,
            ..peer.clone()
        };
    }
    config
}

/// Returns the key that a peer shows at the start.
fn shown_key(simulation: &mut Simulation, peer: usize) -> Hash {
    let (attempt, _) = simulation.poll(peer, Duration::ZERO, TIMEOUT);
    let status = attempt.status.map(|status| status.value);
    status.map_or_else(|| simulation.key(peer), |status| status.peer_key)
}

impl Scope {
    /// The first peers of a network, all of them configured.
    pub(super) const fn first(peers: usize) -> Self {
        Self {
            peers,
            strangers: 0,
            twice: Vec::new(),
            interval: None,
        }
    }

    /// Returns the number of the peer that is configured at this position.
    fn number(&self, position: usize) -> usize {
        let again = position.checked_sub(self.peers + 1);
        again.map_or(position, |again| self.twice[again])
    }
}

impl World {
    /// Asks the simulated network something now.
    fn ask<T>(&self, ask: impl FnOnce(&mut Simulation, Duration) -> T) -> T {
        ask(&mut self.simulation.lock().unwrap(), self.start.elapsed())
    }

    /// Returns the number of the peer of this name.
    fn number_of(&self, name: &str) -> usize {
        let position = name.strip_prefix(&self.prefix).unwrap().parse().unwrap();
        self.scope.number(position)
    }

    /// Polls a peer when the schedule says so.
    async fn keep_polling(self: Arc<Self>, slot: Arc<Slot>) {
        let (peer, started) = (slot.peer(), Instant::now());
        let (number, interval) = (self.number_of(&peer.name), peer.polling.interval);
        let phase = schedule::phase(&peer.name, interval);
        let until_slot = schedule::until_next_slot(self.wall, phase, interval);
        let mut head_start = schedule::head_start(until_slot, interval);
        let mut due = started + until_slot - head_start;
        loop {
            sleep_until(due).await;
            let asked = Instant::now();
            let began = self.wall + self.start.elapsed();
            let (attempt, outcome) =
                self.ask(|simulation, at| simulation.poll(number, at, TIMEOUT));
            sleep(outcome.as_ref().map_or(TIMEOUT, |took| *took)).await;
            let ended = self.wall + self.start.elapsed();
            let endpoint = EndpointObservation::new(
                Transport::Tcp,
                (began, ended),
                attempt,
                outcome.map_err(Failure::from),
            );
            let endpoints = vec![endpoint];
            self.fleet.record(&slot, &Observation { asked, endpoints });
            due += interval + std::mem::take(&mut head_start);
        }
    }

    /// Asks a peer for its state, as a sample.
    async fn sample(self: Arc<Self>, name: String) -> Option<i64> {
        let number = self.number_of(&name);
        let (attempt, outcome) =
            self.ask(|simulation, at| simulation.sample_state(number, at, SAMPLE_TIMEOUT));
        sleep(outcome.unwrap_or(SAMPLE_TIMEOUT)).await;
        let pair = attempt.query?.value.ok()?;
        let slots = self.fleet.slots();
        let slot = slots.iter().find(|slot| slot.peer().name == name)?;
        self.fleet
            .record_sample(slot, (pair.block, pair.hash.into()));
        Some(pair.block)
    }

    /// Reads the registry as soon as a peer can be asked, then once per interval, from two peers in
    /// turn.
    async fn keep_reading_the_registry(self: Arc<Self>) {
        let mut last_reader = None;
        loop {
            let mut peers = self.fleet.majority_peers(NETWORK);
            if peers.is_empty() && last_reader.is_none() {
                sleep(STARTUP_RETRY_INTERVAL).await;
                continue;
            }
            prefer_another(&mut peers, last_reader.as_deref().unwrap_or_default());
            let registry = peers.first().and_then(|peer| {
                let name = &peer.peer.name;
                let registry = self.read_registry(self.number_of(name))?;
                last_reader = Some(name.clone());
                Some((registry, name.clone(), peers.len() == 1))
            });
            self.fleet.record_registry(NETWORK, registry);
            sleep(STAKE_INTERVAL).await;
        }
    }

    fn read_registry(&self, peer: usize) -> Option<Registry> {
        let mut reader = RegistryReader::new(self.fleet.own_keys(NETWORK));
        while let Some(query) = reader.next_query() {
            let answer = self.ask(|simulation, at| simulation.query(peer, at, TIMEOUT, &query));
            reader.handle_answer(answer).ok()?;
        }
        reader.finish()
    }
}

/// The simulated network, asked for beliefs.
struct Asked(Arc<World>);

impl AskedPeers for Asked {
    fn cells_of(&self, name: &str) -> impl CellSource {
        Cells {
            world: Arc::clone(&self.0),
            peer: self.0.number_of(name),
        }
    }

    fn wall_clock(&self) -> SystemTime {
        self.0.wall + self.0.start.elapsed()
    }

    async fn query(&self, name: &str, query: Query) -> Result<Cell, QueryError> {
        sleep(ROUND_TRIP).await;
        let peer = self.0.number_of(name);
        self.0
            .ask(|simulation, at| simulation.query(peer, at, TIMEOUT, &query))
    }
}

impl CanaryPeers for Asked {
    async fn query(&self, name: &str, query: Query) -> Result<Cell, QueryError> {
        AskedPeers::query(self, name, query).await
    }

    async fn submit(
        &self,
        peer: &Peer,
        transaction: &SignedTransaction,
        deadline: Instant,
    ) -> Result<TransactionResult, SubmitError> {
        let number = self.0.number_of(&peer.name);
        let timeout = deadline.saturating_duration_since(Instant::now());
        let outcome = self
            .0
            .ask(|simulation, at| simulation.submit(number, at, timeout, transaction));
        let took = match &outcome {
            Ok(TransactionResult { took, .. }) | Err(SubmitError::Refused { took, .. }) => *took,
            Err(SubmitError::NotSent(_)) => ROUND_TRIP,
            Err(SubmitError::NoAnswer(_)) => timeout,
        };
        sleep(took).await;
        outcome
    }

    fn wall_clock(&self) -> SystemTime {
        AskedPeers::wall_clock(self)
    }
}

/// The cells of one simulated peer.
struct Cells {
    world: Arc<World>,
    peer: usize,
}

impl Cells {
    async fn request<T>(
        &self,
        request: impl AsyncFnOnce(&mut SimulatedCells<'_>) -> Result<T, ClientFailure>,
    ) -> Result<T, ClientFailure> {
        sleep(ROUND_TRIP).await;
        self.world.ask(|simulation, at| {
            let mut cells = simulation.cells(self.peer, at, TIMEOUT);
            let answer = request(&mut cells).now_or_never();
            answer.expect("a simulation answers at once")
        })
    }
}

impl CellSource for Cells {
    async fn head(&mut self) -> Result<BeliefHead, ClientFailure> {
        let walk = (self.peer, self.world.start.elapsed());
        self.world.walks.lock().unwrap().push(walk);
        self.request(async |cells| cells.head().await).await
    }

    async fn cells(&mut self, hashes: &[Hash]) -> Result<Vec<Option<Cell>>, ClientFailure> {
        self.request(async |cells| cells.cells(hashes).await).await
    }
}

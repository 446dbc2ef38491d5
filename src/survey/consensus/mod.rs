//! Reads the beliefs of a network's peers in rounds, compares the orders in them, and reads the
//! last blocks (PEER-PROTOCOL, section 15). Judges nothing: a round goes to the fleet.

mod blocks;
mod comparing;
mod evidence;
mod rounds;
mod targets;
mod walk;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Cell;
use convex_client::belief::{BeliefCache, CellSource};
use convex_client::{Query, QueryError};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::fleet::{Fleet, LastPoll, Round, Walk};
use crate::history::History;
use crate::poller::PeerCommands;
use crate::supervisor::run_blocking;

use evidence::EvidenceCollector;
use rounds::Rounds;
pub use targets::OthersWalked;
use targets::Target;
use walk::Walker;

/// Number of peers that are walked at the same time.
const CONCURRENT_WALKS: usize = 4;

/// How often to look whether the first round can begin.
const STARTUP_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How a survey asks peers, by their names.
pub trait AskedPeers: Send + Sync {
    /// Returns the cells of a peer.
    fn cells_of(&self, name: &str) -> impl CellSource;

    /// Sends a query to a peer.
    ///
    /// # Errors
    /// The peer reports an error or does not answer.
    fn query(
        &self,
        name: &str,
        query: Query,
    ) -> impl Future<Output = Result<Cell, QueryError>> + Send;

    /// Returns the time of the agent's clock, with which the times of orders and blocks are
    /// compared.
    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl AskedPeers for PeerCommands {
    fn cells_of(&self, name: &str) -> impl CellSource {
        Self::cells_of(self, name)
    }

    fn query(
        &self,
        name: &str,
        query: Query,
    ) -> impl Future<Output = Result<Cell, QueryError>> + Send {
        Self::query(self, name, query)
    }
}

/// Reads what the orders and beliefs of one network say, once per interval.
#[derive(Debug)]
pub struct ConsensusSurvey<P> {
    fleet: Arc<Fleet>,
    network: String,
    interval: Duration,
    peers: Arc<P>,
    others: Arc<OthersWalked>,
    cache: Arc<BeliefCache>,
    rounds: Arc<Rounds>,
}

impl<P: AskedPeers> ConsensusSurvey<P> {
    /// Creates the survey of `network`, which asks `peers`. `others` is shared by all networks.
    #[must_use]
    pub fn new(
        fleet: Arc<Fleet>,
        network: String,
        interval: Duration,
        peers: Arc<P>,
        others: Arc<OthersWalked>,
    ) -> Self {
        Self {
            fleet,
            network,
            interval,
            peers,
            others,
            cache: Arc::default(),
            rounds: Arc::default(),
        }
    }

    /// Returns what keeps evidence of the rounds of this survey in `history`.
    pub(super) fn evidence(&self, history: Arc<History>) -> EvidenceCollector {
        let (fleet, rounds) = (Arc::clone(&self.fleet), Arc::clone(&self.rounds));
        EvidenceCollector::new(fleet, history, self.network.clone(), rounds)
    }

    /// Walks the network forever: first when its registry was read, then once per interval, and
    /// besides when a round is requested.
    pub async fn run(self) {
        self.until_ready().await;
        let mut ticks = interval_at(Instant::now(), self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = tokio::select! {
                due = ticks.tick() => due,
                () = self.rounds.requested() => Instant::now(),
            };
            self.round(due).await;
        }
    }

    /// Waits until the registry was read and each own peer was polled, but no longer than an
    /// interval.
    async fn until_ready(&self) {
        let latest = Instant::now() + self.interval;
        let is_ready = || {
            let snapshot = self.fleet.snapshot();
            let mut networks = snapshot.networks.iter();
            let network = networks.find(|network| network.name == self.network);
            let mut of_network = snapshot.peers.iter();
            network.is_some_and(|network| network.verdict.registry_read.is_some())
                && !of_network.any(|record| {
                    record.peer.network == self.network && record.last_poll == LastPoll::None
                })
        };
        while Instant::now() < latest && !is_ready() {
            sleep(STARTUP_RETRY_INTERVAL).await;
        }
    }

    /// Walks the peers whose turn it is at `due`, and gives what it found to the fleet.
    async fn round(&self, due: Instant) {
        self.cache.forget_unused();
        let (fleet, network) = (&self.fleet, &self.network);
        let snapshot = fleet.snapshot();
        let targets = self.others.targets(&snapshot, network, self.interval, due);
        if targets.is_empty() {
            return;
        }
        let walks = self.walk(targets).await;
        let (walks, grouping) = self
            .sort_orders(move |fleet, network| {
                let grouping = fleet.history_grouping(network, &walks);
                (walks, grouping)
            })
            .await;
        let comparisons = comparing::compare_all(&*self.peers, &walks, grouping).await;
        let (walks, comparisons, wanted) = self
            .sort_orders(move |fleet, network| {
                let wanted = fleet.blocks_to_read(network, &walks, &comparisons);
                (walks, comparisons, wanted)
            })
            .await;
        let blocks = match wanted {
            Some(wanted) => blocks::read(&*self.peers, wanted).await,
            None => None,
        };
        let round = Arc::new(Round {
            at: Instant::now(),
            wall: self.peers.wall_clock(),
            walks,
            comparisons,
            blocks,
        });
        self.rounds.publish(Arc::clone(&round));
        fleet.record_round(network, round);
    }

    /// Runs what sorts the orders of all walks, apart from the threads that poll: with thousands of
    /// peers it takes tenths of a second.
    async fn sort_orders<Sorted: Send + 'static>(
        &self,
        sort: impl FnOnce(&Fleet, &str) -> Sorted + Send + 'static,
    ) -> Sorted {
        let (fleet, network) = (Arc::clone(&self.fleet), self.network.clone());
        run_blocking(move || sort(&fleet, &network)).await
    }

    /// Walks these peers, a few at the same time.
    async fn walk(&self, targets: Vec<Target>) -> Vec<Walk> {
        let heaviest = self.fleet.heaviest_keys(&self.network);
        let walker = Walker {
            fleet: &self.fleet,
            network: &self.network,
            peers: &*self.peers,
            heaviest: &heaviest,
            cache: &self.cache,
        };
        let walks = targets.into_iter().enumerate().map(|(position, target)| {
            let walk = walker.walk(target);
            async move { (position, walk.await) }
        });
        // Unordered, so that a slow peer holds up no other one.
        let walks = stream::iter(walks).buffer_unordered(CONCURRENT_WALKS);
        let mut walks: Vec<_> = walks.collect().await;
        walks.sort_by_key(|(position, _)| *position);
        walks.into_iter().map(|(_, walk)| walk).collect()
    }
}

//! The canary of a network: sends transactions that do nothing through its own peers, in turn, and
//! measures what becomes of them. A record of the results goes to the fleet.

mod account;
mod facts;
mod gate;
mod ledger;
mod ledger_file;
mod peers;
mod safe_ledger;
mod turn;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::transaction::AccountControl;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::config::{Canary, Role};
use crate::fleet::{
    CanaryProblem, CanaryRecord, CanaryResult, CanarySkip, Fleet, NetworkSnapshot, OrderState,
    PeerRecord, Snapshot,
};
use crate::history::unix_millis;

use ledger::{FailedRounds, Ledger};
pub use peers::CanaryPeers;
use safe_ledger::SafeLedger;

/// How often to look whether enough is known to begin.
const STARTUP_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait for that. Rounds are skipped while it is not known.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// The canary of one network.
#[derive(Debug)]
pub struct CanarySurvey<P> {
    fleet: Arc<Fleet>,
    network: String,
    canary: Canary,
    peers: Arc<P>,
    ledger: SafeLedger,
    /// Whether the record has the failed rounds of the ledger.
    is_restored: bool,
    /// What the account controls, and when that was read.
    control: Option<(Instant, AccountControl)>,
    /// How often in a row a peer was overloaded, and until when nothing is sent because of that.
    overloads: u32,
    overloaded_until: Option<SystemTime>,
}

/// What came of one turn.
#[derive(Clone, Debug)]
pub struct CanaryTurn {
    /// Name of the peer.
    pub peer: String,
    /// The result; none if no transaction was sent.
    pub result: Option<CanaryResult>,
    /// Why none was sent.
    pub skip: Option<CanarySkip>,
    /// Problem of the account, if that is why.
    pub refusal: Option<CanaryProblem>,
}

impl<P: CanaryPeers> CanarySurvey<P> {
    /// Creates the canary of `network`. What it signs and spends is kept in `state_dir`.
    #[must_use]
    pub fn new(
        fleet: Arc<Fleet>,
        network: String,
        canary: Canary,
        peers: Arc<P>,
        state_dir: PathBuf,
    ) -> Self {
        Self {
            ledger: SafeLedger::new(state_dir, network.clone()),
            fleet,
            network,
            canary,
            peers,
            is_restored: false,
            control: None,
            overloads: 0,
            overloaded_until: None,
        }
    }

    /// Makes a round once per interval, forever: first as soon as the network is known.
    pub async fn run(mut self) {
        self.until_known().await;
        // Before the first round, because a restart must not end an alert about failed rounds.
        self.read_account().await;
        let mut rounds = interval_at(Instant::now(), self.canary.interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            sleep(self.jitter(unix_millis(self.peers.wall_clock()))).await;
            self.round().await;
        }
    }

    /// Makes one round as soon as the network is known, and calls `report` after each turn. Returns
    /// what is known then; none if the network is not watched.
    pub async fn run_once(
        mut self,
        mut report: impl FnMut(CanaryTurn),
    ) -> Option<Arc<CanaryRecord>> {
        self.until_known().await;
        for name in self.peers_in_turn() {
            let started = Instant::now();
            self.turn(&name).await;
            let record = self.record()?;
            let last = record.peers.get(&name).and_then(|peer| peer.last.clone());
            report(CanaryTurn {
                result: last.filter(|last| last.at >= started),
                skip: record.last_skip.map(|(skip, _)| skip),
                refusal: record.refusal,
                peer: name,
            });
        }
        self.record()
    }

    /// Takes the failed rounds of the ledger into the record, once.
    fn restore_failed_rounds(&mut self, ledger: &Ledger) {
        if self.is_restored {
            return;
        }
        self.is_restored = true;
        let names = self.peers_in_turn();
        let failing = ledger.failing.iter();
        let kept = failing
            .filter(|(name, _)| names.contains(name))
            .filter_map(|(name, failed)| {
                let since = Duration::from_millis(failed.since_ms);
                let since = SystemTime::UNIX_EPOCH.checked_add(since)?;
                Some((name.clone(), (failed.rounds, since)))
            })
            .collect();
        self.fleet
            .update_canary(&self.network, |record| record.restore_failed_rounds(kept));
    }

    /// Takes the failed rounds of the record into the ledger.
    fn keep_failed_rounds(&self, ledger: &mut Ledger) {
        let Some(record) = self.record() else {
            return;
        };
        let failed = |(rounds, since)| FailedRounds {
            rounds,
            since_ms: unix_millis(since),
        };
        let rounds = record.failed_rounds().into_iter();
        ledger.failing = rounds.map(|(name, it)| (name, failed(it))).collect();
    }

    /// Returns what is known of the canary.
    fn record(&self) -> Option<Arc<CanaryRecord>> {
        let snapshot = self.fleet.snapshot();
        self.network_of(&snapshot)?.canary.clone()
    }

    /// Waits until the network and its peers are known, but not for long.
    async fn until_known(&self) {
        let latest = Instant::now() + STARTUP_TIMEOUT;
        let is_known = || {
            let snapshot = self.fleet.snapshot();
            let of_network = |record: &&Arc<PeerRecord>| record.peer.network == self.network;
            let mut own_peers = snapshot
                .peers
                .iter()
                .filter(of_network)
                .filter(|record| record.peer.role == Role::Own);
            self.network_of(&snapshot).is_some_and(|network| {
                let verdict = &network.verdict;
                verdict.order != OrderState::Unknown
                    && verdict.protocol.is_some()
                    && verdict.consensus.production.is_some()
                    && own_peers.all(|record| record.stake.is_some())
            })
        };
        while Instant::now() < latest && !is_known() {
            sleep(STARTUP_RETRY_INTERVAL).await;
        }
    }

    /// Sends one transaction through each peer, as far as that is allowed.
    async fn round(&mut self) {
        let names = self.peers_in_turn();
        self.fleet.update_canary(&self.network, |record| {
            record.retain_peers(|name| names.iter().any(|used| used == name));
        });
        for name in names {
            self.turn(&name).await;
        }
    }

    /// Returns the names of the peers that transactions are sent through, in turn: the one first
    /// that had none for longest. Otherwise one that is overloaded would take the turns of all
    /// others, because nothing is sent for a while after each of its refusals.
    fn peers_in_turn(&self) -> Vec<String> {
        let snapshot = self.fleet.snapshot();
        let peers = snapshot.peers.iter().map(|record| &record.peer);
        let used = peers.filter(|peer| peer.network == self.network && self.canary.uses(peer));
        let mut names: Vec<String> = used.map(|peer| peer.name.clone()).collect();
        let record = self.record();
        let last = |name: &String| {
            record
                .as_ref()?
                .peers
                .get(name)?
                .last
                .as_ref()
                .map(|it| it.at)
        };
        names.sort_by_cached_key(last);
        names
    }

    fn network_of<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a NetworkSnapshot> {
        let mut networks = snapshot.networks.iter();
        networks.find(|network| network.name == self.network)
    }
}

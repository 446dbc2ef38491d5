//! The components that a configuration controls: what they do changes with every reload.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::alerting::delivery::{Dependencies, Notifier};
use crate::config::active::ActiveConfig;
use crate::config::{Config, Peer};
use crate::fleet::Fleet;
use crate::history::History;
use crate::poller::{ScheduleMetrics, Scheduler};
use crate::sidecar::Sidecars;
use crate::survey::NetworkSurvey;
use crate::survey::discovery::{ScanResult, Watchlist};

/// Every component that follows the active configuration.
pub(super) struct Components {
    fleet: Arc<Fleet>,
    pub(super) history: Arc<History>,
    scheduler: Scheduler,
    survey: NetworkSurvey,
    notifier: Notifier,
    sidecars: Sidecars,
    watchlist: Watchlist,
}

impl Components {
    /// Components that are idle until a configuration is applied. Discovery sends what it finds
    /// to `scan_results`.
    pub(super) fn new(
        fleet: Arc<Fleet>,
        history: Arc<History>,
        timing: ScheduleMetrics,
        dependencies: Dependencies,
        scan_results: mpsc::Sender<ScanResult>,
    ) -> Self {
        let stop = dependencies.stop.clone();
        let learning = Arc::clone(&fleet);
        let record_host_reading =
            move |peer: &Peer, reading| learning.record_host_reading(peer, reading);
        Self {
            scheduler: Scheduler::new(Arc::clone(&fleet), timing, stop.clone()),
            survey: NetworkSurvey::new(Arc::clone(&fleet), scan_results, stop.clone()),
            watchlist: Watchlist::new(dependencies.shard),
            notifier: Notifier::new(dependencies),
            sidecars: Sidecars::new(record_host_reading, stop),
            fleet,
            history,
        }
    }

    /// Applies `config`; discovered peers stay as long as their networks do.
    pub(super) fn apply(&mut self, config: &Config) {
        self.watchlist.retain(config);
        let merged = self.watchlist.merged(config);
        self.apply_peers(&merged);
        self.history.set_max_bytes(config.history.max_bytes);
        self.survey.apply(config);
        self.notifier.apply(config);
        self.sidecars.apply(config);
    }

    /// Starts and stops polling so that exactly the peers of `merged` are polled.
    fn apply_peers(&mut self, merged: &Config) {
        self.fleet.apply(merged);
        self.history.set_peers(&self.fleet.snapshot());
        self.scheduler.apply(merged);
    }

    /// Polls the peers that a scan of a registry found, in addition to the configured ones.
    pub(super) fn apply_discovery(&mut self, scan: ScanResult, active: &ActiveConfig) {
        let active = active.get();
        let config = &active.config;
        let network = scan.network.clone();
        let change = self.watchlist.apply(scan, config);
        if let Some(peers) = change.not_dialed.filter(|peers| *peers > 0) {
            tracing::info!(
                peer.network = %network,
                peers,
                "registered peers are not polled because none of their addresses is public and \
                 unused by another peer; discovery.allow_private allows private addresses"
            );
        }
        if change.changed {
            let merged = self.watchlist.merged(config);
            let discovered = merged.peers.len() - config.peers.len();
            tracing::info!(peer.network = %network, discovered, "the set of discovered peers changed");
            self.apply_peers(&merged);
        }
    }

    /// Waits until all tasks of the components have ended; the stop must be cancelled.
    pub(super) async fn drained(self) {
        tokio::join!(
            self.scheduler.drained(),
            self.survey.drained(),
            self.notifier.drained(),
            self.sidecars.drained()
        );
    }
}

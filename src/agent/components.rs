//! The components that a configuration controls: what they do changes with every reload.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::alerting::delivery::{Dependencies, Notifier, Outbox};
use crate::config::active::ActiveConfig;
use crate::config::{Config, Peer};
use crate::fleet::Fleet;
use crate::history::History;
use crate::poller::{PeerCommands, Sampler, Scheduler};
use crate::sidecar::Sidecars;
use crate::supervisor::liveness::Part;
use crate::supervisor::{Supervisor, TaskSet};
use crate::survey::discovery::{ScanResult, Watchlist};
use crate::survey::{NetworkSurvey, Surveyor, VantageSurvey};

/// Every component that follows the active configuration.
pub(super) struct Components {
    fleet: Arc<Fleet>,
    outbox: Arc<Outbox>,
    pub(super) history: Arc<History>,
    scheduler: Scheduler,
    /// One task per network, which keeps its verdict up to date.
    judges: TaskSet<()>,
    /// One task per network, which gives its peers blocks to compare.
    samplers: TaskSet<()>,
    commands: Arc<PeerCommands>,
    survey: NetworkSurvey,
    vantages: VantageSurvey,
    notifier: Notifier,
    sidecars: Sidecars,
    watchlist: Watchlist,
}

impl Components {
    /// Components that are idle until a configuration is applied. They execute `commands`, and
    /// discovery sends what it finds to `scans`.
    pub(super) fn new(
        history: Arc<History>,
        dependencies: Dependencies,
        commands: Arc<PeerCommands>,
        scans: mpsc::Sender<ScanResult>,
        supervisor: &Supervisor,
    ) -> Self {
        let fleet = Arc::clone(&dependencies.fleet);
        let outbox = Arc::clone(&dependencies.outbox);
        let surveyor = Surveyor {
            fleet: Arc::clone(&fleet),
            commands: Arc::clone(&commands),
            scans,
            others_walked: Arc::default(),
            history: Arc::clone(&history),
        };
        let learning = Arc::clone(&fleet);
        let record_host_reading =
            move |peer: &Peer, reading| learning.record_host_reading(peer, reading);
        Self {
            scheduler: Scheduler::new(
                Arc::clone(&fleet),
                Arc::clone(&commands),
                dependencies.timing.clone(),
                supervisor.clone(),
            ),
            judges: TaskSet::new(supervisor.clone()),
            samplers: TaskSet::new(supervisor.clone()),
            commands,
            survey: NetworkSurvey::new(surveyor, supervisor.clone()),
            vantages: VantageSurvey::new(Arc::clone(&fleet), supervisor.clone()),
            watchlist: Watchlist::new(dependencies.shard),
            notifier: Notifier::new(dependencies, supervisor.clone()),
            sidecars: Sidecars::new(record_host_reading, supervisor.clone()),
            fleet,
            outbox,
            history,
        }
    }

    /// Applies `config`; discovered peers stay as long as their networks do.
    pub(super) fn apply(&mut self, config: &Config) {
        self.watchlist.retain(config);
        let merged = self.watchlist.merged(config);
        self.apply_peers(&merged);
        let networks = config.networks.iter();
        let networks: Vec<_> = networks.map(|network| (network.name.clone(), ())).collect();
        let (fleet, commands) = (&self.fleet, &self.commands);
        self.samplers
            .apply(networks.iter().cloned(), |name, (), supervisor| {
                let (fleet, network) = (Arc::clone(fleet), name.to_owned());
                let commands = Arc::clone(commands);
                let name = format!("samples of {name}");
                let pulse = supervisor.liveness().pulse(Part::Verdicts, name.clone());
                supervisor.start(name, move || {
                    let sampler = Sampler::new(Arc::clone(&fleet), network.clone());
                    let commands = Arc::clone(&commands);
                    let ask = move |peer: String| {
                        let commands = Arc::clone(&commands);
                        async move { commands.sample(&peer).await }
                    };
                    sampler.run(ask, pulse.clone())
                });
            });
        self.judges.apply(networks, |name, (), supervisor| {
            let (fleet, network) = (Arc::clone(fleet), name.to_owned());
            let name = format!("verdict on {name}");
            let pulse = supervisor.liveness().pulse(Part::Verdicts, name.clone());
            supervisor.start(name, move || {
                Arc::clone(&fleet).keep_judging(network.clone(), pulse.clone())
            });
        });
        self.history.set_max_bytes(config.history.max_bytes);
        self.survey.apply(config);
        self.vantages.apply(config);
        self.notifier.apply(config);
        self.sidecars.apply(config);
    }

    /// Starts and stops polling so that exactly the peers of `merged` are polled.
    fn apply_peers(&mut self, merged: &Config) {
        let fleet = &self.fleet;
        let renames = self.outbox.rename_with(|| fleet.apply(merged));
        self.history.rename(renames);
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
}

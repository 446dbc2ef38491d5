//! Peers on loopback, polled and walked by the tasks of the agent.

use std::sync::Arc;
use std::time::Duration;

use convex_peer_monitor::config::Config;
use convex_peer_monitor::fleet::{ConsensusVerdict, Fleet, NetworkVerdict};
use convex_peer_monitor::poller::{PeerCommands, ScheduleMetrics, Scheduler};
use convex_peer_monitor::supervisor::Supervisor;
use convex_peer_monitor::supervisor::liveness::Part;
use convex_peer_monitor::survey::{ConsensusSurvey, OthersWalked};
use tokio_util::sync::CancellationToken;

use crate::support::fleet::config;

/// The name of the network.
pub(super) const NETWORK: &str = "n";

/// A network that is polled, walked and judged. Stops when dropped.
pub(super) struct Walked {
    pub(super) fleet: Arc<Fleet>,
    _scheduler: Scheduler,
    stop: CancellationToken,
}

impl Walked {
    /// Starts to watch what is configured, and walks it once per `interval`.
    pub(super) fn start(text: &str, interval: Duration) -> Self {
        Self::start_configured(&config(text), interval)
    }

    pub(super) fn start_configured(config: &Config, interval: Duration) -> Self {
        let fleet = Arc::new(Fleet::default());
        fleet.apply(config);
        let stop = CancellationToken::new();
        let supervisor = Supervisor::new(stop.clone());
        let commands = Arc::new(PeerCommands::default());
        let metrics = ScheduleMetrics::register(&prometheus::Registry::new()).unwrap();
        let mut scheduler = Scheduler::new(
            Arc::clone(&fleet),
            Arc::clone(&commands),
            metrics,
            supervisor.clone(),
        );
        scheduler.apply(config);
        let pulse = supervisor.liveness().pulse(Part::Verdicts, NETWORK);
        let judged = Arc::clone(&fleet);
        supervisor.start("verdicts", move || {
            Arc::clone(&judged).keep_judging(NETWORK.to_owned(), pulse.clone())
        });
        let walked = Arc::clone(&fleet);
        let others = Arc::new(OthersWalked::default());
        supervisor.start("walks", move || {
            ConsensusSurvey::new(
                Arc::clone(&walked),
                NETWORK.to_owned(),
                interval,
                Arc::clone(&commands),
                Arc::clone(&others),
            )
            .run()
        });
        Self {
            fleet,
            _scheduler: scheduler,
            stop,
        }
    }

    pub(super) fn verdict(&self) -> Arc<NetworkVerdict> {
        Arc::clone(&self.fleet.network_verdicts()[0].1)
    }

    pub(super) fn consensus(&self) -> Arc<ConsensusVerdict> {
        Arc::clone(&self.verdict().consensus)
    }
}

impl Drop for Walked {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

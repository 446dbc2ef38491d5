//! The running agent: starts every component for one configuration, supervises them, reloads and
//! stops.

mod components;
mod log_config;
mod log_writer;
pub mod logging;
mod metrics;
mod reload;
mod source;
pub mod state_file;
pub mod state_writer;
pub mod systemd;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::alerting;
use crate::alerting::delivery::{Dependencies, Outbox, SaveRequest};
use crate::config::Config;
use crate::config::active::ActiveConfig;
use crate::fleet::Fleet;
use crate::history::{EventKind, History};
use crate::poller::PeerCommands;
use crate::self_check::{self, Plan};
use crate::supervisor::liveness::Part;
use crate::supervisor::{LostTask, Supervisor};
use crate::survey::discovery::ScanResult;
use crate::web::{self, AppState, ReloadRequest};

use components::Components;
use log_config::{log_descriptor_limit, log_start, log_warnings, summary};
use state_writer::StateWriter;

pub use metrics::AgentMetrics;
pub use source::Source;

/// How long a stop waits for tasks and requests that are still running.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// Monitors until the stop of `supervisor` is cancelled. `config` was loaded from `source`; every
/// message on `reloads` loads it again.
///
/// # Errors
/// The listener or another part that cannot be restarted fails, or two of the agent's own metrics
/// have the same name.
pub async fn run(
    source: Source,
    config: Config,
    listener: TcpListener,
    (reloads, reload_requests): (mpsc::Sender<ReloadRequest>, mpsc::Receiver<ReloadRequest>),
    supervisor: Supervisor,
) -> anyhow::Result<()> {
    let mut agent = Agent::start(source, config, listener, reloads, supervisor).await?;
    systemd::ready(&summary(&agent.active.get().config));
    let outcome = agent.follow(reload_requests).await;
    tracing::info!("stopping");
    agent.drain().await;
    Ok(outcome?)
}

/// A configuration that is being loaded.
type Loading = Pin<Box<dyn Future<Output = Result<Config, String>> + Send>>;

/// Everything that runs, and what a reload changes.
struct Agent {
    source: Source,
    active: Arc<ActiveConfig>,
    address: SocketAddr,
    components: Components,
    scans: mpsc::Receiver<ScanResult>,
    self_check_plan: watch::Sender<Plan>,
    supervisor: Supervisor,
}

impl Agent {
    async fn start(
        source: Source,
        config: Config,
        listener: TcpListener,
        reloads: mpsc::Sender<ReloadRequest>,
        supervisor: Supervisor,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let AgentMetrics {
            registry,
            timing,
            delivery,
        } = AgentMetrics::new()?;

        let history = History::start(config.state_dir.clone(), config.history.max_bytes).await;
        history.record_event(EventKind::AgentStarted {
            version: env!("CARGO_PKG_VERSION").into(),
        });
        let fleet = Arc::new(Fleet::with_observer(Arc::clone(&history) as _));
        let outbox = Arc::new(Outbox::default());
        fleet.apply(&config);
        let state = state_writer::Parts {
            fleet: Arc::clone(&fleet),
            outbox: Arc::clone(&outbox),
        };
        let saves = start_state_writer(&config, state, &supervisor).await;

        let dependencies = Dependencies {
            fleet: Arc::clone(&fleet),
            outbox,
            metrics: delivery,
            timing,
            shard: source.shard,
        };
        let commands = Arc::new(PeerCommands::default());
        let (scan_results, scans) = mpsc::channel(1);
        let mut components = Components::new(
            Arc::clone(&history),
            dependencies.clone(),
            Arc::clone(&commands),
            scan_results,
            &supervisor,
        );
        components.apply(&config);
        log_start(&config, address);
        log_descriptor_limit(&config);

        let (self_check_plan, plans) = watch::channel(Plan::new(&config));
        let prefix = config.path_prefix().into();
        let active = Arc::new(ActiveConfig::new(config));
        let state = AppState {
            fleet: Arc::clone(&fleet),
            history: Arc::clone(&history),
            commands,
            liveness: supervisor.liveness().clone(),
            active_config: Arc::clone(&active),
            registry,
            shard: source.shard,
            reloads,
            stop: supervisor.stop().clone(),
            prefix,
        };
        let liveness = supervisor.liveness().clone();
        supervisor.start("liveness", move || liveness.clone().watch());
        start_history_writer(&supervisor, history, Arc::clone(&fleet));
        start_self_checks(&supervisor, plans, fleet);
        start_rules(&supervisor, dependencies, Arc::clone(&active), saves);
        let server = web::Server::new(state, address.ip());
        supervisor.start_essential("web server", server.serve(listener));
        Ok(Self {
            source,
            active,
            address,
            components,
            scans,
            self_check_plan,
            supervisor,
        })
    }

    /// Reloads when asked and applies what discovery finds, until the stop or until a part is lost
    /// that cannot be restarted.
    async fn follow(
        &mut self,
        mut reload_requests: mpsc::Receiver<ReloadRequest>,
    ) -> Result<(), LostTask> {
        let stop = self.supervisor.stop().clone();
        let mut reload: Option<(ReloadRequest, Loading)> = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                lost = self.supervisor.lost() => {
                    stop.cancel();
                    return Err(lost);
                }
                // Only one at a time. Loading can take long, for example when a file hangs.
                Some(request) = reload_requests.recv(), if reload.is_none() => {
                    systemd::reloading();
                    reload = Some((request, Box::pin(reload::load(self.source.clone()))));
                }
                loaded = async { reload.as_mut().expect("checked").1.as_mut().await },
                    if reload.is_some() =>
                {
                    let outcome = self.apply(loaded);
                    if let Some((request, _)) = reload.take() {
                        // The client may have hung up meanwhile.
                        drop(request.send(outcome));
                    }
                }
                Some(scan) = self.scans.recv() => {
                    self.components.apply_discovery(scan, &self.active);
                }
            }
        }
    }

    /// Makes a loaded configuration the active one, or reports why it cannot be.
    fn apply(&mut self, loaded: Result<Config, String>) -> Result<(), String> {
        let outcome = reload::apply(loaded, &mut self.components, &self.active);
        let active = self.active.get();
        if outcome.is_ok() {
            log_warnings(&active.config, self.address);
        }
        self.self_check_plan.send_replace(Plan::new(&active.config));
        outcome
    }

    /// Waits until everything has ended, for at most [`DRAIN_TIMEOUT`].
    async fn drain(self) {
        if timeout(DRAIN_TIMEOUT, self.supervisor.drained())
            .await
            .is_err()
        {
            tracing::warn!(
                "tasks or requests were still running {DRAIN_TIMEOUT:?} after the stop; \
                 aborting them"
            );
        }
    }
}

/// Restores the saved state into `parts` and starts the task that saves it. Returns where a save
/// can be requested.
async fn start_state_writer(
    config: &Config,
    parts: state_writer::Parts,
    supervisor: &Supervisor,
) -> Option<mpsc::Sender<SaveRequest>> {
    let Some(dir) = config.state_dir.clone() else {
        tracing::info!("state_dir is not set: history and learned keys are lost on restart");
        return None;
    };
    let writer = StateWriter::start(dir, &parts).await;
    let (saves, requests) = mpsc::channel(1);
    let stop = supervisor.stop().clone();
    supervisor.start_essential("state writer", writer.run(parts, requests, stop));
    Some(saves)
}

fn start_history_writer(supervisor: &Supervisor, history: Arc<History>, fleet: Arc<Fleet>) {
    let stop = supervisor.stop().clone();
    let pulse = supervisor.liveness().pulse(Part::History, "history writer");
    supervisor.start_finishing(stop.clone(), "history writer", move || {
        Arc::clone(&history).run(Arc::clone(&fleet), pulse.clone(), stop.clone())
    });
}

fn start_self_checks(supervisor: &Supervisor, plans: watch::Receiver<Plan>, fleet: Arc<Fleet>) {
    let pulse = supervisor.liveness().pulse(Part::SelfChecks, "self-checks");
    supervisor.start("self-checks", move || {
        let fleet = Arc::clone(&fleet);
        let publish = move |checks| fleet.record_self_checks(checks);
        self_check::run(plans.clone(), publish, pulse.clone())
    });
}

fn start_rules(
    supervisor: &Supervisor,
    dependencies: Dependencies,
    active: Arc<ActiveConfig>,
    saves: Option<mpsc::Sender<SaveRequest>>,
) {
    let stop = supervisor.stop().clone();
    let pulse = supervisor
        .liveness()
        .pulse(Part::Notifications, "alert rules");
    supervisor.start_finishing(stop.clone(), "alert rules", move || {
        let (dependencies, active) = (dependencies.clone(), Arc::clone(&active));
        alerting::evaluate_rules(
            dependencies,
            active,
            saves.clone(),
            pulse.clone(),
            stop.clone(),
        )
    });
}

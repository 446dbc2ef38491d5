//! The running agent: starts every component for one configuration, supervises them, reloads and
//! stops.

mod alert_events;
mod components;
mod log_config;
mod log_writer;
pub mod logging;
mod metrics;
mod operator_events;
mod reload;
mod source;
pub mod state_file;
pub mod state_writer;
pub mod systemd;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use convex_client::reload_system_roots;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::alerting::delivery::{Dependencies, Outbox};
use crate::alerting::{self, OperatorActions, SaveRequest, TransitionReport};
use crate::config::active::ActiveConfig;
use crate::config::{Config, Listen};
use crate::fleet::Fleet;
use crate::history::{EventKind, History};
use crate::poller::PeerCommands;
use crate::self_check::{self, Plan};
use crate::supervisor::liveness::Part;
use crate::supervisor::{LostTask, Supervisor};
use crate::survey::discovery::ScanResult;
use crate::web::{self, AppState, Listener, ReloadRequest};

use components::Components;
use log_config::{log_descriptor_limit, log_start, log_warnings, summary};
use reload::Loader;
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
    listeners: impl Into<Listeners>,
    (reloads, reload_requests): (mpsc::Sender<ReloadRequest>, mpsc::Receiver<ReloadRequest>),
    supervisor: Supervisor,
) -> anyhow::Result<()> {
    let stop = supervisor.stop().clone();
    let listeners = listeners.into();
    let starting = Agent::start(source, config, listeners, reloads, supervisor.clone());
    // The start waits for the disk, which may hang.
    let outcome = match stop.run_until_cancelled(starting).await {
        Some(agent) => {
            let mut agent = agent?;
            systemd::ready(&summary(&agent.active.get().config));
            agent.follow(reload_requests).await
        }
        None => Ok(()),
    };
    tracing::info!("stopping");
    drain(&supervisor).await;
    Ok(outcome?)
}

/// The sockets that the agent serves.
#[derive(Debug)]
pub struct Listeners {
    /// That of the agent's own pages, metrics and API.
    pub own: Listener,
    /// That of the status page; none: the agent binds it if the configuration says where.
    pub status: Option<Listener>,
}

impl From<Listener> for Listeners {
    fn from(own: Listener) -> Self {
        Self { own, status: None }
    }
}

impl From<TcpListener> for Listeners {
    fn from(own: TcpListener) -> Self {
        Listener::from(own).into()
    }
}

/// A configuration that is being loaded.
type Loading = Pin<Box<dyn Future<Output = Result<Config, String>> + Send>>;

/// Everything that runs, and what a reload changes.
struct Agent {
    source: Source,
    active: Arc<ActiveConfig>,
    address: Listen,
    components: Components,
    scans: mpsc::Receiver<ScanResult>,
    self_check_plan: watch::Sender<Plan>,
    supervisor: Supervisor,
}

impl Agent {
    async fn start(
        source: Source,
        config: Config,
        listeners: Listeners,
        reloads: mpsc::Sender<ReloadRequest>,
        supervisor: Supervisor,
    ) -> anyhow::Result<Self> {
        let address = listeners.own.address()?;
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
        let saves = start_state_writer(&config, state, &history, &supervisor).await;
        let actions = OperatorActions::new(
            Arc::clone(&outbox),
            Arc::clone(&fleet),
            saves.clone(),
            operator_events::recorder(Arc::clone(&history)),
        );

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
        log_start(&config, &address);
        log_descriptor_limit(&config);

        let (self_check_plan, plans) = watch::channel(Plan::new(&config));
        let prefix = config.path_prefix().into();
        let active = Arc::new(ActiveConfig::new(config));
        let state = AppState {
            fleet: Arc::clone(&fleet),
            history: Arc::clone(&history),
            commands,
            actions: actions.clone(),
            liveness: supervisor.liveness().clone(),
            active_config: Arc::clone(&active),
            registry,
            shard: source.shard,
            reloads,
            stop: supervisor.stop().clone(),
            prefix,
            config_file: source.file.clone(),
        };
        start_status_page(&active.get().config, listeners.status, &state, &supervisor).await?;
        let report = alert_events::recorder(Arc::clone(&history), Arc::clone(&fleet));
        let liveness = supervisor.liveness().clone();
        supervisor.start("liveness", move || liveness.clone().watch());
        start_history_writer(&supervisor, history, Arc::clone(&fleet));
        start_service_times(&supervisor, Arc::clone(&fleet));
        start_self_checks(&supervisor, plans, fleet);
        start_rules(
            &supervisor,
            dependencies,
            Arc::clone(&active),
            saves,
            (actions, report),
        );
        let server = web::Server::new(state, address.is_local());
        supervisor.start_essential("web server", server.serve(listeners.own));
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
        let bounded = Loader::new();
        let mut reload: Option<(ReloadRequest, Loading)> = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                lost = self.supervisor.lost() => {
                    stop.cancel();
                    return Err(lost);
                }
                // Only one at a time. Loading takes a while when a file does not answer.
                Some(request) = reload_requests.recv(), if reload.is_none() => {
                    systemd::reloading();
                    let source = self.source.clone();
                    let loading = bounded.clone().run(move || {
                        reload_system_roots();
                        source.reload()
                    });
                    reload = Some((request, Box::pin(loading)));
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
            log_warnings(&active.config, &self.address);
        }
        self.self_check_plan.send_replace(Plan::new(&active.config));
        outcome
    }
}

/// Waits until all tasks have ended, for at most [`DRAIN_TIMEOUT`].
async fn drain(supervisor: &Supervisor) {
    if timeout(DRAIN_TIMEOUT, supervisor.drained()).await.is_err() {
        tracing::warn!(
            "tasks or requests were still running {DRAIN_TIMEOUT:?} after the stop; aborting them"
        );
    }
}

/// Restores the saved state into `parts` and starts the task that saves it. `history` learns which
/// peers have other names than then. Returns where a save can be requested.
async fn start_state_writer(
    config: &Config,
    parts: state_writer::Parts,
    history: &History,
    supervisor: &Supervisor,
) -> Option<mpsc::Sender<SaveRequest>> {
    let Some(dir) = config.state_dir.clone() else {
        tracing::info!("state_dir is not set: history and learned keys are lost on restart");
        return None;
    };
    let (writer, renames) = StateWriter::start(dir, &parts).await;
    history.rename(renames);
    let (saves, requests) = mpsc::channel(1);
    let stop = supervisor.stop().clone();
    supervisor.start_essential("state writer", writer.run(parts, requests, stop));
    Some(saves)
}

/// Starts to serve the status page, on the socket that was passed or where the configuration says.
async fn start_status_page(
    config: &Config,
    passed: Option<Listener>,
    state: &AppState,
    supervisor: &Supervisor,
) -> anyhow::Result<()> {
    let status = config.status.as_ref();
    let listener = match (passed, status.and_then(|status| status.listen.as_ref())) {
        (None, None) => return Ok(()),
        (Some(_), _) if status.is_none() => bail!(
            "a socket for the status page was passed, but there is no status page; add `status` to \
             the configuration, or remove the socket unit"
        ),
        (Some(passed), _) => passed,
        (None, Some(listen)) => Listener::bind(listen).await.with_context(|| {
            format!("cannot listen on {listen} for the status page; choose another `status.listen`")
        })?,
    };
    let address = listener.address()?;
    tracing::info!(listen = %address, "serving the status page to everybody");
    let server = web::StatusServer::new(state, address.is_local());
    supervisor.start_essential("status page", server.serve(listener));
    Ok(())
}

fn start_history_writer(supervisor: &Supervisor, history: Arc<History>, fleet: Arc<Fleet>) {
    let pulse = supervisor.liveness().pulse(Part::History, "history writer");
    supervisor.start_finishing("history writer", move |stop| {
        Arc::clone(&history).run(Arc::clone(&fleet), pulse.clone(), stop)
    });
}

fn start_service_times(supervisor: &Supervisor, fleet: Arc<Fleet>) {
    let pulse = supervisor
        .liveness()
        .pulse(Part::Verdicts, "service levels");
    supervisor.start("service levels", move || {
        Arc::clone(&fleet).keep_service_times(pulse.clone())
    });
}

fn start_self_checks(supervisor: &Supervisor, plans: watch::Receiver<Plan>, fleet: Arc<Fleet>) {
    let pulse = supervisor.liveness().pulse(Part::SelfChecks, "self-checks");
    supervisor.start("self-checks", move || {
        let fleet = Arc::clone(&fleet);
        let publish = move |checks| {
            fleet.record_clock_synchronised(kernel_clock::is_synchronised());
            fleet.record_self_checks(checks);
        };
        self_check::run(plans.clone(), publish, pulse.clone())
    });
}

fn start_rules(
    supervisor: &Supervisor,
    dependencies: Dependencies,
    active: Arc<ActiveConfig>,
    saves: Option<mpsc::Sender<SaveRequest>>,
    (actions, report): (OperatorActions, Arc<TransitionReport>),
) {
    let pulse = supervisor
        .liveness()
        .pulse(Part::Notifications, "alert rules");
    supervisor.start_finishing("alert rules", move |stop| {
        let (dependencies, active) = (dependencies.clone(), Arc::clone(&active));
        let (saves, actions) = (saves.clone(), actions.clone());
        let (report, pulse) = (Arc::clone(&report), pulse.clone());
        alerting::evaluate_rules(dependencies, active, saves, actions, report, pulse, stop)
    });
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_last_save_that_hangs_delays_the_stop_for_less_than_five_seconds() {
        let supervisor = Supervisor::new(CancellationToken::new());
        supervisor.start_essential("writer", std::future::pending());
        supervisor.stop().cancel();
        let since = Instant::now();
        drain(&supervisor).await;
        assert_eq!(since.elapsed(), DRAIN_TIMEOUT);
        assert!(DRAIN_TIMEOUT < Duration::from_secs(5));
    }
}

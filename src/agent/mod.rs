//! The running agent: starts every component for one configuration, supervises them, reloads and
//! stops.

mod components;
mod log_config;
pub mod logging;
mod metrics;
mod reload;
mod source;
pub mod state_file;
pub mod state_writer;
pub mod systemd;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alerting;
use crate::alerting::delivery::{Dependencies, Outbox, SaveRequest};
use crate::config::Config;
use crate::config::active::ActiveConfig;
use crate::fleet::Fleet;
use crate::history::{EventKind, History};
use crate::self_check::{self, Plan};
use crate::survey::discovery::ScanResult;
use crate::web::{self, AppState, ReloadRequest};

use components::Components;
use log_config::{log_descriptor_limit, log_start, log_warnings, summary};
use state_writer::StateWriter;

pub use metrics::AgentMetrics;
pub use source::Source;

/// How long a stop waits for tasks and requests that are still running.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// Monitors until `stop` is cancelled. `config` was loaded from `source`; every message on
/// `reloads` loads it again.
///
/// # Errors
/// The listener fails, or two of the agent's own metrics have the same name.
pub async fn run(
    source: Source,
    config: Config,
    listener: TcpListener,
    (reloads, reload_requests): (mpsc::Sender<ReloadRequest>, mpsc::Receiver<ReloadRequest>),
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut agent = Agent::start(source, config, listener, reloads, stop).await?;
    systemd::ready(&summary(&agent.active.get().config));
    agent.supervise(reload_requests).await?;
    tracing::info!("stopping");
    agent.drain().await;
    Ok(())
}

/// Everything that runs, and what a reload changes.
struct Agent {
    source: Source,
    active: Arc<ActiveConfig>,
    address: SocketAddr,
    components: Components,
    scans: mpsc::Receiver<ScanResult>,
    self_check_plan: watch::Sender<Plan>,
    server: JoinHandle<std::io::Result<()>>,
    /// Tasks that keep running across reloads.
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Agent {
    async fn start(
        source: Source,
        config: Config,
        listener: TcpListener,
        reloads: mpsc::Sender<ReloadRequest>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let AgentMetrics {
            registry,
            timing,
            delivery,
        } = AgentMetrics::new()?;
        let tasks = TaskTracker::new();

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
        let saves = start_state_writer(&config, state, &tasks, &stop).await;

        let dependencies = Dependencies {
            fleet: Arc::clone(&fleet),
            outbox,
            metrics: delivery,
            timing: timing.clone(),
            shard: source.shard,
            stop: stop.clone(),
        };
        let (scan_results, scans) = mpsc::channel(1);
        let mut components = Components::new(
            Arc::clone(&fleet),
            Arc::clone(&history),
            timing,
            dependencies.clone(),
            scan_results,
        );
        components.apply(&config);
        tasks.spawn(Arc::clone(&history).run(Arc::clone(&fleet), stop.clone()));
        log_start(&config, address);
        log_descriptor_limit(&config);

        let (self_check_plan, plans) = watch::channel(Plan::new(&config));
        let checked = Arc::clone(&fleet);
        let publish = move |checks| checked.record_self_checks(checks);
        tasks.spawn(self_check::run(plans, publish, stop.clone()));

        let prefix = path_prefix(&config);
        let active = Arc::new(ActiveConfig::new(config));
        tasks.spawn(alerting::evaluate_rules(
            dependencies,
            Arc::clone(&active),
            saves,
        ));
        let state = AppState {
            fleet,
            history,
            active_config: Arc::clone(&active),
            registry,
            shard: source.shard,
            reloads,
            stop: stop.clone(),
            prefix,
        };
        let server = tokio::spawn(web::serve(listener, state, stop.clone()));
        Ok(Self {
            source,
            active,
            address,
            components,
            scans,
            self_check_plan,
            server,
            tasks,
            stop,
        })
    }

    /// Reloads when asked and applies what discovery finds, until `stop` or a failed listener.
    async fn supervise(
        &mut self,
        mut reload_requests: mpsc::Receiver<ReloadRequest>,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                // The stop also ends the server, which must not look like a failed listener.
                biased;
                () = self.stop.cancelled() => return Ok(()),
                ended = &mut self.server => {
                    self.stop.cancel();
                    return ended.context("the web server failed")?.context("the listener failed");
                }
                Some(request) = reload_requests.recv() => {
                    let outcome = self.reload().await;
                    // The client may have hung up meanwhile.
                    drop(request.send(outcome));
                }
                Some(scan) = self.scans.recv() => {
                    self.components.apply_discovery(scan, &self.active);
                }
            }
        }
    }

    async fn reload(&mut self) -> Result<(), String> {
        let outcome = reload::reload(&mut self.components, &self.source, &self.active).await;
        let active = self.active.get();
        if outcome.is_ok() {
            log_warnings(&active.config, self.address);
        }
        self.self_check_plan.send_replace(Plan::new(&active.config));
        outcome
    }

    /// Waits until everything has ended, for at most [`DRAIN_TIMEOUT`].
    async fn drain(self) {
        self.tasks.close();
        let drained =
            async { tokio::join!(self.components.drained(), self.server, self.tasks.wait()) };
        if timeout(DRAIN_TIMEOUT, drained).await.is_err() {
            tracing::warn!(
                "tasks or requests were still running {DRAIN_TIMEOUT:?} after the stop; \
                 aborting them"
            );
        }
    }
}

/// Restores the saved state into `parts` and starts the task that saves it until `stop`. Returns
/// where a save can be requested.
async fn start_state_writer(
    config: &Config,
    parts: state_writer::Parts,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Option<mpsc::Sender<SaveRequest>> {
    let Some(dir) = config.state_dir.clone() else {
        tracing::info!("state_dir is not set: history and learned keys are lost on restart");
        return None;
    };
    let writer = StateWriter::start(dir, &parts).await;
    let (saves, requests) = mpsc::channel(1);
    tasks.spawn(writer.run(parts, requests, stop.clone()));
    Some(saves)
}

/// The path of `external_url`, which the links of the web pages begin with.
fn path_prefix(config: &Config) -> Arc<str> {
    let path = config.external_url.as_ref().map_or("", |url| url.path());
    path.trim_end_matches('/').into()
}

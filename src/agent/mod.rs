//! Joins the parts: fleet, scheduler and web server around one configuration; reloads it; stops.

pub mod logging;
pub mod state_file;
pub mod systemd;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::OptionFuture;
use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::alerting::delivery::{self, Counts, Notifier, Outbox, SaveRequest};
use crate::config::active::ActiveConfig;
use crate::config::shard::Shard;
use crate::config::{self, Config};
use crate::config::{Cost, DescriptorLimit};
use crate::fleet::Fleet;
use crate::history::{EventKind, History};
use crate::poller::{Scheduler, Timing};
use crate::self_check::{self, Plan};
use crate::sidecar::Sidecars;
use crate::survey::NetworkSurvey;
use crate::survey::discovery::{ScanResult, Watchlist};
use crate::web::{self, ReloadRequest, Site};

use state_file::Keeper;

/// How long requests under way are waited for at the end.
const DRAIN: Duration = Duration::from_secs(4);

/// Where the configuration comes from, at the start and at each reload.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file; none: the embedded default.
    pub file: Option<PathBuf>,
    /// This agent's part of the fleet.
    pub shard: Shard,
}

impl Source {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self) -> Result<Config, config::Errors> {
        let mut config = match &self.file {
            Some(file) => config::load(file, &|name| std::env::var(name).ok())?,
            None => config::embedded(),
        };
        self.shard.keep(&mut config);
        Ok(config)
    }
}

/// What is counted of the agent itself.
#[derive(Clone, Debug)]
pub struct AgentMetrics {
    /// All of it.
    pub registry: Registry,
    /// Of polls.
    pub timing: Timing,
    /// Of notifications.
    pub counts: Counts,
}

impl AgentMetrics {
    /// Nothing has happened yet.
    ///
    /// # Errors
    /// Two metrics have one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            timing: Timing::register(&registry)?,
            counts: Counts::register(&registry)?,
            registry,
        })
    }
}

/// Monitors until `stop`. `config` was read from `source`; whoever holds the sender of `reloads` can ask to read it again.
///
/// # Errors
/// The listener fails, or the agent's own metrics contradict each other.
pub async fn run(
    source: Source,
    config: Config,
    listener: TcpListener,
    (reloads, mut asked): (mpsc::Sender<ReloadRequest>, mpsc::Receiver<ReloadRequest>),
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let AgentMetrics {
        registry,
        timing,
        counts,
    } = AgentMetrics::new()?;
    let history = History::start(config.state_dir.clone(), config.history.max_bytes).await;
    history.note(EventKind::AgentStarted {
        version: env!("CARGO_PKG_VERSION").into(),
    });
    let fleet = Arc::new(Fleet::with_observer(Arc::clone(&history) as _));
    let outbox = Arc::new(Outbox::default());
    fleet.apply(&config);
    let state = state_file::Parts {
        fleet: Arc::clone(&fleet),
        outbox: Arc::clone(&outbox),
    };
    let (keeping, saves) = keep_state(&config, state, &stop).await;
    let telling = delivery::Parts {
        fleet: Arc::clone(&fleet),
        outbox,
        counts,
        timing: timing.clone(),
        shard: source.shard,
        stop: stop.clone(),
    };
    let learning = Arc::clone(&fleet);
    let learn = move |peer: &config::Peer, reading| learning.learn_host(peer, reading);
    let (found, mut rounds) = mpsc::channel(1);
    let mut crew = Crew {
        scheduler: Scheduler::new(Arc::clone(&fleet), timing, stop.clone()),
        inquiry: NetworkSurvey::new(Arc::clone(&fleet), found, stop.clone()),
        notifier: Notifier::new(telling.clone()),
        sidecars: Sidecars::new(learn, stop.clone()),
        watchlist: Watchlist::of(source.shard),
        fleet: Arc::clone(&fleet),
        history: Arc::clone(&history),
    };
    crew.apply(&config);
    let writing = tokio::spawn(Arc::clone(&history).run(Arc::clone(&fleet), stop.clone()));
    let address = listener.local_addr()?;
    announce(&config, address);
    tell_of_descriptors(&config);
    let (plans, planned) = watch::channel(Plan::of(&config));
    let examined = Arc::clone(&fleet);
    let examine = move |checks| examined.examine(checks);
    let checking = tokio::spawn(self_check::watch(planned, examine, stop.clone()));
    let prefix = config
        .external_url
        .as_ref()
        .map_or("", |url| url.path())
        .trim_end_matches('/')
        .into();
    let current = Arc::new(ActiveConfig::new(config));
    let telling = tokio::spawn(delivery::watch(telling, Arc::clone(&current), saves));
    let site = Site {
        fleet: Arc::clone(&fleet),
        history,
        current: Arc::clone(&current),
        registry,
        shard: source.shard,
        reloads,
        stop: stop.clone(),
        prefix,
    };
    let mut server = tokio::spawn(web::serve(listener, site, stop.clone()));
    systemd::ready(&summary(&current.get().config));
    loop {
        tokio::select! {
            // The server ends by the same token: a stop must not look like a listener that failed.
            biased;
            () = stop.cancelled() => break,
            ended = &mut server => {
                stop.cancel();
                return ended.context("the web server failed")?.context("the listener failed");
            }
            Some(answer) = asked.recv() => {
                let outcome = crew.reload(&source, &current).await;
                if outcome.is_ok() {
                    warn(&current.get().config, address);
                }
                plans.send_replace(Plan::of(&current.get().config));
                // Who asked may have hung up meanwhile.
                drop(answer.send(outcome));
            }
            Some(round) = rounds.recv() => {
                crew.follow(round, &current);
            }
        }
    }
    tracing::info!("stopping");
    let drained =
        async { tokio::join!(crew.drained(), telling, server, checking, keeping, writing) };
    if timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("requests were still under way {DRAIN:?} after the stop; they are cut off");
    }
    Ok(())
}

/// What the agent does, in one line.
fn summary(config: &Config) -> String {
    let (peers, networks) = (config.peers.len(), config.networks.len());
    format!("peers: {peers}, networks: {networks}")
}

/// Says whether the limit of file descriptors carries what `config` needs, and what to do when it does not.
fn tell_of_descriptors(config: &Config) {
    let cost = Cost::of(config, 0);
    match DescriptorLimit::in_force() {
        Ok(limit) if limit.carries(cost.descriptors) => {
            tracing::info!("the configuration {}", limit.verdict_on(&cost));
        }
        Ok(limit) => tracing::warn!("the configuration {}", limit.verdict_on(&cost)),
        Err(error) => {
            tracing::warn!(%error, "the system does not tell the limit of file descriptors");
        }
    }
}

/// Tells that it begins.
fn announce(config: &Config, address: SocketAddr) {
    tracing::info!(
        peers = config.peers.len(),
        networks = config.networks.len(),
        vantage = %config.vantage,
        mode = config.mode.as_str(),
        listen = %address,
        tls = config.web.tls.is_some(),
        "monitoring"
    );
    warn(config, address);
}

/// Tells what is unwise about a configuration that is right.
fn warn(config: &Config, address: SocketAddr) {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(warning) = config.web.exposure(address) {
        tracing::warn!("{warning}");
    }
}

/// Gives `parts` what is remembered, and keeps what is to be; what is returned ends with `stop` and can be asked to write at
/// once.
async fn keep_state(
    config: &Config,
    parts: state_file::Parts,
    stop: &CancellationToken,
) -> (
    OptionFuture<JoinHandle<()>>,
    Option<mpsc::Sender<SaveRequest>>,
) {
    let Some(dir) = config.state_dir.clone() else {
        tracing::info!("no state_dir: what is learned is forgotten when the agent ends");
        return (None.into(), None);
    };
    let keeper = Keeper::start(dir, &parts).await;
    let (saves, asked) = mpsc::channel(1);
    let keeping = tokio::spawn(keeper.run(parts, asked, stop.clone()));
    (Some(keeping).into(), Some(saves))
}

/// Everybody who follows the configuration.
struct Crew {
    fleet: Arc<Fleet>,
    history: Arc<History>,
    scheduler: Scheduler,
    inquiry: NetworkSurvey,
    notifier: Notifier,
    sidecars: Sidecars,
    watchlist: Watchlist,
}

impl Crew {
    /// Makes them follow `config`, and the peers found besides it.
    fn apply(&mut self, config: &Config) {
        self.watchlist.retain(config);
        let all = self.watchlist.merged(config);
        self.watch(&all);
        self.history.bound(config.history.max_bytes);
        self.inquiry.apply(config);
        self.notifier.apply(config);
        self.sidecars.apply(config);
    }

    /// Watches these peers and no others.
    fn watch(&mut self, all: &Config) {
        self.fleet.apply(all);
        self.history.follow(&self.fleet.snapshot());
        self.scheduler.apply(all);
    }

    /// Reads the configuration again. A bad one changes nothing but the metric that says so.
    async fn reload(&mut self, source: &Source, current: &ActiveConfig) -> Result<(), String> {
        systemd::reloading();
        let reader = source.clone();
        let loaded = match tokio::task::spawn_blocking(move || reader.load()).await {
            Ok(loaded) => loaded.map_err(|errors| errors.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match loaded {
            Ok(mut config) => {
                let before = current.get();
                config.share(&before.config);
                if config.listen != before.config.listen {
                    tracing::warn!(listen = %config.listen, "another listen address takes effect at the next start");
                }
                if config.external_url != before.config.external_url {
                    tracing::warn!("another external_url takes effect at the next start");
                }
                if config.state_dir != before.config.state_dir {
                    tracing::warn!("another state_dir takes effect at the next start");
                }
                self.apply(&config);
                self.history.note(EventKind::ConfigReloaded {
                    peers: config.peers.len(),
                });
                tracing::info!(peers = config.peers.len(), "the configuration is reloaded");
                tell_of_descriptors(&config);
                systemd::ready(&summary(&config));
                current.replace(config);
                Ok(())
            }
            Err(errors) => {
                current.refused();
                self.history.note(EventKind::refused(&errors));
                let refused = "the new configuration is refused; the old one stays in force";
                tracing::error!(%errors, "{refused}");
                systemd::ready(refused);
                Err(errors)
            }
        }
    }

    /// Watches the peers that a round of discovery has found, besides the configured ones.
    fn follow(&mut self, round: ScanResult, current: &ActiveConfig) {
        let in_force = current.get();
        let config = &in_force.config;
        let network = round.network.clone();
        let news = self.watchlist.take(round, config);
        if let Some(peers) = news.hidden.filter(|hidden| *hidden > 0) {
            tracing::info!(
                peer.network = %network,
                peers,
                "registered peers are not watched, as no address of theirs is public and free; \
                 discovery.allow_private would allow the private ones"
            );
        }
        if news.changed {
            let all = self.watchlist.merged(config);
            let discovered = all.peers.len() - config.peers.len();
            tracing::info!(peer.network = %network, discovered, "other registered peers are watched than before");
            self.watch(&all);
        }
    }

    /// Waits until all of them have ended.
    async fn drained(self) {
        tokio::join!(
            self.scheduler.drained(),
            self.inquiry.drained(),
            self.notifier.drained(),
            self.sidecars.drained()
        );
    }
}

//! Runs one task per peer, which polls it at a fixed rate and at its own phase of the interval. A
//! reload replaces only the tasks of peers whose configuration changed.

use std::any::Any;
use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::HttpClients;
use futures_util::FutureExt;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, Config, Limits};
use crate::fleet::{Fleet, PollCommand, Slot};

use super::permits::{PeerPermits, Permits};
use super::prober::Prober;
use super::schedule;

/// Pause before a peer's poll loop restarts after a panic.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Metrics of the schedule as a whole, kept in the Prometheus registry.
#[derive(Clone, Debug)]
pub struct ScheduleMetrics {
    inflight: IntGauge,
    delay: Histogram,
    missed: IntCounter,
}

impl ScheduleMetrics {
    /// Creates the metrics and registers them in `registry`.
    ///
    /// # Errors
    /// One of the names is already registered.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let delay = HistogramOpts::new(
            "convex_monitor_schedule_delay_seconds",
            "Time from when a poll was due until it started, including the wait for a permit.",
        )
        .buckets(crate::fleet::BUCKETS_SECONDS.to_vec());
        let metrics = Self {
            inflight: IntGauge::new("convex_monitor_inflight_polls", "Polls in progress.")?,
            delay: Histogram::with_opts(delay)?,
            missed: IntCounter::new(
                "convex_monitor_missed_polls_total",
                "Polls that had not started when the next poll of the same peer was due.",
            )?,
        };
        registry.register(Box::new(metrics.inflight.clone()))?;
        registry.register(Box::new(metrics.delay.clone()))?;
        registry.register(Box::new(metrics.missed.clone()))?;
        Ok(metrics)
    }

    /// Returns the number of polls that had not started when the next poll of the same peer was
    /// due.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.get()
    }
}

/// The tasks of all peers.
#[derive(Debug)]
pub struct Scheduler {
    fleet: Arc<Fleet>,
    clients: Arc<HttpClients>,
    metrics: ScheduleMetrics,
    limits: Option<Limits>,
    permits: Arc<Permits>,
    /// By the peer's name.
    tasks: HashMap<String, PeerTask>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// A running task, and the configuration it was started with.
#[derive(Debug)]
struct PeerTask {
    peer: Arc<config::Peer>,
    stop: CancellationToken,
}

/// The poll loop of one peer.
struct PollLoop {
    peer: Arc<config::Peer>,
    slot: Arc<Slot>,
    fleet: Arc<Fleet>,
    clients: Arc<HttpClients>,
    max_response_bytes: usize,
    permits: PeerPermits,
    metrics: ScheduleMetrics,
}

impl Scheduler {
    /// Creates a scheduler without peers. Its tasks end with `stop`.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>, metrics: ScheduleMetrics, stop: CancellationToken) -> Self {
        let limits = Limits {
            max_inflight: 1,
            max_response_bytes: 1,
            per_host_inflight: 1,
        };
        Self {
            fleet,
            clients: Arc::default(),
            metrics,
            limits: None,
            permits: Arc::new(Permits::new(&limits)),
            tasks: HashMap::new(),
            tracker: TaskTracker::new(),
            stop,
        }
    }

    /// Applies `config`, which the fleet must have applied before: the tasks of unchanged peers
    /// continue, those of changed peers are replaced, those of removed peers end.
    pub fn apply(&mut self, config: &Config) {
        if self.limits.as_ref() != Some(&config.limits) {
            // Every task holds the permits it was started with, so new limits replace all tasks.
            self.permits = Arc::new(Permits::new(&config.limits));
            self.limits = Some(config.limits.clone());
            for (_, task) in self.tasks.drain() {
                task.stop.cancel();
            }
        }
        let mut running = std::mem::take(&mut self.tasks);
        for slot in self.fleet.slots() {
            let peer = slot.peer();
            let task = match running.remove(&peer.name) {
                Some(task) if *task.peer == *peer => task,
                replaced => {
                    if let Some(task) = replaced {
                        task.stop.cancel();
                    }
                    self.start(peer, slot)
                }
            };
            self.tasks.insert(task.peer.name.clone(), task);
        }
        for task in running.into_values() {
            task.stop.cancel();
        }
    }

    fn start(&self, peer: Arc<config::Peer>, slot: Arc<Slot>) -> PeerTask {
        let stop = self.stop.child_token();
        let poll_loop = PollLoop {
            permits: self
                .permits
                .for_hosts(peer.endpoints.iter().map(convex_client::Endpoint::host)),
            peer: Arc::clone(&peer),
            slot,
            fleet: Arc::clone(&self.fleet),
            clients: Arc::clone(&self.clients),
            max_response_bytes: self
                .limits
                .as_ref()
                .map_or(0, |limits| limits.max_response_bytes),
            metrics: self.metrics.clone(),
        };
        self.tracker.spawn(poll_loop.supervise(stop.clone()));
        PeerTask { peer, stop }
    }

    /// Waits until all tasks have ended. `stop` must have been cancelled.
    pub async fn drained(self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl PollLoop {
    /// Runs the loop until `stop`, and restarts it after a panic, so that a reply which triggers a
    /// bug does not end the monitoring of the peer.
    async fn supervise(self, stop: CancellationToken) {
        // Pinned here, because passing the future by value would double its size in each peer's
        // task.
        let running = pin!(async {
            loop {
                // The record survives the panic; the next poll completes it.
                let Err(panic) = AssertUnwindSafe(self.run()).catch_unwind().await;
                self.metrics.missed.inc();
                tracing::error!(
                    peer.name = %self.peer.name,
                    error = panic_message(&*panic),
                    "the peer's task panicked; restarting it"
                );
                sleep(RESTART_PAUSE).await;
            }
        });
        stop.run_until_cancelled(running).await;
    }

    /// Polls the peer forever, and executes the commands of others between two polls.
    async fn run(&self) -> Infallible {
        let Self { peer, metrics, .. } = self;
        let interval = peer.polling.interval;
        let mut prober = Prober::new(Arc::clone(peer), self.max_response_bytes, &self.clients);
        let phase = schedule::phase(&peer.name, interval);
        let until_slot = schedule::until_next_slot(SystemTime::now(), phase, interval);
        let mut head_start = schedule::head_start(until_slot, interval);
        let mut due = Instant::now() + until_slot - head_start;
        let mut polls_while_down = 0;
        let mut commands = self.slot.commands().receiver().await;
        loop {
            let requester = loop {
                tokio::select! {
                    biased;
                    () = sleep_until(due) => break None,
                    command = commands.recv() => match command {
                        PollCommand::Query { query, reply } => {
                            let permits = self.permits.acquire().await;
                            // Ends at the next poll at the latest; then the requester gets no
                            // answer. Boxed, because queries are rare and would take space in each
                            // peer's task.
                            let query = Box::pin(prober.ask(&query));
                            if let Ok(result) = timeout_at(due, query).await {
                                drop(reply.send(result));
                            }
                            drop(permits);
                        }
                        // The requester has given up.
                        PollCommand::Poll { reply } if reply.is_closed() => {}
                        PollCommand::Poll { reply } => break Some(reply),
                    }
                }
            };
            let permits = self.permits.acquire().await;
            if requester.is_none() {
                metrics.delay.observe(due.elapsed().as_secs_f64());
            }
            let observation = {
                let _guard = InflightGuard::new(&metrics.inflight);
                prober.poll().await
            };
            drop(permits);
            let down = self.fleet.record(&self.slot, &observation);
            if let Some(requester) = requester {
                drop(requester.send(observation));
                if !down {
                    // The peer may have been polled less often while it was down. From now on, poll
                    // it every interval.
                    polls_while_down = 0;
                    due = schedule::earliest_slot(due, interval, Instant::now());
                }
                continue;
            }
            polls_while_down = if down { polls_while_down + 1 } else { 0 };
            let intervals = schedule::intervals_to_next_poll(
                polls_while_down,
                interval,
                peer.polling.max_interval,
            );
            due += interval * intervals + std::mem::take(&mut head_start);
            // A poll that is already due starts late. It is missed only if the next one is due as
            // well.
            while due + interval <= Instant::now() {
                metrics.missed.inc();
                due += interval;
            }
        }
    }
}

/// Returns the message of a panic.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("panic without a message")
}

/// Counts a poll as in progress while it lives, even if its task is aborted.
struct InflightGuard<'a>(&'a IntGauge);

impl<'a> InflightGuard<'a> {
    fn new(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InflightGuard<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

//! One task a peer: polls start to start at a fixed rate, at the peer's own phase. Diffs by name on reload.

mod permits;
pub mod prober;
pub mod schedule;

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
use crate::poller::prober::Prober;

use permits::{PeerPermits, Permits};

/// How long a peer's task rests after a panic before it is started again.
const REST_AFTER_PANIC: Duration = Duration::from_secs(1);

/// What the schedule itself is measured by; agent-wide, so it lives in the registry.
#[derive(Clone, Debug)]
pub struct Timing {
    inflight: IntGauge,
    delay: Histogram,
    missed: IntCounter,
}

impl Timing {
    /// Creates the schedule's metrics in `registry`.
    ///
    /// # Errors
    /// One of the names is taken in `registry`.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let delay = HistogramOpts::new(
            "convex_monitor_schedule_delay_seconds",
            "From the time a poll was due to the time it began, waiting for a permit included.",
        )
        .buckets(crate::fleet::BUCKETS_SECONDS.to_vec());
        let timing = Self {
            inflight: IntGauge::new("convex_monitor_inflight_polls", "Polls under way.")?,
            delay: Histogram::with_opts(delay)?,
            missed: IntCounter::new(
                "convex_monitor_missed_polls_total",
                "Polls that did not begin before the next one of the same peer was due.",
            )?,
        };
        registry.register(Box::new(timing.inflight.clone()))?;
        registry.register(Box::new(timing.delay.clone()))?;
        registry.register(Box::new(timing.missed.clone()))?;
        Ok(timing)
    }

    /// Polls that did not begin before the next one of the same peer was due.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.get()
    }
}

/// All peers' tasks.
#[derive(Debug)]
pub struct Scheduler {
    fleet: Arc<Fleet>,
    clients: Arc<HttpClients>,
    timing: Timing,
    limits: Option<Limits>,
    permits: Arc<Permits>,
    tasks: HashMap<String, PeerTask>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug)]
struct PeerTask {
    peer: Arc<config::Peer>,
    stop: CancellationToken,
}

/// What a peer's task works with.
struct Work {
    peer: Arc<config::Peer>,
    slot: Arc<Slot>,
    fleet: Arc<Fleet>,
    clients: Arc<HttpClients>,
    max_response_bytes: usize,
    permits: PeerPermits,
    timing: Timing,
}

impl Scheduler {
    /// A scheduler without peers; ends with `stop`.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>, timing: Timing, stop: CancellationToken) -> Self {
        let none = Limits {
            max_inflight: 1,
            max_response_bytes: 1,
            per_host_inflight: 1,
        };
        Self {
            fleet,
            clients: Arc::default(),
            timing,
            limits: None,
            permits: Arc::new(Permits::new(&none)),
            tasks: HashMap::new(),
            tracker: TaskTracker::new(),
            stop,
        }
    }

    /// Makes the tasks follow `config`: an untouched peer's goes on, a changed peer's is replaced, a removed one's ends.
    /// The fleet must have been told of `config` before.
    pub fn apply(&mut self, config: &Config) {
        if self.limits.as_ref() != Some(&config.limits) {
            // Permits of other numbers: every task has to take the new ones.
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
        let work = Work {
            permits: self
                .permits
                .of(peer.endpoints.iter().map(convex_client::Endpoint::host)),
            peer: Arc::clone(&peer),
            slot,
            fleet: Arc::clone(&self.fleet),
            clients: Arc::clone(&self.clients),
            max_response_bytes: self
                .limits
                .as_ref()
                .map_or(0, |limits| limits.max_response_bytes),
            timing: self.timing.clone(),
        };
        self.tracker.spawn(supervise(work, stop.clone()));
        PeerTask { peer, stop }
    }

    /// Waits until all tasks have ended; `stop` must be cancelled.
    pub async fn drained(self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Watches a peer, again after a panic: one peer's strange answer must not end the watch on it.
async fn supervise(work: Work, stop: CancellationToken) {
    // Pinned here: handed over, it would take its room in each peer's task twice.
    let watched = pin!(async {
        loop {
            // What is kept beyond a panic is the record, which the next poll completes.
            let Err(panic) = AssertUnwindSafe(watch(&work)).catch_unwind().await;
            work.timing.missed.inc();
            tracing::error!(
                peer.name = %work.peer.name,
                error = words(&*panic),
                "the peer's task failed; it is started again"
            );
            sleep(REST_AFTER_PANIC).await;
        }
    });
    stop.run_until_cancelled(watched).await;
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}

/// Polls one peer for ever.
async fn watch(work: &Work) -> Infallible {
    let Work { peer, timing, .. } = work;
    let interval = peer.cadence.interval;
    let mut prober = Prober::new(Arc::clone(peer), work.max_response_bytes, &work.clients);
    let phase = schedule::phase(&peer.name, interval);
    let until_slot = schedule::until_phase(SystemTime::now(), phase, interval);
    let mut ahead = schedule::head_start(until_slot, interval);
    let mut due = Instant::now() + until_slot - ahead;
    let mut polls_while_down = 0;
    let mut errands = work.slot.errands().read().await;
    loop {
        let asked = loop {
            tokio::select! {
                biased;
                () = sleep_until(due) => break None,
                errand = errands.next() => match errand {
                    PollCommand::Ask { question, answer } => {
                        let held = work.permits.acquire().await;
                        // Never longer than to the next poll; who asked takes silence for no answer. Boxed: it is rare, and
                        // room for it would be kept in each peer's task.
                        if let Ok(told) = timeout_at(due, Box::pin(prober.ask(&question))).await {
                            drop(answer.send(told));
                        }
                        drop(held);
                    }
                    // Who has hung up meanwhile needs no poll.
                    PollCommand::Poll { answer } if answer.is_closed() => {}
                    PollCommand::Poll { answer } => break Some(answer),
                }
            }
        };
        let held = work.permits.acquire().await;
        if asked.is_none() {
            timing.delay.observe(due.elapsed().as_secs_f64());
        }
        let observation = {
            let _one = Inflight::begin(&timing.inflight);
            prober.poll().await
        };
        drop(held);
        let down = work.fleet.record(&work.slot, &observation);
        if let Some(asked) = asked {
            drop(asked.send(observation));
            if !down {
                // It may have been polled less often: from here on it is polled each interval again.
                polls_while_down = 0;
                due = schedule::earliest(due, interval, Instant::now());
            }
            continue;
        }
        polls_while_down = if down { polls_while_down + 1 } else { 0 };
        let stride = schedule::stride(polls_while_down, interval, peer.cadence.max_interval);
        due += interval * stride + std::mem::take(&mut ahead);
        // A poll that is due already begins late; one whose successor is due too is missed.
        while due + interval <= Instant::now() {
            timing.missed.inc();
            due += interval;
        }
    }
}

/// Counts a poll as under way while it lives, also when its task is aborted.
struct Inflight<'a>(&'a IntGauge);

impl<'a> Inflight<'a> {
    fn begin(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Inflight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

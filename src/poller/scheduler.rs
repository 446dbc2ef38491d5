//! Runs one task per peer, which polls it at a fixed rate and at its own phase of the interval. A
//! reload replaces only the tasks of peers whose configuration changed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::{Endpoint, TlsSettings, system_roots_generation};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::config::{self, Capacity, Config, Limits};
use crate::fleet::{Fleet, Health, Slot};
use crate::supervisor::liveness::{Part, Pulse};
use crate::supervisor::{Supervisor, TaskSet};

use super::commands::{Command, CommandQueue, PeerCommands};
use super::permits::{MAX_INFLIGHT, PER_HOST_INFLIGHT, PeerPermits, Permits};
use super::prober::Prober;
use super::schedule;
use super::schedule_key::schedule_key;

/// How often a peer is asked for its release.
const RELEASE_INTERVAL: Duration = Duration::from_secs(3600);

/// How long to wait for the state of a peer that is sampled.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Metrics of the schedule as a whole, kept in the Prometheus registry.
#[derive(Clone, Debug)]
pub struct ScheduleMetrics {
    inflight: IntGauge,
    delay: Histogram,
    missed: IntCounter,
    capacity: GaugeVec,
    waits: IntCounterVec,
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
            capacity: GaugeVec::new(
                Opts::new(
                    "convex_monitor_poll_capacity_ratio",
                    "Polls that can be in progress at once if each takes its full timeout, in relation to the limit.",
                ),
                &["limit"],
            )?,
            waits: IntCounterVec::new(
                Opts::new(
                    "convex_monitor_poll_waits_total",
                    "Polls and queries that had to wait for others because of the limit.",
                ),
                &["limit"],
            )?,
        };
        for limit in [MAX_INFLIGHT, PER_HOST_INFLIGHT] {
            metrics.capacity.with_label_values(&[limit]);
            metrics.waits.with_label_values(&[limit]);
        }
        registry.register(Box::new(metrics.inflight.clone()))?;
        registry.register(Box::new(metrics.delay.clone()))?;
        registry.register(Box::new(metrics.missed.clone()))?;
        registry.register(Box::new(metrics.capacity.clone()))?;
        registry.register(Box::new(metrics.waits.clone()))?;
        Ok(metrics)
    }

    fn set_capacity(&self, capacity: &Capacity) {
        for (limit, ratio) in [
            (MAX_INFLIGHT, capacity.total_ratio()),
            (PER_HOST_INFLIGHT, capacity.host_ratio()),
        ] {
            self.capacity.with_label_values(&[limit]).set(ratio);
        }
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
    commands: Arc<PeerCommands>,
    tls: Arc<TlsSettings>,
    metrics: ScheduleMetrics,
    limits: Option<Limits>,
    permits: Arc<Permits>,
    tasks: TaskSet<PollSettings>,
}

/// What a change of replaces a peer's task.
#[derive(Debug, PartialEq)]
struct PollSettings {
    peer: Arc<config::Peer>,
    /// Generation of the system's root certificates, if the peer's certificate depends on them.
    roots: Option<u64>,
}

/// The poll loop of one peer.
struct PollLoop {
    peer: Arc<config::Peer>,
    slot: Arc<Slot>,
    fleet: Arc<Fleet>,
    commands: Arc<CommandQueue>,
    tls: Arc<TlsSettings>,
    max_response_bytes: usize,
    permits: PeerPermits,
    metrics: ScheduleMetrics,
    pulse: Pulse,
}

impl Scheduler {
    /// Creates a scheduler without peers, which executes `commands`.
    #[must_use]
    pub fn new(
        fleet: Arc<Fleet>,
        commands: Arc<PeerCommands>,
        metrics: ScheduleMetrics,
        supervisor: Supervisor,
    ) -> Self {
        let limits = Limits {
            max_inflight: 1,
            max_response_bytes: 1,
            per_host_inflight: 1,
        };
        Self {
            fleet,
            commands,
            tls: Arc::default(),
            permits: Arc::new(Permits::new(&limits, &metrics.waits)),
            metrics,
            limits: None,
            tasks: TaskSet::new(supervisor),
        }
    }

    /// Applies `config`, which the fleet must have applied before: the tasks of unchanged peers
    /// continue, those of changed peers are replaced, those of removed peers end.
    pub fn apply(&mut self, config: &Config) {
        if self.limits.as_ref() != Some(&config.limits) {
            // Every task holds the permits it was started with, so new limits replace all tasks.
            self.permits = Arc::new(Permits::new(&config.limits, &self.metrics.waits));
            self.limits = Some(config.limits.clone());
            self.tasks.clear();
        }
        let slots: HashMap<String, Arc<Slot>> = self
            .fleet
            .slots()
            .into_iter()
            .map(|slot| (slot.peer().name.clone(), slot))
            .collect();
        self.commands.retain(|name| slots.contains_key(name));
        let peers: Vec<_> = slots
            .iter()
            .map(|(name, slot)| (name.clone(), PollSettings::new(slot.peer())))
            .collect();
        let watched = peers.iter().map(|(_, settings)| settings.peer.as_ref());
        self.metrics
            .set_capacity(&Capacity::of(watched, &config.limits));
        let Self {
            fleet,
            commands,
            tls,
            metrics,
            permits,
            tasks,
            ..
        } = self;
        tasks.apply(peers, |name, settings, supervisor| {
            let peer = &settings.peer;
            let task = format!("polls of {name}");
            let poll_loop = PollLoop {
                permits: permits.for_hosts(peer.endpoints.iter().map(Endpoint::host)),
                peer: Arc::clone(peer),
                slot: Arc::clone(&slots[name]),
                fleet: Arc::clone(fleet),
                commands: commands.open(name),
                tls: Arc::clone(tls),
                max_response_bytes: config.limits.max_response_bytes,
                metrics: metrics.clone(),
                pulse: supervisor.liveness().pulse(Part::Polling, task.clone()),
            };
            let poll_loop = Arc::new(poll_loop);
            let mut starts = 0;
            supervisor.start(task, move || {
                // A reply that triggers a bug does not end the monitoring of the peer, but costs a
                // poll. The record survives a panic; the next poll completes it.
                poll_loop.metrics.missed.inc_by(u64::from(starts > 0));
                starts = 1;
                // Such a peer must not make the whole agent look stuck.
                poll_loop.pulse.turned();
                let poll_loop = Arc::clone(&poll_loop);
                async move { match poll_loop.run().await {} }
            });
        });
    }
}

impl PollSettings {
    fn new(peer: Arc<config::Peer>) -> Self {
        let is_https = |endpoint: &Endpoint| endpoint.url().scheme() == "https";
        let needs_roots = peer.http.ca.is_none() && peer.endpoints.iter().any(is_https);
        Self {
            roots: needs_roots.then(system_roots_generation),
            peer,
        }
    }
}

impl PollLoop {
    /// Polls the peer forever, and executes the commands of others between two polls.
    async fn run(&self) -> Infallible {
        let Self { peer, metrics, .. } = self;
        let interval = peer.polling.interval;
        let mut prober = Prober::new(Arc::clone(peer), self.max_response_bytes, &self.tls);
        let phase = schedule::phase(&schedule_key(peer), interval);
        let until_slot = schedule::until_next_slot(SystemTime::now(), phase, interval);
        let mut head_start = schedule::head_start(until_slot, interval);
        let mut due = Instant::now() + until_slot - head_start;
        let mut polls_while_down = 0;
        let mut release_due = Instant::now();
        let mut restarts = 0;
        let mut commands = self.commands.receiver().await;
        loop {
            let until_due = due.saturating_duration_since(Instant::now());
            self.pulse.expect(until_due + peer.polling.timeout);
            let requester = loop {
                tokio::select! {
                    biased;
                    () = sleep_until(due) => break None,
                    command = commands.recv() => match command {
                        // Boxed, because these are rare and would take space in each peer's task.
                        Command::Query { query, reply } => {
                            Box::pin(self.answer(prober.ask(&query), reply, due)).await;
                        }
                        Command::BeliefHead { reply } => {
                            Box::pin(self.answer(prober.belief_head(), reply, due)).await;
                        }
                        Command::Cells { hashes, reply } => {
                            Box::pin(self.answer(prober.cells(&hashes), reply, due)).await;
                        }
                        Command::Sample { mut reply } => {
                            let sample = Box::pin(async {
                                let _permits = self.permits.acquire().await;
                                prober.sample_state(Instant::now() + SAMPLE_TIMEOUT).await
                            });
                            let sampled = tokio::select! {
                                sampled = sample => sampled.ok(),
                                () = sleep_until(due) => None,
                                () = reply.closed() => None,
                            };
                            let block = sampled.map(|sampled| {
                                let pair = sampled.value;
                                let state = (pair.block, pair.hash.into());
                                self.fleet.record_sample(&self.slot, state);
                                pair.block
                            });
                            reply.send(block).ok();
                        }
                        Command::Poll { reply } => break Some(reply),
                    }
                }
            };
            // With too few permits the wait can be long, for example while a network is down.
            self.pulse.turned();
            let permits = self.permits.acquire().await;
            self.pulse.expect(peer.polling.timeout);
            if requester.is_none() {
                metrics.delay.observe(due.elapsed().as_secs_f64());
            }
            let observation = {
                let _guard = InflightGuard::new(&metrics.inflight);
                prober.poll().await
            };
            drop(permits);
            self.fleet
                .record_poll_of(&self.peer, &self.slot, &observation);
            self.pulse.turned();
            let down = self.slot.record().health == Health::Down;
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
            let known = self.slot.record();
            if known.restarts != restarts {
                restarts = known.restarts;
                release_due = Instant::now();
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
            if known.last_poll.is_good() && Instant::now() >= release_due {
                release_due = Instant::now() + RELEASE_INTERVAL;
                // Boxed, because it is rare.
                Box::pin(self.ask_release(&mut prober, due)).await;
            }
        }
    }
}

impl PollLoop {
    /// Asks the peer for its release, unless the next poll is due before.
    async fn ask_release(&self, prober: &mut Prober, due: Instant) {
        let deadline = due.min(Instant::now() + self.peer.polling.timeout);
        let asking = async {
            let _permits = self.permits.acquire().await;
            prober.release(deadline).await
        };
        match timeout_at(deadline, asking).await {
            Ok(Some(Ok(release))) => self.fleet.record_release(&self.slot, release.as_deref()),
            // What it told before stands for a while.
            Ok(Some(Err(failure))) => {
                tracing::debug!(peer.name = %self.peer.name, %failure, "the peer did not tell its release");
            }
            Ok(None) | Err(_) => {}
        }
    }

    /// Sends what `request` returns to `reply`, unless the next poll is due before, or the
    /// requester has given up.
    async fn answer<T>(
        &self,
        request: impl Future<Output = T>,
        mut reply: oneshot::Sender<T>,
        due: Instant,
    ) {
        let answer = async {
            let _permits = self.permits.acquire().await;
            request.await
        };
        tokio::select! {
            answer = answer => drop(reply.send(answer)),
            () = sleep_until(due) => {}
            () = reply.closed() => {}
        }
    }
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

//! Tells others of the agent's verdicts, without a Prometheus in between: Alertmanagers, webhooks, a dead man's switch.

mod alertmanager;
mod counts;
mod heartbeat;
mod message;
mod outbox;
mod sender;
#[cfg(test)]
mod tests;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alerting::{MonitorFacts, Seen};
use crate::config::active::ActiveConfig;
use crate::config::shard::Shard;
use crate::config::{self, Config, HEARTBEAT_RECEIVER, Target};
use crate::fleet::Fleet;
use crate::poller::Timing;

pub use counts::Counts;
pub use message::{Links, Status, Transition};
pub use outbox::{Kept, Outbox};
use sender::Sender;

/// From one look at the verdicts to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a transition waits for the disk before it is told all the same.
const SAVED_WITHIN: Duration = Duration::from_secs(5);

/// A missed poll is told of for so long.
const MISSED_LATELY: Duration = Duration::from_secs(300);

/// Asks for the state to be written now; the answer comes when it was tried.
pub type SaveRequest = oneshot::Sender<()>;

/// What the notifier works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Whose verdicts are told.
    pub fleet: Arc<Fleet>,
    /// What was told, and what is still to be.
    pub outbox: Arc<Outbox>,
    /// What was delivered, and what was not.
    pub counts: Counts,
    /// Whether polls are missed.
    pub timing: Timing,
    /// This agent's part of the fleet.
    pub shard: Shard,
    /// Ends everything.
    pub stop: CancellationToken,
}

/// All receivers, a task each.
#[derive(Debug)]
pub struct Notifier {
    parts: Parts,
    receivers: BTreeMap<String, Receiver>,
    tracker: TaskTracker,
}

/// A receiver's task, as long as its configuration stays.
#[derive(Debug)]
struct Receiver {
    to: To,
    stop: CancellationToken,
}

#[derive(Clone, Debug, PartialEq)]
enum To {
    Alertmanager(config::Alertmanager, Context),
    Webhook(config::Webhook),
    Heartbeat(config::Heartbeat),
}

/// What every alert carries besides its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// The agent's name.
    pub vantage: String,
    /// The operator's labels.
    pub labels: BTreeMap<String, String>,
    /// Where the agent's own pages are.
    pub links: Links,
}

impl Context {
    /// As `config` has it.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            vantage: config.vantage.clone(),
            labels: config.notify.labels.clone(),
            links: Links::of(config),
        }
    }
}

impl Notifier {
    /// Tells nobody yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            receivers: BTreeMap::new(),
            tracker: TaskTracker::new(),
        }
    }

    /// Makes the receivers those of `config`: an untouched one keeps its task, a webhook what it was not told yet.
    pub fn apply(&mut self, config: &Config) {
        let mut wanted = wanted(config);
        self.receivers.retain(|name, receiver| {
            let stays = wanted.get(name) == Some(&receiver.to);
            if stays {
                wanted.remove(name);
            } else {
                receiver.stop.cancel();
            }
            stays
        });
        self.parts.counts.only(config.notify.receivers());
        self.parts
            .outbox
            .only(config.notify.webhooks.iter().map(|it| it.name.as_str()));
        for (name, to) in wanted {
            let stop = self.parts.stop.child_token();
            self.start(&name, to.clone(), stop.clone());
            self.receivers.insert(name, Receiver { to, stop });
        }
    }

    fn start(&self, name: &str, to: To, stop: CancellationToken) {
        let sender = |target: &Target| Sender::new(name, target, self.parts.counts.clone());
        let outbox = Arc::clone(&self.parts.outbox);
        match to {
            To::Alertmanager(it, context) => {
                let sender = sender(&it.target);
                self.tracker
                    .spawn(alertmanager::run(sender, context, outbox, stop));
            }
            To::Webhook(it) => {
                let sender = sender(&it.target);
                self.tracker.spawn(webhook::run(sender, outbox, stop));
            }
            To::Heartbeat(it) => {
                let sender = sender(&it.target);
                let fleet = Arc::clone(&self.parts.fleet);
                self.tracker
                    .spawn(heartbeat::run(sender, it.interval, fleet, stop));
            }
        }
    }

    /// Waits until all requests under way have ended; `stop` must be cancelled.
    pub async fn drained(self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn wanted(config: &Config) -> BTreeMap<String, To> {
    let notify = &config.notify;
    let alertmanagers = notify.alertmanagers.iter().map(|it| {
        let to = To::Alertmanager(it.clone(), Context::of(config));
        (it.name.clone(), to)
    });
    let webhooks = notify
        .webhooks
        .iter()
        .map(|it| (it.name.clone(), To::Webhook(it.clone())));
    let heartbeat = notify
        .heartbeat
        .iter()
        .map(|it| (HEARTBEAT_RECEIVER.to_owned(), To::Heartbeat(it.clone())));
    alertmanagers.chain(webhooks).chain(heartbeat).collect()
}

/// Looks at the verdicts once a second until the end, and puts what has changed into the outbox. `saves` puts the outbox on
/// disk, where there is one.
pub async fn watch(
    parts: Parts,
    current: Arc<ActiveConfig>,
    saves: Option<mpsc::Sender<SaveRequest>>,
) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut missed = Missed::default();
    while parts.stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let in_force = current.get();
        let notify = &in_force.config.notify;
        if notify.alertmanagers.is_empty() && notify.webhooks.is_empty() {
            continue;
        }
        let snapshot = parts.fleet.snapshot();
        let monitor = MonitorFacts {
            reload_successful: in_force.reload_successful,
            misses_polls: missed.lately(parts.timing.missed(), snapshot.now),
            failing_receivers: parts.counts.failing(),
            shard: parts.shard,
        };
        let seen = Seen {
            snapshot: &snapshot,
            monitor: &monitor,
        };
        let context = Context::of(&in_force.config);
        if parts.outbox.look(seen, &context, &notify.webhooks) {
            // Whoever is told twice must be able to see that it is the same: first the disk, then the wire.
            if let Some(saves) = &saves
                && timeout(SAVED_WITHIN, save(saves)).await.is_err()
            {
                tracing::warn!(
                    "the disk does not take the notifications in time; they are sent all the same"
                );
            }
            parts.outbox.publish();
        }
    }
}

/// Waits until the state was written, or was tried to be: its keeper tells what is wrong then.
async fn save(saves: &mpsc::Sender<SaveRequest>) {
    let (request, tried) = oneshot::channel();
    if saves.send(request).await.is_err() || tried.await.is_err() {
        tracing::debug!("nobody keeps the state any longer");
    }
}

/// When polls were missed last.
#[derive(Default)]
struct Missed {
    count: u64,
    last: Option<Instant>,
}

impl Missed {
    fn lately(&mut self, count: u64, now: Instant) -> bool {
        if count > self.count {
            self.count = count;
            self.last = Some(now);
        }
        self.last.is_some_and(|last| now - last < MISSED_LATELY)
    }
}

//! Runs one task per configured receiver and follows reloads of the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::shard::Shard;
use crate::config::{self, Config, HEARTBEAT_RECEIVER, Target};
use crate::fleet::Fleet;
use crate::poller::ScheduleMetrics;

use super::message::MessageContext;
use super::metrics::DeliveryMetrics;
use super::outbox::Outbox;
use super::sender::Sender;
use super::{alertmanager, heartbeat, webhook};

/// What the rule evaluation and the notifier depend on.
#[derive(Clone, Debug)]
pub struct Dependencies {
    /// The fleet whose verdicts raise alerts.
    pub fleet: Arc<Fleet>,
    /// Tracked alerts and undelivered notifications.
    pub outbox: Arc<Outbox>,
    /// Counters of deliveries.
    pub metrics: DeliveryMetrics,
    /// Counter of missed polls.
    pub timing: ScheduleMetrics,
    /// The shard of the fleet that belongs to this agent.
    pub shard: Shard,
    /// Stops everything.
    pub stop: CancellationToken,
}

/// The tasks of all receivers.
#[derive(Debug)]
pub struct Notifier {
    dependencies: Dependencies,
    receivers: BTreeMap<String, Receiver>,
    tracker: TaskTracker,
}

/// The task of a receiver. It runs as long as the receiver's configuration does not change.
#[derive(Debug)]
struct Receiver {
    config: ReceiverConfig,
    stop: CancellationToken,
}

#[derive(Clone, Debug, PartialEq)]
enum ReceiverConfig {
    Alertmanager(config::Alertmanager, MessageContext),
    Webhook(config::Webhook),
    Heartbeat(config::Heartbeat),
}

impl Notifier {
    /// Creates a notifier without receivers.
    #[must_use]
    pub fn new(dependencies: Dependencies) -> Self {
        Self {
            dependencies,
            receivers: BTreeMap::new(),
            tracker: TaskTracker::new(),
        }
    }

    /// Starts and stops receivers according to `config`. An unchanged receiver keeps its task; a
    /// changed webhook keeps its queue.
    pub fn apply(&mut self, config: &Config) {
        let mut to_start = receivers(config);
        self.receivers.retain(|name, receiver| {
            let unchanged = to_start.get(name) == Some(&receiver.config);
            if unchanged {
                to_start.remove(name);
            } else {
                receiver.stop.cancel();
            }
            unchanged
        });
        let Dependencies {
            metrics, outbox, ..
        } = &self.dependencies;
        metrics.set_receivers(config.notify.receivers());
        outbox.retain_webhooks(config.notify.webhooks.iter().map(|it| it.name.as_str()));
        for (name, config) in to_start {
            let stop = self.dependencies.stop.child_token();
            self.start(&name, config.clone(), stop.clone());
            self.receivers.insert(name, Receiver { config, stop });
        }
    }

    fn start(&self, name: &str, config: ReceiverConfig, stop: CancellationToken) {
        let sender = |target: &Target| Sender::new(name, target, self.dependencies.metrics.clone());
        let outbox = Arc::clone(&self.dependencies.outbox);
        match config {
            ReceiverConfig::Alertmanager(it, context) => {
                let sender = sender(&it.target);
                self.tracker
                    .spawn(alertmanager::run(sender, context, outbox, stop));
            }
            ReceiverConfig::Webhook(it) => {
                let sender = sender(&it.target);
                self.tracker.spawn(webhook::run(sender, outbox, stop));
            }
            ReceiverConfig::Heartbeat(it) => {
                let sender = sender(&it.target);
                let fleet = Arc::clone(&self.dependencies.fleet);
                self.tracker
                    .spawn(heartbeat::run(sender, it.interval, fleet, stop));
            }
        }
    }

    /// Waits until all requests in flight have ended. The stop token must be cancelled.
    pub async fn drained(self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Returns the configured receivers by name.
fn receivers(config: &Config) -> BTreeMap<String, ReceiverConfig> {
    let notify = &config.notify;
    let alertmanagers = notify.alertmanagers.iter().map(|it| {
        let context = MessageContext::from_config(config);
        let receiver = ReceiverConfig::Alertmanager(it.clone(), context);
        (it.name.clone(), receiver)
    });
    let webhooks = notify
        .webhooks
        .iter()
        .map(|it| (it.name.clone(), ReceiverConfig::Webhook(it.clone())));
    let heartbeat = notify.heartbeat.iter().map(|it| {
        let receiver = ReceiverConfig::Heartbeat(it.clone());
        (HEARTBEAT_RECEIVER.to_owned(), receiver)
    });
    alertmanagers.chain(webhooks).chain(heartbeat).collect()
}

//! Runs one task per configured receiver and follows reloads of the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use convex_client::system_roots_generation;
use tokio_util::sync::CancellationToken;

use crate::config::shard::Shard;
use crate::config::{self, Config, HEARTBEAT_RECEIVER, Target};
use crate::fleet::Fleet;
use crate::poller::ScheduleMetrics;
use crate::supervisor::liveness::{Liveness, Part, Pulse};
use crate::supervisor::{Supervisor, TaskSet};

use super::context::MessageContext;
use super::metrics::DeliveryMetrics;
use super::outbox::Outbox;
use super::sender::Sender;
use super::{alertmanager, heartbeat, service, webhook};

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
}

/// The tasks of all receivers. Each runs as long as its receiver's configuration does not change.
#[derive(Debug)]
pub struct Notifier {
    dependencies: Dependencies,
    /// By the receiver's name: its configuration, and the generation of the system's root
    /// certificates.
    receivers: TaskSet<(ReceiverConfig, u64)>,
}

#[derive(Clone, Debug, PartialEq)]
enum ReceiverConfig {
    Alertmanager(config::Alertmanager, MessageContext),
    Webhook(config::Webhook),
    Service(config::Receiver),
    Heartbeat(config::Heartbeat),
}

impl Notifier {
    /// Creates a notifier without receivers.
    #[must_use]
    pub fn new(dependencies: Dependencies, supervisor: Supervisor) -> Self {
        Self {
            dependencies,
            receivers: TaskSet::new(supervisor),
        }
    }

    /// Starts and stops receivers according to `config`. An unchanged receiver keeps its task; a
    /// changed webhook or service keeps its queue.
    pub fn apply(&mut self, config: &Config) {
        let Dependencies {
            metrics, outbox, ..
        } = &self.dependencies;
        metrics.set_receivers(config.notify.receivers());
        outbox.retain_receivers(&config.notify);
        outbox.retain_silences(
            config
                .notify
                .alertmanagers
                .iter()
                .map(|it| it.name.as_str()),
        );
        let roots = system_roots_generation();
        let wanted = receivers(config).into_iter();
        let wanted = wanted.map(|(name, receiver)| (name, (receiver, roots)));
        let dependencies = &self.dependencies;
        self.receivers
            .apply(wanted, |name, (config, _), supervisor| {
                let (dependencies, config) = (dependencies.clone(), config.clone());
                let (receiver, liveness) = (name.to_owned(), supervisor.liveness().clone());
                let name = format!("notifications to {name}");
                let pulse = liveness.pulse(Part::Notifications, name.clone());
                supervisor.start_finishing(name, move |stop| {
                    deliver(
                        receiver.clone(),
                        config.clone(),
                        dependencies.clone(),
                        (pulse.clone(), liveness.clone()),
                        stop,
                    )
                });
            });
    }
}

/// Delivers to one receiver until `stop`.
async fn deliver(
    name: String,
    config: ReceiverConfig,
    dependencies: Dependencies,
    (pulse, liveness): (Pulse, Liveness),
    stop: CancellationToken,
) {
    let Dependencies {
        fleet,
        outbox,
        metrics,
        ..
    } = dependencies;
    let sender = |target: &Target| Sender::new(&name, target, metrics, Arc::clone(&fleet));
    match config {
        ReceiverConfig::Alertmanager(it, context) => {
            alertmanager::run(sender(&it.target), context, outbox, pulse, stop).await;
        }
        ReceiverConfig::Webhook(it) => webhook::run(sender(&it.target), outbox, pulse, stop).await,
        ReceiverConfig::Service(it) => {
            service::run(sender(&it.target), it, outbox, pulse, stop).await;
        }
        ReceiverConfig::Heartbeat(it) => {
            let pulse = (pulse, liveness);
            heartbeat::run(sender(&it.target), it.interval, fleet, pulse, stop).await;
        }
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
    let services = notify
        .receivers
        .iter()
        .map(|it| (it.name.clone(), ReceiverConfig::Service(it.clone())));
    let heartbeat = notify.heartbeat.iter().map(|it| {
        let receiver = ReceiverConfig::Heartbeat(it.clone());
        (HEARTBEAT_RECEIVER.to_owned(), receiver)
    });
    alertmanagers
        .chain(webhooks)
        .chain(services)
        .chain(heartbeat)
        .collect()
}

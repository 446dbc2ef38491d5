//! The outbox: tracked alerts and one bounded queue of notifications per webhook. Notifications are
//! saved by the state writer before they are published to the receivers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::alerting::{Alert, AlertSubject, AlertTracker, PersistedAlert, RuleInput};
use crate::config::Webhook;
use crate::fleet::Rename;

use super::message::{MessageContext, WebhookMessage};

/// Largest number of messages queued for one webhook; beyond it the oldest are dropped.
const MAX_QUEUE_LENGTH: usize = 10_000;

/// Tracked alerts and undelivered notifications.
#[derive(Debug)]
pub struct Outbox {
    inner: Mutex<Inner>,
    published: watch::Sender<()>,
}

/// The content of an outbox in the form that is saved across restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistedOutbox {
    alerts: Vec<PersistedAlert>,
    queues: BTreeMap<String, Vec<WebhookMessage>>,
}

impl PersistedOutbox {
    /// Returns whether there are neither alerts nor messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.queues.values().all(Vec::is_empty)
    }
}

#[derive(Debug, Default)]
struct Inner {
    alert_tracker: AlertTracker,
    /// Number of times that peers got other names.
    renames: u64,
    /// Queues by webhook name.
    queues: BTreeMap<String, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Oldest first.
    messages: VecDeque<WebhookMessage>,
    /// Number of messages at the front that may be sent.
    published: usize,
    /// Number of messages dropped since this was last reported.
    dropped: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            published: watch::Sender::new(()),
        }
    }
}

impl Outbox {
    /// Restores saved content. Must be called before the first evaluation.
    pub fn restore(&self, persisted: PersistedOutbox) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut inner = self.lock();
        inner.alert_tracker = AlertTracker::restore(persisted.alerts, now, wall);
        let queue = |messages: Vec<WebhookMessage>| Queue {
            published: messages.len(),
            messages: messages.into(),
            dropped: 0,
        };
        let queues = persisted.queues.into_iter();
        inner.queues = queues
            .map(|(name, messages)| (name, queue(messages)))
            .collect();
    }

    /// Returns the content in the form that is saved across restarts.
    #[must_use]
    pub fn export(&self) -> PersistedOutbox {
        let inner = self.lock();
        let queues = inner.queues.iter();
        PersistedOutbox {
            alerts: inner.alert_tracker.export(),
            queues: queues
                .map(|(name, queue)| (name.clone(), queue.messages.iter().cloned().collect()))
                .collect(),
        }
    }

    /// Continues the alerts of the peers that `rename` gives another name. No rule is evaluated
    /// meanwhile.
    pub fn rename_with(&self, rename: impl FnOnce() -> Vec<Rename>) -> Vec<Rename> {
        let mut inner = self.lock();
        let renames = rename();
        inner.renames += u64::from(!renames.is_empty());
        for rename in &renames {
            inner.alert_tracker.rename(rename);
        }
        renames
    }

    /// Returns a number that changes when peers get other names.
    pub(in crate::alerting) fn renames(&self) -> u64 {
        self.lock().renames
    }

    /// Evaluates all rules and queues messages for the webhooks. Returns whether any alert started
    /// to fire or was resolved; [`Self::publish`] must follow.
    ///
    /// Does nothing if peers got other names since `renames` was read, before the snapshot.
    pub(in crate::alerting) fn evaluate(
        &self,
        renames: u64,
        input: RuleInput<'_>,
        context: &MessageContext,
        webhooks: &[Webhook],
    ) -> bool {
        let mut inner = self.lock();
        if inner.renames != renames {
            return false;
        }
        let changed_alerts = inner.alert_tracker.evaluate(input, &context.vantage);
        for alert in &changed_alerts {
            log_transition(alert);
            let accepts = |webhook: &&Webhook| {
                alert.rule.severity >= webhook.min_severity
                    && (alert.ends_at.is_none() || webhook.send_resolved)
            };
            for webhook in webhooks.iter().filter(accepts) {
                let message = WebhookMessage::new(alert, context, &webhook.name);
                let queue = inner.queues.entry(webhook.name.clone()).or_default();
                queue.push(message);
            }
        }
        !changed_alerts.is_empty()
    }

    /// Allows all queued messages to be sent.
    pub(in crate::alerting) fn publish(&self) {
        for queue in self.lock().queues.values_mut() {
            queue.published = queue.messages.len();
        }
        self.published.send_replace(());
    }

    /// Returns a receiver that changes with each call of [`Self::publish`].
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.published.subscribe()
    }

    /// Returns the alerts that are firing or recently resolved.
    pub(super) fn alerts(&self) -> Vec<Alert> {
        self.lock().alert_tracker.alerts()
    }

    /// Returns the first published message for a webhook, and the number of messages dropped since
    /// the last call.
    pub(super) fn first(&self, webhook: &str) -> (Option<WebhookMessage>, usize) {
        let mut inner = self.lock();
        let Some(queue) = inner.queues.get_mut(webhook) else {
            return (None, 0);
        };
        let first = queue.messages.front().filter(|_| queue.published > 0);
        (first.cloned(), std::mem::take(&mut queue.dropped))
    }

    /// Removes the first message for a webhook if its id is `id`.
    pub(super) fn remove(&self, webhook: &str, id: &str) {
        if let Some(queue) = self.lock().queues.get_mut(webhook)
            && queue.messages.front().is_some_and(|it| it.id == id)
        {
            queue.pop();
        }
    }

    /// Drops the queues of all webhooks but these.
    pub(super) fn retain_webhooks<'a>(&self, webhooks: impl Iterator<Item = &'a str>) {
        let webhooks: BTreeSet<&str> = webhooks.collect();
        self.lock().queues.retain(|name, queue| {
            let retained = webhooks.contains(name.as_str());
            let (receiver, dropped) = (name, queue.messages.len());
            if !retained && dropped > 0 {
                tracing::warn!(
                    %receiver, dropped,
                    "webhook removed from the configuration; its queued notifications were dropped"
                );
            }
            retained
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic leaves the content consistent: a message is either queued or not.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, message: WebhookMessage) {
        self.messages.push_back(message);
        if self.messages.len() > MAX_QUEUE_LENGTH {
            self.pop();
            self.dropped += 1;
        }
    }

    fn pop(&mut self) {
        self.messages.pop_front();
        self.published = self.published.saturating_sub(1);
    }
}

fn log_transition(alert: &Alert) {
    let name = alert.rule.name;
    let (peer, network) = match &alert.subject {
        AlertSubject::Peer { peer, network } => (Some(peer.as_str()), Some(network.as_str())),
        AlertSubject::Network { network } => (None, Some(network.as_str())),
        AlertSubject::Monitor => (None, None),
    };
    if alert.ends_at.is_some() {
        tracing::info!(
            alertname = name,
            peer.name = peer,
            peer.network = network,
            "alert resolved"
        );
    } else {
        tracing::warn!(
            alertname = name, peer.name = peer, peer.network = network,
            description = %alert.description, "alert firing"
        );
    }
}

//! The outbox: tracked alerts, and for each webhook what it knows and a bounded queue of
//! messages. Messages are saved by the state writer before they are published to the receivers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::alerting::inhibition::FiringAlerts;
use crate::alerting::operator_actions::{ActionKind, ActionStore, SavedAction};
use crate::alerting::{
    Alert, AlertSubject, AlertTracker, OperatorAction, PersistedAlert, RuleInput,
};
use crate::config::Webhook;
use crate::fleet::Rename;

use super::context::MessageContext;
use super::grouping::{Grouping, SentAlert};
use super::message::WebhookMessage;
use super::silences::SilenceIds;

/// Largest number of alerts in the messages queued for one webhook; beyond it the oldest messages are
/// dropped.
const MAX_QUEUED_ALERTS: usize = 10_000;

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
    /// What each webhook knows; absent in files of earlier versions, which sent each alert at once.
    #[serde(default)]
    sent: Option<BTreeMap<String, Vec<SentAlert>>>,
    /// What operators say about alerts and peers; absent in files of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    actions: Vec<SavedAction>,
    /// Ids of silences by Alertmanager and what identifies the action.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    silences: BTreeMap<String, SilenceIds>,
}

impl PersistedOutbox {
    /// Returns whether there are neither alerts nor messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty()
            && self.actions.is_empty()
            && self.silences.is_empty()
            && self.queues.values().all(Vec::is_empty)
    }
}

#[derive(Debug, Default)]
struct Inner {
    alert_tracker: AlertTracker,
    /// Number of times that peers got other names.
    renames: u64,
    /// Whether alerts got other subjects since the last evaluation.
    renamed: bool,
    /// Queues by webhook name.
    queues: BTreeMap<String, Queue>,
    /// What each webhook knows, by its name.
    groupings: BTreeMap<String, Grouping>,
    /// Ids of silences by Alertmanager.
    silences: BTreeMap<String, SilenceIds>,
    /// Whether the restored alerts were sent to webhooks without a record of it.
    sent_unrecorded: bool,
}

#[derive(Debug, Default)]
struct Queue {
    /// Oldest first.
    messages: VecDeque<WebhookMessage>,
    /// Number of alerts in them.
    alerts: usize,
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
        inner.sent_unrecorded = persisted.sent.is_none() && !persisted.alerts.is_empty();
        inner.alert_tracker = AlertTracker::restore(persisted.alerts, now, wall);
        inner.alert_tracker.actions = ActionStore::restore(persisted.actions, now, wall);
        inner.silences = persisted.silences;
        let sent = persisted.sent.unwrap_or_default().into_iter();
        inner.groupings = sent
            .map(|(name, sent)| (name, Grouping::restore(sent)))
            .collect();
        let queue = |messages: Vec<WebhookMessage>| Queue {
            alerts: messages.iter().map(WebhookMessage::alerts).sum(),
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
            actions: inner.alert_tracker.actions.export(),
            silences: inner.silences.clone(),
            queues: queues
                .map(|(name, queue)| (name.clone(), queue.messages.iter().cloned().collect()))
                .collect(),
            sent: Some(
                inner
                    .groupings
                    .iter()
                    .map(|(name, grouping)| (name.clone(), grouping.export()))
                    .collect(),
            ),
        }
    }

    /// Continues the alerts of the peers that `rename` gives another name. No rule is evaluated
    /// meanwhile.
    pub fn rename_with(&self, rename: impl FnOnce() -> Vec<Rename>) -> Vec<Rename> {
        let mut inner = self.lock();
        let renames = rename();
        if !renames.is_empty() {
            inner.renames += 1;
            let (now, wall) = (Instant::now(), SystemTime::now());
            inner.renamed |= inner.alert_tracker.rename(&renames, now, wall);
        }
        renames
    }

    /// Returns a number that changes when peers get other names.
    pub(in crate::alerting) fn renames(&self) -> u64 {
        self.lock().renames
    }

    /// Evaluates all rules and queues the messages for the webhooks that are due. Returns whether
    /// any alert started to fire or ended, or a message was queued; [`Self::publish`] must follow.
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
        let subjects_changed = std::mem::take(&mut inner.renamed);
        let sent_unrecorded = std::mem::take(&mut inner.sent_unrecorded);
        let Inner {
            alert_tracker,
            queues,
            groupings,
            ..
        } = &mut *inner;
        if sent_unrecorded {
            for webhook in webhooks {
                let grouping = groupings.entry(webhook.name.clone()).or_default();
                grouping.assume_sent(alert_tracker.alerts());
            }
        }
        let changed_alerts = alert_tracker.evaluate(input, &context.vantage);
        for alert in &changed_alerts {
            log_transition(alert);
        }
        let alerts: Vec<&Alert> = alert_tracker.alerts().collect();
        let firing = FiringAlerts::new(alerts.iter().copied());
        let mut any_message = false;
        for webhook in webhooks {
            let grouping = groupings.entry(webhook.name.clone()).or_default();
            let now = input.snapshot.now;
            for message in grouping.due(&alerts, &firing, webhook, context, now) {
                any_message = true;
                let queue = queues.entry(webhook.name.clone()).or_default();
                queue.push(message);
            }
        }
        let marks_changed = alert_tracker.take_marks_changed();
        any_message || subjects_changed || marks_changed || !changed_alerts.is_empty()
    }

    /// Gives access to the tracked alerts and to what operators say about them.
    pub(in crate::alerting) fn with_tracker<T>(
        &self,
        access: impl FnOnce(&mut AlertTracker) -> T,
    ) -> T {
        access(&mut self.lock().alert_tracker)
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

    /// Returns the alerts that are firing or recently ended.
    pub(super) fn alerts(&self) -> Vec<Alert> {
        self.lock().alert_tracker.alerts().cloned().collect()
    }

    /// Returns what an Alertmanager should silence: firing alerts that somebody has acknowledged, and
    /// all silences.
    pub(super) fn wanted_silences(&self) -> Vec<OperatorAction> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let tracker = &self.lock().alert_tracker;
        let actions = tracker.actions.actions(now, wall).into_iter();
        let silences = actions.filter(|action| action.kind == ActionKind::Silence);
        let firing = tracker.firing();
        let acknowledged = firing.filter_map(|(alert, _)| alert.acknowledged.clone());
        acknowledged.chain(silences).collect()
    }

    /// Returns the ids of the silences in an Alertmanager.
    pub(super) fn silence_ids(&self, receiver: &str) -> SilenceIds {
        self.lock()
            .silences
            .get(receiver)
            .cloned()
            .unwrap_or_default()
    }

    /// Sets the ids of the silences in an Alertmanager.
    pub(super) fn set_silence_ids(&self, receiver: &str, ids: SilenceIds) {
        let silences = &mut self.lock().silences;
        if ids.is_empty() {
            silences.remove(receiver);
        } else {
            silences.insert(receiver.to_owned(), ids);
        }
    }

    /// Forgets the silences in all Alertmanagers but these.
    pub(super) fn retain_silences<'a>(&self, receivers: impl Iterator<Item = &'a str>) {
        let receivers: BTreeSet<&str> = receivers.collect();
        let silences = &mut self.lock().silences;
        silences.retain(|name, _| receivers.contains(name.as_str()));
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

    /// Drops the queues of all webhooks but these, and what the others know.
    pub(super) fn retain_webhooks<'a>(&self, webhooks: impl Iterator<Item = &'a str>) {
        let webhooks: BTreeSet<&str> = webhooks.collect();
        let mut inner = self.lock();
        inner
            .groupings
            .retain(|name, _| webhooks.contains(name.as_str()));
        inner.queues.retain(|name, queue| {
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
        self.alerts += message.alerts();
        self.messages.push_back(message);
        while self.alerts > MAX_QUEUED_ALERTS {
            self.pop();
            self.dropped += 1;
        }
    }

    fn pop(&mut self) {
        let popped = self.messages.pop_front();
        self.alerts -= popped.map_or(0, |message| message.alerts());
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
            ended_by = alert.ended_by.as_ref().map(ToString::to_string),
            "alert resolved"
        );
    } else {
        tracing::warn!(
            alertname = name, peer.name = peer, peer.network = network,
            description = %alert.description, "alert firing"
        );
    }
}

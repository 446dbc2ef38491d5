//! The outbox: tracked alerts, and for each receiver what it knows and a bounded queue of
//! messages. Messages are saved by the state writer before they are published to the receivers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::alerting::inhibition::FiringAlerts;
use crate::alerting::operator_actions::{ActionKind, ActionStore, SavedAction};
use crate::alerting::{Alert, AlertTracker, OperatorAction, PersistedAlert, RuleInput};
use crate::config::{Notify, Receiver};
use crate::fleet::Rename;

use super::context::MessageContext;
use super::grouping::{Grouping, SentAlert};
use super::incident::{Notice, Step};
use super::message::WebhookMessage;
use super::queue::Queue;
use super::service::style;
use super::service_state::{FirstNotice, PersistedService, ServiceState};
use super::silences::SilenceIds;

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
    /// What each receiver knows; absent in files of earlier versions, which sent each alert at
    /// once.
    #[serde(default)]
    sent: Option<BTreeMap<String, Vec<SentAlert>>>,
    /// Incidents and messages of each chat or paging service; absent in files of earlier versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    services: BTreeMap<String, PersistedService>,
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
            && self.services.is_empty()
    }
}

#[derive(Debug, Default)]
struct Inner {
    alert_tracker: AlertTracker,
    /// Number of times that peers got other names.
    renames: u64,
    /// Whether alerts got other subjects since the last evaluation.
    renamed: bool,
    /// Alerts that have begun or ended and are not reported yet.
    transitions: Vec<Alert>,
    /// Queues by webhook name.
    queues: BTreeMap<String, Queue<WebhookMessage>>,
    /// Incidents and queues of chat and paging services, by name.
    services: BTreeMap<String, ServiceState>,
    /// What each receiver knows, by its name.
    groupings: BTreeMap<String, Grouping>,
    /// Whether a service has answered with something to save.
    answered: bool,
    /// Ids of silences by Alertmanager.
    silences: BTreeMap<String, SilenceIds>,
    /// Whether the restored alerts were sent to webhooks without a record of it.
    sent_unrecorded: bool,
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
        inner.alert_tracker.mark_restored(now, wall);
        inner.silences = persisted.silences;
        let sent = persisted.sent.unwrap_or_default().into_iter();
        inner.groupings = sent
            .map(|(name, sent)| (name, Grouping::restore(sent)))
            .collect();
        let queues = persisted.queues.into_iter();
        inner.queues = queues
            .map(|(name, messages)| (name, Queue::restore(messages)))
            .collect();
        let services = persisted.services.into_iter();
        inner.services = services
            .map(|(name, saved)| (name, ServiceState::restore(saved)))
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
                .map(|(name, queue)| (name.clone(), queue.export()))
                .collect(),
            services: inner
                .services
                .iter()
                .map(|(name, state)| (name.clone(), state.export()))
                .filter(|(_, saved)| *saved != PersistedService::default())
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

    /// Evaluates all rules and queues the messages that are due. Returns whether there is something
    /// to save: an alert started to fire or ended, a message was queued, or a service has named a
    /// message; [`Self::publish`] must follow.
    ///
    /// Does nothing if peers got other names since `renames` was read, before the snapshot.
    pub(in crate::alerting) fn evaluate(
        &self,
        renames: u64,
        input: RuleInput<'_>,
        context: &MessageContext,
        notify: &Notify,
    ) -> bool {
        let mut inner = self.lock();
        if inner.renames != renames {
            return false;
        }
        let subjects_changed = std::mem::take(&mut inner.renamed);
        let sent_unrecorded = std::mem::take(&mut inner.sent_unrecorded);
        let answered = std::mem::take(&mut inner.answered);
        let Inner {
            alert_tracker,
            queues,
            services,
            groupings,
            ..
        } = &mut *inner;
        if sent_unrecorded {
            for webhook in &notify.webhooks {
                let grouping = groupings.entry(webhook.name.clone()).or_default();
                grouping.assume_sent(alert_tracker.alerts());
            }
        }
        let changed_alerts = alert_tracker.evaluate(input, &context.vantage);
        let alerts: Vec<&Alert> = alert_tracker.alerts().collect();
        let firing = FiringAlerts::new(alerts.iter().copied());
        let mut any_message = false;
        let now = input.snapshot.now;
        for webhook in &notify.webhooks {
            let grouping = groupings.entry(webhook.name.clone()).or_default();
            for due in grouping.due(&alerts, &firing, webhook.into(), now) {
                for message in WebhookMessage::all(&due, context, &webhook.name) {
                    any_message = true;
                    let queue = queues.entry(webhook.name.clone()).or_default();
                    queue.push(message);
                }
            }
        }
        let step = Step {
            alerts: &alerts,
            context,
            describe: &|alert| alert_tracker.present_description(alert).to_owned(),
            fires_elsewhere: &|alert| {
                alert
                    .as_firing()
                    .is_some_and(|it| input.snapshot.fires_elsewhere(&it))
            },
            now,
            wall: input.snapshot.wall,
        };
        for receiver in &notify.receivers {
            let grouping = groupings.entry(receiver.name.clone()).or_default();
            let due = grouping.due(&alerts, &firing, receiver.into(), now);
            let state = services.entry(receiver.name.clone()).or_default();
            let notices = state
                .incidents
                .advance(&due, style(&receiver.service), step);
            any_message |= !notices.is_empty();
            for notice in notices {
                state.push(notice);
            }
            state.tidy();
        }
        let marks_changed = alert_tracker.take_marks_changed();
        let changed = subjects_changed || marks_changed || !changed_alerts.is_empty();
        inner.transitions.extend(changed_alerts);
        any_message || answered || changed
    }

    /// Returns the alerts that have begun or ended since the last call.
    pub(in crate::alerting) fn take_transitions(&self) -> Vec<Alert> {
        std::mem::take(&mut self.lock().transitions)
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
        let mut inner = self.lock();
        inner.queues.values_mut().for_each(Queue::publish);
        let services = inner.services.values_mut();
        services.for_each(|state| state.queue.publish());
        drop(inner);
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

    /// Returns what an Alertmanager should silence: firing alerts that somebody has acknowledged,
    /// and all silences.
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
        (queue.first().cloned(), queue.take_dropped())
    }

    /// Removes the first message for a webhook if its id is `id`.
    pub(super) fn remove(&self, webhook: &str, id: &str) {
        if let Some(queue) = self.lock().queues.get_mut(webhook) {
            queue.remove(id);
        }
    }

    /// Returns the first published message for a chat or paging service, and the number of messages
    /// dropped since the last call.
    pub(super) fn first_notice(&self, receiver: &str) -> (Option<FirstNotice>, usize) {
        let mut inner = self.lock();
        let state = inner.services.get_mut(receiver);
        state.map_or((None, 0), ServiceState::first)
    }

    /// Removes the first message for a chat or paging service if it is `notice`, and keeps the id
    /// that the service gave to a first message.
    pub(super) fn notice_done(&self, receiver: &str, notice: &Notice, message: Option<String>) {
        let mut inner = self.lock();
        let Some(ServiceState { incidents, queue }) = inner.services.get_mut(receiver) else {
            return;
        };
        queue.remove(&notice.id);
        if message.is_some() {
            incidents.set_message(&notice.incident, message);
        }
        inner.answered = true;
    }

    /// Forgets the first message of an incident, which the service no longer has.
    pub(super) fn forget_message(&self, receiver: &str, notice: &Notice) {
        if let Some(state) = self.lock().services.get_mut(receiver) {
            state.incidents.set_message(&notice.incident, None);
        }
    }

    /// Drops the queues of all webhooks and services but those of `notify`, and what the others
    /// know.
    pub(super) fn retain_receivers(&self, notify: &Notify) {
        let webhooks: BTreeSet<&str> = notify.webhooks.iter().map(|it| it.name.as_str()).collect();
        let services: BTreeMap<&str, &Receiver> = notify
            .receivers
            .iter()
            .map(|it| (it.name.as_str(), it))
            .collect();
        let mut inner = self.lock();
        let is_kept = |name: &str| webhooks.contains(name) || services.contains_key(name);
        inner.groupings.retain(|name, _| is_kept(name));
        inner.queues.retain(|name, queue| {
            let retained = webhooks.contains(name.as_str());
            report_removed(name, queue.len(), retained);
            retained
        });
        inner.services.retain(|name, state| {
            let retained = services.contains_key(name.as_str());
            report_removed(name, state.queue.len(), retained);
            retained
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic leaves the content consistent: a message is either queued or not.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports the messages that are dropped with a receiver.
fn report_removed(receiver: &str, dropped: usize, retained: bool) {
    if !retained && dropped > 0 {
        tracing::warn!(
            %receiver, dropped,
            "receiver removed from the configuration; its queued notifications were dropped"
        );
    }
}

//! What was told and what is still to be told: bounded, and plain values for whoever keeps it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::alerting::{self, Alert, Seen, Watch};
use crate::config::Webhook;

use super::Context;
use super::message::Transition;

/// More than so many transitions are not kept for one webhook: the oldest are given up.
const LONGEST_QUEUE: usize = 10_000;

/// What was told and what is still to be told.
#[derive(Debug)]
pub struct Outbox {
    content: Mutex<Content>,
    published: watch::Sender<()>,
}

/// The content of an outbox, to outlive the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    alerts: Vec<alerting::Remembered>,
    queues: BTreeMap<String, Vec<Transition>>,
}

impl Kept {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.queues.values().all(Vec::is_empty)
    }
}

#[derive(Debug, Default)]
struct Content {
    watch: Watch,
    /// By webhook, the oldest first.
    queues: BTreeMap<String, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    transitions: VecDeque<Transition>,
    /// So many at the front may be sent: they are on disk, where there is one.
    published: usize,
    /// Transitions that were given up, and not yet told of.
    lost: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            content: Mutex::default(),
            published: watch::Sender::new(()),
        }
    }
}

impl Outbox {
    /// Takes what was kept, before the first look.
    pub fn restore(&self, kept: Kept) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut content = self.lock();
        content.watch = Watch::recalled(kept.alerts, now, wall);
        let queue = |transitions: Vec<Transition>| Queue {
            published: transitions.len(),
            transitions: transitions.into(),
            lost: 0,
        };
        let queues = kept.queues.into_iter();
        content.queues = queues
            .map(|(name, transitions)| (name, queue(transitions)))
            .collect();
    }

    /// What is to be kept.
    #[must_use]
    pub fn export(&self) -> Kept {
        let content = self.lock();
        let queues = content.queues.iter();
        Kept {
            alerts: content.watch.remembered(),
            queues: queues
                .map(|(name, queue)| (name.clone(), queue.transitions.iter().cloned().collect()))
                .collect(),
        }
    }

    /// Looks once, and says whether any alert began to fire or is over. [`Self::publish`] has to follow.
    pub(super) fn look(&self, seen: Seen<'_>, around: &Context, webhooks: &[Webhook]) -> bool {
        let mut content = self.lock();
        let transitions = content.watch.look(seen, &around.vantage);
        for alert in &transitions {
            tell(alert);
            let wants = |webhook: &&Webhook| {
                alert.rule.severity >= webhook.min_severity
                    && (alert.ends.is_none() || webhook.send_resolved)
            };
            for webhook in webhooks.iter().filter(wants) {
                let transition = Transition::new(alert, around, &webhook.name);
                let queue = content.queues.entry(webhook.name.clone()).or_default();
                queue.push(transition);
            }
        }
        !transitions.is_empty()
    }

    /// Lets everything be sent.
    pub(super) fn publish(&self) {
        for queue in self.lock().queues.values_mut() {
            queue.published = queue.transitions.len();
        }
        self.published.send_replace(());
    }

    /// Tells of each publication.
    pub(super) fn publications(&self) -> watch::Receiver<()> {
        self.published.subscribe()
    }

    /// Alerts that fire, and those that were over lately.
    pub(super) fn told(&self) -> Vec<Alert> {
        self.lock().watch.told()
    }

    /// The next transition for a webhook, and how many were given up since this was asked last.
    pub(super) fn first(&self, webhook: &str) -> (Option<Transition>, usize) {
        let mut content = self.lock();
        let Some(queue) = content.queues.get_mut(webhook) else {
            return (None, 0);
        };
        let first = queue.transitions.front().filter(|_| queue.published > 0);
        (first.cloned(), std::mem::take(&mut queue.lost))
    }

    /// The transition called `id` was delivered, or is given up.
    pub(super) fn done(&self, webhook: &str, id: &str) {
        if let Some(queue) = self.lock().queues.get_mut(webhook)
            && queue.transitions.front().is_some_and(|it| it.id == id)
        {
            queue.pop();
        }
    }

    /// Forgets what is queued for other webhooks than these.
    pub(super) fn only<'a>(&self, webhooks: impl Iterator<Item = &'a str>) {
        let webhooks: BTreeSet<&str> = webhooks.collect();
        self.lock().queues.retain(|name, queue| {
            let stays = webhooks.contains(name.as_str());
            let (receiver, lost) = (name, queue.transitions.len());
            if !stays && lost > 0 {
                tracing::warn!(%receiver, lost, "a webhook is configured no longer; what it was not told yet is given up");
            }
            stays
        });
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // Nothing is left half done: a transition is in a queue or not.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, transition: Transition) {
        self.transitions.push_back(transition);
        if self.transitions.len() > LONGEST_QUEUE {
            self.pop();
            self.lost += 1;
        }
    }

    fn pop(&mut self) {
        self.transitions.pop_front();
        self.published = self.published.saturating_sub(1);
    }
}

/// Logs what changed.
fn tell(alert: &Alert) {
    let (name, subject) = (alert.rule.name, &alert.subject);
    if alert.ends.is_some() {
        tracing::info!(alertname = name, ?subject, "an alert is over");
    } else {
        tracing::warn!(alertname = name, ?subject, description = %alert.description, "an alert fires");
    }
}

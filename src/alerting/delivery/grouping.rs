//! Decides when a webhook gets which alerts: those of a group together, after a short wait,
//! and none that another alert explains.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::alerting::evaluation::AlertKey;
use crate::alerting::inhibition::FiringAlerts;
use crate::alerting::{Alert, AlertSubject, Rule};
use crate::config::{Severity, Webhook};

use super::context::MessageContext;
use super::message::{Group, WebhookMessage};

/// How long a change waits for others of its group.
const GROUP_WAIT: Duration = Duration::from_secs(15);

/// Shortest time between two messages of a group.
const GROUP_INTERVAL: Duration = Duration::from_secs(60);

/// Largest number of alerts in one message.
const MAX_ALERTS_PER_MESSAGE: usize = 256;

/// What one webhook knows.
#[derive(Debug, Default)]
pub(super) struct Grouping {
    /// Firing alerts that were sent to it, and of which no end was sent.
    sent: BTreeSet<AlertKey>,
    /// Groups that wait for a message, or had one lately.
    timings: BTreeMap<Group, Timing>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Timing {
    /// Since when there is a change to send.
    changed: Option<Instant>,
    /// When the last message was formed.
    last_message: Option<Instant>,
}

/// The alerts of a group.
#[derive(Default)]
struct Members<'a> {
    /// Those that must be sent to the webhook.
    changed: Vec<&'a Alert>,
    /// Those that it knows to be firing.
    known: Vec<&'a Alert>,
}

/// A firing alert that was sent to a webhook, in the form that is saved across restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SentAlert {
    subject: AlertSubject,
    alert: String,
    severity: String,
}

impl Grouping {
    /// Restores saved alerts.
    pub(super) fn restore(saved: Vec<SentAlert>) -> Self {
        let key = |it: SentAlert| {
            let rule = Rule::find(&it.alert, Severity::named(&it.severity), &it.subject)?;
            Some((it.subject, rule.name, rule.severity))
        };
        Self {
            sent: saved.into_iter().filter_map(key).collect(),
            timings: BTreeMap::new(),
        }
    }

    /// Returns the alerts to save.
    pub(super) fn export(&self) -> Vec<SentAlert> {
        let sent = self.sent.iter();
        sent.map(|(subject, alert, severity)| SentAlert {
            subject: subject.clone(),
            alert: (*alert).to_owned(),
            severity: severity.as_str().to_owned(),
        })
        .collect()
    }

    /// Assumes that all firing alerts were sent to the webhook.
    pub(super) fn assume_sent<'a>(&mut self, alerts: impl Iterator<Item = &'a Alert>) {
        let firing = alerts.filter(|alert| alert.ends_at.is_none());
        self.sent.extend(firing.map(Alert::key));
    }

    /// Returns the messages that are due.
    pub(super) fn due<'a>(
        &mut self,
        alerts: &[&'a Alert],
        firing: &FiringAlerts<'a>,
        webhook: &Webhook,
        context: &MessageContext,
        now: Instant,
    ) -> Vec<WebhookMessage> {
        let mut groups = self.members(alerts, firing, webhook);
        self.timings
            .retain(|group, timing| groups.contains_key(group) || !timing.is_over(now));
        let mut messages = Vec::new();
        for (group, members) in &mut groups {
            let timing = self.timings.entry(group.clone()).or_default();
            if members.changed.is_empty() {
                timing.changed = None;
            } else if timing.is_due(group, now) {
                *timing = Timing {
                    changed: None,
                    last_message: Some(now),
                };
                for alert in &members.changed {
                    match alert.ends_at {
                        None => self.sent.insert(alert.key()),
                        Some(_) => self.sent.remove(&alert.key()),
                    };
                }
                messages.extend(members.messages(group, context, &webhook.name));
            }
        }
        messages
    }

    /// Sorts the alerts that concern `webhook` into groups, and forgets those that are gone.
    fn members<'a>(
        &mut self,
        alerts: &[&'a Alert],
        firing: &FiringAlerts<'a>,
        webhook: &Webhook,
    ) -> BTreeMap<Group, Members<'a>> {
        let mut groups: BTreeMap<Group, Members<'a>> = BTreeMap::new();
        let mut sent = BTreeSet::new();
        for alert in alerts {
            let key = alert.key();
            let was_sent = self.sent.contains(&key);
            let fires = alert.ends_at.is_none();
            let is_new = fires
                && !was_sent
                && alert.rule.severity >= webhook.min_severity
                && !firing.inhibit(alert);
            let has_ended = !fires && was_sent && webhook.send_resolved;
            if was_sent && (fires || has_ended) {
                sent.insert(key);
            }
            if is_new || has_ended {
                let members = groups.entry(Group::of(alert)).or_default();
                members.changed.push(alert);
            } else if was_sent && fires {
                groups
                    .entry(Group::of(alert))
                    .or_default()
                    .known
                    .push(alert);
            }
        }
        self.sent = sent;
        groups
    }
}

impl Timing {
    /// Whether a group with a change is due for a message.
    fn is_due(&mut self, group: &Group, now: Instant) -> bool {
        let changed = *self.changed.get_or_insert(now);
        let (wait, interval) = match group {
            // It explains much, and is only one.
            Group::Network(_) => (Duration::ZERO, Duration::ZERO),
            Group::Peers(_) | Group::Monitor => (GROUP_WAIT, GROUP_INTERVAL),
        };
        let waited = now - changed >= wait;
        waited && self.last_message.is_none_or(|last| now - last >= interval)
    }

    /// Whether it no longer delays a message.
    fn is_over(self, now: Instant) -> bool {
        self.last_message
            .is_none_or(|last| now - last >= GROUP_INTERVAL)
    }
}

impl Members<'_> {
    /// Formats the messages with all changes. The last one has room for the known alerts.
    fn messages(
        &self,
        group: &Group,
        context: &MessageContext,
        receiver: &str,
    ) -> Vec<WebhookMessage> {
        let chunks: Vec<&[&Alert]> = self.changed.chunks(MAX_ALERTS_PER_MESSAGE).collect();
        let count = chunks.len();
        let message = |(i, chunk): (usize, &&[&Alert])| {
            let mut alerts = chunk.to_vec();
            let room = if i + 1 == count {
                MAX_ALERTS_PER_MESSAGE - alerts.len()
            } else {
                0
            };
            alerts.extend(self.known.iter().take(room).copied());
            let truncated = self.known.len().saturating_sub(room);
            WebhookMessage::new(group, &alerts, truncated, context, receiver)
        };
        chunks.iter().enumerate().map(message).collect()
    }
}

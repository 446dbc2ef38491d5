//! Decides when a receiver gets which alerts: those of a group together, after a short wait,
//! and none that another alert explains.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::alerting::evaluation::AlertKey;
use crate::alerting::inhibition::FiringAlerts;
use crate::alerting::{Alert, AlertSubject, Rule, vantages};
use crate::config::{Receiver, Severity, Webhook};
use crate::fleet::FiringAlert;

use super::group::Group;

/// How long a change waits for others of its group.
const GROUP_WAIT: Duration = Duration::from_secs(15);

/// Shortest time between two messages of a group.
const GROUP_INTERVAL: Duration = Duration::from_secs(60);

/// Which alerts a receiver is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription<'a> {
    /// Lowest severity.
    min_severity: Severity,
    /// Whether ends are sent.
    send_resolved: bool,
    /// Networks; all if empty.
    networks: &'a [String],
}

impl<'a> From<&'a Webhook> for Subscription<'a> {
    fn from(webhook: &'a Webhook) -> Self {
        Self {
            min_severity: webhook.min_severity,
            send_resolved: webhook.send_resolved,
            networks: &[],
        }
    }
}

impl<'a> From<&'a Receiver> for Subscription<'a> {
    fn from(receiver: &'a Receiver) -> Self {
        Self {
            min_severity: receiver.min_severity,
            send_resolved: true,
            networks: &receiver.networks,
        }
    }
}

impl Subscription<'_> {
    /// Whether an alert that begins is sent. One that is silenced is not.
    fn includes(self, alert: &Alert) -> bool {
        let group = Group::of(alert);
        let in_networks = group.network().is_none_or(|network| {
            self.networks.is_empty() || self.networks.iter().any(|it| it == network)
        });
        alert.rule.severity >= self.min_severity && in_networks && alert.silenced.is_none()
    }
}

/// A group with changes to send.
#[derive(Debug)]
pub(super) struct Due<'a> {
    pub(super) group: Group,
    /// Alerts that the receiver must be sent.
    pub(super) changed: Vec<&'a Alert>,
    /// Alerts that it knows to be firing.
    pub(super) known: Vec<&'a Alert>,
}

/// What one receiver knows.
#[derive(Debug, Default)]
pub(super) struct Grouping {
    /// Firing alerts that were sent to it, and of which no end was sent.
    sent: BTreeSet<AlertKey>,
    /// Groups that wait for a message, or had one recently.
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
    /// Those that must be sent to the receiver.
    changed: Vec<&'a Alert>,
    /// Those that it knows to be firing.
    known: Vec<&'a Alert>,
}

/// A firing alert that was sent to a receiver, in the form that is saved across restarts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct SentAlert {
    subject: AlertSubject,
    alert: String,
    severity: String,
}

impl SentAlert {
    pub(super) fn of(alert: &Alert) -> Self {
        Self::from_key(&alert.key())
    }

    /// Returns it as other agents know it; none if it is about this agent.
    pub(super) fn as_firing(&self) -> Option<FiringAlert> {
        vantages::as_firing(&self.subject, &self.alert, &self.severity)
    }

    fn from_key((subject, alert, severity): &AlertKey) -> Self {
        Self {
            subject: subject.clone(),
            alert: (*alert).to_owned(),
            severity: severity.as_str().to_owned(),
        }
    }
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
        self.sent.iter().map(SentAlert::from_key).collect()
    }

    /// Assumes that all firing alerts were sent to the receiver.
    pub(super) fn assume_sent<'a>(&mut self, alerts: impl Iterator<Item = &'a Alert>) {
        let firing = alerts.filter(|alert| alert.ends_at.is_none());
        self.sent.extend(firing.map(Alert::key));
    }

    /// Returns the groups whose changes are due.
    pub(super) fn due<'a>(
        &mut self,
        alerts: &[&'a Alert],
        firing: &FiringAlerts<'a>,
        subscription: Subscription<'_>,
        now: Instant,
    ) -> Vec<Due<'a>> {
        let groups = self.members(alerts, firing, subscription);
        self.timings
            .retain(|group, timing| groups.contains_key(group) || !timing.is_over(now));
        let mut all_due = Vec::new();
        for (group, Members { changed, known }) in groups {
            let timing = self.timings.entry(group.clone()).or_default();
            if changed.is_empty() {
                timing.changed = None;
            } else if timing.is_due(&group, now) {
                *timing = Timing {
                    changed: None,
                    last_message: Some(now),
                };
                for alert in &changed {
                    match alert.ends_at {
                        None => self.sent.insert(alert.key()),
                        Some(_) => self.sent.remove(&alert.key()),
                    };
                }
                all_due.push(Due {
                    group,
                    changed,
                    known,
                });
            }
        }
        all_due
    }

    /// Sorts the alerts of a subscription into groups, and forgets those that are gone.
    fn members<'a>(
        &mut self,
        alerts: &[&'a Alert],
        firing: &FiringAlerts<'a>,
        subscription: Subscription<'_>,
    ) -> BTreeMap<Group, Members<'a>> {
        let mut groups: BTreeMap<Group, Members<'a>> = BTreeMap::new();
        let mut sent = BTreeSet::new();
        for alert in alerts {
            let key = alert.key();
            let was_sent = self.sent.contains(&key);
            let fires = alert.ends_at.is_none();
            let is_new =
                fires && !was_sent && subscription.includes(alert) && !firing.inhibit(alert);
            let has_ended = !fires && was_sent && subscription.send_resolved;
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

//! Messages for webhooks, in the format of Alertmanager's own, so that existing receivers can read
//! them.

use std::collections::BTreeMap;

use humantime::format_rfc3339_millis;
use serde::{Deserialize, Serialize};
use sha3::{Digest, Sha3_256};

use crate::alerting::Alert;

use super::context::MessageContext;
use super::group::Group;
use super::grouping::Due;
use super::queue::Queued;

/// The version of Alertmanager's webhook format.
const WEBHOOK_VERSION: &str = "4";

/// Largest number of alerts in one message.
const MAX_ALERTS_PER_MESSAGE: usize = 256;

/// `endsAt` of a firing alert in Alertmanager's webhooks.
const NO_END: &str = "0001-01-01T00:00:00Z";

/// Status of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Firing,
    Resolved,
}

/// A message for a webhook: the alerts of a group that fire, and those that have ended since its
/// last message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhookMessage {
    /// Identifies the message; the same each time it is sent.
    id: String,
    version: String,
    group_key: String,
    /// Number of firing alerts, sent before, for which there was no room.
    truncated_alerts: usize,
    status: Status,
    receiver: String,
    group_labels: BTreeMap<String, String>,
    common_labels: BTreeMap<String, String>,
    common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: String,
    alerts: Vec<WebhookAlert>,
}

/// An alert in the format of Alertmanager's webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WebhookAlert {
    status: Status,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

impl Status {
    const fn from_alert(alert: &Alert) -> Self {
        match alert.ends_at {
            None => Self::Firing,
            Some(_) => Self::Resolved,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

impl WebhookAlert {
    fn new(alert: &Alert, context: &MessageContext) -> Self {
        let labels = context.labels(alert);
        // A clock may have been set back while it fired.
        let starts_at = alert
            .ends_at
            .map_or(alert.starts_at, |ends_at| alert.starts_at.min(ends_at));
        Self {
            status: Status::from_alert(alert),
            annotations: context.annotations(alert),
            starts_at: format_rfc3339_millis(starts_at).to_string(),
            ends_at: alert.ends_at.map_or_else(
                || NO_END.to_owned(),
                |ends_at| format_rfc3339_millis(ends_at).to_string(),
            ),
            generator_url: context.page_url(&alert.subject),
            fingerprint: fingerprint(&labels),
            labels,
        }
    }
}

impl WebhookMessage {
    /// Formats the messages with all changes of a group. The last one has room for the known
    /// alerts.
    pub(super) fn all(due: &Due<'_>, context: &MessageContext, receiver: &str) -> Vec<Self> {
        let chunks: Vec<&[&Alert]> = due.changed.chunks(MAX_ALERTS_PER_MESSAGE).collect();
        let count = chunks.len();
        let message = |(i, chunk): (usize, &&[&Alert])| {
            let mut alerts = chunk.to_vec();
            let room = if i + 1 == count {
                MAX_ALERTS_PER_MESSAGE - alerts.len()
            } else {
                0
            };
            alerts.extend(due.known.iter().take(room).copied());
            let truncated = due.known.len().saturating_sub(room);
            Self::new(&due.group, &alerts, truncated, context, receiver)
        };
        chunks.iter().enumerate().map(message).collect()
    }

    /// Formats a message to the webhook called `receiver`. `truncated` is the number of alerts for
    /// which there was no room.
    fn new(
        group: &Group,
        alerts: &[&Alert],
        truncated: usize,
        context: &MessageContext,
        receiver: &str,
    ) -> Self {
        let ids: Vec<String> = alerts
            .iter()
            .map(|alert| transition_id(alert, context))
            .collect();
        let group_labels = group.labels(context);
        let alerts: Vec<WebhookAlert> = alerts
            .iter()
            .map(|alert| WebhookAlert::new(alert, context))
            .collect();
        let fires = alerts.iter().any(|alert| alert.status == Status::Firing);
        Self {
            id: digest(ids.iter().map(String::as_str)),
            version: WEBHOOK_VERSION.to_owned(),
            group_key: format!("{}:{group_labels:?}", group.kind()),
            truncated_alerts: truncated,
            status: if fires {
                Status::Firing
            } else {
                Status::Resolved
            },
            receiver: receiver.to_owned(),
            group_labels,
            common_labels: common(alerts.iter().map(|alert| &alert.labels)),
            common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
            external_url: context.home_page_url(),
            alerts,
        }
    }

    /// Returns the names of its alerts, each once.
    pub(super) fn alertnames(&self) -> String {
        let mut names: Vec<&str> = self
            .alerts
            .iter()
            .filter_map(|alert| alert.labels.get("alertname"))
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    }
}

impl Queued for WebhookMessage {
    fn id(&self) -> &str {
        &self.id
    }

    fn alerts(&self) -> usize {
        self.alerts.len()
    }
}

/// Returns the entries that all of `maps` have.
fn common<'a>(
    mut maps: impl Iterator<Item = &'a BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    let mut common = maps.next().cloned().unwrap_or_default();
    for map in maps {
        common.retain(|name, value| map.get(name) == Some(value));
    }
    common
}

/// Returns a hash of labels.
pub(super) fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    digest(
        labels
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value]),
    )
}

/// Returns the id of the last transition of `alert`. It does not depend on when it is sent.
pub(super) fn transition_id(alert: &Alert, context: &MessageContext) -> String {
    let fingerprint = fingerprint(&context.labels(alert));
    let starts_at = format_rfc3339_millis(alert.starts_at).to_string();
    let status = Status::from_alert(alert);
    digest([fingerprint.as_str(), &starts_at, status.as_str()])
}

/// Returns 16 hex digits of the hash of a sequence of strings.
pub(super) fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha3_256::new();
    for text in texts {
        hasher.update(text.len().to_be_bytes());
        hasher.update(text);
    }
    hex::encode(&hasher.finalize()[..8])
}

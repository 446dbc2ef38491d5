//! Notifications as JSON: alerts in the format of Alertmanager's API, and messages in the format of
//! Alertmanager's webhooks, so that existing webhook receivers can read them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_millis;
use serde::{Deserialize, Serialize};
use sha3::{Digest, Sha3_256};
use url::Url;

use crate::alerting::{Alert, AlertSubject};
use crate::config::Config;

/// The version of Alertmanager's webhook format.
const WEBHOOK_VERSION: &str = "4";

/// How long Alertmanager considers a firing alert valid unless it is sent again.
const FIRING_VALID_FOR: Duration = Duration::from_secs(240);

/// `endsAt` of a firing alert in Alertmanager's webhooks.
const NO_END: &str = "0001-01-01T00:00:00Z";

/// Settings of the agent that go into every message.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::alerting) struct MessageContext {
    /// The agent's name.
    pub(super) vantage: String,
    /// The operator's labels.
    labels: BTreeMap<String, String>,
    /// The base URL of the agent's web pages, without a trailing slash: `external_url`, or else the
    /// listen address.
    base_url: String,
}

impl MessageContext {
    /// Takes the settings from `config`.
    #[must_use]
    pub(in crate::alerting) fn from_config(config: &Config) -> Self {
        let base_url = config
            .external_url
            .as_ref()
            .map_or_else(|| format!("http://{}", config.listen), Url::to_string);
        Self {
            vantage: config.vantage.clone(),
            labels: config.notify.labels.clone(),
            base_url: base_url.trim_end_matches('/').to_owned(),
        }
    }

    fn home_page_url(&self) -> String {
        format!("{}/", self.base_url)
    }

    fn runbook_url(&self, alertname: &str) -> String {
        format!("{}/runbooks/{alertname}", self.base_url)
    }

    /// Returns the URL of the page about a subject.
    fn page_url(&self, subject: &AlertSubject) -> String {
        let page = self.home_page_url();
        let segments = match subject {
            AlertSubject::Peer { peer, .. } => ["peers", peer],
            AlertSubject::Network { network } => ["networks", network],
            AlertSubject::Monitor => return page,
        };
        let Ok(mut url) = Url::parse(&page) else {
            return page;
        };
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url.into()
    }
}

/// Status of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Firing,
    Resolved,
}

/// An alert in the format of Alertmanager's API (`postableAlert`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PostableAlert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
}

/// A message for a webhook: one alert that started to fire or was resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhookMessage {
    /// Identifies the transition; the same each time the message is sent.
    pub(super) id: String,
    version: String,
    group_key: String,
    truncated_alerts: u32,
    status: Status,
    receiver: String,
    group_labels: BTreeMap<String, String>,
    common_labels: BTreeMap<String, String>,
    common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: String,
    alerts: [WebhookAlert; 1],
}

/// An alert in the format of Alertmanager's webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct WebhookAlert {
    status: Status,
    #[serde(flatten)]
    alert: PostableAlert,
    fingerprint: String,
}

/// Returns the labels that identify an alert.
fn labels(alert: &Alert, context: &MessageContext) -> BTreeMap<String, String> {
    let mut labels = alert.subject.labels(&context.vantage);
    labels.extend(context.labels.clone());
    let rule_labels = [
        ("alertname", alert.rule.name),
        ("severity", alert.rule.severity.as_str()),
    ];
    labels.extend(rule_labels.map(|(name, value)| (name.to_owned(), value.to_owned())));
    labels
}

/// Returns a hash of labels.
fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    digest(
        labels
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value]),
    )
}

/// Returns the id of the last transition of `alert`. It does not depend on when it is sent.
pub(super) fn transition_id(alert: &Alert, context: &MessageContext) -> String {
    let fingerprint = fingerprint(&labels(alert, context));
    let starts_at = format_rfc3339_millis(alert.starts_at).to_string();
    let status = Status::from_alert(alert);
    digest([fingerprint.as_str(), &starts_at, status.as_str()])
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

impl PostableAlert {
    /// Formats `alert` at `now`. A firing alert ends [`FIRING_VALID_FOR`] later unless it is sent
    /// again. After a clock was ahead, receivers would refuse an alert that starts after its end,
    /// and would consider one that ended in the future as firing until then.
    pub(super) fn new(alert: &Alert, context: &MessageContext, now: SystemTime) -> Self {
        let page_url = context.page_url(&alert.subject);
        let annotations = [
            (
                "summary",
                alert.rule.summary_of(&alert.subject, &context.vantage),
            ),
            ("description", alert.description.clone()),
            ("runbook_url", context.runbook_url(alert.rule.name)),
            ("page_url", page_url.clone()),
        ];
        let ends_at = match alert.ends_at {
            Some(ends_at) => ends_at.min(now),
            None => now + FIRING_VALID_FOR,
        };
        let starts_at = alert.starts_at.min(ends_at).min(now);
        Self {
            labels: labels(alert, context),
            annotations: annotations
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            starts_at: format_rfc3339_millis(starts_at).to_string(),
            ends_at: format_rfc3339_millis(ends_at).to_string(),
            generator_url: page_url,
        }
    }
}

impl WebhookMessage {
    /// Formats the last transition of `alert` for the webhook called `receiver`.
    pub(super) fn new(alert: &Alert, context: &MessageContext, receiver: &str) -> Self {
        let changed_at = alert.ends_at.unwrap_or(alert.starts_at);
        let mut postable = PostableAlert::new(alert, context, changed_at);
        let status = Status::from_alert(alert);
        if status == Status::Firing {
            NO_END.clone_into(&mut postable.ends_at);
        }
        let fingerprint = fingerprint(&postable.labels);
        Self {
            id: transition_id(alert, context),
            version: WEBHOOK_VERSION.to_owned(),
            group_key: format!("{{}}:{{fingerprint={fingerprint:?}}}"),
            truncated_alerts: 0,
            status,
            receiver: receiver.to_owned(),
            group_labels: postable.labels.clone(),
            common_labels: postable.labels.clone(),
            common_annotations: postable.annotations.clone(),
            external_url: context.home_page_url(),
            alerts: [WebhookAlert {
                status,
                alert: postable,
                fingerprint,
            }],
        }
    }

    /// Returns the `alertname` label.
    pub(super) fn alertname(&self) -> &str {
        self.common_labels
            .get("alertname")
            .map_or("", String::as_str)
    }
}

/// Returns 16 hex digits of the hash of a sequence of strings.
fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha3_256::new();
    for text in texts {
        hasher.update(text.len().to_be_bytes());
        hasher.update(text);
    }
    hex::encode(&hasher.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use crate::alerting::rules::RULES;
    use crate::config;

    use super::*;

    #[test]
    fn an_alert_of_a_clock_that_was_ahead_is_valid_for_receivers() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let day = Duration::from_secs(24 * 3600);
        let context = MessageContext::from_config(&config::embedded());
        for (starts, ends, expected) in [
            (now + day, None, (now, now + FIRING_VALID_FOR)),
            (now + day, Some(now - day), (now - day, now - day)),
            (now - day, Some(now + day), (now - day, now)),
            (now + day, Some(now + day * 2), (now, now)),
        ] {
            let alert = Alert {
                rule: &RULES[0],
                subject: AlertSubject::Monitor,
                starts_at: starts,
                ends_at: ends,
                description: String::new(),
            };
            let posted = PostableAlert::new(&alert, &context, now);
            let times = [posted.starts_at, posted.ends_at];
            let expected = [expected.0, expected.1];
            assert_eq!(
                times,
                expected.map(|time| format_rfc3339_millis(time).to_string())
            );
        }
    }
}

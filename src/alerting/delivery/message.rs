//! What is told, as JSON: an alert for an Alertmanager, and a transition for a webhook in the shape that Alertmanager's own
//! webhooks have, so that whatever reads those reads ours.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_millis;
use serde::{Deserialize, Serialize};
use sha3::{Digest, Sha3_256};
use url::Url;

use crate::alerting::{Alert, Subject};
use crate::config::Config;

use super::Context;

/// The version of the shape of Alertmanager's webhooks.
const WEBHOOK_VERSION: &str = "4";

/// How long a firing alert is valid unless it is repeated.
pub(super) const VALID: Duration = Duration::from_secs(240);

/// What Alertmanager writes as the end of an alert that fires.
const NO_END: &str = "0001-01-01T00:00:00Z";

/// Where the agent's own pages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links(String);

impl Links {
    /// Below `external_url`, or else where the agent listens.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let base = config
            .external_url
            .as_ref()
            .map_or_else(|| format!("http://{}", config.listen), Url::to_string);
        Self(base.trim_end_matches('/').to_owned())
    }

    fn runbook(&self, alert: &str) -> String {
        format!("{}/runbooks/{alert}", self.0)
    }

    fn page(&self, subject: &Subject) -> String {
        let mut page = format!("{}/", self.0);
        if let Subject::Peer { peer, .. } = subject
            && let Ok(mut url) = Url::parse(&page)
        {
            if let Ok(mut path) = url.path_segments_mut() {
                path.pop_if_empty().extend(["peers", peer]);
            }
            page = url.into();
        }
        page
    }
}

/// Whether an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does.
    Firing,
    /// It does no longer.
    Resolved,
}

/// An alert as Alertmanager's API takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
}

/// A transition of one alert as a webhook takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// The same however often it is told.
    pub id: String,
    version: String,
    group_key: String,
    truncated_alerts: u32,
    /// Which way it went.
    pub status: Status,
    receiver: String,
    group_labels: BTreeMap<String, String>,
    common_labels: BTreeMap<String, String>,
    common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: String,
    alerts: [OfAlertmanager; 1],
}

/// An alert in the shape of Alertmanager's webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OfAlertmanager {
    status: Status,
    #[serde(flatten)]
    told: Told,
    fingerprint: String,
}

/// What an alert is known by.
fn labels(alert: &Alert, context: &Context) -> BTreeMap<String, String> {
    let mut labels = alert.subject.labels(&context.vantage);
    labels.extend(context.labels.clone());
    let own = [
        ("alertname", alert.rule.name),
        ("severity", alert.rule.severity.as_str()),
    ];
    labels.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    labels
}

/// Stands for labels.
fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    digest(
        labels
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value]),
    )
}

impl Told {
    /// `alert` at `now`: one that fires ends in [`VALID`] unless it is told again.
    pub(super) fn new(alert: &Alert, context: &Context, now: SystemTime) -> Self {
        let page = context.links.page(&alert.subject);
        let annotations = [
            ("summary", alert.rule.summary.to_owned()),
            ("description", alert.description.clone()),
            ("runbook_url", context.links.runbook(alert.rule.name)),
            ("dashboard_url", page.clone()),
        ];
        Self {
            labels: labels(alert, context),
            annotations: annotations
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            starts_at: format_rfc3339_millis(alert.starts).to_string(),
            ends_at: format_rfc3339_millis(alert.ends.unwrap_or(now + VALID)).to_string(),
            generator_url: page,
        }
    }
}

/// Stands for one transition of `alert`, whenever it is told.
pub(super) fn id(alert: &Alert, context: &Context) -> String {
    let fingerprint = fingerprint(&labels(alert, context));
    let starts = format_rfc3339_millis(alert.starts).to_string();
    digest([fingerprint.as_str(), &starts, status(alert).as_str()])
}

const fn status(alert: &Alert) -> Status {
    match alert.ends {
        None => Status::Firing,
        Some(_) => Status::Resolved,
    }
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

impl Transition {
    /// The transition that `alert` has just made, for the webhook called `receiver`.
    pub(super) fn new(alert: &Alert, context: &Context, receiver: &str) -> Self {
        let mut told = Told::new(alert, context, alert.starts);
        let status = status(alert);
        if status == Status::Firing {
            NO_END.clone_into(&mut told.ends_at);
        }
        let fingerprint = fingerprint(&told.labels);
        Self {
            id: id(alert, context),
            version: WEBHOOK_VERSION.to_owned(),
            group_key: format!("{{}}:{{fingerprint={fingerprint:?}}}"),
            truncated_alerts: 0,
            status,
            receiver: receiver.to_owned(),
            group_labels: told.labels.clone(),
            common_labels: told.labels.clone(),
            common_annotations: told.annotations.clone(),
            external_url: format!("{}/", context.links.0),
            alerts: [OfAlertmanager {
                status,
                told,
                fingerprint,
            }],
        }
    }

    /// What it is about, for a log.
    pub(super) fn alertname(&self) -> &str {
        self.common_labels
            .get("alertname")
            .map_or("", String::as_str)
    }
}

/// 16 hex digits for a sequence of texts.
fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha3_256::new();
    for text in texts {
        hasher.update(text.len().to_be_bytes());
        hasher.update(text);
    }
    hex::encode(&hasher.finalize()[..8])
}

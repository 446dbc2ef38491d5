//! Settings of the agent that go into every notification.

use std::collections::BTreeMap;

use url::Url;

use crate::alerting::{Alert, AlertSubject};
use crate::config::Config;

/// Settings of the agent that go into every notification.
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
        let base_url = config.url_at(&config.listen);
        Self {
            vantage: config.vantage.clone(),
            labels: config.notify.labels.clone(),
            base_url: base_url.trim_end_matches('/').to_owned(),
        }
    }

    pub(super) fn home_page_url(&self) -> String {
        format!("{}/", self.base_url)
    }

    /// Returns the URL of the page about a subject.
    pub(super) fn page_url(&self, subject: &AlertSubject) -> String {
        let page = self.home_page_url();
        let segments = match subject {
            AlertSubject::Peer { peer, .. } => ["peers", peer],
            AlertSubject::Network { network } | AlertSubject::Service { network, .. } => {
                ["networks", network]
            }
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

    /// Returns the labels that the operator adds to every alert.
    pub(super) const fn operator_labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Returns the labels that identify an alert.
    pub(super) fn labels(&self, alert: &Alert) -> BTreeMap<String, String> {
        let mut labels = alert.subject.labels(&self.vantage);
        labels.extend(self.labels.clone());
        let rule_labels = [
            ("alertname", alert.rule.name),
            ("severity", alert.rule.severity.as_str()),
        ];
        labels.extend(rule_labels.map(|(name, value)| (name.to_owned(), value.to_owned())));
        labels
    }

    /// Returns the annotations of an alert; `ended_by` if it ended without its cause.
    pub(super) fn annotations(&self, alert: &Alert) -> BTreeMap<String, String> {
        let runbook_url = format!("{}/runbooks/{}", self.base_url, alert.rule.name);
        let annotations = [
            (
                "summary",
                alert.rule.summary_of(&alert.subject, &self.vantage),
            ),
            ("description", alert.description.clone()),
            ("runbook_url", runbook_url),
            ("page_url", self.page_url(&alert.subject)),
        ];
        let ended_by = alert.ended_by.as_ref().map(ToString::to_string);
        annotations
            .into_iter()
            .chain(ended_by.map(|by| ("ended_by", by)))
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

//! What fires now, the most severe first, without what another alert explains.

use std::cmp::Reverse;

use askama::Template;

use crate::alerting::{Alert, AlertSubject, OperatorAction, without_explained};
use crate::config::Severity;

use super::format::{TimeFormat, Timestamp, sanitize};
use super::path_segment;

/// Maximum number of alerts that are shown.
const MAX_ALERTS: usize = 12;

#[derive(Template)]
#[template(path = "pages/now.html")]
pub(super) struct NowSection<'a> {
    prefix: &'a str,
    alerts: Vec<NowItem>,
    /// Number of alerts that found no room.
    more: usize,
    /// Number of alerts that others explain.
    explained: usize,
}

struct NowItem {
    severity: &'static str,
    /// CSS class.
    class: &'static str,
    name: &'static str,
    title: String,
    /// Path of the page of its subject, below the prefix.
    page: String,
    since: Timestamp,
    /// The first thing to do.
    first_step: Option<&'static str>,
    /// The figures that prove it, who sees it, and what is at risk.
    description: String,
    /// What an operator said about it.
    said: Option<Said>,
}

/// What an operator said about an alert.
struct Said {
    what: &'static str,
    by: String,
    comment: String,
    until: Timestamp,
}

impl<'a> NowSection<'a> {
    /// `vantage` is the agent's name.
    pub(super) fn new(
        prefix: &'a str,
        firing: &[Alert],
        vantage: &str,
        times: TimeFormat,
    ) -> Self {
        let mut shown = without_explained(firing);
        let explained = firing.len() - shown.len();
        shown.sort_by_key(|alert| {
            let is_handled = alert.acknowledged.is_some() || alert.silenced.is_some();
            (is_handled, Reverse(alert.rule.severity), alert.starts_at)
        });
        let alerts = shown.iter().take(MAX_ALERTS);
        Self {
            prefix,
            alerts: alerts
                .map(|alert| NowItem::new(alert, vantage, times))
                .collect(),
            more: shown.len().saturating_sub(MAX_ALERTS),
            explained,
        }
    }
}

impl NowItem {
    fn new(alert: &Alert, vantage: &str, times: TimeFormat) -> Self {
        let severity = alert.rule.severity;
        let silenced = alert.silenced.as_ref().map(|it| Said::new("silenced", it, times));
        let acknowledged = alert.acknowledged.as_ref();
        let acknowledged = acknowledged.map(|it| Said::new("acknowledged", it, times));
        Self {
            severity: severity.as_str(),
            class: match severity {
                Severity::Critical => "down",
                Severity::Warning => "degraded",
                Severity::Info => "unknown",
            },
            name: alert.rule.name,
            title: sanitize(&alert.rule.summary_of(&alert.subject, vantage)),
            page: match &alert.subject {
                AlertSubject::Peer { peer, .. } => format!("/peers/{}", path_segment(peer)),
                AlertSubject::Network { network } => {
                    format!("/networks/{}", path_segment(network))
                }
                AlertSubject::Monitor => "/config".to_owned(),
            },
            since: times.lasting(alert.starts_at),
            first_step: alert.rule.first_step(),
            description: sanitize(&alert.description),
            said: silenced.or(acknowledged),
        }
    }
}

impl Said {
    fn new(what: &'static str, action: &OperatorAction, times: TimeFormat) -> Self {
        Self {
            what,
            by: sanitize(&action.created_by),
            comment: sanitize(&action.comment),
            until: times.at(action.ends_at),
        }
    }
}

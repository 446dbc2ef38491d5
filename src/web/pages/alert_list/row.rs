//! One alert of the list.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use askama::Template;
use url::form_urlencoded::Serializer;

use crate::alerting::Alert;
use crate::alerting::operator_actions::Matchers;
use crate::config::Severity;
use crate::history::{Event, EventKind};
use crate::web::pages::alerts::{ActionLine, page_of_subject, query};
use crate::web::pages::format::{TimeFormat, Timestamp, sanitize, short_duration};
use crate::web::pages::navigation::severity_class;
use crate::web::pages::page_of;
use crate::web::pages::period::around;

/// A row.
#[derive(Template)]
#[template(path = "pages/alert_row.html")]
pub(super) struct AlertRow<'a> {
    prefix: &'a str,
    name: String,
    severity: String,
    class: &'static str,
    summary: String,
    /// Path of the page of its subject, below the prefix.
    page: String,
    began: Timestamp,
    /// None while it fires.
    ended: Option<Timestamp>,
    /// How long it fired, once it has ended.
    lasted: Option<String>,
    /// Why it ended, unless its cause is gone.
    why: String,
    /// Whether another alert that fires explains it.
    is_explained: bool,
    acknowledged: Option<ActionLine>,
    silenced: Option<ActionLine>,
    /// The event of its begin or end.
    event: Option<u64>,
    /// Query string of the page that acts on it, while it fires.
    query: Option<String>,
    /// Query string of the events of its subject at that time.
    events: String,
}

/// Sorts alerts that fire: those that nobody works on first, and of these the worst.
pub(super) fn sort(alerts: &mut [&Alert]) {
    alerts.sort_by_key(|alert| {
        let is_handled = alert.acknowledged.is_some() || alert.silenced.is_some();
        (is_handled, Reverse(alert.rule.severity), alert.starts_at)
    });
}

impl<'a> AlertRow<'a> {
    /// An alert that fires; `event` is that of its begin.
    pub(super) fn firing(
        prefix: &'a str,
        alert: &Alert,
        vantage: &str,
        event: Option<u64>,
        times: TimeFormat,
    ) -> Self {
        let labels = Matchers::of(alert);
        Self {
            prefix,
            name: alert.rule.name.to_owned(),
            severity: alert.rule.severity.as_str().to_owned(),
            class: severity_class(alert.rule.severity),
            summary: sanitize(&alert.rule.summary_of(&alert.subject, vantage)),
            page: page_of_subject(&alert.subject),
            began: times.lasting(alert.starts_at),
            ended: None,
            lasted: None,
            why: String::new(),
            is_explained: false,
            acknowledged: alert
                .acknowledged
                .as_ref()
                .map(|action| ActionLine::new(action, times)),
            silenced: alert
                .silenced
                .as_ref()
                .map(|action| ActionLine::new(action, times)),
            event,
            events: events_around(
                labels.peer.as_deref(),
                labels.network.as_deref(),
                alert.starts_at,
                None,
            ),
            query: Some(query(&labels)),
        }
    }

    /// An alert that has ended with this event.
    pub(super) fn ended(prefix: &'a str, event: &Event, times: TimeFormat) -> Self {
        let (name, severity, summary, began, why) = match &event.kind {
            EventKind::AlertEnded {
                alertname,
                severity,
                summary,
                starts_at,
                why,
                ..
            } => (
                &**alertname,
                &**severity,
                &**summary,
                starts_at.time(),
                &**why,
            ),
            _ => ("", "", "", event.at(), ""),
        };
        let lasted = event.at().duration_since(began).unwrap_or_default();
        let (peer, network) = (event.peer.as_deref(), event.network.as_deref());
        Self {
            prefix,
            name: sanitize(name),
            severity: sanitize(severity),
            class: Severity::named(severity).map_or("unknown", severity_class),
            summary: sanitize(summary),
            page: page_of(peer, network),
            began: times.at(began),
            ended: Some(times.at(event.at())),
            lasted: Some(short_duration(lasted)),
            why: sanitize(why),
            is_explained: false,
            acknowledged: None,
            silenced: None,
            event: Some(event.id),
            events: events_around(peer, network, began, Some(event.at())),
            query: None,
        }
    }

    pub(super) fn explained(self, is_explained: bool) -> Self {
        Self {
            is_explained,
            ..self
        }
    }

    /// Returns what identifies the row.
    pub(super) fn key(&self) -> String {
        match (&self.query, self.event) {
            (None, Some(event)) => event.to_string(),
            (query, _) => query.clone().unwrap_or_default(),
        }
    }

    fn is_firing(&self) -> bool {
        self.ended.is_none()
    }

    fn is_handled(&self) -> bool {
        self.acknowledged.is_some() || self.silenced.is_some()
    }
}

/// Returns the query string of the events of a peer or network while an alert fired, and shortly
/// before.
fn events_around(
    peer: Option<&str>,
    network: Option<&str>,
    began: SystemTime,
    ended: Option<SystemTime>,
) -> String {
    /// What caused the alert came before it.
    const BEFORE: Duration = Duration::from_secs(900);
    const AFTER: Duration = Duration::from_secs(60);
    let until = ended.and_then(|ended| ended.checked_add(AFTER));
    let mut query = Serializer::new(String::new());
    query.extend_pairs(around(began.checked_sub(BEFORE), until));
    match (peer, network) {
        (Some(peer), _) => query.append_pair("peer", peer),
        (None, Some(network)) => query.append_pair("network", network),
        (None, None) => &mut query,
    };
    query.finish()
}

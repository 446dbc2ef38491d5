//! The alerts that fire, and what operators do about them, as parts of the pages of the fleet, a
//! network or a peer.

use std::cmp::Reverse;

use askama::Template;
use url::form_urlencoded::Serializer;

use crate::alerting::operator_actions::{ActionKind, Matchers};
use crate::alerting::{Alert, AlertSubject, OperatorAction, without_explained};
use crate::config::Severity;
use crate::web::AppState;

use super::format::{TimeFormat, Timestamp, sanitize};
use super::navigation::severity_class;
use super::page_of;

/// Most alerts shown; the API has all.
const MAX_ALERTS: usize = 20;

/// What the alerts of a page are about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope<'a> {
    Fleet,
    Network(&'a str),
    Peer { peer: &'a str, network: &'a str },
}

#[derive(Template)]
#[template(path = "pages/alerts.html")]
pub(super) struct AlertsSection<'a> {
    prefix: &'a str,
    alerts: Vec<AlertLine>,
    /// Number of alerts that are not shown.
    more: usize,
    /// Number of alerts that others explain; they are not shown either.
    explained: usize,
    /// Silences, and maintenance.
    others: Vec<ActionLine>,
    /// Query string of the page that acts on the network or peer as a whole.
    on_subject: Option<String>,
}

struct AlertLine {
    name: &'static str,
    severity: Severity,
    summary: String,
    /// Path of the page of its subject, below the prefix.
    page: String,
    since: Timestamp,
    /// The first thing to do.
    first_step: Option<&'static str>,
    /// The figures that prove it, who sees it, and what is at risk.
    description: String,
    acknowledged: Option<ActionLine>,
    silenced: Option<ActionLine>,
    /// Query string of the page that acts on it.
    query: String,
}

/// What an operator does.
pub(super) struct ActionLine {
    pub(super) id: u64,
    pub(super) kind: ActionKind,
    pub(super) labels: String,
    pub(super) created_by: String,
    pub(super) comment: String,
    pub(super) starts: Option<Timestamp>,
    pub(super) until: Timestamp,
    pub(super) vantage: Option<String>,
    pub(super) query: String,
}

impl<'a> AlertsSection<'a> {
    pub(super) fn new(state: &'a AppState, scope: Scope<'_>, times: TimeFormat) -> Self {
        let (actions, vantage) = (&state.actions, state.fleet.vantage());
        let firing = actions.firing();
        let in_scope = |alert: &&Alert| scope.contains(&Matchers::of(alert));
        let all = firing.iter().filter(in_scope).count();
        let mut alerts = without_explained(&firing);
        alerts.retain(in_scope);
        let explained = all - alerts.len();
        // Those that nobody works on first, and of these the worst.
        alerts.sort_by_key(|alert| {
            let is_marked = alert.acknowledged.is_some() || alert.silenced.is_some();
            (is_marked, Reverse(alert.rule.severity), alert.starts_at)
        });
        let others = actions.active().into_iter().filter(|action| {
            action.kind != ActionKind::Acknowledgement && scope.overlaps(&action.matchers)
        });
        Self {
            prefix: &state.prefix,
            more: alerts.len().saturating_sub(MAX_ALERTS),
            explained,
            alerts: alerts
                .iter()
                .take(MAX_ALERTS)
                .map(|alert| AlertLine::new(alert, &vantage, times))
                .collect(),
            others: others
                .map(|action| ActionLine::new(&action, times))
                .collect(),
            on_subject: scope.matchers().map(|matchers| query(&matchers)),
        }
    }
}

impl Scope<'_> {
    fn contains(self, labels: &Matchers) -> bool {
        match self {
            Self::Fleet => true,
            Self::Network(network) => labels.network.as_deref() == Some(network),
            Self::Peer { peer, network } => {
                labels.peer.as_deref() == Some(peer) && labels.network.as_deref() == Some(network)
            }
        }
    }

    /// Whether an action on these labels may concern what the page is about.
    fn overlaps(self, labels: &Matchers) -> bool {
        let may_be =
            |label: &Option<String>, name: &str| label.as_ref().is_none_or(|it| it == name);
        match self {
            Self::Fleet => true,
            Self::Network(network) => may_be(&labels.network, network),
            Self::Peer { peer, network } => {
                may_be(&labels.network, network) && may_be(&labels.peer, peer)
            }
        }
    }

    fn matchers(self) -> Option<Matchers> {
        let (peer, network) = match self {
            Self::Fleet => return None,
            Self::Network(network) => (None, network),
            Self::Peer { peer, network } => (Some(peer), network),
        };
        Some(Matchers {
            peer: peer.map(str::to_owned),
            network: Some(network.to_owned()),
            ..Matchers::default()
        })
    }
}

impl AlertLine {
    /// Returns the CSS class of its severity.
    const fn class(&self) -> &'static str {
        severity_class(self.severity)
    }

    /// Whether an operator takes care of it.
    const fn is_handled(&self) -> bool {
        self.acknowledged.is_some() || self.silenced.is_some()
    }

    fn new(alert: &Alert, vantage: &str, times: TimeFormat) -> Self {
        let line = |action: &OperatorAction| ActionLine::new(action, times);
        Self {
            name: alert.rule.name,
            severity: alert.rule.severity,
            summary: sanitize(&alert.rule.summary_of(&alert.subject, vantage)),
            page: page_of_subject(&alert.subject),
            since: times.lasting(alert.starts_at),
            first_step: alert.rule.first_step(),
            description: sanitize(&alert.description),
            acknowledged: alert.acknowledged.as_ref().map(line),
            silenced: alert.silenced.as_ref().map(line),
            query: query(&Matchers::of(alert)),
        }
    }
}

impl ActionLine {
    pub(super) fn new(action: &OperatorAction, times: TimeFormat) -> Self {
        Self {
            id: action.id,
            kind: action.kind,
            labels: sanitize(&action.matchers.to_string()),
            created_by: sanitize(&action.created_by),
            comment: sanitize(&action.comment),
            starts: (action.starts_at > times.now).then(|| times.at(action.starts_at)),
            until: times.at(action.ends_at),
            vantage: action.vantage.as_deref().map(sanitize),
            query: query(&action.matchers),
        }
    }
}

/// Returns the path of the page of what an alert is about, below the prefix.
pub(super) fn page_of_subject(subject: &AlertSubject) -> String {
    match subject {
        AlertSubject::Peer { peer, .. } => page_of(Some(peer), None),
        AlertSubject::Network { network } | AlertSubject::Service { network, .. } => {
            page_of(None, Some(network))
        }
        AlertSubject::Monitor => page_of(None, None),
    }
}

/// Returns the query string with these labels.
pub(super) fn query(matchers: &Matchers) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in matchers.labels() {
        query.extend_pairs(value.map(|value| (name, value)));
    }
    query.finish()
}

//! Incidents: what belongs together of the alerts that a chat or paging service is sent, and which
//! messages follow from a change. Pure; nothing is sent here.

mod content;
mod lifecycle;
mod notice;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use tokio::time::Instant;

use crate::alerting::Alert;
use crate::config::Severity;

use super::context::MessageContext;
use super::group::Group;
use super::grouping::{Due, SentAlert};
use super::message::{digest, fingerprint};

pub(super) use content::{AlertText, Content, Level};
pub(super) use lifecycle::Incident;
use lifecycle::Phase;
pub(super) use notice::{Action, Notice};

/// How a service shows an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As a message that is edited, with others that belong to it.
    Thread,
    /// As messages that cannot be changed.
    Messages,
    /// As pages with keys, each of which one set of alerts has, and which are resolved with them.
    Pages,
}

/// What a step of time and a change of alerts bring.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    /// All alerts that fire or ended recently.
    pub(super) alerts: &'a [&'a Alert],
    pub(super) context: &'a MessageContext,
    /// Describes the present state of the subject of an alert.
    pub(super) describe: &'a dyn Fn(&Alert) -> String,
    /// Whether an alert fires at another agent.
    pub(super) fires_elsewhere: &'a dyn Fn(&SentAlert) -> bool,
    pub(super) now: Instant,
    pub(super) wall: SystemTime,
}

/// The incidents of one receiver.
#[derive(Debug, Default)]
pub(super) struct Incidents(Vec<Incident>);

impl Incidents {
    pub(super) const fn restore(saved: Vec<Incident>) -> Self {
        Self(saved)
    }

    pub(super) fn export(&self) -> Vec<Incident> {
        self.0.clone()
    }

    /// Takes the changes of the groups that are due, and returns the messages to send.
    pub(super) fn advance(&mut self, due: &[Due<'_>], style: Style, step: Step<'_>) -> Vec<Notice> {
        let mut notices = Vec::new();
        for due in due {
            self.take_ends(due);
            notices.extend(self.take_beginnings(due, style, step));
        }
        if self.0.is_empty() {
            return notices;
        }
        let touched = |incident: &Incident| due.iter().any(|due| due.group == incident.group);
        let tracked: BTreeSet<SentAlert> = step.alerts.iter().map(|it| SentAlert::of(it)).collect();
        for incident in &mut self.0 {
            incident.forget_vanished(&tracked);
            let touched = touched(incident);
            notices.extend(incident.follow(touched, style, step));
        }
        notices
    }

    /// Returns the service's id of the first message of an incident.
    pub(super) fn message(&self, key: &str) -> Option<&str> {
        let mut incidents = self.0.iter();
        incidents.find(|it| it.key == key)?.message.as_deref()
    }

    /// Sets the service's id of the first message of an incident; none if it is gone.
    pub(super) fn set_message(&mut self, key: &str, message: Option<String>) {
        if let Some(incident) = self.0.iter_mut().find(|it| it.key == key) {
            incident.message = message;
        }
    }

    /// Forgets the incidents that are over and of which no message waits.
    pub(super) fn retain_needed(&mut self, is_queued: impl Fn(&str) -> bool) {
        self.0
            .retain(|incident| incident.phase != Phase::Over || is_queued(&incident.key));
    }

    /// Takes ended alerts out of their incidents.
    fn take_ends(&mut self, due: &Due<'_>) {
        let ended = due.changed.iter().filter(|alert| alert.ends_at.is_some());
        let ended: BTreeMap<SentAlert, &Alert> =
            ended.map(|alert| (SentAlert::of(alert), *alert)).collect();
        for incident in self.0.iter_mut().filter(|it| it.group == due.group) {
            incident.take_ends(&ended);
        }
    }

    /// Puts new alerts into an incident, or begins one.
    fn take_beginnings(&mut self, due: &Due<'_>, style: Style, step: Step<'_>) -> Option<Notice> {
        let new = due.changed.iter().filter(|alert| alert.ends_at.is_none());
        let new: Vec<&Alert> = new.copied().collect();
        let is_worse = |alert: &&Alert| worsens(alert, &due.known);
        let (worse, more): (Vec<&Alert>, Vec<&Alert>) = new.iter().partition(|it| is_worse(it));
        if new.is_empty() {
            return None;
        }
        let mut open = self.0.iter_mut();
        let Some(incident) = open.find(|it| it.group == due.group && it.is_open()) else {
            return Some(self.open(due.group.clone(), new, style, step));
        };
        match style {
            Style::Thread | Style::Messages => {
                incident.join(&new);
                (!worse.is_empty()).then(|| incident.notify(Action::Worse, worse, step))
            }
            Style::Pages => {
                incident.join(&more);
                (!worse.is_empty()).then(|| self.open(due.group.clone(), worse, style, step))
            }
        }
    }

    /// Begins an incident.
    fn open(&mut self, group: Group, alerts: Vec<&Alert>, style: Style, step: Step<'_>) -> Notice {
        let key = match style {
            Style::Pages => self.page_key(&alerts, step.context),
            Style::Thread | Style::Messages => {
                let opened = humantime::format_rfc3339_millis(step.wall).to_string();
                digest([group.kind(), group.network().unwrap_or_default(), &opened])
            }
        };
        // A page that this agent sees no reason for, but others do, goes on under its key.
        self.0.retain(|it| it.key != key);
        let (incident, notice) = Incident::begin(key, group, alerts, step);
        self.0.push(incident);
        notice
    }

    /// Returns a key that all agents derive from the same alerts, whatever their names and clocks.
    /// Not that of a page that is open: its service would notify nobody.
    fn page_key(&self, alerts: &[&Alert], context: &MessageContext) -> String {
        let first = alerts
            .iter()
            .min_by_key(|alert| (std::cmp::Reverse(alert.rule.severity), alert.key()));
        let first = first.map(|alert| fingerprint(&context.labels(alert)));
        let base = format!("convex-{}", first.unwrap_or_default());
        let is_free = |key: &String| !self.0.iter().any(|it| it.key == *key && it.is_open());
        // One more than there are incidents is enough.
        let mut others = (2..self.0.len() + 3).map(|count| format!("{base}-{count}"));
        if is_free(&base) {
            return base;
        }
        others.find(is_free).unwrap_or(base)
    }
}

/// Whether a new alert makes things worse than those that fire already: it is critical, more severe
/// than all of them, or has another cause.
fn worsens(alert: &Alert, known: &[&Alert]) -> bool {
    let worst = known.iter().map(|it| it.rule.severity).max();
    alert.rule.severity == Severity::Critical
        || worst.is_none_or(|worst| alert.rule.severity > worst)
        || !known.iter().any(|it| it.rule.name == alert.rule.name)
}

/// Returns a page that is marked as a test.
pub(super) fn test_notice(alert: &Alert, context: &MessageContext, wall: SystemTime) -> Notice {
    let mut incidents = Incidents::default();
    let step = Step {
        alerts: &[alert],
        context,
        describe: &|alert| alert.description.clone(),
        fires_elsewhere: &|_| false,
        now: Instant::now(),
        wall,
    };
    let mut notice = incidents.open(Group::of(alert), vec![alert], Style::Pages, step);
    for alert in &mut notice.content.alerts {
        // No runbook is about tests.
        alert.runbook_url.clone_from(&alert.page_url);
    }
    notice
}

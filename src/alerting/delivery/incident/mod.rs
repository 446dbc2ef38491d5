//! Incidents: what belongs together of the alerts that a chat or paging service is sent, and which
//! messages follow from a change. Pure; nothing is sent here.

mod content;
mod notice;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::alerting::{Alert, AlertSubject};
use crate::config::Severity;
use crate::fleet::UnixMillis;

use super::context::MessageContext;
use super::group::Group;
use super::grouping::{Due, SentAlert};
use super::message::{digest, fingerprint};

pub(super) use content::{AlertText, Content, Level};
pub(super) use notice::{Action, Notice};

/// Shortest time between two edits of a message because of mere figures.
const EDIT_INTERVAL: Duration = Duration::from_secs(300);

/// Time after which a critical alert that nobody has acknowledged is sent again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(3600);

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
    /// All alerts that fire or ended lately.
    pub(super) alerts: &'a [&'a Alert],
    pub(super) context: &'a MessageContext,
    /// Describes the present state of the subject of an alert.
    pub(super) describe: &'a dyn Fn(&Alert) -> String,
    /// Whether other agents still see trouble of this subject.
    pub(super) seen_elsewhere: &'a dyn Fn(&AlertSubject) -> bool,
    pub(super) now: Instant,
    pub(super) wall: SystemTime,
}

/// The incidents of one receiver.
#[derive(Debug, Default)]
pub(super) struct Incidents(Vec<Incident>);

/// An incident, also in the form that is saved across restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Incident {
    /// Identifies it; of a page, the same for all agents.
    key: String,
    group: Group,
    /// What its first message was about.
    title: String,
    opened: UnixMillis,
    /// When it was last news.
    notified: UnixMillis,
    /// Its alerts that fire.
    members: BTreeSet<SentAlert>,
    /// The alerts that ended last.
    last: BTreeSet<SentAlert>,
    /// What any of its alerts was about.
    subjects: BTreeSet<AlertSubject>,
    /// Why one of its alerts ended, if nothing shows that its cause is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_by: Option<String>,
    phase: Phase,
    /// Number of messages so far.
    messages: u64,
    /// Hash of what the first message says now.
    shown: String,
    /// Whether the service knows that somebody works on it.
    acknowledged: bool,
    /// The service's id of the first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// When the first message was last edited.
    #[serde(skip)]
    edited: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// An alert of it fires.
    Open,
    /// No alert of it fires here, but another agent still sees trouble.
    EndedHere,
    /// It is over, but not all of its messages are delivered.
    Over,
}

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
        let touched = |incident: &Incident| due.iter().any(|due| due.group == incident.group);
        for incident in &mut self.0 {
            incident.forget_vanished(step);
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
            incident.leave(|member| ended.contains_key(member));
            let mut reasons = incident.last.iter().filter_map(|it| ended.get(it));
            let reason = reasons.find_map(|alert| alert.ended_by.as_ref());
            if let Some(reason) = reason {
                incident.ended_by.get_or_insert_with(|| reason.to_string());
            }
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
        let opened = UnixMillis::from_time(step.wall);
        let key = match style {
            Style::Pages => self.page_key(&alerts, step.context),
            Style::Thread | Style::Messages => {
                let opened = humantime::format_rfc3339_millis(step.wall).to_string();
                digest([group.kind(), group.network().unwrap_or_default(), &opened])
            }
        };
        // A page that this agent sees no reason for, but others do, goes on under its key.
        self.0.retain(|it| it.key != key);
        let mut incident = Incident {
            key,
            group,
            title: String::new(),
            opened,
            notified: opened,
            members: BTreeSet::new(),
            last: BTreeSet::new(),
            subjects: BTreeSet::new(),
            ended_by: None,
            phase: Phase::Open,
            messages: 0,
            shown: String::new(),
            acknowledged: false,
            message: None,
            edited: Some(step.now),
        };
        incident.join(&alerts);
        let notice = incident.notify(Action::Open, alerts, step);
        incident.title.clone_from(&notice.content.title);
        incident.shown = notice.content.digest();
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

impl Incident {
    fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The alerts are part of it from now on.
    fn join(&mut self, alerts: &[&Alert]) {
        for alert in alerts {
            self.members.insert(SentAlert::of(alert));
            self.subjects.insert(alert.subject.clone());
        }
    }

    /// Takes out the alerts that `have_ended`.
    fn leave(&mut self, have_ended: impl Fn(&SentAlert) -> bool) {
        let members = std::mem::take(&mut self.members).into_iter();
        let (gone, left) = members.partition(have_ended);
        self.members = left;
        if !BTreeSet::is_empty(&gone) {
            self.last = gone;
        }
    }

    /// Takes out alerts of whose end nothing is known any more, as after a long stop of the agent.
    fn forget_vanished(&mut self, step: Step<'_>) {
        if !self.is_open() {
            return;
        }
        let alerts = step.alerts.iter();
        let tracked: BTreeSet<SentAlert> = alerts.map(|alert| SentAlert::of(alert)).collect();
        self.leave(|member| !tracked.contains(member));
    }

    /// Returns the messages that follow from the state of its alerts. `touched`: one of its group
    /// has changed.
    fn follow(&mut self, touched: bool, style: Style, step: Step<'_>) -> Vec<Notice> {
        match self.phase {
            Phase::Over => Vec::new(),
            Phase::Open if self.members.is_empty() => self.end_or_wait(style, step),
            Phase::EndedHere => self.end_or_wait(style, step),
            Phase::Open => {
                let firing = step.alerts.iter().filter(|alert| {
                    alert.ends_at.is_none() && self.members.contains(&SentAlert::of(alert))
                });
                let firing: Vec<&Alert> = firing.copied().collect();
                let update = self.update(&firing, touched, style, step);
                let acknowledge = self.acknowledge(&firing, style, step);
                let repeat = self.repeat(&firing, style, step);
                update
                    .into_iter()
                    .chain(acknowledge)
                    .chain(repeat)
                    .collect()
            }
        }
    }

    /// Ends it, unless it is a page and other agents still see trouble.
    fn end_or_wait(&mut self, style: Style, step: Step<'_>) -> Vec<Notice> {
        let mut subjects = self.subjects.iter();
        if style == Style::Pages && subjects.any(step.seen_elsewhere) {
            self.phase = Phase::EndedHere;
            return Vec::new();
        }
        self.phase = Phase::Over;
        let last = step
            .alerts
            .iter()
            .filter(|alert| alert.ends_at.is_some() && self.last.contains(&SentAlert::of(alert)));
        let mut content = Content::new(last.copied().collect(), step);
        content.level = Level::Resolved;
        content.title.clone_from(&self.title);
        content.ended_by.clone_from(&self.ended_by);
        let mut actions = Vec::new();
        if style == Style::Thread {
            actions.push(Action::Update);
        }
        actions.push(Action::End);
        let notices = actions
            .into_iter()
            .map(|action| self.notice(action, content.clone()));
        notices.collect()
    }

    /// Edits the first message: at once if its alerts have changed, and now and then for figures.
    fn update(
        &mut self,
        firing: &[&Alert],
        touched: bool,
        style: Style,
        step: Step<'_>,
    ) -> Option<Notice> {
        let lately = |at: Instant| step.now.saturating_duration_since(at) < EDIT_INTERVAL;
        let waits = self.edited.is_some_and(lately) || style == Style::Pages;
        if style == Style::Messages || firing.is_empty() || (waits && !touched) {
            return None;
        }
        self.edited = Some(step.now);
        let content = Content::new(firing.to_vec(), step);
        let shown = content.digest();
        if shown == self.shown {
            return None;
        }
        self.shown = shown;
        Some(self.notice(Action::Update, content))
    }

    /// Tells a service with pages that somebody works on all of its alerts.
    fn acknowledge(&mut self, firing: &[&Alert], style: Style, step: Step<'_>) -> Option<Notice> {
        let acknowledged = !firing.is_empty() && firing.iter().all(|it| it.acknowledged.is_some());
        let is_news = acknowledged && !self.acknowledged;
        self.acknowledged = acknowledged;
        (is_news && style == Style::Pages).then(|| {
            let content = Content::new(firing.to_vec(), step);
            self.notice(Action::Acknowledge, content)
        })
    }

    /// Says once more that critical alerts fire that nobody has acknowledged or silenced. A service
    /// with pages does so itself.
    fn repeat(&mut self, firing: &[&Alert], style: Style, step: Step<'_>) -> Option<Notice> {
        let age = self.notified.to_past(step.wall)?;
        let age = step.wall.duration_since(age).unwrap_or_default();
        if style == Style::Pages || age < REPEAT_INTERVAL {
            return None;
        }
        let open = firing.iter().filter(|alert| {
            alert.rule.severity == Severity::Critical
                && alert.acknowledged.is_none()
                && alert.silenced.is_none()
        });
        let open: Vec<&Alert> = open.copied().collect();
        (!open.is_empty()).then(|| self.notify(Action::Repeat, open, step))
    }

    /// Returns a message that is news.
    fn notify(&mut self, action: Action, alerts: Vec<&Alert>, step: Step<'_>) -> Notice {
        self.notified = UnixMillis::from_time(step.wall);
        let mut content = Content::new(alerts, step);
        if action == Action::Repeat {
            content.title = format!("still firing: {}", content.title);
        }
        self.notice(action, content)
    }

    fn notice(&mut self, action: Action, content: Content) -> Notice {
        self.messages += 1;
        let (opened, number) = (self.opened.0.to_string(), self.messages.to_string());
        Notice {
            id: digest([self.key.as_str(), &opened, &number]),
            incident: self.key.clone(),
            action,
            content,
        }
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
        seen_elsewhere: &|_| false,
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

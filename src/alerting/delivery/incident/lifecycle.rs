//! One incident from its first message to its last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::alerting::Alert;
use crate::config::Severity;
use crate::fleet::UnixMillis;

use super::super::group::Group;
use super::super::grouping::SentAlert;
use super::super::message::digest;
use super::content::{Content, Level};
use super::notice::{Action, Notice};
use super::{Step, Style};

/// Shortest time between two edits of a message because of mere figures.
const EDIT_INTERVAL: Duration = Duration::from_secs(300);

/// Time after which a critical alert that nobody has acknowledged is sent again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(3600);

/// An incident, also in the form that is saved across restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::alerting::delivery) struct Incident {
    /// Identifies it; of a page, the same for all agents.
    pub(super) key: String,
    pub(super) group: Group,
    /// What its first message was about.
    pub(super) title: String,
    opened: UnixMillis,
    /// When it was last news.
    notified: UnixMillis,
    /// Its alerts that fire.
    members: BTreeSet<SentAlert>,
    /// The alerts that ended last.
    last: BTreeSet<SentAlert>,
    /// All alerts that it ever had.
    #[serde(default)]
    all: BTreeSet<SentAlert>,
    /// Why one of its alerts ended, if nothing shows that its cause is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_by: Option<String>,
    pub(super) phase: Phase,
    /// Number of messages so far.
    messages: u64,
    /// Hash of what the first message says now.
    pub(super) shown: String,
    /// Whether the service knows that somebody works on it.
    acknowledged: bool,
    /// The service's id of the first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// When the first message was last edited.
    #[serde(skip)]
    edited: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// An alert of it fires.
    Open,
    /// No alert of it fires here, but one does at another agent.
    EndedHere,
    /// It is over, but not all of its messages are delivered.
    Over,
}

impl Incident {
    /// Begins an incident with these alerts. Returns it with its first message.
    pub(super) fn begin(
        key: String,
        group: Group,
        alerts: Vec<&Alert>,
        step: Step<'_>,
    ) -> (Self, Notice) {
        let opened = UnixMillis::from_time(step.wall);
        let mut incident = Self {
            key,
            group,
            title: String::new(),
            opened,
            notified: opened,
            members: BTreeSet::new(),
            last: BTreeSet::new(),
            all: BTreeSet::new(),
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
        (incident, notice)
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Takes out alerts that have ended.
    pub(super) fn take_ends(&mut self, ended: &BTreeMap<SentAlert, &Alert>) {
        self.leave(|member| ended.contains_key(member));
        let mut reasons = self.last.iter().filter_map(|it| ended.get(it));
        let reason = reasons.find_map(|alert| alert.ended_by.as_ref());
        if let Some(reason) = reason {
            self.ended_by.get_or_insert_with(|| reason.to_string());
        }
    }

    /// The alerts are part of it from now on.
    pub(super) fn join(&mut self, alerts: &[&Alert]) {
        for alert in alerts {
            self.members.insert(SentAlert::of(alert));
            self.all.insert(SentAlert::of(alert));
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

    /// Takes out alerts that are no longer `tracked`: nothing is known of their ends, as after a
    /// long stop of the agent.
    pub(super) fn forget_vanished(&mut self, tracked: &BTreeSet<SentAlert>) {
        if self.is_open() {
            self.leave(|member| !tracked.contains(member));
        }
    }

    /// Returns the messages that follow from the state of its alerts. `touched`: one of its group
    /// has changed.
    pub(super) fn follow(&mut self, touched: bool, style: Style, step: Step<'_>) -> Vec<Notice> {
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

    /// Ends it, unless it is a page and one of its alerts still fires at another agent.
    fn end_or_wait(&mut self, style: Style, step: Step<'_>) -> Vec<Notice> {
        let mut alerts = self.all.iter();
        if style == Style::Pages && alerts.any(step.fires_elsewhere) {
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
        let is_recent = |at: Instant| step.now.saturating_duration_since(at) < EDIT_INTERVAL;
        let waits = self.edited.is_some_and(is_recent) || style == Style::Pages;
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
    pub(super) fn notify(&mut self, action: Action, alerts: Vec<&Alert>, step: Step<'_>) -> Notice {
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

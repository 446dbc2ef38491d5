//! Tracks each alert through its phases: pending, firing, resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::Severity;
use crate::fleet::{Rename, UnixMillis};

use super::burn::PagedPeers;
use super::description::describe;
use super::ended_by::EndedBy;
use super::evaluation::{AlertKey, Evaluation};
use super::input::{AlertCause, RuleInput};
use super::operator_actions::{ActionStore, OperatorAction};
use super::rules::{Rule, alert_for_condition};
use super::subject::AlertSubject;

/// How long a restored alert keeps firing without a cause: after a restart, peers must be polled
/// and stake must be read before a missing cause means anything.
const RESTORED_KEEP_FIRING_FOR: Duration = Duration::from_secs(120);

/// How long an alert that has ended is still reported: several times as long as passes between two
/// requests to an Alertmanager.
const RESOLVED_RETENTION: Duration = Duration::from_secs(300);

/// Time after which the present state of the subject of a firing alert is described again.
const DESCRIPTION_INTERVAL: Duration = Duration::from_secs(300);

/// An alert that is firing or resolved.
#[derive(Clone, Debug)]
pub struct Alert {
    /// The rule that raised the alert.
    pub rule: &'static Rule,
    /// The subject of the alert.
    pub subject: AlertSubject,
    /// When the alert started to fire.
    pub starts_at: SystemTime,
    /// When the alert ended; `None` while it fires.
    pub ends_at: Option<SystemTime>,
    /// Why it ended, unless its cause is seen to be gone.
    pub ended_by: Option<EndedBy>,
    /// State of the subject when the alert started to fire.
    pub description: String,
    /// Who has acknowledged it, while it fires: it is not repeated.
    pub acknowledged: Option<OperatorAction>,
    /// Who has silenced it, while it fires: nothing is sent about it.
    pub silenced: Option<OperatorAction>,
}

impl Alert {
    /// Returns what identifies the alert.
    pub(super) fn key(&self) -> AlertKey {
        (self.subject.clone(), self.rule.name, self.rule.severity)
    }
}

/// All alerts that are pending, firing or recently resolved, and what operators say about them.
#[derive(Clone, Debug, Default)]
pub struct AlertTracker {
    tracked: BTreeMap<AlertKey, TrackedAlert>,
    paged: PagedPeers,
    pub(super) actions: ActionStore,
    /// Whether an alert was acknowledged or silenced, or no longer is, since this was last asked.
    pub(super) marks_changed: bool,
}

/// A tracked alert in the form that is saved across restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistedAlert {
    alert: String,
    /// Absent in files of earlier versions, in which a name had one severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    severity: Option<String>,
    subject: AlertSubject,
    phase: Phase,
    since: UnixMillis,
    starts: UnixMillis,
    ends: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_by: Option<EndedBy>,
    description: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Pending,
    Firing,
    Resolved,
}

#[derive(Clone, Debug)]
struct TrackedAlert {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// The same moment by the wall clock.
    since_wall: SystemTime,
    /// When the alert last had a cause or was treated as if it had one.
    last_sustained: Instant,
    /// How long the alert keeps firing without a cause.
    keep_firing_for: Duration,
    /// Number of good polls of its subject when it began to fire, or at the first evaluation after
    /// a restart.
    good_polls: Option<u64>,
    /// What it reports now, for a rule that reports several things.
    causes: BTreeSet<&'static str>,
    /// The latest known state of the subject, and when it was seen.
    present: Option<(Instant, String)>,
    alert: Alert,
}

impl AlertTracker {
    /// Continues the alerts of renamed peers under their new names, and ends what fires under the
    /// old ones. `renames` are followed one after the other, at this moment. Returns whether any
    /// alert fires.
    pub(super) fn rename(&mut self, renames: &[Rename], now: Instant, wall: SystemTime) -> bool {
        self.actions.rename(renames);
        let subject = |peer: &str, rename: &Rename| AlertSubject::Peer {
            peer: peer.to_owned(),
            network: rename.network.clone(),
        };
        // By their keys so far, because renames that exchange names go by way of others.
        let mut moved: BTreeMap<AlertKey, AlertKey> = BTreeMap::new();
        for rename in renames {
            let (from, to) = (subject(&rename.from, rename), subject(&rename.to, rename));
            self.paged.rename(&from, &to);
            let of_peer = |key: &&AlertKey| key.0 == from;
            let keys: Vec<AlertKey> = self.tracked.keys().filter(of_peer).cloned().collect();
            for key in keys {
                let Some(mut tracked) = self.tracked.remove(&key) else {
                    continue;
                };
                tracked.alert.subject = to.clone();
                let key_now = (to.clone(), key.1, key.2);
                let original = moved.remove(&key).unwrap_or(key);
                moved.insert(key_now.clone(), original);
                self.tracked.insert(key_now, tracked);
            }
        }
        let mut any_fires = false;
        for (key_now, original) in moved {
            let firing = self.tracked.get(&key_now);
            let firing = firing.filter(|tracked| tracked.phase == Phase::Firing);
            let Some(mut ended) = firing.cloned() else {
                continue;
            };
            any_fires = true;
            let AlertSubject::Peer { peer, .. } = &key_now.0 else {
                continue;
            };
            ended.alert.subject = original.0.clone();
            ended.end(Some(EndedBy::Renamed(peer.clone())), now, wall);
            // After an exchange of names an alert of the other peer may fire there.
            let goes_on = |tracked: &TrackedAlert| tracked.phase == Phase::Firing;
            if !self.tracked.get(&original).is_some_and(goes_on) {
                self.tracked.insert(original, ended);
            }
        }
        any_fires
    }

    /// Evaluates all rules. Returns the alerts that started to fire or were resolved, in the order
    /// of their subjects. `vantage` is the agent's name.
    pub fn evaluate(&mut self, input: RuleInput<'_>, vantage: &str) -> Vec<Alert> {
        let evaluation = Evaluation::run(input, &self.paged);
        let (now, wall) = (input.snapshot.now, input.snapshot.wall);
        for key in evaluation.causes.keys() {
            if !self.tracked.contains_key(key)
                && let Some(rule) = Rule::find(key.1, Some(key.2), &key.0)
            {
                let tracked = TrackedAlert::new(rule, key.0.clone(), now, wall);
                self.tracked.insert(key.clone(), tracked);
            }
        }
        let mut changed_alerts = Vec::new();
        self.tracked.retain(|key, tracked| {
            let rule = tracked.alert.rule;
            let changed = if let Some(cause) = evaluation.causes.get(key) {
                let good_polls = || evaluation.good_polls(&key.0);
                let caused = tracked.since_wall;
                let description = || describe(rule, caused, input, *cause, vantage);
                tracked.causes = causes(rule, *cause);
                tracked.sustain(now, wall, good_polls, description)
            } else if let Some(ended_by) = evaluation.ended_by(&key.0) {
                tracked.phase == Phase::Firing && tracked.end(Some(ended_by), now, wall)
            } else if evaluation.is_frozen(rule, key) {
                tracked.freeze(now);
                false
            } else if tracked.phase == Phase::Firing && !tracked.sees_end(&evaluation, &key.0) {
                tracked.last_sustained = now;
                false
            } else {
                tracked.resolve_if_due(now, wall)
            };
            changed_alerts.extend(changed.then(|| tracked.alert.clone()));
            tracked.is_tracked_further(now)
        });
        let firing = self.tracked.values();
        let firing = firing.filter(|tracked| tracked.phase == Phase::Firing);
        self.paged.take(firing.map(|tracked| &tracked.alert), now);
        self.follow_actions(input.snapshot);
        changed_alerts
    }

    /// Returns the state of the subject of an alert, not much older than
    /// [`DESCRIPTION_INTERVAL`] while it fires.
    pub(super) fn present_description<'a>(&'a self, alert: &'a Alert) -> &'a str {
        let tracked = self.tracked.get(&alert.key());
        let present = tracked.and_then(|tracked| tracked.present.as_ref());
        present.map_or(&alert.description, |(_, description)| description)
    }

    /// Returns the alerts that are firing or recently ended.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        let tracked = self.tracked.values();
        tracked
            .filter(|tracked| tracked.phase != Phase::Pending)
            .map(|tracked| &tracked.alert)
    }

    /// Returns the alerts that are firing, each with what it reports now.
    pub(super) fn firing(&self) -> impl Iterator<Item = (&Alert, &BTreeSet<&'static str>)> {
        let firing = self.tracked.values();
        let firing = firing.filter(|tracked| tracked.phase == Phase::Firing);
        firing.map(|tracked| (&tracked.alert, &tracked.causes))
    }

    /// Returns the alerts that are firing, to mark them.
    pub(super) fn firing_mut(&mut self) -> impl Iterator<Item = &mut Alert> {
        let firing = self.tracked.values_mut();
        let firing = firing.filter(|tracked| tracked.phase == Phase::Firing);
        firing.map(|tracked| &mut tracked.alert)
    }

    /// Returns all tracked alerts in the form that is saved across restarts.
    #[must_use]
    pub fn export(&self) -> Vec<PersistedAlert> {
        let persisted = |tracked: &TrackedAlert| PersistedAlert {
            alert: tracked.alert.rule.name.to_owned(),
            severity: Some(tracked.alert.rule.severity.as_str().to_owned()),
            subject: tracked.alert.subject.clone(),
            phase: tracked.phase,
            since: UnixMillis::from_time(tracked.since_wall),
            starts: UnixMillis::from_time(tracked.alert.starts_at),
            ends: tracked.alert.ends_at.map(UnixMillis::from_time),
            ended_by: tracked.alert.ended_by.clone(),
            description: tracked.alert.description.clone(),
        };
        self.tracked.values().map(persisted).collect()
    }

    /// Restores saved alerts. Alerts without a rule in this version are dropped, and times in the
    /// future count as now. `now` and `wall` are the same moment.
    #[must_use]
    pub fn restore(persisted: Vec<PersistedAlert>, now: Instant, wall: SystemTime) -> Self {
        let tracked = |it: PersistedAlert| {
            let rule = Rule::find(
                &it.alert,
                it.severity.as_deref().and_then(Severity::named),
                &it.subject,
            )?;
            let since_wall = it.since.to_past(wall)?;
            let age = wall.duration_since(since_wall).unwrap_or_default();
            let tracked = TrackedAlert {
                phase: it.phase,
                since: now.checked_sub(age).unwrap_or(now),
                since_wall,
                last_sustained: now,
                keep_firing_for: rule.keep_firing_for().max(RESTORED_KEEP_FIRING_FOR),
                good_polls: None,
                causes: BTreeSet::new(),
                present: None,
                alert: Alert {
                    rule,
                    subject: it.subject.clone(),
                    starts_at: it.starts.to_past(wall)?,
                    ends_at: it.ends.and_then(|ends| ends.to_past(wall)),
                    ended_by: it.ended_by,
                    description: it.description,
                    acknowledged: None,
                    silenced: None,
                },
            };
            Some(((it.subject, rule.name, rule.severity), tracked))
        };
        Self {
            tracked: persisted.into_iter().filter_map(tracked).collect(),
            ..Self::default()
        }
    }
}

/// Returns the conditions of a peer that a rule reports now.
fn causes(rule: &Rule, cause: AlertCause<'_>) -> BTreeSet<&'static str> {
    let AlertCause::Peer(record) = cause else {
        return BTreeSet::new();
    };
    let conditions = record.conditions.iter();
    let reported = conditions.filter(|condition| alert_for_condition(**condition) == rule.name);
    reported.map(|condition| condition.as_str()).collect()
}

impl TrackedAlert {
    fn new(rule: &'static Rule, subject: AlertSubject, now: Instant, wall: SystemTime) -> Self {
        Self {
            phase: Phase::Pending,
            since: now,
            since_wall: wall,
            last_sustained: now,
            keep_firing_for: rule.keep_firing_for(),
            good_polls: None,
            causes: BTreeSet::new(),
            present: None,
            alert: Alert {
                rule,
                subject,
                starts_at: wall,
                ends_at: None,
                ended_by: None,
                description: String::new(),
                acknowledged: None,
                silenced: None,
            },
        }
    }

    /// Handles an evaluation in which the alert has a cause. Returns whether it starts to fire.
    fn sustain(
        &mut self,
        now: Instant,
        wall: SystemTime,
        good_polls: impl FnOnce() -> u64,
        description: impl Fn() -> String,
    ) -> bool {
        if self.phase == Phase::Resolved {
            *self = Self::new(self.alert.rule, self.alert.subject.clone(), now, wall);
        }
        self.last_sustained = now;
        self.keep_firing_for = self.alert.rule.keep_firing_for();
        let fires =
            self.phase == Phase::Pending && now - self.since >= self.alert.rule.hold_duration;
        if fires {
            self.enter(Phase::Firing, now, wall);
            self.alert.starts_at = wall;
            self.alert.description = description();
        }
        let is_recent = |(at, _): &(Instant, String)| now - *at < DESCRIPTION_INTERVAL;
        if fires {
            self.present = Some((now, self.alert.description.clone()));
        } else if self.phase == Phase::Firing && !self.present.as_ref().is_some_and(is_recent) {
            self.present = Some((now, description()));
        }
        if self.phase == Phase::Firing {
            self.good_polls.get_or_insert_with(good_polls);
        }
        fires
    }

    /// Whether a firing alert without a cause is seen to be over, by good polls since it began.
    fn sees_end(&mut self, evaluation: &Evaluation<'_>, subject: &AlertSubject) -> bool {
        let good_polls = evaluation.good_polls(subject);
        let at_start = *self.good_polls.get_or_insert(good_polls);
        evaluation.sees_end(self.alert.rule, subject)
            && (good_polls != at_start || !self.alert.rule.needs_polls())
    }

    /// Handles an evaluation in which the subject cannot be observed: a pending alert stays pending
    /// that much longer, a firing one keeps firing.
    fn freeze(&mut self, now: Instant) {
        if self.phase == Phase::Pending {
            let unobserved = now - self.last_sustained;
            self.since += unobserved;
            self.since_wall += unobserved;
        }
        self.last_sustained = now;
    }

    /// Handles an evaluation without a cause. Returns whether the alert is resolved now.
    fn resolve_if_due(&mut self, now: Instant, wall: SystemTime) -> bool {
        self.phase == Phase::Firing
            && now - self.last_sustained >= self.keep_firing_for
            && self.end(None, now, wall)
    }

    /// Ends the alert. Returns true, for the change.
    fn end(&mut self, ended_by: Option<EndedBy>, now: Instant, wall: SystemTime) -> bool {
        self.enter(Phase::Resolved, now, wall);
        self.alert.ends_at = Some(wall);
        self.alert.ended_by = ended_by;
        (self.alert.acknowledged, self.alert.silenced) = (None, None);
        true
    }

    fn enter(&mut self, phase: Phase, now: Instant, wall: SystemTime) {
        self.phase = phase;
        self.since = now;
        self.since_wall = wall;
    }

    /// Returns whether the alert is still pending, firing or recently resolved.
    fn is_tracked_further(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Pending => self.last_sustained == now,
            Phase::Firing => true,
            Phase::Resolved => now - self.since < RESOLVED_RETENTION,
        }
    }
}

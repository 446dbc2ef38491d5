//! Tracks each alert through its phases: pending, firing, resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::Severity;
use crate::fleet::{Health, Rename, UnixMillis};

use super::description::describe;
use super::input::{AlertCause, RuleInput};
use super::rules::{Predicate, RULES, Rule};
use super::subject::AlertSubject;

/// How long a restored alert keeps firing without a cause: after a restart, peers must be polled
/// and stake must be read before a missing cause means anything.
const RESTORED_KEEP_FIRING_FOR: Duration = Duration::from_secs(120);

/// Longest time that an alert that explains an outage outlasts its own cause.
const OUTAGE_KEEP_FIRING_FOR: Duration = Duration::from_secs(300);

/// How long a resolved alert is still reported: longer than receivers consider a firing alert
/// valid.
const RESOLVED_RETENTION: Duration = Duration::from_secs(300);

/// An alert that is firing or resolved.
#[derive(Clone, Debug)]
pub struct Alert {
    /// The rule that raised the alert.
    pub rule: &'static Rule,
    /// The subject of the alert.
    pub subject: AlertSubject,
    /// When the alert started to fire.
    pub starts_at: SystemTime,
    /// When the alert was resolved; `None` while it fires.
    pub ends_at: Option<SystemTime>,
    /// State of the subject when the alert started to fire.
    pub description: String,
}

/// Identifies an alert: its subject, and the name and severity of its rule.
type AlertKey = (AlertSubject, &'static str, Severity);

/// All alerts that are pending, firing or recently resolved.
#[derive(Clone, Debug, Default)]
pub struct AlertTracker(BTreeMap<AlertKey, TrackedAlert>);

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
    /// When the alert last had a cause.
    last_caused: Instant,
    /// How long the alert keeps firing without a cause.
    keep_firing_for: Duration,
    alert: Alert,
}

/// The result of one evaluation of all rules.
#[derive(Default)]
struct Evaluation<'a> {
    /// Alerts with a cause.
    causes: BTreeMap<AlertKey, AlertCause<'a>>,
    /// Subjects that cannot be observed because of a problem of this host.
    frozen: BTreeSet<AlertSubject>,
    /// Peers that are down.
    down: BTreeSet<AlertSubject>,
}

impl AlertTracker {
    /// Continues the alerts of a peer under another name.
    pub(super) fn rename(&mut self, rename: &Rename) {
        let subject = |peer: &String| AlertSubject::Peer {
            peer: peer.clone(),
            network: rename.network.clone(),
        };
        let (from, to) = (subject(&rename.from), subject(&rename.to));
        let rules: Vec<_> = self
            .0
            .keys()
            .filter(|key| key.0 == from)
            .map(|key| (key.1, key.2))
            .collect();
        for (name, severity) in rules {
            if let Some(mut tracked) = self.0.remove(&(from.clone(), name, severity)) {
                tracked.alert.subject = to.clone();
                self.0.insert((to.clone(), name, severity), tracked);
            }
        }
    }

    /// Evaluates all rules. Returns the alerts that started to fire or were resolved, in the order
    /// of their subjects. `vantage` is the agent's name.
    pub fn evaluate(&mut self, input: RuleInput<'_>, vantage: &str) -> Vec<Alert> {
        let evaluation = Evaluation::run(input);
        let (now, wall) = (input.snapshot.now, input.snapshot.wall);
        for key in evaluation.causes.keys() {
            if !self.0.contains_key(key)
                && let Some(rule) = Rule::find(key.1, Some(key.2), &key.0)
            {
                let tracked = TrackedAlert::new(rule, key.0.clone(), now, wall);
                self.0.insert(key.clone(), tracked);
            }
        }
        let mut changed_alerts = Vec::new();
        self.0.retain(|key, tracked| {
            let changed = match evaluation.causes.get(key) {
                Some(cause) => {
                    tracked.last_caused = now;
                    let (rule, caused) = (tracked.alert.rule, tracked.since_wall);
                    let description = || describe(rule, caused, input, *cause, vantage);
                    tracked.sustain(now, wall, description)
                }
                None if evaluation.frozen.contains(&key.0) && tracked.alert.rule.can_freeze() => {
                    tracked.freeze(now);
                    false
                }
                None if evaluation.down.contains(&key.0) && tracked.outlasts_cause(now) => {
                    tracked.last_sustained = now;
                    false
                }
                None => tracked.resolve_if_due(now, wall),
            };
            changed_alerts.extend(changed.then(|| tracked.alert.clone()));
            tracked.is_tracked_further(now)
        });
        changed_alerts
    }

    /// Returns the alerts that are firing or recently resolved.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        let alerts = self
            .0
            .values()
            .filter(|tracked| tracked.phase != Phase::Pending);
        alerts.map(|tracked| tracked.alert.clone()).collect()
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
            description: tracked.alert.description.clone(),
        };
        self.0.values().map(persisted).collect()
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
                last_caused: now,
                keep_firing_for: rule.keep_firing_for().max(RESTORED_KEEP_FIRING_FOR),
                alert: Alert {
                    rule,
                    subject: it.subject.clone(),
                    starts_at: it.starts.to_past(wall)?,
                    ends_at: it.ends.and_then(|ends| ends.to_past(wall)),
                    description: it.description,
                },
            };
            Some(((it.subject, rule.name, rule.severity), tracked))
        };
        Self(persisted.into_iter().filter_map(tracked).collect())
    }
}

impl TrackedAlert {
    fn new(rule: &'static Rule, subject: AlertSubject, now: Instant, wall: SystemTime) -> Self {
        Self {
            phase: Phase::Pending,
            since: now,
            since_wall: wall,
            last_sustained: now,
            last_caused: now,
            keep_firing_for: rule.keep_firing_for(),
            alert: Alert {
                rule,
                subject,
                starts_at: wall,
                ends_at: None,
                description: String::new(),
            },
        }
    }

    /// Handles an evaluation in which the alert has a cause. Returns whether it starts to fire.
    fn sustain(
        &mut self,
        now: Instant,
        wall: SystemTime,
        description: impl FnOnce() -> String,
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
        fires
    }

    /// Returns whether the alert keeps firing without a cause while its peer is down. An alert that
    /// explains an outage inhibits the outage alert, which would otherwise fire at the end.
    fn outlasts_cause(&self, now: Instant) -> bool {
        self.phase == Phase::Firing
            && self.alert.rule.explains_outage
            && now - self.last_caused < OUTAGE_KEEP_FIRING_FOR
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
        let due = self.phase == Phase::Firing && now - self.last_sustained >= self.keep_firing_for;
        if due {
            self.enter(Phase::Resolved, now, wall);
            self.alert.ends_at = Some(wall);
        }
        due
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

impl<'a> Evaluation<'a> {
    fn run(input: RuleInput<'a>) -> Self {
        let mut evaluation = Self::default();
        for (record, network) in input.alertable_peers() {
            let subject = || AlertSubject::Peer {
                peer: record.peer.name.clone(),
                network: network.name.clone(),
            };
            if input.is_obstructed(record) {
                evaluation.frozen.insert(subject());
                continue;
            }
            if record.health == Health::Down {
                evaluation.down.insert(subject());
            }
            evaluation.add(
                subject,
                AlertCause::Peer(record),
                |predicate| matches!(predicate, Predicate::Peer(holds) if holds(record, network, input)),
            );
        }
        for network in input.alertable_networks() {
            let subject = || AlertSubject::Network {
                network: network.name.clone(),
            };
            let mut own_peers = input.own_peers(network).peekable();
            let frozen =
                own_peers.peek().is_some() && own_peers.all(|record| input.is_obstructed(record));
            if frozen {
                evaluation.frozen.insert(subject());
            }
            evaluation.add(
                subject,
                AlertCause::Network(network),
                |predicate| match predicate {
                    Predicate::Network(holds) => !frozen && holds(network, input),
                    Predicate::Visibility(holds) => holds(network, input),
                    Predicate::Peer(_) | Predicate::Monitor(_) => false,
                },
            );
        }
        evaluation.add(
            || AlertSubject::Monitor,
            AlertCause::Monitor,
            |predicate| matches!(predicate, Predicate::Monitor(holds) if holds(input)),
        );
        evaluation
    }

    /// Adds a cause for each rule whose predicate holds.
    fn add(
        &mut self,
        subject: impl Fn() -> AlertSubject,
        cause: AlertCause<'a>,
        holds: impl Fn(Predicate) -> bool,
    ) {
        let rules = RULES.iter().filter(|rule| holds(rule.predicate));
        self.causes
            .extend(rules.map(|rule| ((subject(), rule.name, rule.severity), cause)));
    }
}

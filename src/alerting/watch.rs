//! Follows each alert from its cause to its end: pending, firing, over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::fleet::{Health, UnixMillis};

use super::rule::{Cause, RULES, Rule};
use super::seen::{Place, Seen};
use super::subject::Subject;

/// What was firing when the agent ended goes on for so long without cause: peers have to be polled, and stake read, before
/// their absence says anything.
const KEEP_RECALLED: Duration = Duration::from_secs(120);

/// An alert that explains an outage outlasts its own cause by so much at most.
const OUTLASTS: Duration = Duration::from_secs(300);

/// What is over is told for so long: longer than a firing alert is valid for who is told.
const TELL_RESOLVED: Duration = Duration::from_secs(300);

/// An alert that fires, or that has fired and is over.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Which.
    pub rule: &'static Rule,
    /// What it is about.
    pub subject: Subject,
    /// When it began to fire.
    pub starts: SystemTime,
    /// When it was over; none while it fires.
    pub ends: Option<SystemTime>,
    /// What was seen when it began.
    pub description: String,
}

/// All alerts with a cause, and those that were over lately.
#[derive(Clone, Debug, Default)]
pub struct Watch(BTreeMap<(Subject, &'static str), Tracked>);

/// How one alert stands, to outlive the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    alert: String,
    subject: Subject,
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
struct Tracked {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// The same moment by the wall clock.
    since_wall: SystemTime,
    /// When there was a cause last, or what counts as one.
    caused: Instant,
    /// When one was seen last.
    seen: Instant,
    /// How long it fires on without one.
    keep: Duration,
    alert: Alert,
}

/// What one look finds.
#[derive(Default)]
struct Look<'a> {
    /// Alerts with a cause, and where it was seen.
    caused: BTreeMap<(Subject, &'static str), Place<'a>>,
    /// Of these nothing can be said: the agent's own trouble lies between.
    held: BTreeSet<Subject>,
    /// These are down.
    down: BTreeSet<Subject>,
}

impl Watch {
    /// Looks once. Gives the alerts that begin to fire and those that are over now, in the order of their subjects.
    /// `vantage` is the agent's name.
    pub fn look(&mut self, seen: Seen<'_>, vantage: &str) -> Vec<Alert> {
        let look = Look::at(seen);
        let (now, wall) = (seen.snapshot.now, seen.snapshot.wall);
        for key in look.caused.keys() {
            if !self.0.contains_key(key)
                && let Some(rule) = Rule::named(key.1)
            {
                let tracked = Tracked::new(rule, key.0.clone(), now, wall);
                self.0.insert(key.clone(), tracked);
            }
        }
        let mut transitions = Vec::new();
        self.0.retain(|key, tracked| {
            let begins_or_ends = match look.caused.get(key) {
                Some(place) => {
                    tracked.seen = now;
                    tracked.caused(now, wall, || seen.describe(*place, vantage))
                }
                None if look.held.contains(&key.0) && tracked.alert.rule.can_be_held() => {
                    tracked.hold(now);
                    false
                }
                None if look.down.contains(&key.0) && tracked.outlasts(now) => {
                    tracked.caused = now;
                    false
                }
                None => tracked.without_cause(now, wall),
            };
            transitions.extend(begins_or_ends.then(|| tracked.alert.clone()));
            tracked.is_followed(now)
        });
        transitions
    }

    /// Alerts that fire, and those that were over lately.
    #[must_use]
    pub fn told(&self) -> Vec<Alert> {
        let told = self
            .0
            .values()
            .filter(|tracked| tracked.phase != Phase::Pending);
        told.map(|tracked| tracked.alert.clone()).collect()
    }

    /// What is to outlive the agent.
    #[must_use]
    pub fn remembered(&self) -> Vec<Remembered> {
        let remembered = |tracked: &Tracked| Remembered {
            alert: tracked.alert.rule.name.to_owned(),
            subject: tracked.alert.subject.clone(),
            phase: tracked.phase,
            since: UnixMillis::from_time(tracked.since_wall),
            starts: UnixMillis::from_time(tracked.alert.starts),
            ends: tracked.alert.ends.map(UnixMillis::from_time),
            description: tracked.alert.description.clone(),
        };
        self.0.values().map(remembered).collect()
    }

    /// Takes back what was remembered; `now` and `wall` are the same instant. Alerts that this version does not know are forgotten.
    #[must_use]
    pub fn recalled(remembered: Vec<Remembered>, now: Instant, wall: SystemTime) -> Self {
        let tracked = |it: Remembered| {
            let rule = Rule::named(&it.alert)?;
            let since_wall = it.since.to_time()?;
            let age = wall.duration_since(since_wall).unwrap_or_default();
            let tracked = Tracked {
                phase: it.phase,
                since: now.checked_sub(age).unwrap_or(now),
                since_wall,
                caused: now,
                seen: now,
                keep: rule.keep().max(KEEP_RECALLED),
                alert: Alert {
                    rule,
                    subject: it.subject.clone(),
                    starts: it.starts.to_time()?,
                    ends: it.ends.and_then(UnixMillis::to_time),
                    description: it.description,
                },
            };
            Some(((it.subject, rule.name), tracked))
        };
        Self(remembered.into_iter().filter_map(tracked).collect())
    }
}

impl Tracked {
    fn new(rule: &'static Rule, subject: Subject, now: Instant, wall: SystemTime) -> Self {
        Self {
            phase: Phase::Pending,
            since: now,
            since_wall: wall,
            caused: now,
            seen: now,
            keep: rule.keep(),
            alert: Alert {
                rule,
                subject,
                starts: wall,
                ends: None,
                description: String::new(),
            },
        }
    }

    /// There is a cause. Says whether the alert begins to fire.
    fn caused(
        &mut self,
        now: Instant,
        wall: SystemTime,
        description: impl FnOnce() -> String,
    ) -> bool {
        if self.phase == Phase::Resolved {
            *self = Self::new(self.alert.rule, self.alert.subject.clone(), now, wall);
        }
        self.caused = now;
        self.keep = self.alert.rule.keep();
        let fires = self.phase == Phase::Pending && now - self.since >= self.alert.rule.hold;
        if fires {
            self.enter(Phase::Firing, now, wall);
            self.alert.starts = wall;
            self.alert.description = description();
        }
        fires
    }

    /// Whether it goes on without a cause as long as the peer is down: what explains an outage must not be over before it, or
    /// the outage would be told once more while it ends.
    fn outlasts(&self, now: Instant) -> bool {
        self.phase == Phase::Firing
            && self.alert.rule.explains_an_outage
            && now - self.seen < OUTLASTS
    }

    /// Nothing can be said: what is pending waits so much longer, what fires goes on.
    fn hold(&mut self, now: Instant) {
        if self.phase == Phase::Pending {
            let unseen = now - self.caused;
            self.since += unseen;
            self.since_wall += unseen;
        }
        self.caused = now;
    }

    /// There is no cause. Says whether the alert is over now.
    fn without_cause(&mut self, now: Instant, wall: SystemTime) -> bool {
        let over = self.phase == Phase::Firing && now - self.caused >= self.keep;
        if over {
            self.enter(Phase::Resolved, now, wall);
            self.alert.ends = Some(wall);
        }
        over
    }

    fn enter(&mut self, phase: Phase, now: Instant, wall: SystemTime) {
        self.phase = phase;
        self.since = now;
        self.since_wall = wall;
    }

    /// Whether there is anything left to follow.
    fn is_followed(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Pending => self.caused == now,
            Phase::Firing => true,
            Phase::Resolved => now - self.since < TELL_RESOLVED,
        }
    }
}

impl<'a> Look<'a> {
    fn at(seen: Seen<'a>) -> Self {
        let mut look = Self::default();
        for (record, network) in seen.peers() {
            let subject = || Subject::Peer {
                peer: record.peer.name.clone(),
                network: network.name.clone(),
            };
            if seen.is_obstructed(record) {
                look.held.insert(subject());
                continue;
            }
            if record.health == Health::Down {
                look.down.insert(subject());
            }
            look.add(
                subject,
                Place::Peer(record),
                |cause| matches!(cause, Cause::Peer(cause) if cause(record, network, seen)),
            );
        }
        for network in seen.networks() {
            let subject = || Subject::Network {
                network: network.name.clone(),
            };
            let mut own = seen.own(network).peekable();
            let held = own.peek().is_some() && own.all(|record| seen.is_obstructed(record));
            if held {
                look.held.insert(subject());
            }
            look.add(subject, Place::Network(network), |cause| match cause {
                Cause::Network(cause) => !held && cause(network, seen),
                Cause::Sight(cause) => cause(network, seen),
                Cause::Peer(_) | Cause::Monitor(_) => false,
            });
        }
        look.add(
            || Subject::Monitor,
            Place::Monitor,
            |cause| matches!(cause, Cause::Monitor(cause) if cause(seen)),
        );
        look
    }

    fn add(
        &mut self,
        subject: impl Fn() -> Subject,
        place: Place<'a>,
        is_caused: impl Fn(Cause) -> bool,
    ) {
        let rules = RULES.iter().filter(|rule| is_caused(rule.cause));
        self.caused
            .extend(rules.map(|rule| ((subject(), rule.name), place)));
    }
}

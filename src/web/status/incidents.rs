//! Joins events into incidents. Pure: the events, the plans and the present states are arguments.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::fleet::Condition;
use crate::history::{Event, EventKind};

use super::cause::Cause;
use super::state::State;

/// What comes back within this time is the same incident, milliseconds.
const JOIN_GAP_MS: u64 = 10 * 60 * 1000;

/// How long an incident is shown after its end, milliseconds.
const KEPT_MS: u64 = 90 * 24 * 3600 * 1000;

/// What events call planned work.
const MAINTENANCE: &str = "maintenance";

/// A time in which a peer or a network was degraded or down, in milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    /// The id of the event that it began with.
    pub(super) id: u64,
    /// [`State::Degraded`] or [`State::Down`].
    pub(super) state: State,
    pub(super) causes: BTreeSet<Cause>,
    pub(super) begin: u64,
    /// None while it lasts.
    pub(super) end: Option<u64>,
    pub(super) recurrences: u32,
}

/// A time of planned work, in milliseconds since the epoch. The end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) begin: u64,
    pub(super) end: u64,
}

impl Span {
    /// Whether it has begun and not ended at this time.
    pub(super) const fn is_at(self, at: u64) -> bool {
        self.begin <= at && at < self.end
    }
}

/// A peer or a network of which incidents are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Peer(String),
    Network(String),
}

/// Properties of a subject beside its events.
#[derive(Clone, Debug)]
pub(super) struct Present {
    /// The network that it is, or is part of.
    pub(super) network: Option<String>,
    pub(super) state: State,
    /// Planned work of the configuration.
    pub(super) planned: Vec<Span>,
}

/// Returns the outages of each subject, the oldest first, from `events`, which are in order.
pub(super) fn outages(
    events: &[Arc<Event>],
    subjects: &HashMap<Subject, Present>,
    now: u64,
) -> HashMap<Subject, Vec<Outage>> {
    let mut tracks: HashMap<Subject, Track> = subjects
        .keys()
        .map(|subject| (subject.clone(), Track::default()))
        .collect();
    let mut plans = Plans::default();
    for event in events {
        plans.follow(event);
        if matches!(event.kind, EventKind::AgentStarted { .. }) {
            for (subject, track) in &mut tracks {
                track.monitor_started(event.at_ms, matches!(subject, Subject::Network(_)));
            }
        } else if let Some(track) = subject(event).and_then(|it| tracks.get_mut(&it)) {
            track.follow(event);
        }
    }
    let finished = tracks.into_iter().map(|(subject, track)| {
        let present = &subjects[&subject];
        let mut planned = present.planned.clone();
        planned.extend(plans.about(&subject, present.network.as_deref()));
        let outages = track.finish(present.state);
        let outages = outages
            .into_iter()
            .filter_map(|it| unplanned(it, &planned, now));
        let kept = outages.filter(|it| it.end.is_none_or(|end| end + KEPT_MS > now));
        (subject, kept.collect())
    });
    finished.collect()
}

fn subject(event: &Event) -> Option<Subject> {
    match (&event.peer, &event.network) {
        (Some(peer), _) => Some(Subject::Peer(peer.clone())),
        (None, Some(network)) => Some(Subject::Network(network.clone())),
        (None, None) => None,
    }
}

/// Leaves out the planned part at the beginning of an outage; none if all of it was planned.
fn unplanned(mut outage: Outage, planned: &[Span], now: u64) -> Option<Outage> {
    // Each pass moves the beginning on.
    while let Some(span) = planned.iter().find(|span| span.is_at(outage.begin)) {
        outage.begin = span.end;
    }
    (outage.begin < outage.end.unwrap_or(now)).then_some(outage)
}

/// What the events of one subject have shown so far.
#[derive(Debug, Default)]
struct Track {
    health: Health,
    /// Its problem, by the label of the condition.
    problems: BTreeMap<String, Problem>,
    open: Option<Outage>,
    /// Since when nothing shows whether the open outage goes on.
    unseen_since: Option<u64>,
    closed: Vec<Outage>,
    last_event: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Health {
    #[default]
    Fine,
    /// As bad as its problems are.
    AsItsProblems,
    Down,
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Problem {
    state: State,
    cause: Cause,
    since: u64,
}

/// Conditions begin just before the health that follows from them, milliseconds.
const SAME_CHANGE_MS: u64 = 5_000;

impl Track {
    fn follow(&mut self, event: &Event) {
        let at = event.at_ms;
        let shows_health = match &event.kind {
            EventKind::HealthChanged { from, to, .. } => {
                self.health_changed(from, to, at);
                true
            }
            kind => self.network_changed(kind, at),
        };
        if shows_health || self.condition_changed(&event.kind, at) {
            self.last_event = at;
            // Conditions come before the health that they belong to, which alone says whether the
            // peer was up while nobody watched.
            if shows_health || self.unseen_since.is_none() {
                self.update(at, event.id);
            }
        }
    }

    /// Follows a condition of a peer. Returns whether the event is about one.
    fn condition_changed(&mut self, kind: &EventKind, at: u64) -> bool {
        match kind {
            EventKind::ConditionBegan { condition } => {
                let known = Condition::named(condition);
                if let Some(cause) = known.and_then(Cause::of) {
                    self.begin(condition, State::Degraded, cause, at);
                }
            }
            EventKind::ConditionEnded { condition } => self.end(condition),
            EventKind::ForkBegan { .. } => {
                self.begin("diverged", State::Degraded, Cause::Apart, at);
            }
            EventKind::ForkEnded => self.end("diverged"),
            _ => return false,
        }
        true
    }

    /// Follows what is wrong with a network. Returns whether the event is about that.
    fn network_changed(&mut self, kind: &EventKind, at: u64) -> bool {
        match kind {
            EventKind::OrderChanged { to, .. } => self.order_changed(to, at),
            EventKind::SplitBegan => self.network_began("split", State::Down, Cause::Split, at),
            EventKind::SplitEnded => self.network_ended("split"),
            EventKind::ResetBegan { .. } => {
                self.network_began("reset", State::Down, Cause::Reset, at);
            }
            EventKind::ResetEnded => self.network_ended("reset"),
            EventKind::StatesDifferBegan { .. } => {
                self.network_began("states", State::Degraded, Cause::StatesDiffer, at);
            }
            EventKind::StatesDifferEnded => self.network_ended("states"),
            _ => return false,
        }
        true
    }

    fn health_changed(&mut self, from: &str, to: &str, at: u64) {
        if from == "up" {
            // It came up while nobody watched; what it had then is over.
            if let Some(since) = self.unseen_since {
                self.close(since);
            }
            let is_new = |problem: &Problem| problem.since + SAME_CHANGE_MS >= at;
            self.problems.retain(|_, problem| is_new(problem));
        }
        self.health = match to {
            "up" => Health::Fine,
            "degraded" => Health::AsItsProblems,
            "down" => Health::Down,
            _ => Health::Unknown,
        };
        if self.health == Health::Fine {
            self.problems.clear();
        }
    }

    fn order_changed(&mut self, to: &str, at: u64) {
        match to {
            "stalled" | "receding" => self.network_began("order", State::Down, Cause::Stalled, at),
            "unknown" => {
                self.end("order");
                self.health = Health::Unknown;
            }
            _ => self.network_ended("order"),
        }
    }

    fn network_began(&mut self, label: &str, state: State, cause: Cause, at: u64) {
        self.health = Health::AsItsProblems;
        self.begin(label, state, cause, at);
    }

    fn network_ended(&mut self, label: &str) {
        self.health = Health::AsItsProblems;
        self.end(label);
    }

    fn begin(&mut self, label: &str, state: State, cause: Cause, since: u64) {
        let problem = Problem {
            state,
            cause,
            since,
        };
        self.problems.insert(label.to_owned(), problem);
    }

    fn end(&mut self, label: &str) {
        self.problems.remove(label);
    }

    /// The monitor has started: what goes on is not known before it is seen again. Of a network
    /// everything that goes on is an event again.
    fn monitor_started(&mut self, at: u64, is_network: bool) {
        self.lose_sight(at);
        if is_network {
            self.problems.clear();
            self.health = Health::Fine;
        }
    }

    fn lose_sight(&mut self, at: u64) {
        if self.open.is_some() {
            self.unseen_since.get_or_insert(at);
        }
    }

    /// Opens or closes an outage as the health now is.
    fn update(&mut self, at: u64, id: u64) {
        let problems = self.problems.values();
        let state = match self.health {
            Health::Unknown => return self.lose_sight(at),
            Health::Fine => None,
            Health::AsItsProblems => problems.clone().map(|it| it.state).max(),
            Health::Down => Some(State::Down),
        };
        let causes: Vec<Cause> = problems.map(|it| it.cause).collect();
        let Some(state) = state else {
            return self.close(at);
        };
        self.unseen_since = None;
        let open = self.open.take().or_else(|| self.come_back(at));
        let mut open = open.unwrap_or_else(|| Outage {
            id,
            state,
            causes: BTreeSet::new(),
            begin: at,
            end: None,
            recurrences: 0,
        });
        open.state = open.state.max(state);
        open.causes.extend(causes);
        self.open = Some(open);
    }

    /// Returns the last outage, if it ended a moment ago.
    fn come_back(&mut self, at: u64) -> Option<Outage> {
        let is_recent = |it: &mut Outage| it.end.is_some_and(|end| end + JOIN_GAP_MS > at);
        let last = self.closed.pop_if(is_recent)?;
        Some(Outage {
            end: None,
            recurrences: last.recurrences + 1,
            ..last
        })
    }

    fn close(&mut self, at: u64) {
        self.unseen_since = None;
        if let Some(open) = self.open.take() {
            let end = Some(at.max(open.begin));
            self.closed.push(Outage { end, ..open });
        }
    }

    /// Returns all outages. One that ended without an event, because the monitor was not running,
    /// ended when it was last seen.
    fn finish(mut self, present: State) -> Vec<Outage> {
        if present == State::Operational {
            self.close(self.unseen_since.unwrap_or(self.last_event));
        }
        self.closed.extend(self.open.take());
        for outage in &mut self.closed {
            if outage.causes.is_empty() {
                outage.causes.insert(Cause::Unreachable);
            }
        }
        self.closed
    }
}

/// Maintenance that operators began at run time.
#[derive(Debug, Default)]
struct Plans(Vec<Plan>);

#[derive(Debug)]
struct Plan {
    peer: Option<String>,
    network: Option<String>,
    labels: String,
    span: Span,
}

impl Plans {
    fn follow(&mut self, event: &Event) {
        match &event.kind {
            EventKind::ActionBegan {
                action,
                labels,
                starts_at_ms,
                ends_at_ms,
                ..
            } if action == MAINTENANCE => self.0.push(Plan {
                peer: event.peer.clone(),
                network: event.network.clone(),
                labels: labels.clone(),
                span: Span {
                    begin: starts_at_ms.unwrap_or(event.at_ms),
                    end: ends_at_ms.unwrap_or(u64::MAX),
                },
            }),
            EventKind::ActionEnded { action, labels, .. } if action == MAINTENANCE => {
                let mut plans = self.0.iter_mut();
                let ended = plans.find(|it| it.labels == *labels && it.span.end >= event.at_ms);
                if let Some(plan) = ended {
                    plan.span.end = event.at_ms;
                }
            }
            _ => {}
        }
    }

    fn about(&self, subject: &Subject, network: Option<&str>) -> impl Iterator<Item = Span> {
        let is_about = move |plan: &&Plan| match (subject, &plan.peer) {
            (Subject::Peer(peer), Some(planned)) => peer == planned,
            (Subject::Network(_), Some(_)) => false,
            (_, None) => plan.network.as_deref() == network,
        };
        self.0.iter().filter(is_about).map(|plan| plan.span)
    }
}

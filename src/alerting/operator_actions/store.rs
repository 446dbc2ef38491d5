//! All actions that have not ended, and when each ends. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use tokio::time::Instant;

use crate::alerting::Alert;
use crate::fleet::{Rename, UnixMillis};

use super::action::{ActionKind, OperatorAction};
use super::draft::{ActionRefused, Draft};
use super::matchers::Matchers;
use super::saved::SavedAction;
use super::service::ActionEvent;
use super::term::Term;

/// All actions that have not ended.
#[derive(Clone, Debug, Default)]
pub(in crate::alerting) struct ActionStore {
    /// By id.
    actions: BTreeMap<u64, Declared>,
    /// The last id given.
    last_id: u64,
    /// What began and ended since it was last taken.
    events: Vec<ActionEvent>,
}

/// An action, and what ends it.
#[derive(Clone, Debug)]
struct Declared {
    kind: ActionKind,
    matchers: Matchers,
    created_by: String,
    comment: String,
    term: Term,
    /// The causes of the alert when it was acknowledged: another one makes it worse.
    causes: BTreeSet<String>,
}

/// A firing alert and its present causes.
#[derive(Clone, Debug)]
pub(super) struct FiringAlert<'a> {
    pub(super) alert: &'a Alert,
    /// All its labels.
    pub(super) labels: Matchers,
    pub(super) causes: BTreeSet<String>,
}

impl ActionStore {
    /// Does what `draft` asks for; `firing` are all alerts that fire.
    pub(super) fn begin(
        &mut self,
        mut draft: Draft,
        firing: &[FiringAlert<'_>],
        now: Instant,
        wall: SystemTime,
    ) -> Result<OperatorAction, ActionRefused> {
        let (starts_at, length) = draft.check(wall)?;
        let mut causes = BTreeSet::new();
        if draft.kind == ActionKind::Acknowledgement {
            let alert = only_match(&draft.matchers, firing)?;
            draft.matchers.clone_from(&alert.labels);
            causes.clone_from(&alert.causes);
            // A new one about the same alert replaces the old one.
            self.actions.retain(|_, it| {
                it.kind != ActionKind::Acknowledgement || it.matchers != draft.matchers
            });
        }
        let of_kind = self.actions.values().filter(|it| it.kind == draft.kind);
        let (kind, count) = (draft.kind, of_kind.count());
        if count >= kind.max_count() {
            return Err(ActionRefused::TooMany { kind, count });
        }
        let declared = Declared {
            kind,
            matchers: draft.matchers,
            created_by: draft.created_by,
            comment: draft.comment,
            term: Term::new(starts_at, length, now, wall),
            causes,
        };
        let id = self.next_id(wall);
        let action = declared.action(id, now, wall);
        self.actions.insert(id, declared);
        self.events.push(ActionEvent::began(action.clone()));
        Ok(action)
    }

    /// Ends an action early.
    pub(super) fn end(
        &mut self,
        id: u64,
        by: &str,
        now: Instant,
        wall: SystemTime,
    ) -> Result<OperatorAction, ActionRefused> {
        let declared = self.actions.remove(&id);
        let declared = declared.ok_or(ActionRefused::NoSuchAction(id))?;
        let action = declared.action(id, now, wall);
        let why = format!("ended by {by}");
        self.events.push(ActionEvent::ended(action.clone(), why));
        Ok(action)
    }

    /// Ends what is over: by its time, because its alert ended, or because that got worse.
    pub(super) fn follow(&mut self, firing: &[FiringAlert<'_>], now: Instant, wall: SystemTime) {
        let events = &mut self.events;
        self.actions.retain(|id, declared| {
            let why = declared.end(firing, now, wall);
            let ended = why.map(|why| ActionEvent::ended(declared.action(*id, now, wall), why));
            let stays = ended.is_none();
            events.extend(ended);
            stays
        });
    }

    /// Returns who has acknowledged an alert, and who has silenced it: of several silences the one
    /// that ends last.
    pub(super) fn about(
        &self,
        alert: &Alert,
        now: Instant,
        wall: SystemTime,
    ) -> (Option<OperatorAction>, Option<OperatorAction>) {
        let labels = Matchers::of(alert);
        let of_kind = |kind| {
            let actions = self.actions.iter().filter(move |(_, it)| it.kind == kind);
            actions.filter(|(_, it)| it.matches(&labels))
        };
        let last = |kind| {
            let actions = of_kind(kind).max_by_key(|(_, it)| it.term.ends_at);
            actions.map(|(id, it)| it.action(*id, now, wall))
        };
        (last(ActionKind::Acknowledgement), last(ActionKind::Silence))
    }

    /// Returns all actions, the oldest first.
    pub(in crate::alerting) fn actions(
        &self,
        now: Instant,
        wall: SystemTime,
    ) -> Vec<OperatorAction> {
        let actions = self.actions.iter();
        actions
            .map(|(id, declared)| declared.action(*id, now, wall))
            .collect()
    }

    /// Returns what began and ended since the last call.
    pub(super) fn take_events(&mut self) -> Vec<ActionEvent> {
        std::mem::take(&mut self.events)
    }

    /// Follows peers to their new names.
    pub(in crate::alerting) fn rename(&mut self, renames: &[Rename]) {
        for rename in renames {
            for declared in self.actions.values_mut() {
                declared.matchers.rename(rename);
            }
        }
    }

    /// Returns all actions in the form that is saved across restarts.
    pub(in crate::alerting) fn export(&self) -> Vec<SavedAction> {
        let saved = |(id, it): (&u64, &Declared)| SavedAction {
            id: *id,
            kind: it.kind,
            matchers: it.matchers.clone(),
            created_by: it.created_by.clone(),
            comment: it.comment.clone(),
            declared: UnixMillis::from_time(it.term.declared),
            starts: UnixMillis::from_time(it.term.starts_at),
            ends: UnixMillis::from_time(it.term.ends_at),
            causes: it.causes.clone(),
        };
        self.actions.iter().map(saved).collect()
    }

    /// Restores saved actions. `now` and `wall` are the same moment. Those whose time is over end
    /// at the first look at the alerts.
    pub(in crate::alerting) fn restore(
        saved: Vec<SavedAction>,
        now: Instant,
        wall: SystemTime,
    ) -> Self {
        let declared = |it: SavedAction| {
            let times = [
                it.declared.to_time()?,
                it.starts.to_time()?,
                it.ends.to_time()?,
            ];
            let declared = Declared {
                kind: it.kind,
                matchers: it.matchers,
                created_by: it.created_by,
                comment: it.comment,
                term: Term::at(times, now, wall),
                causes: it.causes,
            };
            Some((it.id, declared))
        };
        let actions: BTreeMap<u64, Declared> = saved.into_iter().filter_map(declared).collect();
        Self {
            last_id: actions.last_key_value().map_or(0, |(id, _)| *id),
            actions,
            events: Vec::new(),
        }
    }

    /// Returns an id that no action has had: the time in milliseconds, or a higher number.
    fn next_id(&mut self, wall: SystemTime) -> u64 {
        self.last_id = UnixMillis::from_time(wall).0.max(self.last_id + 1);
        self.last_id
    }
}

impl Declared {
    fn action(&self, id: u64, now: Instant, wall: SystemTime) -> OperatorAction {
        OperatorAction {
            id,
            kind: self.kind,
            matchers: self.matchers.clone(),
            created_by: self.created_by.clone(),
            comment: self.comment.clone(),
            starts_at: self.term.starts_at(wall),
            ends_at: self.term.ends_at(now, wall),
            vantage: None,
        }
    }

    /// Whether it is about the alert with these labels.
    fn matches(&self, labels: &Matchers) -> bool {
        match self.kind {
            // Its labels are all that the alert has: one of a network is about none of its peers.
            ActionKind::Acknowledgement => self.matchers == *labels,
            ActionKind::Silence => self.matchers.accept(labels),
            ActionKind::Maintenance => false,
        }
    }

    /// Returns why it has ended, if it has.
    fn end(&self, firing: &[FiringAlert<'_>], now: Instant, wall: SystemTime) -> Option<String> {
        if self.term.is_over(now, wall) {
            return Some("its time is over".to_owned());
        }
        if self.kind != ActionKind::Acknowledgement {
            return None;
        }
        let is_meant = |it: &&FiringAlert<'_>| it.labels == self.matchers;
        let Some(acknowledged) = firing.iter().find(is_meant) else {
            return Some("the alert has ended".to_owned());
        };
        let alert = acknowledged.alert;
        let worse = firing.iter().map(|it| it.alert).find(|other| {
            other.subject == alert.subject
                && other.rule.name == alert.rule.name
                && other.rule.severity > alert.rule.severity
        });
        if let Some(worse) = worse {
            return Some(format!(
                "it got worse: {} fires",
                worse.rule.severity.as_str()
            ));
        }
        let new_cause = acknowledged.causes.difference(&self.causes).next();
        new_cause.map(|cause| format!("it got worse: {cause} as well"))
    }
}

/// Returns the only firing alert with these labels.
fn only_match<'a, 'b>(
    matchers: &Matchers,
    firing: &'b [FiringAlert<'a>],
) -> Result<&'b FiringAlert<'a>, ActionRefused> {
    // All labels that an alert has mean that one, though an alert about a peer has these and more.
    if let Some(exact) = firing.iter().find(|it| it.labels == *matchers) {
        return Ok(exact);
    }
    let mut matching = firing.iter().filter(|it| matchers.accept(&it.labels));
    let first = matching.next();
    let first = first.ok_or_else(|| ActionRefused::NoSuchAlert(Box::new(matchers.clone())))?;
    match matching.count() {
        0 => Ok(first),
        more => Err(ActionRefused::SeveralAlerts {
            matchers: Box::new(matchers.clone()),
            count: more + 1,
        }),
    }
}

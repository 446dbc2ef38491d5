//! Marks tracked alerts as acknowledged and silenced.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::alerting::vantages;
use crate::alerting::{Alert, AlertTracker};
use crate::fleet::Snapshot;

use super::action::{ActionKind, OperatorAction};
use super::draft::{ActionRefused, Draft};
use super::matchers::Matchers;
use super::store::FiringAlert;

impl AlertTracker {
    /// Does what `draft` asks for.
    pub(super) fn begin_action(&mut self, draft: Draft) -> Result<OperatorAction, ActionRefused> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut actions = std::mem::take(&mut self.actions);
        let begun = actions.begin(draft, &self.firing_alerts(), now, wall);
        self.actions = actions;
        self.mark(acknowledged_elsewhere, now, wall);
        begun
    }

    /// Ends an action early.
    pub(super) fn end_action(
        &mut self,
        id: u64,
        by: &str,
    ) -> Result<OperatorAction, ActionRefused> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let ended = self.actions.end(id, by, now, wall);
        self.mark(acknowledged_elsewhere, now, wall);
        ended
    }

    /// Ends the actions that are over, and marks the alerts by what is left and by what other
    /// agents were told.
    pub(in crate::alerting) fn follow_actions(&mut self, snapshot: &Snapshot) {
        let (now, wall) = (snapshot.now, snapshot.wall);
        let mut actions = std::mem::take(&mut self.actions);
        actions.follow(&self.firing_alerts(), now, wall);
        self.actions = actions;
        self.mark(|alert| elsewhere(alert, snapshot), now, wall);
    }

    /// Marks restored alerts by restored actions.
    pub(in crate::alerting) fn mark_restored(&mut self, now: Instant, wall: SystemTime) {
        self.mark(acknowledged_elsewhere, now, wall);
    }

    /// Whether any alert was marked, or no longer is, since the last call.
    pub(in crate::alerting) fn take_marks_changed(&mut self) -> bool {
        std::mem::take(&mut self.marks_changed)
    }

    fn firing_alerts(&self) -> Vec<FiringAlert<'_>> {
        let firing = self.firing().map(|(alert, causes)| FiringAlert {
            alert,
            labels: Matchers::of(alert),
            causes: causes.iter().map(|cause| (*cause).to_owned()).collect(),
        });
        firing.collect()
    }

    fn mark(
        &mut self,
        elsewhere: impl Fn(&Alert) -> Option<OperatorAction>,
        now: Instant,
        wall: SystemTime,
    ) {
        let actions = std::mem::take(&mut self.actions);
        let mut changed = false;
        for alert in self.firing_mut() {
            let (acknowledged, silenced) = actions.about(alert, now, wall);
            let acknowledged = acknowledged.or_else(|| elsewhere(alert));
            changed |= is_other(alert.acknowledged.as_ref(), acknowledged.as_ref())
                || is_other(alert.silenced.as_ref(), silenced.as_ref());
            (alert.acknowledged, alert.silenced) = (acknowledged, silenced);
        }
        self.actions = actions;
        self.marks_changed |= changed;
    }
}

/// Whether two actions are not the same one. Its end is left out: it moves with the clocks.
fn is_other(before: Option<&OperatorAction>, now: Option<&OperatorAction>) -> bool {
    let identity = |action: &OperatorAction| (action.vantage.clone(), action.id);
    before.map(identity) != now.map(identity)
}

/// Returns the acknowledgement at another agent that is known already.
fn acknowledged_elsewhere(alert: &Alert) -> Option<OperatorAction> {
    let known = alert.acknowledged.clone();
    known.filter(|action| action.vantage.is_some())
}

/// Returns the acknowledgement of an alert at another agent.
fn elsewhere(alert: &Alert, snapshot: &Snapshot) -> Option<OperatorAction> {
    // Each agent has its own alerts about itself.
    let found = snapshot.acknowledged_elsewhere(&vantages::firing_alert(alert)?)?;
    Some(OperatorAction {
        // Those of other agents are not told: they are ended where they were made.
        id: 0,
        kind: ActionKind::Acknowledgement,
        matchers: Matchers::of(alert),
        created_by: found.created_by,
        comment: found.comment,
        starts_at: found.starts_at,
        ends_at: found.ends_at,
        vantage: found.vantage,
    })
}

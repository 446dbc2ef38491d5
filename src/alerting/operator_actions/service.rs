//! Takes what operators say, keeps it on disk, and passes it on to the fleet.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::alerting::delivery::Outbox;
use crate::alerting::saving::{SAVE_TIMEOUT, SaveRequest, save};
use crate::alerting::{Alert, AlertTracker, vantages};
use crate::config::Window;
use crate::fleet::{AcknowledgedAlert, Fleet, MaintenanceWindow};

use super::action::{ActionKind, OperatorAction};
use super::draft::{ActionRefused, Draft};

/// An action began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionEvent {
    /// The action.
    pub action: OperatorAction,
    /// Why it ended; none if it began.
    pub ended: Option<String>,
}

impl ActionEvent {
    pub(super) const fn began(action: OperatorAction) -> Self {
        Self {
            action,
            ended: None,
        }
    }

    pub(super) const fn ended(action: OperatorAction, why: String) -> Self {
        Self {
            action,
            ended: Some(why),
        }
    }
}

/// Is called with everything that begins and ends.
pub type Report = dyn Fn(ActionEvent) + Send + Sync;

/// The actions of operators at this agent.
#[derive(Clone)]
pub struct OperatorActions {
    outbox: Arc<Outbox>,
    fleet: Arc<Fleet>,
    /// Saves the state now; without it nothing is kept.
    saves: Option<mpsc::Sender<SaveRequest>>,
    report: Arc<Report>,
}

impl OperatorActions {
    /// Takes actions on the alerts of `outbox` and the peers of `fleet`.
    #[must_use]
    pub fn new(
        outbox: Arc<Outbox>,
        fleet: Arc<Fleet>,
        saves: Option<mpsc::Sender<SaveRequest>>,
        report: Arc<Report>,
    ) -> Self {
        let actions = Self {
            outbox,
            fleet,
            saves,
            report,
        };
        actions.publish();
        actions
    }

    /// Whether actions outlive a restart; without this none are taken.
    #[must_use]
    pub const fn are_kept(&self) -> bool {
        self.saves.is_some()
    }

    /// Does what `draft` asks for, and waits until it is on disk.
    ///
    /// # Errors
    /// Something in the draft is wrong, or it is about nothing that there is.
    pub async fn begin(&self, draft: Draft) -> Result<OperatorAction, ActionRefused> {
        let draft = self.find_target(draft)?;
        let action = self
            .outbox
            .with_tracker(|tracker| tracker.begin_action(draft))?;
        self.changed().await;
        Ok(action)
    }

    /// Ends an action before its time.
    ///
    /// # Errors
    /// There is no such action.
    pub async fn end(&self, id: u64, by: &str) -> Result<OperatorAction, ActionRefused> {
        let action = self
            .outbox
            .with_tracker(|tracker| tracker.end_action(id, by))?;
        self.changed().await;
        Ok(action)
    }

    /// Returns all actions that have not ended, the oldest first.
    #[must_use]
    pub fn active(&self) -> Vec<OperatorAction> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let actions = |tracker: &mut AlertTracker| tracker.actions.actions(now, wall);
        self.outbox.with_tracker(actions)
    }

    /// Returns the alerts that fire.
    #[must_use]
    pub fn firing(&self) -> Vec<Alert> {
        let firing = |tracker: &mut AlertTracker| {
            let firing = tracker.firing().map(|(alert, _)| alert);
            firing.cloned().collect()
        };
        self.outbox.with_tracker(firing)
    }

    /// Publishes changes: maintenance, firing and acknowledged alerts to the fleet, events to the
    /// event log.
    pub(in crate::alerting) fn publish(&self) {
        let windows = self.active().into_iter().filter_map(maintenance_window);
        self.fleet.set_maintenance(windows.collect());
        let alerts = |tracker: &mut AlertTracker| {
            let firing = tracker.firing().map(|(alert, _)| alert);
            firing
                .map(|alert| (vantages::firing_alert(alert), acknowledged_alert(alert)))
                .unzip()
        };
        let (firing, acknowledged): (Vec<_>, Vec<_>) = self.outbox.with_tracker(alerts);
        self.fleet
            .set_firing(firing.into_iter().flatten().collect());
        self.fleet
            .set_acknowledged(acknowledged.into_iter().flatten().collect());
        let events = |tracker: &mut AlertTracker| tracker.actions.take_events();
        for event in self.outbox.with_tracker(events) {
            log(&event);
            (self.report)(event);
        }
    }

    /// Checks that the peer or network in maintenance is watched, and adds the network of a peer.
    fn find_target(&self, mut draft: Draft) -> Result<Draft, ActionRefused> {
        if !self.are_kept() {
            return Err(ActionRefused::NotKept);
        }
        if draft.kind != ActionKind::Maintenance {
            return Ok(draft);
        }
        let matchers = &mut draft.matchers;
        let snapshot = self.fleet.snapshot();
        if let Some(peer) = &matchers.peer {
            let mut records = snapshot.peers.iter();
            let found = records.find(|record| {
                record.peer.name == *peer
                    && matchers
                        .network
                        .as_ref()
                        .is_none_or(|it| *it == record.peer.network)
            });
            let found =
                found.ok_or_else(|| ActionRefused::NotWatched(Box::new(matchers.clone())))?;
            matchers.network = Some(found.peer.network.clone());
        } else if let Some(network) = &matchers.network
            && !snapshot.networks.iter().any(|it| it.name == *network)
        {
            return Err(ActionRefused::NotWatched(Box::new(matchers.clone())));
        }
        Ok(draft)
    }

    /// Passes on a change, and saves it before receivers learn of it.
    async fn changed(&self) {
        self.publish();
        let is_saved = match &self.saves {
            Some(saves) => save(saves).await.unwrap_or(false),
            None => false,
        };
        if !is_saved {
            tracing::warn!(
                "what an operator asked for was not saved within {SAVE_TIMEOUT:?}; it counts, but a \
                 restart would lose it"
            );
        }
        self.outbox.publish();
    }
}

impl fmt::Debug for OperatorActions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorActions").finish_non_exhaustive()
    }
}

fn maintenance_window(action: OperatorAction) -> Option<MaintenanceWindow> {
    (action.kind == ActionKind::Maintenance).then_some(())?;
    Some(MaintenanceWindow {
        peer: action.matchers.peer,
        network: action.matchers.network?,
        window: Window {
            from: action.starts_at,
            to: action.ends_at,
            comment: Some(action.comment),
        },
    })
}

fn acknowledged_alert(alert: &Alert) -> Option<AcknowledgedAlert> {
    let action = alert.acknowledged.clone()?;
    let matchers = action.matchers;
    Some(AcknowledgedAlert {
        alertname: alert.rule.name.to_owned(),
        severity: alert.rule.severity.as_str().to_owned(),
        peer: matchers.peer,
        network: matchers.network,
        service: matchers.service,
        created_by: action.created_by,
        comment: action.comment,
        starts_at: action.starts_at,
        ends_at: action.ends_at,
        vantage: action.vantage,
    })
}

fn log(event: &ActionEvent) {
    let OperatorAction {
        id,
        kind,
        matchers,
        created_by,
        comment,
        ..
    } = &event.action;
    match &event.ended {
        None => tracing::info!(id, %kind, %matchers, %created_by, %comment, "an operator acted"),
        Some(why) => {
            tracing::info!(id, %kind, %matchers, %why, "what an operator did has ended");
        }
    }
}

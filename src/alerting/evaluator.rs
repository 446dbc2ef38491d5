//! Evaluates the alert rules once a second and hands changed alerts to the outbox.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::config::active::ActiveConfig;
use crate::supervisor::liveness::Pulse;

use super::delivery::{Dependencies, MessageContext};
use super::input::{MonitorStatus, RuleInput};
use super::operator_actions::OperatorActions;
use super::saving::{SAVE_TIMEOUT, SaveRequest, save};
use super::transitions::{self, TransitionReport};

/// Time between two evaluations.
const EVALUATION_INTERVAL: Duration = Duration::from_secs(1);

/// How long a missed poll counts as recent.
const MISSED_POLL_WINDOW: Duration = Duration::from_secs(300);

/// Evaluates the alert rules until `stop`, also without receivers: pages show which alerts fire,
/// and operators act on them. `report` is called with each alert that begins or ends. `saves`
/// writes the outbox to disk; without it nothing is saved.
pub async fn evaluate_rules(
    dependencies: Dependencies,
    active_config: Arc<ActiveConfig>,
    saves: Option<mpsc::Sender<SaveRequest>>,
    actions: OperatorActions,
    report: Arc<TransitionReport>,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let mut ticks = interval(EVALUATION_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut missed_polls = MissedPolls::default();
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        pulse.expect(SAVE_TIMEOUT);
        let active = active_config.get();
        let notify = &active.config.notify;
        let outbox = &dependencies.outbox;
        let renames = outbox.renames();
        let snapshot = dependencies.fleet.snapshot();
        let monitor = MonitorStatus {
            reload_successful: active.reload_successful,
            misses_polls: missed_polls.any_recent(dependencies.timing.missed(), snapshot.now),
            failing_receivers: dependencies.metrics.failing_receivers(),
            shard: dependencies.shard,
        };
        let input = RuleInput {
            snapshot: &snapshot,
            monitor: &monitor,
        };
        let context = MessageContext::from_config(&active.config);
        let changed = outbox.evaluate(renames, input, &context, notify);
        for alert in outbox.take_transitions() {
            transitions::log(&alert);
            report(&alert);
        }
        actions.publish();
        if changed {
            // Save before sending, so that a notification repeated after a crash keeps its id.
            if let Some(saves) = &saves {
                match save(saves).await {
                    Ok(true) => {}
                    Ok(false) => tracing::debug!(
                        "notifications were not saved: the state writer has stopped"
                    ),
                    Err(_) => tracing::warn!(
                        "notifications were not saved within {SAVE_TIMEOUT:?}; sending them anyway"
                    ),
                }
            }
            outbox.publish();
        }
        pulse.turned();
    }
}

/// Remembers when polls were last missed.
#[derive(Default)]
struct MissedPolls {
    count: u64,
    last: Option<Instant>,
}

impl MissedPolls {
    fn any_recent(&mut self, count: u64, now: Instant) -> bool {
        if count > self.count {
            self.count = count;
            self.last = Some(now);
        }
        self.last
            .is_some_and(|last| now - last < MISSED_POLL_WINDOW)
    }
}

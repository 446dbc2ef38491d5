//! Records the begin and the end of alerts as events of the history.

use std::sync::Arc;

use crate::alerting::operator_actions::Matchers;
use crate::alerting::{Alert, TransitionReport};
use crate::fleet::Fleet;
use crate::history::{EventKind, History};

/// Returns what records the events in `history`. `fleet` knows the name of the agent.
pub(super) fn recorder(history: Arc<History>, fleet: Arc<Fleet>) -> Arc<TransitionReport> {
    Arc::new(move |alert: &Alert| {
        let Matchers {
            peer,
            network,
            service,
            ..
        } = Matchers::of(alert);
        let (alertname, severity) = (alert.rule.name.into(), alert.rule.severity.as_str().into());
        let summary = alert.rule.summary_of(&alert.subject, &fleet.vantage());
        let event = if alert.ends_at.is_none() {
            EventKind::AlertBegan {
                alertname,
                severity,
                service,
                summary,
                description: alert.description.clone(),
            }
        } else {
            EventKind::AlertEnded {
                alertname,
                severity,
                service,
                summary,
                starts_at: alert.starts_at.into(),
                why: alert
                    .ended_by
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            }
        };
        history.record_event_about(peer.as_deref(), network.as_deref(), event);
    })
}

//! Records what operators do as events of the history.

use std::sync::Arc;

use crate::alerting::OperatorAction;
use crate::alerting::operator_actions::{ActionEvent, Report};
use crate::history::{EventKind, History, unix_millis};

/// Returns what records the events in `history`.
pub(super) fn recorder(history: Arc<History>) -> Arc<Report> {
    Arc::new(move |event: ActionEvent| {
        let OperatorAction {
            kind,
            matchers,
            created_by,
            comment,
            starts_at,
            ends_at,
            ..
        } = event.action;
        let (action, labels) = (kind.as_str().into(), matchers.to_string());
        let event = match event.ended {
            None => EventKind::ActionBegan {
                action,
                labels,
                created_by,
                comment,
                starts_at_ms: Some(unix_millis(starts_at)),
                ends_at_ms: Some(unix_millis(ends_at)),
            },
            Some(why) => EventKind::ActionEnded {
                action,
                labels,
                why,
            },
        };
        history.record_event_about(matchers.peer.as_deref(), matchers.network.as_deref(), event);
    })
}

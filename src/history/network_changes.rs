//! Records events about networks: changes of their order and splits.

use std::collections::HashMap;
use std::time::SystemTime;

use crate::fleet::{Evidence, Fleet, OrderState};

use super::event::EventKind;
use super::event_log::{EventLog, EventSubject};

/// The order state of each network, and whether it was split, when it was last observed.
#[derive(Debug, Default)]
pub(super) struct NetworkChanges(HashMap<String, (OrderState, bool)>);

impl NetworkChanges {
    /// Compares the networks with their previous state and records the changes.
    pub(super) fn record(&mut self, fleet: &Fleet, log: &EventLog) {
        let verdicts = fleet.network_verdicts();
        let mut previous = std::mem::take(&mut self.0);
        for (name, verdict) in verdicts {
            let (order, split) = (verdict.order, verdict.split == Evidence::Proven);
            let (old_order, was_split) = previous
                .remove(&name)
                .unwrap_or((OrderState::Unknown, false));
            let subject = EventSubject {
                peer: None,
                network: Some(&name),
            };
            let push = |kind| log.push(SystemTime::now(), subject, kind);
            if is_notable(old_order, order) {
                push(EventKind::OrderChanged {
                    from: old_order.as_str().into(),
                    to: order.as_str().into(),
                });
            }
            match (was_split, split) {
                (false, true) => push(EventKind::SplitBegan),
                (true, false) => push(EventKind::SplitEnded),
                (true, true) | (false, false) => {}
            }
            self.0.insert(name, (order, split));
        }
    }
}

/// Returns whether a change of the order is an event. Changes between advancing and idle are not: a
/// quiet network makes them with each transaction. Nor is the first state of a healthy network.
fn is_notable(from: OrderState, to: OrderState) -> bool {
    let is_healthy = |state| matches!(state, OrderState::Advancing | OrderState::Idle);
    from != to && !(is_healthy(to) && (is_healthy(from) || from == OrderState::Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_and_unreachable_networks_are_notable_and_waking_up_is_not() {
        use OrderState::{Advancing, Idle, Receding, Stalled, Unknown};
        for (from, to, expected) in [
            (Unknown, Idle, false),
            (Idle, Advancing, false),
            (Advancing, Idle, false),
            (Advancing, Stalled, true),
            (Stalled, Receding, true),
            (Stalled, Advancing, true),
            (Advancing, Unknown, true),
            (Unknown, Stalled, true),
            (Stalled, Stalled, false),
        ] {
            assert_eq!(is_notable(from, to), expected, "{from:?} {to:?}");
        }
    }
}

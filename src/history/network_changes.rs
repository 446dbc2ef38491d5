//! Records events about networks: changes of their order and of the number of their peers,
//! differences between states, splits and resets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use cad3::Hash;

use crate::fleet::peer_json::ExactInteger;
use crate::fleet::{Evidence, NetworkVerdict, OrderState, StateDifference};

use super::event::{EventKind, StateOfPeer};
use super::event_log::{EventLog, EventSubject};

/// Most states of an event: liars can show as many as they want.
const MAX_STATES: usize = 8;

/// What each network was like when it was last observed.
#[derive(Debug, Default)]
pub(super) struct NetworkChanges(HashMap<String, Observed>);

#[derive(Clone, Copy, Debug, Default)]
struct Observed {
    order: OrderState,
    states_differ: bool,
    split: bool,
    /// The expected and the shown genesis hash of a network that was reset. While nothing is known
    /// it stays as it was.
    reset: Option<[Hash; 2]>,
    /// The last known number of registered peers.
    registered: Option<i64>,
}

impl NetworkChanges {
    /// Compares the networks with their previous state and records the changes.
    pub(super) fn record(&mut self, verdicts: &[(String, Arc<NetworkVerdict>)], log: &EventLog) {
        let mut previous = std::mem::take(&mut self.0);
        for (name, verdict) in verdicts {
            let before = previous.remove(name).unwrap_or_default();
            let subject = EventSubject {
                peer: None,
                network: Some(name),
            };
            for kind in before.changes(verdict) {
                log.push(SystemTime::now(), subject, kind);
            }
            self.0.insert(name.clone(), before.followed_by(verdict));
        }
    }
}

impl Observed {
    /// Returns what is observed now; a number that is unknown now is the last known one.
    fn followed_by(self, verdict: &NetworkVerdict) -> Self {
        Self {
            order: verdict.order,
            states_differ: verdict.difference.is_some(),
            split: verdict.split == Evidence::Proven,
            reset: match (verdict.is_reset, &verdict.reset) {
                (Evidence::Disproven, _) => None,
                (_, Some(reset)) => Some([reset.expected, reset.shown]),
                (_, None) => self.reset,
            },
            registered: verdict.registered.or(self.registered),
        }
    }

    /// Returns the events between this and `verdict`.
    fn changes(self, verdict: &NetworkVerdict) -> Vec<EventKind> {
        let now = self.followed_by(verdict);
        let mut events = Vec::new();
        if is_notable(self.order, now.order) {
            events.push(EventKind::OrderChanged {
                from: self.order.as_str().into(),
                to: now.order.as_str().into(),
            });
        }
        if let (Some(from), Some(to)) = (self.registered, now.registered)
            && from != to
        {
            let (from, to) = (ExactInteger(from), ExactInteger(to));
            events.push(EventKind::RegisteredPeersChanged { from, to });
        }
        match &verdict.difference {
            Some(difference) if !self.states_differ => events.push(began(difference)),
            None if self.states_differ => events.push(EventKind::StatesDifferEnded),
            Some(_) | None => {}
        }
        match (self.split, now.split) {
            (false, true) => events.push(EventKind::SplitBegan),
            (true, false) => events.push(EventKind::SplitEnded),
            (true, true) | (false, false) => {}
        }
        match now.reset {
            Some(hashes) if self.reset != now.reset => {
                let [expected, shown] = hashes.map(|hash| hash.to_string());
                events.push(EventKind::ResetBegan { expected, shown });
            }
            None if self.reset.is_some() => events.push(EventKind::ResetEnded),
            Some(_) | None => {}
        }
        events
    }
}

fn began(difference: &StateDifference) -> EventKind {
    let states = difference.states.iter().take(MAX_STATES);
    EventKind::StatesDifferBegan {
        block: ExactInteger(difference.block),
        states: states
            .map(|(hash, peer)| StateOfPeer {
                hash: hash.to_string(),
                peer: peer.clone(),
            })
            .collect(),
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
    use tokio::time::Instant;

    use crate::fleet::NetworkReset;

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

    #[test]
    fn peers_that_are_registered_or_leave_are_an_event_and_an_unread_registry_is_none() {
        let mut observed = Observed::default();
        for (registered, expected) in [
            (None, None),
            (Some(4), None),
            (Some(5), Some((4, 5))),
            (None, None),
            (Some(5), None),
            (Some(3), Some((5, 3))),
        ] {
            let verdict = NetworkVerdict {
                registered,
                ..NetworkVerdict::default()
            };
            let expected = expected.map(|(from, to)| EventKind::RegisteredPeersChanged {
                from: ExactInteger(from),
                to: ExactInteger(to),
            });
            let events = observed.changes(&verdict);
            assert_eq!(events, Vec::from_iter(expected), "{registered:?}");
            observed = observed.followed_by(&verdict);
        }
    }

    #[test]
    fn a_reset_is_one_event_with_both_hashes_and_one_at_its_end() {
        let [old, new, newer] = [1, 2, 3].map(|byte| Hash::new([byte; 32]));
        let shows = |shown| NetworkVerdict {
            is_reset: Evidence::Proven,
            reset: Some(NetworkReset {
                expected: old,
                pinned: true,
                shown,
                peers: 2,
                since: Instant::now(),
            }),
            ..NetworkVerdict::default()
        };
        let unknown = NetworkVerdict::default();
        let back = NetworkVerdict {
            is_reset: Evidence::Disproven,
            ..NetworkVerdict::default()
        };
        let began = |shown: Hash| {
            Some(EventKind::ResetBegan {
                expected: old.to_string(),
                shown: shown.to_string(),
            })
        };
        let mut observed = Observed::default();
        for (what, verdict, expected) in [
            ("nothing is known", &unknown, None),
            ("the network's own", &back, None),
            ("reset", &shows(new), began(new)),
            ("still", &shows(new), None),
            ("no peer answers", &unknown, None),
            ("still", &shows(new), None),
            ("reset once more", &shows(newer), began(newer)),
            ("back", &back, Some(EventKind::ResetEnded)),
            ("still", &back, None),
        ] {
            assert_eq!(
                observed.changes(verdict),
                Vec::from_iter(expected),
                "{what}"
            );
            observed = observed.followed_by(verdict);
        }
    }
}

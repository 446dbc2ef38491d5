//! Records events about canaries: when transactions through a peer begin to fail, and when one is
//! executed again.

use std::collections::BTreeSet;
use std::time::SystemTime;

use crate::fleet::{CanaryPeer, Fleet};

use super::event::EventKind;
use super::event_log::{EventLog, EventSubject};

/// The peers through which transactions failed when they were last observed, by network and name.
#[derive(Debug, Default)]
pub(super) struct CanaryChanges(BTreeSet<(String, String)>);

impl CanaryChanges {
    /// Compares the peers with their previous state and records the changes.
    pub(super) fn record(&mut self, fleet: &Fleet, log: &EventLog) {
        for (network, canary) in fleet.canaries() {
            for (name, peer) in &canary.peers {
                if let Some(kind) = self.change(&network, name, peer) {
                    let subject = EventSubject {
                        peer: Some(name),
                        network: Some(&network),
                    };
                    log.push(SystemTime::now(), subject, kind);
                }
            }
        }
    }

    /// Returns the event between the previous state of a peer and this one, if there is one.
    fn change(&mut self, network: &str, name: &str, peer: &CanaryPeer) -> Option<EventKind> {
        let key = (network.to_owned(), name.to_owned());
        if peer.is_failing() {
            let last = peer.last.as_ref().map(|last| &last.outcome);
            let reason = match last {
                Some(Err((failure, _))) => failure.as_str(),
                _ => "unknown",
            };
            let reason = reason.into();
            return self
                .0
                .insert(key)
                .then_some(EventKind::WritesFailingBegan { reason });
        }
        self.0.remove(&key).then_some(EventKind::WritesFailingEnded)
    }
}

#[cfg(test)]
mod tests {
    use convex_client::transaction::TransactionFailure::Timeout;

    use crate::fleet::canary_example::{executed, failed, record};

    use super::*;

    #[test]
    fn failing_writes_are_one_event_and_the_next_executed_transaction_another() {
        let mut changes = CanaryChanges::default();
        let mut canary = record();
        let began = || {
            Some(EventKind::WritesFailingBegan {
                reason: "timeout".into(),
            })
        };
        for (result, expected) in [
            (failed(Timeout), None),
            (failed(Timeout), began()),
            (failed(Timeout), None),
            (executed(1), Some(EventKind::WritesFailingEnded)),
            (executed(1), None),
            (failed(Timeout), None),
            (failed(Timeout), began()),
        ] {
            canary.record_result("p", result);
            assert_eq!(changes.change("n", "p", &canary.peers["p"]), expected);
        }
    }
}

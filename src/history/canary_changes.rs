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
            let is_new = self.0.insert(key);
            // Without a result, the rounds failed before a restart, so the event was recorded then.
            let failure = peer.last.as_ref()?.outcome.as_ref().err();
            let reason = failure.map_or("unknown", |(failure, _)| failure.as_str());
            let reason = reason.into();
            return is_new.then_some(EventKind::WritesFailingBegan { reason });
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

    #[test]
    fn rounds_that_failed_before_a_restart_are_no_new_event_and_end_with_one() {
        let mut changes = CanaryChanges::default();
        let mut canary = record();
        let rounds = ("p".to_owned(), (2, SystemTime::UNIX_EPOCH));
        canary.restore_failed_rounds([rounds].into());
        assert_eq!(changes.change("n", "p", &canary.peers["p"]), None);
        canary.record_result("p", failed(Timeout));
        assert_eq!(canary.peers["p"].failed_rounds, 3);
        assert_eq!(changes.change("n", "p", &canary.peers["p"]), None);
        canary.record_result("p", executed(1));
        let ended = Some(EventKind::WritesFailingEnded);
        assert_eq!(changes.change("n", "p", &canary.peers["p"]), ended);
    }
}

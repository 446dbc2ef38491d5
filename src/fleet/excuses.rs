//! Polls that do not count against their peer because the agent itself has a problem.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::self_check::{
    Checks, Contact, Excuse, FailedEndpoint, NetworkPath, ReachabilityCount, find_excuse,
};

use super::clock_dispute::OwnClock;
use super::{Fleet, LastPoll, Observation, PeerRecord, lock};

/// How long suspected, unproven problems of the agent can hide an outage of a peer.
const MAX_SUSPICION: Duration = Duration::from_secs(60);

/// What the agent knows about its own ability to reach peers.
#[derive(Debug, Default)]
pub(super) struct MonitorHealth {
    pub(super) checks: Checks,
    pub(super) own_clock: OwnClock,
    reachability: ReachabilityCount,
}

impl Fleet {
    /// Returns what excuses a failed poll, if anything does.
    pub(super) fn excuse(
        &self,
        record: &mut PeerRecord,
        observation: &Observation,
        now: Instant,
    ) -> Option<Excuse> {
        let failures = observation.endpoints.iter();
        let contact = Contact::from_failures(
            failures.map(|endpoint| Some(endpoint.failure.as_ref()?.reason)),
        );
        // A peer that is already down does not become unreachable together with others.
        let contact =
            contact.filter(|contact| *contact == Contact::Reached || !record.is_judged_down());
        self.set_contact(record, contact);
        let monitor = lock(&self.monitor_health);
        let all_unreached = monitor
            .reachability
            .is_common_outage(NetworkPath::is_local(&record.peer));
        let found = find_excuse(&record.failed(observation), &monitor.checks, all_unreached);
        found.filter(|excuse| record.accepts_excuse(*excuse, now))
    }

    pub(super) fn set_contact(&self, record: &mut PeerRecord, contact: Option<Contact>) {
        let previous = std::mem::replace(&mut record.contact, contact);
        let local = NetworkPath::is_local(&record.peer);
        lock(&self.monitor_health)
            .reachability
            .replace(local, previous, contact);
    }

    /// Records the agent's self-checks and revokes excuses that have lasted too long or are
    /// disproven, and compares the clocks. To be called once a second.
    pub fn record_self_checks(&self, checks: Checks) {
        let reference_answers = checks.reference_answers();
        self.compare_clocks(&checks);
        lock(&self.monitor_health).checks = checks;
        let (now, wall) = (Instant::now(), SystemTime::now());
        for slot in self.slots() {
            let mut state = lock(&slot.state);
            if !state.retired && state.record.excuse_has_ended(now, reference_answers) {
                let record = Arc::make_mut(&mut state.record);
                let previous_health = record.health;
                record.revoke_excuse(now, wall);
                self.set_contact(record, None);
                self.reevaluated(record, previous_health);
                slot.network.changed.notify_one();
            }
        }
    }

    /// Removes a peer that is no longer watched from the count of reached peers.
    pub(super) fn forget_contact(&self, record: &PeerRecord) {
        let local = NetworkPath::is_local(&record.peer);
        lock(&self.monitor_health)
            .reachability
            .replace(local, record.contact, None);
    }
}

impl PeerRecord {
    /// Returns the endpoints that fail in `observation`, be it only that no new connection works.
    pub(super) fn failed(&self, observation: &Observation) -> Vec<FailedEndpoint> {
        let endpoints = self.peer.endpoints.iter().zip(&observation.endpoints);
        let failed = endpoints.filter_map(|(endpoint, observed)| {
            Some(FailedEndpoint {
                reason: observed
                    .reason()
                    .or_else(|| Some(observed.renewal_failure()?.reason))?,
                path: NetworkPath::to_endpoint(&self.peer, endpoint),
            })
        });
        failed.collect()
    }

    /// Whether `excuse` applies to a poll at `now`. A suspicion applies for [`MAX_SUSPICION`] since
    /// the peer last answered, and never to a peer that is already down.
    fn accepts_excuse(&self, excuse: Excuse, now: Instant) -> bool {
        !excuse.is_suspicion()
            || (!self.is_judged_down()
                && self
                    .suspected_since
                    .is_none_or(|since| now - since < MAX_SUSPICION))
    }

    /// Whether the verdict is down and nothing excuses the last poll.
    #[must_use]
    pub fn is_judged_down(&self) -> bool {
        self.excuse.is_none() && self.streak.verdict() == Some(false)
    }

    /// Whether a suspicion no longer excuses the last poll: it lasted for [`MAX_SUSPICION`], or an
    /// answering reference disproves it.
    fn excuse_has_ended(&self, now: Instant, reference_answers: bool) -> bool {
        self.excuse.is_some_and(|excuse| {
            let expired = self
                .suspected_since
                .is_some_and(|since| now - since >= MAX_SUSPICION);
            excuse.is_suspicion()
                && (expired || (reference_answers && excuse.ends_when_reference_answers()))
        })
    }

    /// Counts the last poll against the peer after all.
    fn revoke_excuse(&mut self, now: Instant, wall: SystemTime) {
        self.excuse = None;
        self.last_poll = LastPoll::Failed;
        self.update_verdict(now, wall);
    }
}

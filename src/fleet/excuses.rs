//! Polls that the agent's own trouble excuses: when, and for how long.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::fleet::Observation;
use crate::self_check::{Checks, Contact, Excuse, Failed, Path, ReachabilityCount, excuse};

use super::{Fleet, PeerRecord, lock, tell};

/// A suspicion that the agent itself has trouble hides a peer's outage for so long at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the agent knows of its own sight.
#[derive(Debug, Default)]
pub(super) struct MonitorHealth {
    pub(super) checks: Checks,
    roll: ReachabilityCount,
}

impl Fleet {
    /// What excuses a poll, if anything does.
    pub(super) fn excuse(
        &self,
        record: &mut PeerRecord,
        observation: &Observation,
        now: Instant,
    ) -> Option<Excuse> {
        let reasons = observation.endpoints.iter();
        let contact = Contact::of(reasons.map(|probed| Some(probed.failure.as_ref()?.reason)));
        // Who is down already does not fall silent now, together with others.
        let contact =
            contact.filter(|contact| *contact == Contact::Reached || !record.is_judged_down());
        self.set_contact(record, contact);
        let own = lock(&self.own);
        let together = own.roll.together(Path::is_local(&record.peer));
        let found = excuse(&record.failed(observation), &own.checks, together);
        found.filter(|excuse| record.accepts_excuse(*excuse, now, PATIENCE))
    }

    pub(super) fn set_contact(&self, record: &mut PeerRecord, contact: Option<Contact>) {
        let before = std::mem::replace(&mut record.contact, contact);
        let local = Path::is_local(&record.peer);
        lock(&self.own).roll.replace(local, before, contact);
    }

    /// Takes what the agent has found of itself, and ends suspicions that have lasted too long or are disproven. To be
    /// called once a second.
    pub fn examine(&self, checks: Checks) {
        let reference = checks.a_reference_answers();
        lock(&self.own).checks = checks;
        let (now, wall) = (Instant::now(), SystemTime::now());
        for slot in self.slots() {
            let mut record = lock(&slot.record);
            if record.is_excused_no_longer(now, PATIENCE, reference) {
                let record = Arc::make_mut(&mut record);
                let before = record.health;
                record.revoke_excuse(now, wall);
                self.set_contact(record, None);
                if record.health != before {
                    tell(record, before);
                }
                let of_this_shard = record.peer.sampled.is_none();
                if let Some(observer) = self.observer.as_ref().filter(|_| of_this_shard) {
                    observer.judged(record);
                }
            }
        }
    }

    /// What a peer said last counts no longer.
    pub(super) fn forget_contact(&self, record: &PeerRecord) {
        let local = Path::is_local(&record.peer);
        lock(&self.own).roll.replace(local, record.contact, None);
    }
}

impl PeerRecord {
    /// The endpoints that fail in `observation`, if no poll of them was good.
    fn failed(&self, observation: &Observation) -> Vec<Failed> {
        let endpoints = self.peer.endpoints.iter().zip(&observation.endpoints);
        let failed = endpoints.filter_map(|(endpoint, probed)| {
            Some(Failed {
                reason: probed.failure.as_ref()?.reason,
                path: Path::of(&self.peer, endpoint),
            })
        });
        failed.collect()
    }

    /// Whether `doubt` excuses a poll at `now`: a suspicion only for `patience` since the peer was last heard, and it takes
    /// back no verdict.
    fn accepts_excuse(&self, excuse: Excuse, now: Instant, patience: Duration) -> bool {
        !excuse.is_suspicion()
            || (!self.is_judged_down()
                && self
                    .suspected_since
                    .is_none_or(|since| now - since < patience))
    }

    /// Whether the peer is judged down, and nothing excuses it.
    pub(super) fn is_judged_down(&self) -> bool {
        self.excuse.is_none() && self.streak.verdict() == Some(false)
    }

    /// Whether what excuses the last poll is over: it took `patience`, or an answering reference ends it.
    fn is_excused_no_longer(&self, now: Instant, patience: Duration, reference: bool) -> bool {
        self.excuse.is_some_and(|excuse| {
            let late = self
                .suspected_since
                .is_some_and(|since| now - since >= patience);
            excuse.is_suspicion() && (late || (reference && excuse.ends_with_a_reference()))
        })
    }

    /// Holds the last poll against the peer after all.
    fn revoke_excuse(&mut self, now: Instant, wall: SystemTime) {
        self.excuse = None;
        self.up = Some(false);
        self.judge(None, now, wall);
    }
}

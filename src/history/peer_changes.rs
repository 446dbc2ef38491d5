//! Detects changes of a peer's state that are events.

use std::collections::BTreeSet;

use cad3::Hash;

use crate::fleet::peer_json::ExactInteger;
use crate::fleet::{Condition, Health, PeerRecord};

use super::event::EventKind;

/// The last known state of a peer, with which the next one is compared.
#[derive(Debug)]
pub(super) struct PeerChanges {
    health: Health,
    /// Whether the health was ever known. The first health is an event only if it is not up.
    was_judged: bool,
    conditions: BTreeSet<Condition>,
    restarts: u64,
    key: Option<Hash>,
    key_changes: u64,
    diverged: bool,
    finality: Option<i64>,
    /// Own and delegated stake in copper when it was first seen or last an event.
    stake: Option<i64>,
}

/// A change of the stake by more than one part in this many is an event.
const STAKE_CHANGE_DIVISOR: i128 = 20;

impl PeerChanges {
    /// Starts from the current state of `record`.
    pub(super) fn new(record: &PeerRecord) -> Self {
        Self {
            health: record.health,
            was_judged: record.health != Health::Unknown,
            conditions: record.conditions.clone(),
            restarts: record.restarts,
            key: record.identity.key,
            key_changes: record.identity.key_changes,
            diverged: record.comparison.is_diverged(),
            finality: record.last_finality(),
            stake: stake(record),
        }
    }

    pub(super) fn is_unhealthy(&self) -> bool {
        self.health != Health::Up
    }

    /// Returns the events that follow from changes since the last call, causes before effects.
    pub(super) fn take(&mut self, record: &PeerRecord) -> Vec<EventKind> {
        let mut events = Vec::new();
        if record.identity.key_changes > self.key_changes {
            events.push(EventKind::KeyChanged {
                from: self.key.map(|key| key.to_string()),
                to: record.identity.key.map(|key| key.to_string()),
            });
        }
        if record.restarts > self.restarts {
            events.push(EventKind::RestartInferred);
        }
        if let (Some(from), Some(to)) = (self.finality, record.last_finality())
            && to < from
        {
            let (from, to) = (ExactInteger(from), ExactInteger(to));
            events.push(EventKind::FinalityReceded { from, to });
        }
        if let (Some(from), Some(to)) = (self.stake, stake(record))
            && (i128::from(to) - i128::from(from)).abs() * STAKE_CHANGE_DIVISOR > i128::from(from)
        {
            self.stake = Some(to);
            let (from, to) = (ExactInteger(from), ExactInteger(to));
            events.push(EventKind::StakeChanged { from, to });
        }
        let diverged = record.comparison.is_diverged();
        if diverged && !self.diverged {
            events.push(EventKind::ForkBegan {
                first_block: record.comparison.first_block(),
            });
        }
        if self.diverged && !diverged {
            events.push(EventKind::ForkEnded);
        }
        if record.conditions != self.conditions {
            // Forks have their own events.
            let is_event = |condition: &&Condition| **condition != Condition::Diverged;
            let label = |condition: &Condition| condition.as_str().into();
            let began = record.conditions.difference(&self.conditions);
            let ended = self.conditions.difference(&record.conditions);
            events.extend(
                began
                    .filter(is_event)
                    .map(|began| EventKind::ConditionBegan {
                        condition: label(began),
                    }),
            );
            events.extend(
                ended
                    .filter(is_event)
                    .map(|ended| EventKind::ConditionEnded {
                        condition: label(ended),
                    }),
            );
        }
        let is_first_and_up = !self.was_judged && record.health == Health::Up;
        if record.health != self.health && !is_first_and_up {
            events.push(EventKind::HealthChanged {
                from: self.health.as_str().into(),
                to: record.health.as_str().into(),
                why: reasons(record),
            });
        }
        self.update(record);
        events
    }

    fn update(&mut self, record: &PeerRecord) {
        // Called for each poll, so the conditions are cloned only if they changed.
        if self.conditions != record.conditions {
            self.conditions.clone_from(&record.conditions);
        }
        *self = Self {
            was_judged: self.was_judged || record.health != Health::Unknown,
            conditions: std::mem::take(&mut self.conditions),
            health: record.health,
            restarts: record.restarts,
            key: record.identity.key,
            key_changes: record.identity.key_changes,
            diverged: record.comparison.is_diverged(),
            finality: record.last_finality(),
            stake: self.stake.or(stake(record)),
        };
    }
}

/// Returns own and delegated stake, in copper, while it is known.
fn stake(record: &PeerRecord) -> Option<i64> {
    let registered = &record.stake.as_ref()?.registered;
    Some(
        registered
            .own_copper
            .saturating_add(registered.delegated_copper),
    )
}

/// Returns what excuses the last poll and why its endpoints failed.
fn reasons(record: &PeerRecord) -> String {
    let excuse = record.excuse.iter().map(ToString::to_string);
    let failures = record.endpoints.iter().filter_map(|endpoint| {
        let failure = endpoint.last_failure.as_ref()?;
        Some(format!("{}: {failure}", endpoint.transport))
    });
    let reasons: Vec<String> = excuse.chain(failures).collect();
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use convex_client::Endpoint;

    use crate::config::Peer;
    use crate::fleet::example;

    use super::*;

    #[test]
    fn stake_that_changes_by_more_than_a_twentieth_is_an_event_however_slowly() {
        let endpoint = Endpoint::parse("tcp://peer.example").unwrap();
        let mut record = PeerRecord::new(Arc::new(Peer::from_endpoint(endpoint)));
        let mut changes = PeerChanges::new(&record);
        for (stake, expected) in [
            (Some((1_000, 0)), None),
            (Some((1_030, 20)), None),
            (None, None),
            (Some((1_030, 21)), Some((1_000, 1_051))),
            (Some((1_000, 0)), None),
            (Some((0, 0)), Some((1_051, 0))),
            (Some((0, 1)), Some((0, 1))),
            (Some((i64::MAX, i64::MAX)), Some((1, i64::MAX))),
        ] {
            record.stake = stake.map(|(own, delegated)| example::stake(own, delegated, None));
            let expected = expected.map(|(from, to)| EventKind::StakeChanged {
                from: ExactInteger(from),
                to: ExactInteger(to),
            });
            let events = changes.take(&record);
            assert_eq!(events, Vec::from_iter(expected), "{stake:?}");
        }
    }
}

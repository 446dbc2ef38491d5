//! Which peers lack a recent comparison, and which can be asked often to give them one.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Role;

use super::{Comparison, Fleet, PeerRecord};

/// A comparison is renewed when this part of the time is over in which it counts.
const RENEW_AFTER: (u32, u32) = (2, 3);

/// A peer this many blocks behind the head is not sampled: no other peer shows its blocks.
const MAX_COMPARABLE_LAG: i64 = 64;

/// Peers of one network that answer, as far as they matter for comparing states.
#[derive(Clone, Debug, Default)]
pub struct Comparable {
    /// The operator's own peers, which can be asked often, unless none is lacking: those first
    /// whose states differ, then the heaviest.
    pub anchors: Vec<Arc<PeerRecord>>,
    /// How many of the anchors come first each time, because their states differ.
    pub differing: usize,
    /// Peers without a recent comparison; all while states differ and nobody knows which is right.
    pub lacking: Vec<Arc<PeerRecord>>,
    /// The shortest poll interval among the peers that answer.
    pub interval: Duration,
    /// Whether states differ, and the peers have to show within seconds which are right.
    pub urgent: bool,
}

impl Fleet {
    /// Returns which peers of a network lack a recent comparison, and which can give them one; none
    /// while there is nothing to compare.
    #[must_use]
    pub fn comparable(&self, network: &str) -> Comparable {
        let now = Instant::now();
        let Some(network) = self.network(network) else {
            return Comparable::default();
        };
        let slots = self.slots_of(&network);
        let records = slots.iter().map(|slot| slot.record());
        let answering: Vec<_> = records
            .filter(|record| record.last_poll.is_good() && record.heard.is_some())
            .collect();
        if answering.len() < 2 {
            return Comparable::default();
        }
        let intervals = answering.iter().map(|record| record.peer.polling.interval);
        let interval = intervals.min().unwrap_or_default();
        let judgement = network.judgement();
        let difference = judgement.verdict.difference.as_ref();
        let states = difference
            .filter(|_| judgement.disputed)
            .map_or(&[][..], |difference| &difference.states);
        let differs =
            |record: &PeerRecord| states.iter().any(|(_, name)| *name == record.peer.name);
        let is_anchor = |record: &&Arc<PeerRecord>| {
            record.peer.role == Role::Own
                && record.peer.sampled.is_none()
                && !record.comparison.is_diverged()
        };
        let lacking = answering
            .iter()
            .filter(|record| judgement.disputed || record.lacks_comparison(now));
        let lacking: Vec<_> = lacking.cloned().collect();
        if lacking.is_empty() {
            return Comparable {
                interval,
                ..Comparable::default()
            };
        }
        let mut anchors: Vec<_> = answering.iter().filter(is_anchor).cloned().collect();
        anchors.sort_by_key(|record| {
            let stake = record.stake.as_ref().map(|stake| stake.registered.shares);
            (!differs(record), Reverse(stake))
        });
        let differing = anchors.iter().filter(|record| differs(record)).count();
        Comparable {
            anchors,
            differing,
            lacking,
            interval,
            urgent: judgement.settling,
        }
    }
}

impl PeerRecord {
    fn lacks_comparison(&self, now: Instant) -> bool {
        let (part, whole) = RENEW_AFTER;
        let renew_after = self.fresh_for() * part / whole;
        let is_recent = |compared| now.saturating_duration_since(compared) < renew_after;
        let is_far_behind = self
            .lag(now)
            .is_some_and(|lag| lag.blocks > MAX_COMPARABLE_LAG);
        let is_compared =
            self.comparison != Comparison::NotCompared && self.compared.is_some_and(is_recent);
        !is_compared && !is_far_behind
    }
}

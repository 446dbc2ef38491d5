//! Whether the clock of this host and those of most peers disagree, so that no peer is accused by
//! it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::ClockSample;
use tokio::time::Instant;

use crate::self_check::{Check, CheckResult, Checks};

use super::{Fleet, PeerRecord, lock};

/// Fewest peers that are compared.
const MIN_PEERS: usize = 3;

/// Clocks that are off by the same differ by this much at most, in seconds.
const SAME: f64 = 1.0;

/// How long the clock of a receiver of notifications counts after it was heard.
const REFERENCE_VALID: Duration = Duration::from_secs(600);

/// The clock of this host and those of most peers disagree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockDispute {
    /// The clock of this host minus that of most peers, in seconds.
    pub offset: f64,
    /// Whether the clock of this host is the wrong one: the system does not say that it is
    /// synchronised, or another clock agrees with the peers.
    pub is_own_wrong: bool,
}

/// Evidence about the clock of this host that does not come from peers.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnClock {
    /// Whether the system says that it is synchronised; none if it does not say.
    synchronised: Option<bool>,
    /// The clocks of receivers of notifications compared with it, by their names.
    references: BTreeMap<String, (ClockSample, Instant)>,
    dispute: Option<ClockDispute>,
}

/// The clock of a peer.
#[derive(Clone, Copy, Debug)]
struct PeerClock {
    /// That of the peer minus that of this host, in seconds.
    skew: f64,
    /// Whether that would be a condition of the peer.
    is_off: bool,
}

impl Fleet {
    /// Records whether the system says that its clock is synchronised; none if it does not say.
    pub fn record_clock_synchronised(&self, synchronised: Option<bool>) {
        lock(&self.monitor_health).own_clock.synchronised = synchronised;
    }

    /// Records the clock of a receiver of notifications.
    pub fn record_reference_clock(&self, receiver: &str, sample: ClockSample) {
        let now = Instant::now();
        let references = &mut lock(&self.monitor_health).own_clock.references;
        references.retain(|_, (_, heard)| now - *heard < REFERENCE_VALID);
        references.insert(receiver.to_owned(), (sample, now));
    }

    /// Returns how the clock of this host and those of most peers disagree, if they do.
    #[must_use]
    pub fn clock_dispute(&self) -> Option<ClockDispute> {
        lock(&self.monitor_health).own_clock.dispute
    }

    /// Compares the clock of this host with those of all peers. While most disagree with it, or
    /// right after it jumped, no peer's clock is called wrong.
    pub(super) fn compare_clocks(&self, checks: &Checks) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let slots = self.slots();
        let records = slots.iter().map(|slot| slot.record());
        let clocks: Vec<PeerClock> = records
            .filter(|record| !record.peer.discovered)
            .filter_map(|record| {
                Some(PeerClock {
                    skew: record.clock(now)?.skew,
                    is_off: record.clock_is_off(now),
                })
            })
            .collect();
        let dispute = {
            let own_clock = &mut lock(&self.monitor_health).own_clock;
            own_clock.dispute = own_clock.judge(&clocks, now);
            own_clock.dispute
        };
        let jumped = checks.0.get(&Check::Clock) == Some(&CheckResult::Failed);
        let doubted = jumped || dispute.is_some();
        for slot in slots {
            let mut state = lock(&slot.state);
            let record = &state.record;
            if state.retired || !record.is_outdated_by(doubted, jumped) {
                continue;
            }
            let record = Arc::make_mut(&mut state.record);
            let previous = record.health;
            record.doubt_clock(doubted, jumped, now, wall);
            self.reevaluated(record, previous);
            slot.network.changed.notify_one();
        }
    }
}

impl OwnClock {
    /// Judges the clock of this host by those of peers.
    fn judge(&self, peers: &[PeerClock], now: Instant) -> Option<ClockDispute> {
        let off = peers.iter().filter(|peer| peer.is_off);
        let mut off: Vec<f64> = off.map(|peer| peer.skew).collect();
        off.sort_unstable_by(f64::total_cmp);
        let group = largest_group(&off);
        if peers.len() < MIN_PEERS || group.len() * 3 < peers.len() * 2 {
            return None;
        }
        let skew = group[group.len() / 2];
        let mut references = self.references.values();
        let any_agrees = references.any(|(sample, heard)| {
            now - *heard < REFERENCE_VALID
                && (sample.skew - skew).abs() <= SAME + sample.uncertainty
        });
        Some(ClockDispute {
            offset: -skew,
            is_own_wrong: any_agrees || self.synchronised != Some(true),
        })
    }
}

/// Returns the largest group of sorted values that differ by no more than [`SAME`].
fn largest_group(sorted: &[f64]) -> &[f64] {
    let mut largest = &sorted[..0];
    let mut start = 0;
    for (end, value) in sorted.iter().enumerate() {
        while value - sorted[start] > SAME {
            start += 1;
        }
        if end + 1 - start > largest.len() {
            largest = &sorted[start..=end];
        }
    }
    largest
}

impl PeerRecord {
    /// Whether the peer's clock is off by more than the limit, whatever the uncertainty.
    pub(super) fn clock_is_off(&self, now: Instant) -> bool {
        let limit = self.peer.verdicts.clock_skew.as_secs_f64();
        self.clock(now)
            .is_some_and(|clock| clock.skew.abs() - clock.uncertainty > limit)
    }

    /// Whether [`Self::doubt_clock`] would change anything.
    fn is_outdated_by(&self, doubted: bool, jumped: bool) -> bool {
        self.clock_doubted != doubted || (jumped && self.clock.is_some())
    }

    /// Records whether the clock of this host, by which that of the peer is measured, is in doubt.
    /// Measurements from before it jumped are no longer valid.
    fn doubt_clock(&mut self, doubted: bool, jumped: bool, now: Instant, wall: SystemTime) {
        self.clock_doubted = doubted;
        if jumped {
            self.clock = None;
        }
        self.update_verdict(now, wall);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges by the skews of peers; one of more than a second is off.
    fn judge(own_clock: &OwnClock, skews: &[f64]) -> Option<ClockDispute> {
        let peer = |skew: &f64| PeerClock {
            skew: *skew,
            is_off: skew.abs() > 1.0,
        };
        let peers: Vec<PeerClock> = skews.iter().map(peer).collect();
        own_clock.judge(&peers, Instant::now())
    }

    #[test]
    fn two_thirds_of_at_least_three_peers_that_are_off_by_the_same_are_a_dispute() {
        for (skews, expected) in [
            (&[-20.0, -20.2, -19.9][..], Some(20.0)),
            (&[-3600.0; 4], Some(3600.0)),
            (&[3600.0; 4], Some(-3600.0)),
            (&[600.0, 600.4, 0.0], Some(-600.4)),
            (&[600.0, 600.4, 600.2, 0.0, 0.1, -80.0], None),
            (&[-20.0, -20.0], None),
            (&[-20.0, -20.0, 0.0, 0.0], None),
            (&[-20.0, -22.0, -24.0], None),
            (&[20.0, 0.0, 0.1], None),
            (&[0.9, 0.9, 0.9], None),
            (&[], None),
        ] {
            let dispute = judge(&OwnClock::default(), skews);
            assert_eq!(dispute.map(|it| it.offset), expected, "{skews:?}");
        }
    }

    #[test]
    fn the_own_clock_is_wrong_unless_it_is_synchronised_and_no_reference_contradicts() {
        let reference = |skew| {
            let sample = ClockSample {
                skew,
                uncertainty: 0.5,
            };
            BTreeMap::from([("am".to_owned(), (sample, Instant::now()))])
        };
        for (synchronised, references, expected) in [
            (None, BTreeMap::new(), true),
            (Some(false), BTreeMap::new(), true),
            (Some(true), BTreeMap::new(), false),
            (Some(true), reference(-20.3), true),
            // As a receiver on this host would say.
            (Some(true), reference(0.2), false),
            (Some(false), reference(0.2), true),
        ] {
            let own_clock = OwnClock {
                synchronised,
                references,
                dispute: None,
            };
            let dispute = judge(&own_clock, &[-20.0; 3]).unwrap();
            assert_eq!(dispute.is_own_wrong, expected, "{own_clock:?}");
        }
    }
}

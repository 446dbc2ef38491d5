//! Whose clock is wrong: that of the agent or that of a peer.

use std::time::Duration;

use convex_client::{Attempt, ClockSample, ErrorReply, Transport};
use convex_peer_monitor::fleet::{Condition, Fleet};
use convex_peer_monitor::self_check::{Check, CheckResult, Checks};
use tokio::time::advance;

use crate::support::fleet::fleet;
use crate::support::polls;

/// Records an answer of every peer whose clock is off by these seconds, and evaluates.
fn poll(fleet: &Fleet, skews: &[f64]) {
    for (slot, skew) in fleet.slots().iter().zip(skews) {
        let error = ErrorReply {
            code: "ANY".to_owned(),
            message: String::new(),
        };
        let sample = ClockSample {
            skew: *skew,
            uncertainty: 0.001,
        };
        let attempt = Attempt {
            query: Some(polls::answered(Err(error))),
            clock: Some(polls::answered(sample)),
            ..Attempt::default()
        };
        let poll = polls::of_one(Transport::Tcp, (attempt, Ok(polls::TOOK)));
        fleet.record(slot, &poll);
    }
    fleet.record_self_checks(Checks::default());
}

fn peers(count: usize) -> Fleet {
    let peer = |i| format!("  - {{ name: p{i}, endpoints: ['tcp://192.0.2.{i}:1'] }}\n");
    let peers: String = (1..=count).map(peer).collect();
    fleet(&format!("peers:\n{peers}"))
}

/// Returns for each peer whether its clock is called wrong.
fn accused(fleet: &Fleet) -> Vec<bool> {
    let peers = fleet.snapshot().peers;
    peers
        .iter()
        .map(|record| record.conditions.contains(&Condition::ClockSkew))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_of_the_agent_accuses_no_peer_and_that_of_a_peer_only_that_one() {
    const NONE: [bool; 4] = [false; 4];
    for (skews, accused_peers, offset) in [
        (&[-20.0, -20.1, -19.9, -20.0][..], &NONE[..], Some(20.0)),
        (&[-3600.0; 4], &NONE, Some(3600.0)),
        (&[3600.0; 4], &NONE, Some(-3600.0)),
        (&[600.0; 4], &NONE, Some(-600.0)),
        // One peer is off by as much more.
        (&[-20.0, -20.0, -20.0, 40.0], &NONE, Some(20.0)),
        (&[-20.0; 2], &[true; 2], None),
        (&[0.0, 0.1, 600.0, -0.1], &[false, false, true, false], None),
        (&[0.0, 0.1, -0.1, 0.2], &NONE, None),
    ] {
        for synchronised in [None, Some(false), Some(true)] {
            let fleet = peers(skews.len());
            fleet.record_clock_synchronised(synchronised);
            poll(&fleet, skews);
            assert_eq!(accused(&fleet), accused_peers, "{skews:?}");
            let dispute = fleet.snapshot().clock_dispute;
            assert_eq!(dispute.map(|it| it.offset), offset, "{skews:?}");
            if let Some(dispute) = dispute {
                assert_eq!(dispute.is_own_wrong, synchronised != Some(true));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_agrees_with_the_peers_decides_for_ten_minutes() {
    let fleet = peers(3);
    fleet.record_clock_synchronised(Some(true));
    let reference = ClockSample {
        skew: 600.4,
        uncertainty: 0.6,
    };
    fleet.record_reference_clock("am", reference);
    let is_own_wrong = || fleet.snapshot().clock_dispute.unwrap().is_own_wrong;
    poll(&fleet, &[600.0; 3]);
    assert!(is_own_wrong());
    advance(Duration::from_secs(600)).await;
    poll(&fleet, &[600.0; 3]);
    assert!(!is_own_wrong(), "who knows what it would say now");
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_accused_again_once_the_agent_and_most_peers_agree() {
    let fleet = peers(3);
    poll(&fleet, &[-20.0, -20.0, 40.0]);
    assert_eq!(accused(&fleet), [false; 3]);
    poll(&fleet, &[0.0, 0.0, 60.0]);
    assert_eq!(accused(&fleet), [false, false, true]);
    assert_eq!(fleet.snapshot().clock_dispute, None);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_was_measured_before_a_jump_counts_after_it() {
    let fleet = peers(2);
    poll(&fleet, &[0.0, 90.0]);
    assert_eq!(accused(&fleet), [false, true]);
    let jumped = || [(Check::Clock, CheckResult::Failed)].into_iter().collect();
    fleet.record_self_checks(jumped());
    assert_eq!(accused(&fleet), [false; 2]);
    poll(&fleet, &[0.0, 90.0]);
    assert_eq!(accused(&fleet), [false, true], "measured after the jump");
}

//! Tests of descriptions over synthetic snapshots.

use std::sync::Arc;

use cad3::Hash;
use convex_client::{ClockSample, FailureReason};

use crate::alerting::{AlertSubject, MonitorStatus, RULES};
use crate::config::Severity;
use crate::failure::{Failure, Reason};
use crate::fleet::{
    CanaryFunds, Condition, Health, Lag, PeerRecord, Quorum, ServiceLevel, ServiceTime, Snapshot,
    canary_example, example,
};

use super::*;

/// Returns the rule of an alert about the peer `p1`, or about its network.
fn rule(name: &str, subject: &AlertSubject) -> &'static Rule {
    Rule::find(name, None, subject).unwrap()
}

fn peer() -> AlertSubject {
    AlertSubject::Peer {
        peer: "p1".to_owned(),
        network: "n".to_owned(),
    }
}

fn network() -> AlertSubject {
    AlertSubject::Network {
        network: "n".to_owned(),
    }
}

fn service() -> AlertSubject {
    AlertSubject::Service {
        service: "s".to_owned(),
        network: "n".to_owned(),
    }
}

/// Returns the subject of the alerts of a rule.
fn subject_of(rule: &Rule) -> AlertSubject {
    let finds_it = |subject: &AlertSubject| {
        Rule::find(rule.name, Some(rule.severity), subject).is_some_and(|it| std::ptr::eq(it, rule))
    };
    let mut subjects = [peer(), network(), service(), AlertSubject::Monitor].into_iter();
    subjects.find(finds_it).unwrap()
}

/// A service that was bad for three minutes within the last hour.
const BURNING: ServiceLevel = {
    let hour = ServiceTime {
        known: Duration::from_secs(3600),
        bad: Duration::from_secs(180),
    };
    ServiceLevel {
        total: hour,
        hour,
        five_minutes: hour,
    }
};

/// Describes an alert that has had its cause for a minute.
fn described(snapshot: &Snapshot, rule: &Rule) -> String {
    let monitor = MonitorStatus::default();
    let input = RuleInput {
        snapshot,
        monitor: &monitor,
    };
    let cause = match subject_of(rule) {
        AlertSubject::Peer { .. } => AlertCause::Peer(&snapshot.peers[0]),
        AlertSubject::Network { .. } => AlertCause::Network(&snapshot.networks[0]),
        AlertSubject::Service { .. } => AlertCause::Service(&snapshot.networks[0], &BURNING),
        AlertSubject::Monitor => AlertCause::Monitor,
    };
    let caused = snapshot.wall - Duration::from_secs(60);
    describe(rule, caused, input, cause, "eu-1")
}

fn change_peer(snapshot: &mut Snapshot, change: impl FnOnce(&mut PeerRecord)) {
    change(Arc::make_mut(&mut snapshot.peers[0]));
}

/// Panics unless the text has these parts in this order.
fn has_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let (_, after) = rest
            .split_once(part)
            .unwrap_or_else(|| panic!("no {part:?} at the right place in: {text}"));
        rest = after;
    }
}

#[test]
fn a_description_has_since_when_the_proof_who_sees_it_the_risk_and_what_to_do() {
    let mut snapshot = example::snapshot(4, 4);
    let wall = snapshot.wall;
    change_peer(&mut snapshot, |record| {
        let refused = Reason::Client(FailureReason::Refused);
        let endpoint = &mut record.endpoints[0];
        endpoint.last_success = Some(wall - Duration::from_secs(255));
        endpoint.last_failure = Some(Failure::new(refused, "connection refused"));
        record.conditions = [Condition::Failing(refused)].into();
        let since = wall - Duration::from_secs(240);
        record.condition_since = [(Condition::Failing(refused), since)].into();
        record.health = Health::Down;
    });
    let url = snapshot.peers[0].endpoints[0].url.clone();
    let text = described(&snapshot, rule("ConvexPeerDown", &peer()));
    has_in_order(
        &text,
        &[
            "Since 2027-01-15 07:55:45 UTC, for 4m 15s.",
            "Health: down; active conditions: refused (since 2027-01-15 07:56:00 UTC).",
            &format!("{url}: refused: connection refused."),
            "Seen from eu-1.",
            "Watched peers of n: 0 up, 0 degraded, 1 down, 3 unknown.",
            "How many peers the network can lose is unknown.",
            "First: Run 'convex-peer-monitor probe'",
        ],
    );
}

#[test]
fn a_condition_is_proven_by_its_figure() {
    type Prepare = fn(&mut Snapshot);
    let cases: [(Condition, Prepare, &str); 4] = [
        (
            Condition::Lagging,
            |snapshot| {
                let (now, time) = (snapshot.now, Duration::from_secs(255));
                let lag = Lag { blocks: 233, time };
                change_peer(snapshot, |record| record.record_lag(Some(lag), now));
            },
            "It is 233 blocks, 4m 15s behind the head of the network.",
        ),
        (
            Condition::Forked,
            |snapshot| {
                example::fork_last(snapshot);
                snapshot.peers.reverse();
            },
            "Its history differs from that of the majority from block 137 on.",
        ),
        (
            Condition::Isolated,
            |_| {},
            "It hears 100.0 % of the stake of the others.",
        ),
        (
            Condition::IdentityChanged,
            |snapshot| {
                let key = Some(Hash::new([7; 32]));
                change_peer(snapshot, |record| record.identity.key = key);
            },
            "Its key is now 0x0707",
        ),
    ];
    for (condition, change, expected) in cases {
        let mut snapshot = example::snapshot(4, 4);
        change(&mut snapshot);
        change_peer(&mut snapshot, |record| {
            record.conditions = [condition].into();
        });
        let text = described(&snapshot, rule("ConvexPeerDegraded", &peer()));
        assert!(text.contains(expected), "{condition:?}: {text}");
    }
}

#[test]
fn an_alert_of_the_canary_says_through_which_peers_and_why() {
    use canary_example::{executed, failed, record};
    use convex_client::transaction::TransactionFailure::Timeout;

    let of =
        |name, severity, subject: &AlertSubject| Rule::find(name, Some(severity), subject).unwrap();
    let mut snapshot = example::snapshot(4, 4);
    let mut canary = record();
    for peer in ["p1", "p1", "p2", "p2", "p3"] {
        canary.record_result(peer, failed(Timeout));
    }
    canary.record_result("p4", executed(1));
    canary.funds = Some(CanaryFunds {
        balance_copper: 7_000,
        spent_copper: 1_000,
        spent_today_copper: 500,
        cost_copper: Some(1_000),
    });
    snapshot.networks[0].canary = Some(Arc::new(canary));
    let warning = of("ConvexWritesFailing", Severity::Warning, &peer());
    has_in_order(
        &described(&snapshot, warning),
        &[
            "Since 1970-01-01 00:00:00 UTC",
            "Transactions through this peer are not executed: 2 rounds of the canary in a row failed \
             (last timeout at 1970-01-01 00:00:00 UTC: as scripted).",
            "First: Stop clients",
        ],
    );
    let critical = of("ConvexWritesFailing", Severity::Critical, &network());
    has_in_order(
        &described(&snapshot, critical),
        &[
            "Transactions are not executed through p1 (last timeout",
            "; p2 (last timeout",
            "First: ",
        ],
    );
    let funds = of("ConvexCanaryFunds", Severity::Warning, &network());
    has_in_order(
        &described(&snapshot, funds),
        &[
            "Account #7: The coins of the account last for less than three days.",
            "It has 0.000007 CVM, which last for 10m; 0.0000005 CVM of the daily budget of 0.001 CVM are \
             spent.",
        ],
    );
}

#[test]
fn a_clock_is_ahead_or_behind_with_its_uncertainty() {
    for (skew, expected) in [
        (4.94, "Its clock is 4.9 s ahead ± 0.1 s."),
        (-20.0, "Its clock is 20.0 s behind ± 0.1 s."),
    ] {
        let clock = ClockSample {
            skew,
            uncertainty: 0.1,
        };
        assert_eq!(figures::describe_clock(clock), expected);
    }
}

#[test]
fn a_certificate_expires_or_has_expired() {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let hour = Duration::from_secs(3600);
    for (ends, expected) in [
        (
            wall + hour,
            "Its certificate expires at 2027-01-15 09:00:00 UTC, in 1h.",
        ),
        (
            wall - hour,
            "Its certificate expired at 2027-01-15 07:00:00 UTC, 1h ago.",
        ),
    ] {
        assert_eq!(figures::describe_end(ends, wall), expected);
    }
}

#[test]
fn the_descriptions_name_the_next_upgrade_and_who_cannot_follow() {
    let mut snapshot = example::snapshot(4, 1);
    let both = |snapshot: &Snapshot| {
        [
            described(snapshot, rule("ConvexUpgradePending", &network())),
            described(snapshot, rule("ConvexUpgradeUnsupported", &peer())),
        ]
    };
    for text in both(&snapshot) {
        assert!(!text.contains("version"), "{text}");
    }
    example::schedule_upgrade(&mut snapshot, 90_000);
    let now = snapshot.now;
    change_peer(&mut snapshot, |record| example::support(record, 0, now));
    let when = "version 1 takes effect at 2027-01-16 09:00:00 UTC, in 1day 1h";
    let [network, peer] = both(&snapshot);
    let weights = "60.0 % of the weight is ready for it, 30.0 % is not, 10.0 % is unknown.";
    let expected = format!(" Upgrade of the protocol: {when}; {weights}");
    assert!(network.contains(&expected), "{network}");
    let expected = format!(" Its release supports the protocol up to version 0; {when}.");
    assert!(peer.contains(&expected), "{peer}");
    example::schedule_upgrade(&mut snapshot, -90_000);
    let [network, _] = both(&snapshot);
    let due = "version 1 has been due since 2027-01-14 07:00:00 UTC, with the next block";
    assert!(network.contains(due), "{network}");
}

#[test]
fn the_description_of_a_network_names_forks_a_block_dated_ahead_and_missing_weight() {
    let mut snapshot = example::snapshot(4, 4);
    let sound = described(&snapshot, rule("ConvexConsensusStalled", &network()));
    for word in ["histories", "ahead", "Missing"] {
        assert!(!sound.contains(word), "{sound}");
    }
    let advanced = snapshot.wall - Duration::from_secs(255);
    example::fork_last(&mut snapshot);
    example::change_consensus(&mut snapshot, |verdict| {
        let production = verdict.production.as_mut().unwrap();
        production.pending.as_mut().unwrap().age_seconds = -300.4;
    });
    example::change(&mut snapshot, |verdict| {
        verdict.finality_advanced = Some(advanced);
        verdict.quorum = Some(Quorum {
            ratios: [0.7, 0.1, 0.2, 0.0],
            margin: 0.03,
            losable: crate::fleet::Losable { worst: 0, best: 0 },
        });
    });
    let text = described(&snapshot, rule("ConvexConsensusStalled", &network()));
    has_in_order(
        &text,
        &[
            "Since 2027-01-15 07:55:45 UTC, for 4m 15s.",
            "Order: advancing, head at block 999.",
            "Block 1000 is dated 300 s ahead of this host's clock: peers do not confirm it before.",
            "There are 2 different histories from block 137 on.",
            "Missing weight: 10.0 % minority, 20.0 % down.",
            "Seen from eu-1.",
            "The network can lose no further heavy peer (quorum margin 3.0 %).",
            "First: ",
        ],
    );
}

#[test]
fn every_alert_has_a_title_with_a_name_and_a_first_step() {
    let snapshot = example::snapshot(4, 4);
    for rule in &RULES {
        let subject = subject_of(rule);
        let name = match subject {
            AlertSubject::Peer { .. } => "p1 of n",
            AlertSubject::Network { .. } => "n",
            AlertSubject::Service { .. } => "s of n",
            AlertSubject::Monitor => "eu-1",
        };
        let summary = rule.summary_of(&subject, "eu-1");
        assert!(
            summary.contains(name) && !summary.contains('{'),
            "{summary}"
        );
        let text = described(&snapshot, rule);
        assert!(text.contains(" First: "), "{}: {text}", rule.name);
    }
}

#[test]
fn a_service_shows_how_much_of_its_budget_was_spent() {
    let snapshot = example::snapshot(4, 4);
    let text = described(&snapshot, rule("ConvexErrorBudgetBurn", &service()));
    has_in_order(
        &text,
        &[
            "too few peers of the service were up for 3m, which is 6.9 % of its error budget",
            "Seen from eu-1.",
            "Watched peers of n: ",
            "First: Find out what the short outages of its peers have in common.",
        ],
    );
}

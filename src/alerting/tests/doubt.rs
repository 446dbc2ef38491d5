//! What failed self-checks hold back.

use super::*;

#[test]
fn a_failed_self_check_freezes_the_alert_that_it_could_have_caused() {
    let mut fixture = Fixture::failing(Reason::Client(FailureReason::Dns));
    fixture.run(30);
    fixture.fail(&[Check::Dns]);
    let transitions = fixture.run(400);
    assert_eq!(
        transitions,
        ["300 +ConvexMonitorUnhealthy"],
        "only the alert about the agent itself fires"
    );
    fixture.checks = Checks::default();
    assert_eq!(
        fixture.run(60),
        ["0 -ConvexMonitorUnhealthy", "29 +ConvexPeerDown"],
        "the time before the freeze counts, the time of the freeze does not"
    );

    // A firing alert keeps firing whatever the peer's health is meanwhile.
    fixture.fail(&[Check::Dns]);
    fixture.record.health = Health::Unknown;
    fixture.run(200);
    assert!(fixture.firing().contains("ConvexPeerDown"));
}

/// What each check can cause; a check does not hold back any other outage.
fn can_cause(check: Check, reason: Reason) -> bool {
    use FailureReason::{
        Closed, ConnectTimeout, Dns, QueryHangs, Timeout, Tls, TlsExpired, Unreachable,
    };
    let Reason::Client(reason) = reason else {
        return false;
    };
    let causes: &[FailureReason] = match check {
        Check::Dns => &[Dns],
        Check::Route | Check::References => &[Dns, Unreachable, ConnectTimeout, Timeout, Closed],
        Check::EventLoop => &[Dns, ConnectTimeout, Timeout, QueryHangs, Tls, Closed],
        Check::Clock => &[
            Dns,
            ConnectTimeout,
            Timeout,
            QueryHangs,
            Tls,
            TlsExpired,
            Closed,
        ],
        Check::Descriptors => &[Dns, Closed],
    };
    causes.contains(&reason)
}

#[test]
fn every_check_holds_back_exactly_the_failures_that_it_could_have_caused() {
    for check in Check::ALL {
        for reason in Reason::ALL {
            let held_back = can_cause(*check, reason);
            let what = format!("{check:?} fails, {reason:?}");

            // All endpoints fail.
            let mut fixture = Fixture::failing(reason);
            fixture.fail(&[*check]);
            fixture.run(120);
            let fires = fixture.firing().contains("ConvexPeerDown");
            assert_eq!(fires, !held_back, "down: {what}");

            // One endpoint fails while another answers.
            let mut fixture = Fixture::failing(reason);
            fixture.record.health = Health::Degraded;
            fixture.record.conditions = [Condition::EndpointFailing].into();
            fixture.fail(&[*check]);
            fixture.run(300);
            let fires = fixture.firing().contains("ConvexPeerDegraded");
            assert_eq!(fires, !held_back, "degraded: {what}");

            // New connections fail while the old one answers.
            let mut fixture = Fixture::new();
            let failure = Failure::new(reason, "as scripted");
            fixture.record.endpoints[0].new_connection_failure = Some(failure);
            fixture
                .record
                .conditions
                .insert(Condition::NewConnectionsFail);
            fixture.fail(&[*check]);
            fixture.run(300);
            let fires = fixture.firing().contains("ConvexNewConnectionsFail");
            assert_eq!(fires, !held_back, "new connections: {what}");
        }
    }
}

/// Returns the longest hold duration of an alert, in seconds.
fn hold(alert: &str) -> u64 {
    let rules = RULES.iter().filter(|rule| rule.name == alert);
    rules
        .map(|rule| rule.hold_duration.as_secs())
        .max()
        .unwrap()
}

#[test]
fn a_failed_check_holds_back_no_proof_and_of_measurements_only_those_of_time() {
    let times = [Check::Clock, Check::EventLoop];
    for check in Check::ALL {
        for (condition, alert, is_of_time) in [
            (Condition::Lagging, "ConvexPeerLagging", true),
            (Condition::ClockSkew, "ConvexClockSkew", true),
            (
                Condition::CertificateExpiring,
                "ConvexCertificateExpiring",
                true,
            ),
            (Condition::Forked, "ConvexPeerForked", false),
            (Condition::Diverged, "ConvexStateDiverged", false),
            (Condition::Isolated, "ConvexPeerIsolated", false),
            (Condition::Unregistered, "ConvexPeerUnregistered", false),
            (
                Condition::IdentityChanged,
                "ConvexPeerIdentityChanged",
                false,
            ),
        ] {
            let mut fixture = Fixture::new();
            fixture.record.conditions.insert(condition);
            fixture.fail(&[*check]);
            fixture.run(hold(alert));
            let held_back = is_of_time && times.contains(check);
            let fires = fixture.firing().contains(alert);
            assert_eq!(fires, !held_back, "{check:?} fails, {alert}");
        }
        let mut fixture = Fixture::new();
        fixture.verdict.order = OrderState::Stalled;
        fixture.verdict.split = Evidence::Proven;
        fixture.fail(&[*check]);
        fixture.run(60);
        let firing = fixture.firing();
        assert!(firing.contains("ConvexNetworkSplit"), "{check:?}");
        let fires = firing.contains("ConvexConsensusStalled");
        assert_eq!(fires, !times.contains(check), "{check:?}");
    }
}

#[test]
fn a_self_check_that_a_peer_does_not_need_freezes_nothing() {
    let mut fixture = Fixture::failing(Reason::Client(FailureReason::Timeout));
    fixture.peer().endpoints = vec![Endpoint::parse("tcp://127.0.0.1").unwrap()];
    fixture.fail(&[Check::Dns, Check::Route]);
    assert_eq!(
        fixture.run(60),
        ["60 +ConvexPeerDown"],
        "this host needs no route to itself"
    );

    let mut suspicion = Fixture::failing(Reason::Client(FailureReason::Timeout));
    suspicion.checks = [(Check::References, CheckResult::Suspect)]
        .into_iter()
        .collect();
    assert_eq!(
        suspicion.run(60),
        ["60 +ConvexPeerDown"],
        "the reference itself may be down"
    );
}

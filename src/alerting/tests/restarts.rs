//! Alerts over a restart of the agent.

use super::*;

#[test]
fn a_restart_neither_resolves_nor_repeats_alerts() {
    let mut fixture = Fixture::down();
    fixture.run(30);
    fixture.restart(Duration::from_secs(20));
    assert_eq!(
        fixture.run(20),
        ["9 +ConvexPeerDown"],
        "the time before the restart counts"
    );
    let first = fixture.alerts()[0].clone();

    fixture.restart(Duration::from_secs(600));
    fixture.record.health = Health::Unknown;
    assert!(
        fixture.run(100).is_empty(),
        "a peer that was not polled yet does not count as up"
    );
    fixture.record.health = Health::Down;
    assert!(fixture.run(10).is_empty());
    assert_eq!(fixture.alerts()[0].starts_at, first.starts_at);
}

#[test]
fn an_alert_of_a_clock_that_was_ahead_starts_now_after_a_restart() {
    let mut fixture = Fixture::down();
    fixture.run(61);
    let mut saved = serde_json::to_value(fixture.tracker.export()).unwrap();
    for time in ["since", "starts"] {
        saved[0][time] = u64::MAX.into();
    }
    let persisted = serde_json::from_value(saved).unwrap();
    fixture.tracker = AlertTracker::restore(persisted, fixture.now, fixture.wall);
    assert_eq!(fixture.alerts()[0].starts_at, fixture.wall);
    fixture.record.health = Health::Up;
    let transitions = fixture.run(121);
    assert_eq!(transitions.len(), 1, "it is resolved: {transitions:?}");
}

#[test]
fn a_warning_keeps_firing_for_two_minutes_after_a_restart() {
    let mut fixture = Fixture::new();
    fixture.verdict.nothing_compared = true;
    fixture.run(1);
    fixture.restart(Duration::from_secs(5));
    fixture.verdict.nothing_compared = false;
    assert_eq!(fixture.run(130), ["120 -ConvexNothingCompared"]);
}

#[test]
fn both_severities_of_an_alert_are_restored_as_they_were() {
    let mut fixture = Fixture::new();
    fixture.record.conditions.insert(Condition::UpgradeRequired);
    fixture.run(60);
    let restored = AlertTracker::restore(fixture.tracker.export(), fixture.now, fixture.wall);
    let severities = |tracker: &AlertTracker| {
        let alerts = tracker.alerts();
        alerts
            .map(|alert| (alert.rule.name, alert.rule.severity))
            .collect::<Vec<_>>()
    };
    let expected = [("ConvexUpgradeUnsupported", Severity::Critical)];
    assert_eq!(severities(&fixture.tracker), expected);
    assert_eq!(severities(&restored), expected);
}

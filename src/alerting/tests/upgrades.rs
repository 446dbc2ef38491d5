//! Upgrades of the protocol.

use super::*;

/// Runs for 11 minutes with an upgrade to version 1 that takes effect after this many seconds, for
/// a peer that can execute versions up to this one. Returns what fires then, with severities.
fn fires_before_upgrade(
    seconds: i64,
    supported: Option<i64>,
    readiness: [f64; 3],
) -> BTreeSet<(&'static str, &'static str)> {
    let mut fixture = Fixture::new();
    let now_ms = 1_000_000 * 1_000;
    fixture.verdict.protocol = Some(ProtocolVerdict {
        pending: vec![PendingUpgrade {
            version: 1,
            takes_effect_ms: now_ms + seconds * 1_000,
            readiness: Some(readiness),
        }],
        ..ProtocolVerdict::default()
    });
    for _ in 0..=660 {
        if let Some(version) = supported {
            example::support(&mut fixture.record, version, fixture.now);
        }
        fixture.run(0);
    }
    let alerts = fixture.tracker.alerts();
    let firing = alerts.filter(|alert| alert.ends_at.is_none());
    firing
        .map(|alert| {
            let name = alert.rule.name.strip_prefix("ConvexUpgrade").unwrap();
            (name, alert.rule.severity.as_str())
        })
        .collect()
}

#[test]
fn an_upgrade_is_told_weeks_before_and_urgent_on_the_last_day() {
    const WEEKS: i64 = 21 * 86_400;
    const HOURS: i64 = 12 * 3_600;
    let pending = ("Pending", "info");
    for (seconds, supported, readiness, expected) in [
        (WEEKS, Some(1), [1.0, 0.0, 0.0], &[][..]),
        (WEEKS, None, [0.0, 0.0, 1.0], &[]),
        (
            WEEKS,
            Some(0),
            [0.7, 0.3, 0.0],
            &[("Unsupported", "warning")],
        ),
        (
            HOURS,
            Some(0),
            [0.7, 0.3, 0.0],
            &[("Unsupported", "critical")],
        ),
        (
            -HOURS,
            Some(0),
            [0.7, 0.3, 0.0],
            &[("Unsupported", "critical")],
        ),
        (WEEKS, Some(1), [0.6, 0.4, 0.0], &[("AtRisk", "warning")]),
        (HOURS, Some(1), [0.6, 0.4, 0.0], &[("AtRisk", "critical")]),
        (HOURS, Some(1), [0.6, 0.2, 0.2], &[("AtRisk", "warning")]),
        (HOURS, Some(1), [0.7, 0.1, 0.2], &[]),
    ] {
        let mut expected: BTreeSet<_> = expected.iter().copied().collect();
        expected.insert(pending);
        let found = fires_before_upgrade(seconds, supported, readiness);
        assert_eq!(found, expected, "{seconds} s, {supported:?}, {readiness:?}");
    }
}

#[test]
fn a_failed_upgrade_is_told_at_once() {
    let mut fixture = Fixture::new();
    fixture.verdict.protocol = Some(ProtocolVerdict {
        failed: true,
        ..ProtocolVerdict::default()
    });
    assert_eq!(fixture.run(1), ["0 +ConvexUpgradeFailed"]);
}

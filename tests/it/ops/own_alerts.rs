//! The built-in alerts of the agent match the alert rules for Prometheus.

use std::collections::BTreeSet;
use std::time::Duration;

use convex_peer_monitor::alerting::{RULES, alert_for_condition};
use convex_peer_monitor::fleet::Condition;

use super::alerts;

/// Alerts that only Prometheus can raise, or those of one severity, with the reason.
const ONLY_PROMETHEUS: [(&str, &str); 7] = [
    ("ConvexErrorBudgetBurn warning", "needs days of data"),
    ("ConvexJvmHeapFilling", "needs values of half an hour"),
    ("ConvexLatencyHigh", "needs a week of data"),
    ("ConvexMonitorDown", "an agent that is down sends nothing"),
    ("ConvexProcessMemoryGrowing", "needs values of hours ago"),
    ("ConvexStoreDiskFilling", "needs values of hours ago"),
    ("ConvexWatchdog", "shows that Prometheus works"),
];

fn duration(text: Option<&String>) -> Duration {
    text.map_or(Duration::ZERO, |text| {
        humantime::parse_duration(text).unwrap()
    })
}

/// Returns the summaries of a rule as the agent writes them, with `{peer}` for `{{ $labels.peer
/// }}`. A rule about peers and networks has two.
fn titles(summary: &str) -> Vec<String> {
    const OPTIONAL_PEER: &str = "{{ with $labels.peer }}{{ . }} of {{ end }}";
    let mut summaries = vec![summary.replace(OPTIONAL_PEER, "")];
    if summary.contains(OPTIONAL_PEER) {
        summaries.push(summary.replace(OPTIONAL_PEER, "{peer} of "));
    }
    let written = |summary: String| summary.replace("{{ $labels.", "{").replace(" }}", "}");
    summaries.into_iter().map(written).collect()
}

#[test]
fn built_in_alerts_match_the_rules_for_prometheus() {
    let excluded: BTreeSet<&str> = ONLY_PROMETHEUS.iter().map(|(name, _)| *name).collect();
    let in_rules: BTreeSet<_> = alerts::alerts()
        .into_iter()
        .filter(|(name, rule)| {
            let of_severity = format!("{name} {}", rule.labels["severity"]);
            !excluded.contains(name.as_str()) && !excluded.contains(of_severity.as_str())
        })
        .flat_map(|(name, rule)| {
            let severity = rule.labels["severity"].clone();
            let first_step = rule.annotations["first_step"].clone();
            let (hold, keep) = (
                duration(rule.hold.as_ref()),
                duration(rule.keep_firing_for.as_ref()),
            );
            titles(&rule.annotations["summary"])
                .into_iter()
                .map(move |title| {
                    let (name, severity) = (name.clone(), severity.clone());
                    (name, severity, hold, keep, title, first_step.clone())
                })
        })
        .collect();
    let built_in: BTreeSet<_> = RULES
        .iter()
        .map(|rule| {
            (
                rule.name.to_owned(),
                rule.severity.as_str().to_owned(),
                rule.hold_duration,
                rule.keep_firing_for(),
                rule.summary.to_owned(),
                rule.first_step().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    assert_eq!(built_in, in_rules);
}

#[test]
fn a_degraded_peer_alerts_only_by_conditions_without_an_alert_of_their_own() {
    const NAME: &str = "ConvexPeerDegraded";
    let mut alerts = alerts::alerts().into_iter();
    let (_, rule) = alerts.find(|(name, _)| name == NAME).unwrap();
    let excluded = rule.expr.split_once("condition!~\"").unwrap().1;
    let excluded: BTreeSet<&str> = excluded.split('"').next().unwrap().split('|').collect();
    let with_own_alert = Condition::BESIDES_REASONS
        .iter()
        .filter(|(condition, _)| alert_for_condition(*condition) != NAME)
        .map(|(condition, _)| condition.as_str());
    assert_eq!(excluded, with_own_alert.collect());
}

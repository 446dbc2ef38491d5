//! The alerts that the agent raises by itself are those of the rules for Prometheus: one table, two ways.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convex_peer_monitor::alerting::RULES;

use super::alerts;

/// Alerts that need a Prometheus, and what of it.
const ONLY_PROMETHEUS: [(&str, &str); 11] = [
    ("ConvexAgentDown", "whoever is gone cannot tell it"),
    ("ConvexErrorBudgetBurn", "days of polls"),
    ("ConvexLatencyHigh", "a week of polls"),
    ("ConvexMonitorDown", "whoever is gone cannot tell it"),
    ("ConvexNewPeerOnChain", "what was an hour ago"),
    (
        "ConvexPeerRestarted",
        "no verdict: something that has happened",
    ),
    ("ConvexProcessMemoryGrowing", "what was hours ago"),
    ("ConvexStakeChanged", "what was an hour ago"),
    ("ConvexStoreDiskFilling", "what was hours ago"),
    ("ConvexVantagesDisagree", "several agents"),
    ("ConvexWatchdog", "tells that Prometheus works"),
];

fn duration(text: Option<&String>) -> Duration {
    text.map_or(Duration::ZERO, |text| {
        humantime::parse_duration(text).unwrap()
    })
}

#[test]
fn what_the_agent_tells_by_itself_is_what_the_rules_tell() {
    let apart: BTreeSet<&str> = ONLY_PROMETHEUS.iter().map(|(name, _)| *name).collect();
    let of_rules: BTreeMap<_, _> = alerts::alerts()
        .into_iter()
        .filter(|(name, _)| !apart.contains(name.as_str()))
        .map(|(name, rule)| {
            let told = (
                rule.labels["severity"].clone(),
                duration(rule.hold.as_ref()),
                duration(rule.keep_firing_for.as_ref()),
                rule.annotations["summary"].clone(),
            );
            (name, told)
        })
        .collect();
    let own: BTreeMap<_, _> = RULES
        .iter()
        .map(|rule| {
            let told = (
                rule.severity.as_str().to_owned(),
                rule.hold_duration,
                rule.keep_firing_for(),
                rule.summary.to_owned(),
            );
            (rule.name.to_owned(), told)
        })
        .collect();
    assert_eq!(own, of_rules);
}

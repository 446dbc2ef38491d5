//! The alerts that the agent raises by itself are those of the rules for Prometheus: one table, two ways.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convex_peer_monitor::alert::RULES;
use serde::Deserialize;

use super::{files, read};

#[derive(Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: Option<String>,
    #[serde(default, rename = "for")]
    hold: String,
    #[serde(default)]
    keep_firing_for: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

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

fn duration(text: &str) -> Duration {
    if text.is_empty() {
        Duration::ZERO
    } else {
        humantime::parse_duration(text).unwrap()
    }
}

#[test]
fn what_the_agent_tells_by_itself_is_what_the_rules_tell() {
    let groups = files("alerts", "rules.yml").into_iter().flat_map(|path| {
        serde_saphyr::from_str::<RuleFile>(&read(&path))
            .unwrap()
            .groups
    });
    let apart: BTreeSet<&str> = ONLY_PROMETHEUS.iter().map(|(name, _)| *name).collect();
    let of_rules: BTreeMap<_, _> = groups
        .flat_map(|group| group.rules)
        .filter_map(|rule| Some((rule.alert.clone()?, rule)))
        .filter(|(name, _)| !apart.contains(name.as_str()))
        .map(|(name, rule)| {
            let told = (
                rule.labels["severity"].clone(),
                duration(&rule.hold),
                duration(&rule.keep_firing_for),
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
                rule.hold,
                rule.keep(),
                rule.summary.to_owned(),
            );
            (rule.name.to_owned(), told)
        })
        .collect();
    assert_eq!(own, of_rules);
}

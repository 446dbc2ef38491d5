//! The example of routes: what is grouped, and what is held back.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{alerts, read, root};

#[derive(Deserialize)]
struct Example {
    route: Route,
    inhibit_rules: Vec<Inhibition>,
}

#[derive(Deserialize)]
struct Route {
    group_interval: Option<String>,
    group_by: Option<Vec<String>>,
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Inhibition {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    equal: Vec<String>,
}

fn example() -> Example {
    let text = read(&root().join("alerts/alertmanager.example.yml"));
    serde_saphyr::from_str(&text).unwrap()
}

/// The alerts that a matcher of `alertname` names.
fn named(matchers: &[String]) -> BTreeSet<String> {
    let [matcher] = matchers else {
        panic!("one matcher is expected: {matchers:?}");
    };
    let names = matcher
        .strip_prefix("alertname =")
        .unwrap_or_else(|| panic!("{matcher}"));
    let names = names.trim_start_matches('~').trim().trim_matches('"');
    names.split('|').map(str::to_owned).collect()
}

/// What is held back while `source` fires, by alerts with the same values of `equal`.
fn held_back(source: &str, equal: &[&str]) -> BTreeSet<String> {
    let rules = example().inhibit_rules.into_iter();
    rules
        .filter(|rule| rule.equal == equal && named(&rule.source_matchers).contains(source))
        .flat_map(|rule| named(&rule.target_matchers))
        .map(|name| name.strip_prefix("Convex").unwrap().to_owned())
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Alerts that follow from a peer that does not answer.
const FOLLOW: [&str; 7] = [
    "ErrorBudgetBurn",
    "LatencyHigh",
    "PeerDegraded",
    "PeerFlapping",
    "PeerLagging",
    "ProbeDataStale",
    "TransportsDisagree",
];

#[test]
fn only_alerts_that_exist_are_held_back_or_hold_back() {
    let alerts = alerts::names();
    for rule in example().inhibit_rules {
        for name in named(&rule.source_matchers)
            .into_iter()
            .chain(named(&rule.target_matchers))
        {
            assert!(alerts.contains(&name), "there is no alert {name}");
        }
    }
}

#[test]
fn a_network_in_trouble_holds_back_what_follows_from_it_and_no_page_of_a_peer() {
    for source in [
        "ConvexConsensusStalled",
        "ConvexNetworkSplit",
        "ConvexQuorumAtRisk",
    ] {
        let expected = set(&[
            "PeerDegraded",
            "PeerLagging",
            "ProbeDataStale",
            "WeightDecayed",
        ]);
        assert_eq!(held_back(source, &["network"]), expected, "{source}");
    }
}

#[test]
fn of_one_peer_the_alert_that_explains_the_others_holds_them_back() {
    let equal = ["peer", "network"];
    for (source, pages) in [
        ("ConvexPeerDown", &[][..]),
        ("ConvexQueriesHang", &["PeerDown"]),
        ("ConvexPeerWrongNetwork", &["PeerDown", "QueriesHang"]),
    ] {
        let mut expected = set(&FOLLOW);
        expected.extend(set(pages));
        assert_eq!(held_back(source, &equal), expected, "{source}");
    }
}

#[test]
fn nothing_else_holds_anything_back() {
    let sources: BTreeSet<String> = example()
        .inhibit_rules
        .iter()
        .flat_map(|rule| named(&rule.source_matchers))
        .collect();
    let expected = [
        "ConvexConsensusStalled",
        "ConvexNetworkSplit",
        "ConvexPeerDown",
        "ConvexPeerWrongNetwork",
        "ConvexQueriesHang",
        "ConvexQuorumAtRisk",
    ];
    assert_eq!(sources, set(&expected));
}

#[test]
fn notifications_are_grouped_by_network_and_outlast_a_restart_of_the_agent() {
    let route = example().route;
    assert_eq!(route.group_by.as_deref(), Some(&["network".to_owned()][..]));
    let intervals = route.routes.iter().chain([&route]);
    for interval in intervals.filter_map(|route| route.group_interval.as_deref()) {
        let minutes: u64 = interval.strip_suffix('m').unwrap().parse().unwrap();
        assert!(minutes >= 2, "{interval}");
    }
    assert!(route.group_interval.is_some());
}

//! The example configuration of Alertmanager: grouping and inhibition.

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

/// Returns the alerts that a matcher of `alertname` selects.
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

/// Returns the alerts with equal labels that `source` inhibits.
fn inhibited_by(source: &str, equal: &[&str]) -> BTreeSet<String> {
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

/// Alerts that are a consequence of a peer that does not answer.
const CONSEQUENCES: [&str; 7] = [
    "ErrorBudgetBurn",
    "LatencyHigh",
    "PeerDegraded",
    "PeerFlapping",
    "PeerLagging",
    "ProbeDataStale",
    "TransportsDisagree",
];

#[test]
fn inhibition_rules_name_only_existing_alerts() {
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
fn alerts_of_a_network_inhibit_their_consequences_and_a_failed_upgrade_the_stall() {
    let consequences = [
        "PeerDegraded",
        "PeerLagging",
        "ProbeDataStale",
        "WeightDecayed",
    ];
    for (source, more) in [
        ("ConvexConsensusStalled", None),
        ("ConvexNetworkSplit", Some("StatesDiffer")),
        ("ConvexQuorumAtRisk", None),
        ("ConvexUpgradeFailed", Some("ConsensusStalled")),
    ] {
        let mut expected = set(&consequences);
        expected.extend(more.map(str::to_owned));
        assert_eq!(inhibited_by(source, &["network"]), expected, "{source}");
    }
}

#[test]
fn a_reset_network_inhibits_what_it_does_to_its_peers_and_a_blind_monitor_that_they_are_unknown() {
    let consequences = [
        "ErrorBudgetBurn",
        "FinalityReceding",
        "PeerDown",
        "PeerUnregistered",
        "PeerWrongNetwork",
        "QuorumAtRisk",
        "QuorumUnknown",
    ];
    for (source, expected) in [
        ("ConvexNetworkReset", &consequences[..]),
        ("ConvexMonitoringBlind", &["OwnPeersUnknown"]),
    ] {
        assert_eq!(
            inhibited_by(source, &["network"]),
            set(expected),
            "{source}"
        );
    }
}

#[test]
fn the_alert_that_says_who_is_wrong_inhibits_that_states_differ() {
    for source in ["ConvexPeerForked", "ConvexStateDiverged"] {
        let inhibited = inhibited_by(source, &["network"]);
        assert_eq!(inhibited, set(&["StatesDiffer"]), "{source}");
    }
}

#[test]
fn the_alert_that_explains_a_peer_inhibits_its_other_alerts() {
    let equal = ["peer", "network"];
    for (source, critical) in [
        ("ConvexPeerDown", &[][..]),
        ("ConvexQueriesHang", &["PeerDown"]),
        ("ConvexPeerWrongNetwork", &["PeerDown", "QueriesHang"]),
    ] {
        let mut expected = set(&CONSEQUENCES);
        expected.extend(set(critical));
        assert_eq!(inhibited_by(source, &equal), expected, "{source}");
    }
}

#[test]
fn the_alert_that_says_why_a_peer_falls_behind_inhibits_what_follows() {
    let behind = ["PeerDegraded", "PeerLagging", "WeightDecayed"];
    for (source, expected) in [
        (
            "ConvexPeerForked",
            [&["PeerIsolated", "PeerUnheard"], &behind[..]].concat(),
        ),
        ("ConvexPeerIsolated", behind.to_vec()),
        ("ConvexPeerUnheard", vec!["WeightDecayed"]),
        ("ConvexUpgradeUnsupported", vec!["WeightDecayed"]),
    ] {
        let inhibited = inhibited_by(source, &["peer", "network"]);
        assert_eq!(inhibited, set(&expected), "{source}");
    }
}

#[test]
fn no_other_alert_inhibits() {
    let sources: BTreeSet<String> = example()
        .inhibit_rules
        .iter()
        .flat_map(|rule| named(&rule.source_matchers))
        .collect();
    let expected = [
        "ConvexConsensusStalled",
        "ConvexMonitoringBlind",
        "ConvexNetworkReset",
        "ConvexNetworkSplit",
        "ConvexPeerDown",
        "ConvexPeerForked",
        "ConvexPeerIsolated",
        "ConvexPeerUnheard",
        "ConvexPeerWrongNetwork",
        "ConvexQueriesHang",
        "ConvexQuorumAtRisk",
        "ConvexStateDiverged",
        "ConvexUpgradeFailed",
        "ConvexUpgradeUnsupported",
    ];
    assert_eq!(sources, set(&expected));
}

#[test]
fn alerts_are_grouped_by_network_and_an_agent_restart_resolves_none() {
    let route = example().route;
    assert_eq!(route.group_by.as_deref(), Some(&["network".to_owned()][..]));
    let intervals = route.routes.iter().chain([&route]);
    for interval in intervals.filter_map(|route| route.group_interval.as_deref()) {
        let minutes: u64 = interval.strip_suffix('m').unwrap().parse().unwrap();
        assert!(minutes >= 2, "{interval}");
    }
    assert!(route.group_interval.is_some());
}

//! The example configuration of Alertmanager: grouping and inhibition.

use std::collections::BTreeSet;

use convex_peer_monitor::alerting::INHIBITIONS;
use serde::Deserialize;

use super::{alerts, read, root};

#[derive(Deserialize)]
struct Example {
    route: Route,
    inhibit_rules: Vec<Inhibition>,
}

#[derive(Deserialize)]
struct Route {
    #[serde(default)]
    matchers: Vec<String>,
    group_by: Option<Vec<String>>,
    group_wait: Option<String>,
    group_interval: Option<String>,
    repeat_interval: Option<String>,
    #[serde(default)]
    routes: Vec<Route>,
}

impl Route {
    /// Returns this route and all below it.
    fn all(&self) -> Vec<&Self> {
        let below = self.routes.iter().flat_map(Self::all);
        std::iter::once(self).chain(below).collect()
    }
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

/// An alert that fires in the network `n`: its name without `Convex`, and its peer if it is about
/// one.
type Firing = (&'static str, Option<&'static str>);

/// Returns the alerts that no other one inhibits.
fn notified(firing: &[Firing]) -> Vec<Firing> {
    let rules = example().inhibit_rules;
    let has =
        |names: &[String], alert: &Firing| named(names).contains(&format!("Convex{}", alert.0));
    let is_inhibited = |target: &&Firing| {
        rules.iter().any(|rule| {
            let needs_peer = rule.equal.iter().any(|label| label == "peer");
            has(&rule.target_matchers, target)
                && firing.iter().any(|source| {
                    let is_same_peer = source.1 == target.1;
                    has(&rule.source_matchers, source) && (is_same_peer || !needs_peer)
                })
        })
    };
    let notified = firing.iter().filter(|alert| !is_inhibited(alert));
    notified.copied().collect()
}

#[test]
fn inhibition_rules_name_only_existing_alerts_and_peer_or_network() {
    let alerts = alerts::names();
    for rule in example().inhibit_rules {
        let names = [named(&rule.source_matchers), named(&rule.target_matchers)];
        for name in names.iter().flatten() {
            assert!(alerts.contains(name), "there is no alert {name}");
        }
        let equal: Vec<&str> = rule.equal.iter().map(String::as_str).collect();
        assert!([&["network"][..], &["peer", "network"]].contains(&&equal[..]));
    }
}

const P: Option<&str> = Some("p");

/// Faults, each with the alert that names it and those that fire as a consequence.
const FAULTS: [(&str, Firing, &[Firing]); 14] = [
    (
        "a dead peer",
        ("PeerDown", P),
        &[
            ("PeerDegraded", P),
            ("PeerLagging", P),
            ("LatencyHigh", P),
            ("ErrorBudgetBurn", P),
            ("WeightDecayed", P),
        ],
    ),
    (
        "a half-dead peer",
        ("QueriesHang", P),
        &[
            ("PeerDown", P),
            ("PeerDegraded", P),
            ("PeerLagging", P),
            ("LatencyHigh", P),
            ("ErrorBudgetBurn", P),
            ("WeightDecayed", P),
        ],
    ),
    (
        "a peer of another network",
        ("PeerWrongNetwork", P),
        &[
            ("PeerDown", P),
            ("QuorumAtRisk", None),
            ("PeerDegraded", P),
            ("PeerLagging", P),
            ("LatencyHigh", P),
            ("ErrorBudgetBurn", P),
            ("WeightDecayed", P),
        ],
    ),
    (
        "a pinned key that was changed",
        ("PeerIdentityChanged", P),
        &[
            ("PeerDown", P),
            ("PeerUnregistered", P),
            ("QuorumAtRisk", None),
            ("PeerDegraded", P),
            ("PeerLagging", P),
            ("LatencyHigh", P),
            ("ErrorBudgetBurn", P),
            ("WeightDecayed", P),
        ],
    ),
    (
        "a forked peer",
        ("PeerForked", P),
        &[
            ("StateDiverged", P),
            ("FinalityReceding", P),
            ("PeerIsolated", P),
            ("PeerUnheard", P),
            ("PeerLagging", P),
            ("PeerDegraded", P),
            ("WeightDecayed", P),
            ("StatesDiffer", None),
        ],
    ),
    (
        "a peer that does not hear the others",
        ("PeerIsolated", P),
        &[
            ("PeerLagging", P),
            ("PeerDegraded", P),
            ("WeightDecayed", P),
        ],
    ),
    (
        "a peer that the others do not hear",
        ("PeerUnheard", P),
        &[("WeightDecayed", P), ("WritesFailing", P)],
    ),
    (
        "a peer without an upgrade",
        ("UpgradeUnsupported", P),
        &[("WeightDecayed", P)],
    ),
    (
        "an expired certificate",
        ("CertificateExpired", P),
        &[("PeerDegraded", P)],
    ),
    (
        "a failed upgrade",
        ("UpgradeFailed", None),
        &[
            ("ConsensusStalled", None),
            ("QuorumAtRisk", None),
            ("PeerLagging", P),
            ("PeerDegraded", P),
            ("WeightDecayed", P),
        ],
    ),
    (
        "a split network",
        ("NetworkSplit", None),
        &[
            ("StatesDiffer", None),
            ("ConsensusStalled", None),
            ("QuorumAtRisk", None),
            ("PeerLagging", P),
        ],
    ),
    (
        "a stalled network without its quorum",
        ("ConsensusStalled", None),
        &[
            ("QuorumAtRisk", None),
            ("PeerDegraded", P),
            ("WeightDecayed", P),
            ("WritesFailing", None),
            ("WritesFailing", P),
            ("CanarySlow", None),
        ],
    ),
    (
        "a network that was reset",
        ("NetworkReset", None),
        &[
            ("PeerWrongNetwork", P),
            ("PeerDown", P),
            ("FinalityReceding", P),
            ("PeerUnregistered", P),
            ("ErrorBudgetBurn", None),
            ("QuorumAtRisk", None),
            ("QuorumUnknown", None),
        ],
    ),
    (
        "a network of which nothing is known",
        ("MonitoringBlind", None),
        &[("OwnPeersUnknown", None)],
    ),
];

#[test]
fn each_fault_is_one_notification() {
    for (fault, cause, consequences) in FAULTS {
        let firing = [&[cause], consequences].concat();
        assert_eq!(notified(&firing), [cause], "{fault}");
    }
}

#[test]
fn a_cause_hides_no_other_fault() {
    const Q: Option<&str> = Some("q");
    for both in [
        // Of another peer.
        [("PeerIdentityChanged", P), ("PeerDown", Q)],
        [("PeerDown", P), ("PeerDegraded", Q)],
        // The page may be hours old when another peer goes as well.
        [("PeerDown", P), ("QuorumAtRisk", None)],
        // A network that agrees on nothing hides no peer that is down or wrong.
        [("ConsensusStalled", None), ("PeerDown", P)],
        [("NetworkSplit", None), ("StateDiverged", P)],
        [("QuorumAtRisk", None), ("PeerIsolated", P)],
        // Weeks before the upgrade.
        [("UpgradeUnsupported", P), ("PeerLagging", P)],
        [("CertificateExpiring", P), ("PeerDegraded", P)],
    ] {
        assert_eq!(notified(&both), both);
    }
}

#[test]
fn no_alert_about_an_agent_inhibits() {
    let about_network = |(name, rule): (String, alerts::Rule)| {
        let subject = alerts::subject(&rule);
        subject.contains(&"network").then_some(name)
    };
    let about_network: BTreeSet<String> = alerts::alerts()
        .into_iter()
        .filter_map(about_network)
        .collect();
    for rule in example().inhibit_rules {
        let sources = named(&rule.source_matchers);
        assert!(sources.is_subset(&about_network), "{sources:?}");
    }
}

/// Each source with a target and the labels that must be equal.
type Pairs = BTreeSet<(String, String, Vec<String>)>;

fn pairs(
    sources: impl IntoIterator<Item = String>,
    targets: &BTreeSet<String>,
    equal: &[String],
) -> Pairs {
    let with_targets = |source: String| {
        let pair = move |target: &String| (source.clone(), target.clone(), equal.to_vec());
        targets.iter().map(pair).collect::<Vec<_>>()
    };
    sources.into_iter().flat_map(with_targets).collect()
}

#[test]
fn the_example_holds_back_what_the_agent_itself_holds_back() {
    let owned =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let of_agent: Pairs = INHIBITIONS
        .iter()
        .flat_map(|it| {
            let targets = owned(it.targets).into_iter().collect();
            pairs(owned(it.sources), &targets, &owned(it.scope.equal()))
        })
        .collect();
    let of_example: Pairs = example()
        .inhibit_rules
        .into_iter()
        .flat_map(|rule| {
            let (sources, targets) = (named(&rule.source_matchers), named(&rule.target_matchers));
            pairs(sources, &targets, &rule.equal)
        })
        .collect();
    let missing: Vec<_> = of_agent.difference(&of_example).collect();
    let surplus: Vec<_> = of_example.difference(&of_agent).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "not in the example: {missing:?}; not in the agent: {surplus:?}"
    );
}

#[test]
fn an_agent_that_ends_leaves_its_alerts_firing_for_an_hour() {
    let text = read(&root().join("alerts/alertmanager.example.yml"));
    assert!(text.contains("resolve_timeout: 1h"));
}

#[test]
fn peers_are_grouped_by_network_and_a_network_is_a_group_of_its_own_at_once() {
    let route = example().route;
    let group_by = |route: &Route| route.group_by.clone().unwrap_or_default();
    assert_eq!(group_by(&route), ["network"]);
    let pages = |it: &&&Route| it.matchers == ["severity = critical"];
    let all = route.all();
    let pages = all.iter().find(pages).unwrap();
    assert_eq!(group_by(pages), Vec::<String>::new(), "as the route above");
    let [networks] = &pages.routes[..] else {
        panic!("one route of pages about networks is expected");
    };
    assert_eq!(networks.matchers, ["peer = \"\""]);
    assert_eq!(group_by(networks), ["alertname", "network", "vantage"]);
    assert_eq!(networks.group_wait.as_deref(), Some("0s"));
}

#[test]
fn an_agent_restart_resolves_no_group_and_alertmanager_remembers_what_it_repeats() {
    /// How long Alertmanager remembers what it has sent, by default.
    const RETENTION: u64 = 120 * 3600;
    let route = example().route;
    let seconds = |text: &String| humantime::parse_duration(text).unwrap().as_secs();
    assert!(route.group_interval.is_some() && route.repeat_interval.is_some());
    for route in route.all() {
        let group_interval = route.group_interval.as_ref().map(seconds);
        assert!(group_interval.is_none_or(|interval| interval >= 120));
        let repeat_interval = route.repeat_interval.as_ref().map(seconds);
        assert!(repeat_interval.is_none_or(|interval| interval < RETENTION));
    }
}

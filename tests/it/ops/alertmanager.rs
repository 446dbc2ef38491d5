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
fn the_example_prints_why_an_alert_ended() {
    let text = read(&root().join("alerts/alertmanager.example.yml"));
    let receivers = ["pagerduty_configs", "slack_configs"];
    for receiver in receivers {
        let (_, rest) = text.split_once(receiver).unwrap();
        let section = rest.split("_configs").next().unwrap();
        assert!(section.contains(".Annotations.ended_by"), "{receiver}");
    }
}

#[test]
fn an_agent_that_ends_leaves_its_alerts_firing_for_an_hour() {
    let text = read(&root().join("alerts/alertmanager.example.yml"));
    assert!(text.contains("resolve_timeout: 1h"));
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

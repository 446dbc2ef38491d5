//! The Grafana dashboards: what their queries, variables and annotations name exists.

use std::collections::{BTreeSet, HashSet};

use convex_peer_monitor::metrics::{ALL, Lean};
use serde_json::Value;

use super::promql::{Named, definition};
use super::{alerts, files, read, stem};

/// Variables that Grafana has built in.
const BUILT_IN: [&str; 6] = [
    "__rate_interval",
    "__range",
    "__url_time_range",
    "__data",
    "__value",
    "__field",
];

/// Metrics that no dashboard shows, and why.
const NOT_SHOWN: [(&str, &str); 4] = [
    (
        "convex_network_peers",
        "the peers' own series are counted: they add up over shards, and not over agents that watch the same peers",
    ),
    ("convex_peer_up", "the health, judged over polls, is shown"),
    (
        "convex_peer_state_hash_prefix",
        "equal only at equal blocks: drawn over time it would alarm without cause",
    ),
    (
        "process_virtual_memory_bytes",
        "says nothing; resident memory is shown",
    ),
];

pub(super) fn dashboards() -> Vec<(String, Value)> {
    files("dashboards", "json")
        .iter()
        .map(|path| {
            (
                stem(path).to_owned(),
                serde_json::from_str(&read(path)).unwrap(),
            )
        })
        .collect()
}

/// The rows and the panels: no row is collapsed, so that all lie in one list.
pub(super) fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().unwrap()
}

/// The panels that ask something.
pub(super) fn asking(dashboard: &Value) -> impl Iterator<Item = &Value> {
    panels(dashboard)
        .iter()
        .filter(|panel| panel["type"] != "row")
}

pub(super) fn targets(panel: &Value) -> impl Iterator<Item = &Value> {
    panel["targets"].as_array().into_iter().flatten()
}

pub(super) fn annotations(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["annotations"]["list"].as_array().unwrap().iter()
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// An expression with its variables filled in.
fn filled(expression: &str) -> String {
    let filled = [
        ("$__rate_interval", "5m"),
        ("$__range", "6h"),
        ("$network", "n"),
        ("$peer", "p"),
        ("$vantage", "v"),
    ]
    .iter()
    .fold(expression.to_owned(), |text, (variable, value)| {
        text.replace(variable, value)
    });
    assert!(!filled.contains('$'), "{filled}");
    filled
}

/// Every expression of a dashboard: panels, variables, annotations.
fn expressions(dashboard: &Value) -> Vec<String> {
    let targets = asking(dashboard)
        .flat_map(targets)
        .chain(annotations(dashboard).map(|annotation| &annotation["target"]));
    let mut found: Vec<String> = targets.map(|target| filled(text(target, "expr"))).collect();
    for variable in variables(dashboard).filter(|variable| variable["type"] == "query") {
        let query = filled(text(&variable["query"], "query"));
        let values = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        let (selector, label) = values.and_then(|it| it.rsplit_once(", ")).expect(&query);
        found.push(format!("count by ({label}) ({selector})"));
    }
    found
}

pub(super) fn variables(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["templating"]["list"].as_array().unwrap().iter()
}

#[test]
fn dashboards_query_only_what_the_agent_exposes() {
    let recorded = alerts::recorded();
    for (_, dashboard) in dashboards() {
        for expression in expressions(&dashboard) {
            Named::new(&expression).exists(&recorded, &expression);
        }
    }
}

#[test]
fn every_metric_is_on_a_dashboard_or_has_a_reason_not_to_be() {
    let mut shown = BTreeSet::new();
    for (_, dashboard) in dashboards() {
        for expression in expressions(&dashboard) {
            let selectors = Named::new(&expression).selectors;
            shown.extend(
                selectors
                    .iter()
                    .filter_map(|(name, _)| Some(definition(name)?.name)),
            );
        }
    }
    let left_out: BTreeSet<&str> = NOT_SHOWN.into_iter().map(|(name, _)| name).collect();
    let all: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    let missing: BTreeSet<&str> = all.difference(&shown).copied().collect();
    assert_eq!(missing, left_out);
}

/// Whether a series is there at lean detail while nothing is wrong.
fn there_at_lean(metric: &str) -> bool {
    definition(metric).is_none_or(|definition| match definition.lean {
        Lean::Kept => true,
        Lean::Reduced(what) => !metric.ends_with("_bucket") && !what.starts_with("while "),
        Lean::Omitted => false,
    })
}

/// At lean detail it is not for lack of data that a panel is empty.
#[test]
fn a_panel_that_needs_full_detail_says_so() {
    for (name, dashboard) in dashboards() {
        for panel in asking(&dashboard) {
            let lean = targets(panel).any(|target| {
                let selectors = Named::new(&filled(text(target, "expr"))).selectors;
                selectors.iter().all(|(metric, _)| there_at_lean(metric))
            });
            let empty = panel["fieldConfig"]["defaults"]["noValue"].as_str();
            let said = empty.is_some_and(|text| text.contains("metrics.detail"));
            assert_eq!(said, !lean, "{name}, {}", text(panel, "title"));
        }
    }
}

#[test]
fn every_query_goes_to_the_chosen_data_source_at_a_fitting_range() {
    let chosen = serde_json::json!({ "type": "prometheus", "uid": "${datasource}" });
    for (name, dashboard) in dashboards() {
        for panel in asking(&dashboard) {
            let title = text(panel, "title");
            assert_eq!(panel["datasource"], chosen, "{name}, {title}");
            let mut refs = HashSet::new();
            for target in targets(panel) {
                assert_eq!(target["datasource"], chosen, "{name}, {title}");
                assert!(refs.insert(text(target, "refId")), "{name}, {title}");
                let expression = text(target, "expr");
                assert_ne!(target["instant"], target["range"], "{name}, {title}");
                if expression.contains("rate(") {
                    assert!(
                        expression.contains("$__rate_interval") || target["instant"] == true,
                        "{name}, {title}"
                    );
                }
            }
        }
        let others = variables(&dashboard).filter(|variable| variable["type"] == "query");
        let asked = annotations(&dashboard).map(|annotation| &annotation["target"]);
        for source in others.chain(annotations(&dashboard)).chain(asked) {
            assert_eq!(source["datasource"], chosen, "{name}: {source}");
        }
    }
}

#[test]
fn every_variable_that_is_used_is_defined_and_the_other_way_round() {
    for (name, dashboard) in dashboards() {
        let defined: BTreeSet<&str> = variables(&dashboard).map(|it| text(it, "name")).collect();
        let content = dashboard.to_string();
        let used: BTreeSet<&str> = content
            .split('$')
            .skip(1)
            .map(|rest| rest.trim_start_matches('{'))
            .map(|rest| {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                &rest[..end.unwrap()]
            })
            // `$__all` is a value, not a variable.
            .filter(|it| !it.is_empty() && *it != "__all")
            .collect();
        for variable in &used {
            assert!(
                defined.contains(variable) || BUILT_IN.contains(variable),
                "{name}: {variable}"
            );
        }
        assert!(defined.is_subset(&used), "{name}: {defined:?}, {used:?}");
    }
}

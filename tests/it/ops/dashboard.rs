//! The queries, variables and annotations of the Grafana dashboards.

use std::collections::{BTreeSet, HashSet};

use convex_peer_monitor::metrics::{ALL, Lean};
use serde_json::Value;

use super::promql::{Named, definition};
use super::{alerts, files, read, stem};

/// Built-in variables of Grafana.
const BUILT_IN: [&str; 6] = [
    "__rate_interval",
    "__range",
    "__url_time_range",
    "__data",
    "__value",
    "__field",
];

/// Metrics that no dashboard shows, with the reason.
const NOT_SHOWN: [(&str, &str); 7] = [
    (
        "convex_alert_acknowledged",
        "for rules and routes; pages show who works on an alert and why, which no figure says",
    ),
    (
        "convex_network_peers",
        "the series of the peers are counted instead, which add up over shards but not over pairs",
    ),
    ("convex_peer_up", "the health over several polls is shown"),
    (
        "convex_peer_accounts",
        "the accounts of the majority are shown; those of a peer differ only if its state does",
    ),
    (
        "convex_peer_memory_pool_bytes",
        "the pool of the network is shown; that of a peer differs only if its state does",
    ),
    (
        "convex_peer_state_hash_prefix",
        "comparable only at equal blocks, so a graph would mislead",
    ),
    (
        "process_virtual_memory_bytes",
        "resident memory is shown instead",
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

/// Returns rows and panels; a collapsed row contains its panels.
pub(super) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let outer = dashboard["panels"].as_array().unwrap().iter();
    outer.flat_map(|panel| {
        let inner = panel["panels"].as_array().into_iter().flatten();
        std::iter::once(panel).chain(inner)
    })
}

/// Returns the panels that have queries.
pub(super) fn with_queries(dashboard: &Value) -> impl Iterator<Item = &Value> {
    panels(dashboard).filter(|panel| panel["type"] != "row")
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

/// Replaces the variables of an expression by values.
fn replace_variables(expression: &str) -> String {
    let replaced = [
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
    assert!(!replaced.contains('$'), "{replaced}");
    replaced
}

/// Returns the expressions of panels, variables and annotations.
fn expressions(dashboard: &Value) -> Vec<String> {
    let targets = with_queries(dashboard)
        .flat_map(targets)
        .chain(annotations(dashboard).map(|annotation| &annotation["target"]));
    let mut found: Vec<String> = targets
        .map(|target| replace_variables(text(target, "expr")))
        .collect();
    for variable in variables(dashboard).filter(|variable| variable["type"] == "query") {
        let query = replace_variables(text(&variable["query"], "query"));
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
fn dashboards_use_only_existing_metrics_and_labels() {
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

/// Whether lean detail exposes a metric while there is no problem.
fn is_lean(metric: &str) -> bool {
    definition(metric).is_none_or(|definition| match definition.lean {
        Lean::Kept => true,
        Lean::Reduced(what) => !metric.ends_with("_bucket") && !what.starts_with("while "),
        Lean::Omitted => false,
    })
}

/// Otherwise an empty panel at lean detail would look like missing data.
#[test]
fn a_panel_that_needs_full_detail_says_so() {
    for (name, dashboard) in dashboards() {
        for panel in with_queries(&dashboard) {
            let lean = targets(panel).any(|target| {
                let selectors = Named::new(&replace_variables(text(target, "expr"))).selectors;
                selectors.iter().all(|(metric, _)| is_lean(metric))
            });
            let empty = panel["fieldConfig"]["defaults"]["noValue"].as_str();
            let explained = empty.is_some_and(|text| text.contains("metrics.detail"));
            assert_eq!(explained, !lean, "{name}, {}", text(panel, "title"));
        }
    }
}

#[test]
fn every_query_uses_the_chosen_data_source_and_a_suitable_range() {
    let chosen = serde_json::json!({ "type": "prometheus", "uid": "${datasource}" });
    for (name, dashboard) in dashboards() {
        for panel in with_queries(&dashboard) {
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
        let targets = annotations(&dashboard).map(|annotation| &annotation["target"]);
        for source in others.chain(annotations(&dashboard)).chain(targets) {
            assert_eq!(source["datasource"], chosen, "{name}: {source}");
        }
    }
}

#[test]
fn every_variable_is_defined_and_used() {
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

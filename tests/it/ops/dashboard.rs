//! The Grafana dashboards: structure, and queries that name only what exists.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use convex_peer_monitor::metrics::ALL;
use serde_json::Value;

use super::promql::{Named, definition};
use super::{alerts, files, read, stem};

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;

/// Panel types that Grafana has built in and that the dashboards use.
const TYPES: [&str; 5] = ["row", "stat", "state-timeline", "table", "timeseries"];

/// Grafana's ids of units; those of ours that begin with `suffix:` are texts.
const UNITS: [&str; 7] = [
    "bytes",
    "dateTimeFromNow",
    "decbytes",
    "none",
    "percentunit",
    "s",
    "string",
];

/// Variables that Grafana has built in.
const BUILT_IN: [&str; 5] = [
    "__rate_interval",
    "__url_time_range",
    "__data",
    "__value",
    "datasource",
];

/// Only agents beside their peers have these.
const OF_THE_HOST: &str = "there for peers with a sidecar alone; alerts read it";

/// Metrics that no dashboard shows, and why.
const NOT_SHOWN: [(&str, &str); 18] = [
    (
        "convex_monitor_notification_failures_total",
        "ConvexNotificationsFailing tells of them",
    ),
    (
        "convex_monitor_notifications_total",
        "ConvexNotificationsFailing tells of those that fail",
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
    ("convex_peer_process_up", OF_THE_HOST),
    ("convex_peer_process_resident_memory_bytes", OF_THE_HOST),
    ("convex_peer_process_anonymous_memory_bytes", OF_THE_HOST),
    ("convex_peer_process_memory_limit_bytes", OF_THE_HOST),
    ("convex_peer_process_cpu_seconds_total", OF_THE_HOST),
    ("convex_peer_process_open_fds", OF_THE_HOST),
    ("convex_peer_process_max_fds", OF_THE_HOST),
    ("convex_peer_process_threads", OF_THE_HOST),
    ("convex_peer_process_start_time_seconds", OF_THE_HOST),
    ("convex_peer_process_oom_kills_total", OF_THE_HOST),
    ("convex_peer_store_bytes", OF_THE_HOST),
    ("convex_peer_store_filesystem_available_bytes", OF_THE_HOST),
    ("convex_peer_store_filesystem_size_bytes", OF_THE_HOST),
];

fn dashboards() -> Vec<(String, Value)> {
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

/// The panels as Grafana numbers them: those of collapsed rows too.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default().len();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        found.push(panel);
        if list(&panel["panels"]) > 0 {
            found.extend(panel["panels"].as_array().unwrap());
        }
    }
    found
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// An expression with its variables filled in.
fn filled(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "5m")
        .replace("$network", "n")
        .replace("$peer", "p")
}

/// Every expression of a dashboard: panels, variables, annotations.
fn expressions(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push(filled(text(target, "expr")));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        found.push(filled(text(annotation, "expr")));
    }
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

fn variables(dashboard: &Value) -> impl Iterator<Item = &Value> {
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

#[test]
fn a_dashboard_can_be_provisioned_as_it_is() {
    let mut uids = HashSet::new();
    for (name, dashboard) in dashboards() {
        assert_eq!(text(&dashboard, "uid"), name, "links go by the uid");
        assert!(uids.insert(name.clone()), "{name} twice");
        assert!(dashboard["id"].is_null(), "{name}: Grafana gives the id");
        assert_eq!(dashboard["editable"], false, "{name}");
        assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39, "{name}");
        let content = dashboard.to_string();
        assert!(
            !content.contains("${DS_") && !content.contains("__inputs"),
            "{name}"
        );
        let mut ids = HashSet::new();
        for panel in panels(&dashboard) {
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{name}: {}",
                panel["id"]
            );
        }
    }
}

#[test]
fn every_panel_explains_itself() {
    for (name, dashboard) in dashboards() {
        let mut titles = HashSet::new();
        for panel in panels(&dashboard) {
            let title = text(panel, "title");
            let kind = text(panel, "type");
            assert!(TYPES.contains(&kind), "{name}, {title}: {kind}");
            assert!(
                titles.insert(title),
                "{name}: two panels are called {title}"
            );
            if kind == "row" {
                continue;
            }
            assert!(text(panel, "description").ends_with('.'), "{name}, {title}");
            assert!(
                !panel["targets"].as_array().unwrap().is_empty(),
                "{name}, {title}"
            );
            let overrides = panel["fieldConfig"]["overrides"].as_array().unwrap().iter();
            let units = overrides
                .flat_map(|it| it["properties"].as_array().unwrap())
                .filter(|property| property["id"] == "unit")
                .map(|property| text(property, "value"));
            for unit in units.chain([text(&panel["fieldConfig"]["defaults"], "unit")]) {
                assert!(
                    UNITS.contains(&unit) || unit.starts_with("suffix:"),
                    "{name}, {title}: {unit}"
                );
            }
        }
    }
}

#[test]
fn every_query_goes_to_the_chosen_data_source_at_a_fitting_range() {
    let chosen = serde_json::json!({ "type": "prometheus", "uid": "${datasource}" });
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard)
            .into_iter()
            .filter(|panel| panel["type"] != "row")
        {
            let title = text(panel, "title");
            assert_eq!(panel["datasource"], chosen, "{name}, {title}");
            let mut refs = HashSet::new();
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(target["datasource"], chosen, "{name}, {title}");
                assert!(refs.insert(text(target, "refId")), "{name}, {title}");
                let expression = text(target, "expr");
                if expression.contains("rate(") {
                    assert!(
                        expression.contains("$__rate_interval") || target["instant"] == true,
                        "{name}, {title}"
                    );
                }
            }
        }
        let others = variables(&dashboard).filter(|variable| variable["type"] == "query");
        for source in others.chain(dashboard["annotations"]["list"].as_array().unwrap()) {
            assert_eq!(source["datasource"], chosen, "{name}, {}", source["name"]);
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

#[test]
fn panels_lie_within_the_grid_and_not_on_each_other() {
    for (name, dashboard) in dashboards() {
        let mut taken: BTreeMap<(u64, u64), &str> = BTreeMap::new();
        let top = dashboard["panels"].as_array().unwrap().iter();
        // A collapsed row is opened alone, at its own place.
        let rows = top
            .clone()
            .map(|row| row["panels"].as_array().into_iter().flatten().collect());
        let sections: Vec<Vec<&Value>> = std::iter::once(top.collect()).chain(rows).collect();
        for section in sections {
            taken.clear();
            for panel in section {
                let title = text(panel, "title");
                let side = |key: &str| panel["gridPos"][key].as_u64().unwrap();
                let (x, y, w, h) = (side("x"), side("y"), side("w"), side("h"));
                assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{name}, {title}");
                for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                    if let Some(other) = taken.insert(cell, title) {
                        panic!("{name}: {title} lies on {other}");
                    }
                }
            }
        }
    }
}

//! The panels of the dashboards: required parts, and options that Grafana knows.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use super::dashboard::{annotations, dashboards, panels, targets, text, variables, with_queries};
use super::{alerts, files, read, root};

/// Number of columns of the grid.
const COLUMNS: u64 = 24;

/// The current schema version of dashboards.
const SCHEMA: u64 = 42;

/// Built-in panel types that the dashboards use.
const TYPES: [&str; 6] = [
    "heatmap",
    "row",
    "stat",
    "state-timeline",
    "table",
    "timeseries",
];

/// Ids of units. Other units of the dashboards begin with `suffix:`.
const UNITS: [&str; 8] = [
    "bytes",
    "dateTimeFromNow",
    "decbytes",
    "none",
    "percentunit",
    "s",
    "short",
    "string",
];

/// Values of options by name. Grafana silently replaces unknown ones by a default.
const OPTIONS: [(&str, &[&str]); 21] = [
    ("align", &["auto"]),
    ("alignValue", &["left"]),
    ("cellHeight", &["sm"]),
    ("colorMode", &["background_solid", "none"]),
    ("custom.align", &["center"]),
    ("displayMode", &["list", "table"]),
    ("drawStyle", &["line", "points"]),
    ("editorMode", &["code"]),
    ("format", &["heatmap", "table", "time_series"]),
    ("graphMode", &["none"]),
    ("justifyMode", &["auto"]),
    ("lineInterpolation", &["linear"]),
    (
        "mode",
        &[
            "absolute",
            "basic",
            "dashed",
            "fixed",
            "multi",
            "normal",
            "palette-classic",
            "scheme",
            "single",
            "thresholds",
        ],
    ),
    ("orientation", &["auto"]),
    ("placement", &["bottom"]),
    ("selectionMode", &["x"]),
    ("showPoints", &["always", "never"]),
    ("showValue", &["never"]),
    ("sort", &["desc", "none"]),
    ("sortBy", &["Last *"]),
    ("textMode", &["auto", "value_and_name"]),
];

/// Names of colours, which Grafana adapts to the theme, and one neutral colour.
const COLORS: [&str; 11] = [
    "blue",
    "dark-red",
    "green",
    "light-blue",
    "orange",
    "purple",
    "red",
    "rgba(128, 128, 128, 0.25)",
    "text",
    "transparent",
    "yellow",
];

/// Collects the strings that have one of these names in a value.
fn collect<'a>(value: &'a Value, names: &[&str], found: &mut Vec<(&'a str, &'a str)>) {
    match value {
        Value::Object(fields) => {
            // An override has the name of its option in `id`.
            if let (Some(id), Some(word)) = (value["id"].as_str(), value["value"].as_str())
                && names.contains(&id)
            {
                found.push((id, word));
            }
            for (name, field) in fields {
                match field.as_str() {
                    Some(word) if names.contains(&name.as_str()) => found.push((name, word)),
                    // The names in it are those of labels.
                    _ if name == "transformations" => {}
                    _ => collect(field, names, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|it| collect(it, names, found)),
        _ => {}
    }
}

fn strings<'a>(dashboard: &'a Value, names: &[&str]) -> Vec<(&'a str, &'a str)> {
    let mut found = Vec::new();
    for panel in with_queries(dashboard) {
        collect(panel, names, &mut found);
    }
    found
}

#[test]
fn a_dashboard_can_be_provisioned_unchanged() {
    let mut uids = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        assert_eq!(text(&dashboard, "uid"), name, "links use the uid");
        assert!(uids.insert(name.clone()), "{name} twice");
        assert!(dashboard["id"].is_null(), "{name}: Grafana assigns the id");
        assert_eq!(dashboard["editable"], false, "{name}");
        assert_eq!(dashboard["schemaVersion"], SCHEMA, "{name}");
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
        let kinds: Vec<&str> = variables(&dashboard).map(|it| text(it, "type")).collect();
        assert_eq!(kinds[0], "datasource", "{name}");
        assert!(annotations(&dashboard).count() >= 2, "{name}");
    }
}

/// Grafana silently ignores unknown keys.
#[test]
fn the_provisioning_files_have_the_keys_that_grafana_needs() {
    let file = |name: &str| -> Value {
        let path = root().join("deploy/grafana/provisioning").join(name);
        serde_saphyr::from_str(&read(&path)).unwrap()
    };
    let sources = file("datasources/prometheus.yml");
    assert_eq!(sources["apiVersion"], 1);
    let source = &sources["datasources"][0];
    assert_eq!(source["type"], "prometheus");
    assert_eq!(source["access"], "proxy");
    // A rate over less than four scrapes is often empty.
    let scrapes = read(&root().join("deploy/prometheus.yml"));
    let interval = text(&source["jsonData"], "timeInterval");
    assert!(scrapes.contains(&format!("scrape_interval: {interval}")));
    let dashboards = file("dashboards/convex.yml");
    assert_eq!(dashboards["apiVersion"], 1);
    let provider = &dashboards["providers"][0];
    assert_eq!(provider["type"], "file");
    let path = text(&provider["options"], "path");
    assert!(read(&root().join("docs/prometheus.md")).contains(path));
}

#[test]
fn every_panel_has_title_description_query_and_link() {
    for (name, dashboard) in dashboards() {
        let mut titles = HashSet::new();
        for panel in panels(&dashboard) {
            let title = text(panel, "title");
            let kind = text(panel, "type");
            assert!(TYPES.contains(&kind), "{name}, {title}: {kind}");
            if kind == "row" {
                continue;
            }
            assert!(
                titles.insert(title),
                "{name}: two panels have the title {title}"
            );
            assert!(text(panel, "description").ends_with('.'), "{name}, {title}");
            assert!(targets(panel).count() > 0, "{name}, {title}");
            assert!(panel["links"][0].is_object(), "{name}, {title} has no link");
        }
    }
}

#[test]
fn units_colors_and_options_are_known_to_grafana() {
    let names: Vec<&str> = OPTIONS.iter().map(|(name, _)| *name).collect();
    let mut used = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        for panel in with_queries(&dashboard) {
            text(&panel["fieldConfig"]["defaults"], "unit");
        }
        for (_, unit) in strings(&dashboard, &["unit"]) {
            assert!(
                UNITS.contains(&unit) || unit.starts_with("suffix:"),
                "{name}: {unit}"
            );
        }
        for (_, color) in strings(&dashboard, &["color", "fixedColor"]) {
            assert!(COLORS.contains(&color), "{name}: {color}");
        }
        for annotation in annotations(&dashboard) {
            let color = text(annotation, "iconColor");
            assert!(COLORS.contains(&color), "{name}: {color}");
        }
        for (option, value) in strings(&dashboard, &names) {
            let (_, known) = OPTIONS.iter().find(|(name, _)| *name == option).unwrap();
            assert!(known.contains(&value), "{name}: {option} is {value:?}");
            used.insert(option.to_owned());
        }
    }
    assert_eq!(
        used.len(),
        names.len(),
        "not all options are used: {used:?}"
    );
}

/// Returns the targets of all links in a value.
fn addresses(value: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    collect(value, &["url"], &mut found);
    found.into_iter().map(|(_, url)| url).collect()
}

#[test]
fn links_have_targets_and_keep_variables_and_time_range() {
    let all = dashboards();
    let uids: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    for (name, dashboard) in &all {
        let mut linked = BTreeSet::from([name.as_str()]);
        for link in dashboard["links"].as_array().unwrap() {
            assert_eq!(link["keepTime"], true, "{name}");
            let uid = text(link, "url").split(['/', '?']).nth(2).unwrap();
            assert!(linked.insert(uid), "{name} links to {uid} twice");
        }
        assert_eq!(linked, uids, "{name}");
        for url in with_queries(dashboard).flat_map(addresses) {
            if let Some(rest) = url.strip_prefix("/d/") {
                let (uid, query) = rest.split_once('?').unwrap();
                assert!(uids.contains(uid), "{name}: {url}");
                let to = &all.iter().find(|(name, _)| name == uid).unwrap().1;
                keeps_variables(dashboard, to, query);
                assert!(query.ends_with("${__url_time_range}"), "{name}: {url}");
            } else {
                let runbook = url.strip_prefix("https://runbooks.example/");
                let file = runbook.unwrap_or_else(|| panic!("{name}: {url}"));
                // In a table of alerts, the cell is the name.
                let alert = file.strip_suffix(".md").unwrap();
                assert!(
                    alerts::names().contains(alert) || alert == "${__value.raw}",
                    "{name}: {url}"
                );
            }
        }
    }
}

/// Asserts that a link passes on each variable that both dashboards have, unless several values are
/// allowed here and only one there.
fn keeps_variables(from: &Value, to: &Value, query: &str) {
    for theirs in variables(to) {
        let name = text(theirs, "name");
        let Some(mine) = variables(from).find(|mine| mine["name"] == name) else {
            continue;
        };
        let one_of_many = mine["multi"] == true && theirs["multi"] == false;
        let passed_on = query.contains(&format!("${{{name}:queryparam}}"))
            || query.contains(&format!("var-{name}="));
        assert!(passed_on || one_of_many, "{name} is lost in {query}");
    }
}

/// The panels of a collapsed row lie where they come when it is opened, below the row.
#[test]
fn panels_are_inside_the_grid_and_do_not_overlap() {
    for (name, dashboard) in dashboards() {
        let outer = dashboard["panels"].as_array().unwrap();
        do_not_overlap(&name, outer);
        for row in outer {
            let inner = row["panels"].as_array().map_or(&[][..], Vec::as_slice);
            assert_ne!(row["collapsed"] == true, inner.is_empty(), "{name}: {row}");
            do_not_overlap(&name, inner);
            let below =
                |panel: &Value| panel["gridPos"]["y"].as_u64() > row["gridPos"]["y"].as_u64();
            assert!(inner.iter().all(below), "{name}, {}", text(row, "title"));
        }
    }
}

fn do_not_overlap(name: &str, panels: &[Value]) {
    let mut taken: BTreeMap<(u64, u64), &str> = BTreeMap::new();
    for panel in panels {
        let title = text(panel, "title");
        let side = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        let (x, y, w, h) = (side("x"), side("y"), side("w"), side("h"));
        assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{name}, {title}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            if let Some(other) = taken.insert(cell, title) {
                panic!("{name}: {title} overlaps {other}");
            }
        }
    }
}

/// Runbooks say `*PANEL* of the dashboard *DASHBOARD*`.
#[test]
fn runbooks_name_panels_that_exist() {
    let all = dashboards();
    let mut named = 0;
    for path in files("alerts/runbooks", "md") {
        let content = read(&path);
        let words: Vec<&str> = content.split_whitespace().collect();
        let content = words.join(" ");
        let parts: Vec<&str> = content.split("* of the dashboard *").collect();
        for (before, after) in parts.iter().zip(&parts[1..]) {
            let panel = before.rsplit('*').next().unwrap();
            let board = after.split('*').next().unwrap();
            let file = path.display();
            let found = all.iter().find(|(_, it)| text(it, "title") == board);
            let (_, found) = found.unwrap_or_else(|| panic!("{file}: no dashboard {board}"));
            let exists = with_queries(found).any(|it| text(it, "title") == panel);
            assert!(exists, "{file}: no panel {panel} of {board}");
            named += 1;
        }
    }
    assert!(named > 10, "only {named} found");
}

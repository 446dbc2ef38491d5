//! Alert rules, their tests and their runbooks.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

use super::promql::{Named, is_lean};
use super::{files, read, root, stem};

#[derive(Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
pub(super) struct Rule {
    alert: Option<String>,
    record: Option<String>,
    expr: String,
    #[serde(rename = "for")]
    pub(super) hold: Option<String>,
    pub(super) keep_firing_for: Option<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

fn rules() -> Vec<Rule> {
    let text = files("alerts", "rules.yml")
        .into_iter()
        .map(|path| read(&path));
    text.flat_map(|text| serde_saphyr::from_str::<RuleFile>(&text).unwrap().groups)
        .flat_map(|group| group.rules)
        .collect()
}

/// The names that the rules record.
pub(super) fn recorded() -> BTreeSet<String> {
    rules().into_iter().filter_map(|rule| rule.record).collect()
}

/// The names of the alerts.
pub(super) fn names() -> BTreeSet<String> {
    alerts().into_iter().map(|(name, _)| name).collect()
}

/// Name and severity of each alert.
pub(super) fn judged() -> BTreeSet<(String, String)> {
    let alert = |(name, rule): (String, Rule)| (name, rule.labels["severity"].clone());
    alerts().into_iter().map(alert).collect()
}

pub(super) fn alerts() -> Vec<(String, Rule)> {
    rules()
        .into_iter()
        .filter_map(|mut rule| Some((rule.alert.take()?, rule)))
        .collect()
}

/// The expressions that annotations ask Prometheus, with every `%q` filled in.
fn asked(annotation: &str) -> impl Iterator<Item = String> {
    annotation.split("printf \"").skip(1).map(|rest| {
        let format = rest.split_once("\" ").expect("printf has arguments").0;
        format.replace("%q", "\"x\"")
    })
}

#[test]
fn rules_name_only_what_the_agent_exposes() {
    let recorded = recorded();
    for rule in rules() {
        let asked = rule.annotations.values().flat_map(|text| asked(text));
        for expression in asked.chain([rule.expr.clone()]) {
            Named::new(&expression).exists(&recorded, &expression);
        }
    }
}

#[test]
fn lean_detail_leaves_all_that_rules_need() {
    for rule in rules() {
        for (metric, matchers) in Named::new(&rule.expr).selectors {
            let enough = is_lean(
                &metric,
                matchers.iter().any(|matcher| matcher.name == "reason"),
            );
            assert!(
                enough,
                "{metric} is not enough at lean detail: {}",
                rule.expr
            );
        }
    }
}

#[test]
fn rules_name_no_job_and_no_instance() {
    for rule in rules() {
        for (metric, matchers) in Named::new(&rule.expr).selectors {
            let named = |it: &str| matchers.iter().any(|matcher| matcher.name == it);
            assert!(
                !named("job") && !named("instance"),
                "{metric} in {}",
                rule.expr
            );
        }
    }
}

#[test]
fn every_alert_says_what_an_operator_needs() {
    for (name, rule) in alerts() {
        assert!(name.starts_with("Convex"), "{name}");
        let labels: Vec<&str> = rule.labels.keys().map(String::as_str).collect();
        assert_eq!(labels, ["severity"], "{name}");
        let severity = rule.labels["severity"].as_str();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}"
        );
        let carried = rule.keep_firing_for.as_deref();
        assert_eq!(carried, (severity == "critical").then_some("2m"), "{name}");
        let annotations: Vec<&str> = rule.annotations.keys().map(String::as_str).collect();
        assert_eq!(
            annotations,
            ["dashboard_url", "description", "runbook_url", "summary"],
            "{name}"
        );
        // Alerts that are grouped share the headline.
        assert!(!rule.annotations["summary"].contains("{{"), "{name}");
        let runbook = format!("/{name}.md");
        assert!(
            rule.annotations["runbook_url"].ends_with(&runbook),
            "{name}"
        );
        let (_, link) = rule.annotations["dashboard_url"].split_once("/d/").unwrap();
        let uid = link.split('?').next().unwrap();
        let dashboard = root().join("dashboards").join(format!("{uid}.json"));
        assert!(dashboard.exists(), "{name}: {uid}");
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name).collect();
    let paths = files("alerts/runbooks", "md");
    let runbooks: BTreeSet<String> = paths.iter().map(|path| stem(path).to_owned()).collect();
    assert_eq!(runbooks, alerts);
    for path in paths {
        let text = read(&path);
        let name = stem(&path);
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# {name}");
        let expected = [
            &title,
            "## Meaning",
            "## Impact",
            "## Diagnosis",
            "## Mitigation",
        ];
        assert_eq!(headings, expected, "{name}");
        for rest in text.split("](").skip(1) {
            let link = rest.split(')').next().unwrap();
            assert!(
                root().join("alerts/runbooks").join(link).exists(),
                "{name}: {link}"
            );
        }
    }
}

#[test]
fn runbooks_name_only_commands_that_exist() {
    const SERVICE: [&str; 3] = ["systemctl status ", "systemctl reload ", "journalctl -u "];
    let mut tried = BTreeSet::new();
    for path in files("alerts/runbooks", "md") {
        let text = read(&path).replace('\n', " ");
        for (i, code) in text.split('`').enumerate() {
            // Every second part stands between backticks.
            if i % 2 == 1
                && !SERVICE.iter().any(|command| code.starts_with(command))
                && let Some(arguments) = code.strip_prefix("convex-peer-monitor ")
            {
                let mut words = arguments.split(' ').filter(|word| !word.is_empty());
                let command = words.next().unwrap().to_owned();
                let options = words
                    .filter(|word| word.starts_with("--"))
                    .map(str::to_owned);
                tried.extend(options.map(|option| (command.clone(), option)));
                tried.insert((command, String::new()));
            }
        }
    }
    assert!(!tried.is_empty());
    for (command, option) in tried {
        let help = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"))
            .args([&command, "--help"])
            .output()
            .unwrap();
        assert!(help.status.success(), "{command}");
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(help.contains(&option), "{command} has no {option}");
    }
}

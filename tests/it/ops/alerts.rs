//! Alert rules and runbooks.

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
    pub(super) expr: String,
    #[serde(rename = "for")]
    pub(super) hold: Option<String>,
    pub(super) keep_firing_for: Option<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

/// Most aliases of one anchor: most alerts share some annotations.
const MOST_ALIASES: usize = 100;

fn rules() -> Vec<Rule> {
    let options = || {
        let budget = serde_saphyr::budget! { alias_anchor_ratio_multiplier: MOST_ALIASES };
        serde_saphyr::options! { budget: budget }
    };
    let text = files("alerts", "rules.yml")
        .into_iter()
        .map(|path| read(&path));
    let groups = |text: String| {
        let parsed = serde_saphyr::from_str_with_options::<RuleFile>(&text, options());
        parsed.unwrap().groups
    };
    text.flat_map(groups)
        .flat_map(|group| group.rules)
        .collect()
}

/// Returns the names of the recording rules.
pub(super) fn recorded() -> BTreeSet<String> {
    rules().into_iter().filter_map(|rule| rule.record).collect()
}

/// Returns the names of the alerts.
pub(super) fn names() -> BTreeSet<String> {
    alerts().into_iter().map(|(name, _)| name).collect()
}

/// Returns name and severity of each alert.
pub(super) fn with_severity() -> BTreeSet<(String, String)> {
    let alert = |(name, rule): (String, Rule)| (name, rule.labels["severity"].clone());
    alerts().into_iter().map(alert).collect()
}

pub(super) fn alerts() -> Vec<(String, Rule)> {
    rules()
        .into_iter()
        .filter_map(|mut rule| Some((rule.alert.take()?, rule)))
        .collect()
}

/// Returns the expressions in an annotation, which stand between backticks, with a value for every
/// `%q`.
fn queries_in(annotation: &str) -> impl Iterator<Item = String> {
    let queries = annotation.split('`').skip(1).step_by(2);
    queries.map(|query| query.replace("%q", "\"x\""))
}

/// Returns the labels that identify the subject of an alert.
pub(super) fn subject(rule: &Rule) -> &'static [&'static str] {
    let names = |label: &str| {
        let summary = &rule.annotations["summary"];
        summary.contains(&format!("{{{{ $labels.{label} }}}}"))
    };
    match (names("peer"), names("network"), names("vantage")) {
        (true, true, false) => &["peer", "network"],
        (false, true, false) => &["network"],
        (false, false, true) => &["vantage"],
        _ => &[],
    }
}

#[test]
fn rules_use_only_existing_metrics_and_labels() {
    let recorded = recorded();
    for rule in rules() {
        let queries = rule.annotations.values().flat_map(|text| queries_in(text));
        for expression in queries.chain([rule.expr.clone()]) {
            Named::new(&expression).exists(&recorded, &expression);
        }
    }
}

#[test]
fn rules_need_only_metrics_of_lean_detail() {
    for rule in rules() {
        for (metric, matchers) in Named::new(&rule.expr).selectors {
            let enough = is_lean(
                &metric,
                matchers.iter().any(|matcher| matcher.name == "reason"),
            );
            assert!(enough, "lean detail omits {metric}: {}", rule.expr);
        }
    }
}

#[test]
fn rules_do_not_select_jobs_or_instances() {
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

/// Alerts that are about no peer, network or agent.
const WITHOUT_SUBJECT: [&str; 2] = ["ConvexMonitorDown", "ConvexWatchdog"];

#[test]
fn every_alert_has_the_labels_and_annotations_that_operators_need() {
    for (name, rule) in alerts() {
        assert!(name.starts_with("Convex"), "{name}");
        let labels: Vec<&str> = rule.labels.keys().map(String::as_str).collect();
        assert_eq!(labels, ["severity"], "{name}");
        let severity = rule.labels["severity"].as_str();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}"
        );
        let keep_firing_for = rule.keep_firing_for.as_deref();
        assert_eq!(
            keep_firing_for,
            (severity == "critical").then_some("2m"),
            "{name}"
        );
        let mut expected =
            BTreeSet::from(["summary", "description", "dashboard_url", "runbook_url"]);
        if name != "ConvexWatchdog" {
            expected.extend(["since", "at_risk", "first_step"]);
        }
        match subject(&rule) {
            ["peer", "network"] => expected.extend(["seen_from", "endpoints", "page_url"]),
            // Also about single peers.
            ["network"] if name == "ConvexVantagesDisagree" => {
                expected.extend(["seen_from", "endpoints", "page_url"]);
            }
            ["network"] => expected.extend(["seen_from", "page_url"]),
            ["vantage"] => expected.extend(["page_url"]),
            _ => assert!(WITHOUT_SUBJECT.contains(&name.as_str()), "{name}"),
        }
        // Critical alerts about peers end with the reason, if they are not over.
        let about_peers = subject(&rule).contains(&"peer") || name == "ConvexFinalityReceding";
        if severity == "critical" && about_peers {
            expected.insert("ended_by");
        }
        let annotations: BTreeSet<&str> = rule.annotations.keys().map(String::as_str).collect();
        assert_eq!(annotations, expected, "{name}");
        // A title, not a sentence.
        assert!(!rule.annotations["summary"].ends_with('.'), "{name}");
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
            "## First",
            "## Meaning",
            "## Likely causes",
            "## What to do",
            "## When it ends",
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
fn runbooks_use_only_existing_commands_and_options() {
    const SERVICE: [&str; 3] = ["systemctl status ", "systemctl reload ", "journalctl -u "];
    let mut commands = BTreeSet::new();
    for path in files("alerts/runbooks", "md") {
        let text = read(&path).replace('\n', " ");
        for (i, code) in text.split('`').enumerate() {
            // Every second part is between backticks.
            if i % 2 == 1
                && !SERVICE.iter().any(|command| code.starts_with(command))
                && let Some(arguments) = code.strip_prefix("convex-peer-monitor ")
            {
                let mut words = arguments.split(' ').filter(|word| !word.is_empty());
                let command = words.next().unwrap().to_owned();
                let options = words
                    .filter(|word| word.starts_with("--"))
                    .map(str::to_owned);
                commands.extend(options.map(|option| (command.clone(), option)));
                commands.insert((command, String::new()));
            }
        }
    }
    assert!(!commands.is_empty());
    for (command, option) in commands {
        let help = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"))
            .args([&command, "--help"])
            .output()
            .unwrap();
        assert!(help.status.success(), "{command}");
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(help.contains(&option), "{command} has no {option}");
    }
}

#[test]
fn the_table_of_alerts_has_each_alert_once_with_a_question_of_its_own() {
    const HEADING: &str = "| alert | severity | after | question | why a person must act |";
    let text = read(&root().join("docs/alerts.md"));
    let (_, table) = text.split_once(HEADING).unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let (mut alerts, mut questions) = (Vec::new(), BTreeSet::new());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [alert, severity, after, question, reason] = cells[..] else {
            panic!("five cells are expected: {row}");
        };
        assert!(question.ends_with('?') && !reason.is_empty(), "{row}");
        assert!(questions.insert(question), "asked twice: {question}");
        let name = alert.split('`').nth(1).unwrap();
        assert_eq!(alert, format!("[`{name}`](../alerts/runbooks/{name}.md)"));
        alerts.push([name, severity, after].map(str::to_owned));
    }
    let row = |(name, rule): (String, Rule)| {
        let after = rule.hold.unwrap_or_else(|| "at once".to_owned());
        [name, rule.labels["severity"].clone(), after]
    };
    let mut expected: Vec<_> = self::alerts().into_iter().map(row).collect();
    expected.sort();
    assert_eq!(alerts, expected, "sorted by name and severity");
}

#[test]
fn there_are_few_alerts() {
    const MOST: usize = 48;
    let names = names();
    assert!(names.len() <= MOST, "{} alerts: {names:?}", names.len());
}

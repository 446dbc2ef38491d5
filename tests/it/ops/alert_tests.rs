//! Coverage of the tests of the alert rules. Promtool runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use promql_parser::label::Matcher;
use serde::Deserialize;

use super::promql::{Named, is_lean};
use super::{alerts, files, read};

#[derive(Deserialize)]
struct TestFile {
    tests: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    #[serde(default)]
    input_series: Option<Vec<Series>>,
    #[serde(default)]
    alert_rule_test: Vec<AlertTest>,
    #[serde(default)]
    promql_expr_test: Vec<ExpressionTest>,
}

#[derive(Deserialize)]
struct Series {
    series: String,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct ExpressionTest {
    expr: String,
    eval_time: String,
    exp_samples: Vec<serde_json::Value>,
}

/// The part of a test that is about one alert.
struct Trial {
    series: Vec<(String, Vec<Matcher>)>,
    /// Times of evaluation, and whether the alert must fire then.
    evaluations: Vec<(Duration, bool)>,
}

impl Trial {
    fn fires(&self) -> bool {
        self.evaluations.iter().any(|(_, fires)| *fires)
    }

    /// Whether it fires and later does not.
    fn resolves(&self) -> bool {
        let last = |fires| {
            self.evaluations
                .iter()
                .filter(|evaluation| evaluation.1 == fires)
                .max()
        };
        matches!((last(true), last(false)), (Some(on), Some(off)) if on.0 < off.0)
    }

    /// Whether there are series other than those that describe agents and peers.
    fn has_data(&self) -> bool {
        self.series
            .iter()
            .any(|(metric, _)| !metric.ends_with("_info"))
    }

    fn agents(&self) -> usize {
        let instances = self.series.iter().filter_map(|(_, labels)| {
            let instance = labels.iter().find(|label| label.name == "instance")?;
            Some(instance.value.as_str())
        });
        instances.collect::<BTreeSet<_>>().len()
    }

    fn is_lean(&self) -> bool {
        self.series.iter().all(|(metric, labels)| {
            let named = |name: &str| labels.iter().any(|label| label.name == name);
            is_lean(metric, named("reason"))
        })
    }
}

/// The tests of each alert, by name and severity.
static TRIALS: LazyLock<BTreeMap<(String, String), Vec<Trial>>> = LazyLock::new(|| {
    let mut trials: BTreeMap<_, Vec<Trial>> = BTreeMap::new();
    for test in tests() {
        let series = test.input_series.unwrap_or_default().into_iter();
        let series: Vec<_> = series
            .map(|it| Named::new(&it.series).selectors.remove(0))
            .collect();
        let mut evaluations: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for evaluation in test.promql_expr_test {
            let (_, matchers) = Named::new(&evaluation.expr).selectors.remove(0);
            let label = |name| {
                let mut found = matchers.iter().filter(|matcher| matcher.name == name);
                found.next().map(|matcher| matcher.value.clone())
            };
            // Some expressions select all alerts.
            let (Some(name), Some(severity)) = (label("alertname"), label("severity")) else {
                continue;
            };
            let time = humantime::parse_duration(&evaluation.eval_time).unwrap();
            let fires = !evaluation.exp_samples.is_empty();
            evaluations
                .entry((name, severity))
                .or_default()
                .push((time, fires));
        }
        for (alert, evaluations) in evaluations {
            let series = series.clone();
            trials.entry(alert).or_default().push(Trial {
                series,
                evaluations,
            });
        }
    }
    trials
});

fn tests() -> impl Iterator<Item = Scenario> {
    files("alerts/tests", "yml").into_iter().flat_map(|path| {
        serde_saphyr::from_str::<TestFile>(&read(&path))
            .unwrap()
            .tests
    })
}

/// Panics unless each alert except these has a test that `covers` accepts.
fn each_alert_has_a_test(what: &str, except: &[&str], covers: impl Fn(&Trial) -> bool) {
    for (name, severity) in alerts::with_severity() {
        let trials = TRIALS.get(&(name.clone(), severity.clone()));
        let covered = trials.is_some_and(|trials| trials.iter().any(&covers));
        let excepted = except.contains(&name.as_str());
        assert_ne!(covered, excepted, "{name}, {severity}: has a test {what}");
    }
}

/// The alert that always fires.
const WATCHDOG: &str = "ConvexWatchdog";

#[test]
fn the_text_of_every_alert_is_tested() {
    let mut tested = BTreeSet::new();
    for alert in tests().flat_map(|test| test.alert_rule_test) {
        for expected in &alert.exp_alerts {
            let severity = expected["exp_labels"]["severity"].as_str().unwrap();
            tested.insert((alert.alertname.clone(), severity.to_owned()));
        }
    }
    assert_eq!(tested, alerts::with_severity());
}

#[test]
fn every_alert_has_a_test_that_fires_at_lean_detail() {
    each_alert_has_a_test("that fires at lean detail", &[], |trial| {
        trial.fires() && trial.is_lean()
    });
}

#[test]
fn every_alert_has_tests_that_do_not_fire_with_and_without_data() {
    let what = "with data that does not fire";
    each_alert_has_a_test(what, &[WATCHDOG], |trial| {
        !trial.fires() && trial.has_data()
    });
    // ConvexMonitorDown fires on missing data.
    let except = [WATCHDOG, "ConvexMonitorDown"];
    let what = "without data that does not fire";
    each_alert_has_a_test(what, &except, |trial| !trial.fires() && !trial.has_data());
}

#[test]
fn every_alert_has_a_test_that_resolves() {
    each_alert_has_a_test("that resolves", &[WATCHDOG], Trial::resolves);
}

#[test]
fn every_alert_has_a_test_with_two_agents() {
    each_alert_has_a_test("with two agents", &[], |trial| trial.agents() > 1);
}

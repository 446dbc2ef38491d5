//! What the tests of the alert rules cover. That they pass is for promtool to say.

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

/// One test, as far as it is about one alert.
struct Trial {
    series: Vec<(String, Vec<Matcher>)>,
    /// When it is looked at, and whether it must fire then.
    looks: Vec<(Duration, bool)>,
}

impl Trial {
    fn fires(&self) -> bool {
        self.looks.iter().any(|(_, fires)| *fires)
    }

    /// Fires, and does not later.
    fn resolves(&self) -> bool {
        let last = |fires| self.looks.iter().filter(|look| look.1 == fires).max();
        matches!((last(true), last(false)), (Some(on), Some(off)) if on.0 < off.0)
    }

    /// Whether there is more than what says that agents and peers exist.
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

/// The tests that are about each alert, by its name and severity.
static TRIALS: LazyLock<BTreeMap<(String, String), Vec<Trial>>> = LazyLock::new(|| {
    let mut trials: BTreeMap<_, Vec<Trial>> = BTreeMap::new();
    for test in tests() {
        let series = test.input_series.unwrap_or_default().into_iter();
        let series: Vec<_> = series
            .map(|it| Named::new(&it.series).selectors.remove(0))
            .collect();
        let mut looks: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for look in test.promql_expr_test {
            let (_, matchers) = Named::new(&look.expr).selectors.remove(0);
            let label = |name| {
                let mut found = matchers.iter().filter(|matcher| matcher.name == name);
                found.next().map(|matcher| matcher.value.clone())
            };
            // Some look at all alerts.
            let (Some(name), Some(severity)) = (label("alertname"), label("severity")) else {
                continue;
            };
            let time = humantime::parse_duration(&look.eval_time).unwrap();
            let fires = !look.exp_samples.is_empty();
            looks
                .entry((name, severity))
                .or_default()
                .push((time, fires));
        }
        for (alert, looks) in looks {
            let series = series.clone();
            trials
                .entry(alert)
                .or_default()
                .push(Trial { series, looks });
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

/// Panics unless one of the tests of each alert, but for `except`, is what `covers` says.
fn each_alert_has_a_test(what: &str, except: &[&str], covers: impl Fn(&Trial) -> bool) {
    for (name, severity) in alerts::judged() {
        let trials = TRIALS.get(&(name.clone(), severity.clone()));
        let covered = trials.is_some_and(|trials| trials.iter().any(&covers));
        let excepted = except.contains(&name.as_str());
        assert_ne!(covered, excepted, "{name}, {severity}: a test {what}");
    }
}

/// It is the alert that must never be quiet.
const WATCHDOG: &str = "ConvexWatchdog";

#[test]
fn the_text_of_every_alert_is_tested() {
    let mut told = BTreeSet::new();
    for alert in tests().flat_map(|test| test.alert_rule_test) {
        for expected in &alert.exp_alerts {
            let severity = expected["exp_labels"]["severity"].as_str().unwrap();
            told.insert((alert.alertname.clone(), severity.to_owned()));
        }
    }
    assert_eq!(told, alerts::judged());
}

#[test]
fn every_alert_is_tested_for_firing_on_what_lean_detail_leaves() {
    each_alert_has_a_test("in which it fires at lean detail", &[], |trial| {
        trial.fires() && trial.is_lean()
    });
}

#[test]
fn every_alert_is_tested_for_staying_quiet_with_data_and_without() {
    let what = "with data in which it stays quiet";
    each_alert_has_a_test(what, &[WATCHDOG], |trial| {
        !trial.fires() && trial.has_data()
    });
    // An agent that is gone is what the lack of data says.
    let except = [WATCHDOG, "ConvexMonitorDown"];
    let what = "without data in which it stays quiet";
    each_alert_has_a_test(what, &except, |trial| !trial.fires() && !trial.has_data());
}

#[test]
fn every_alert_is_tested_for_its_end() {
    each_alert_has_a_test("in which it resolves", &[WATCHDOG], Trial::resolves);
}

#[test]
fn every_alert_is_tested_with_two_agents() {
    each_alert_has_a_test("with two agents", &[], |trial| trial.agents() > 1);
}

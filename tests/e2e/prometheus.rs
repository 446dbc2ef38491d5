//! A Prometheus for tests, which waits for the values it is asked for.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use convex_client::{HttpOptions, http_client};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::TIMEOUT;
use super::pipeline::{self, Pace};

pub(crate) struct Prometheus(pipeline::Prometheus);

impl Prometheus {
    /// Starts a Prometheus with our rules that scrapes `agent` every second.
    pub(crate) async fn start(agent: &str) -> Self {
        let started = Self::start_without_rules(agent, None).await;
        started.load_rules().await;
        started
    }

    /// Starts a Prometheus that scrapes `agent` every second and sends its alerts to
    /// `alertmanager`, if any.
    pub(crate) async fn start_without_rules(agent: &str, alertmanager: Option<SocketAddr>) -> Self {
        let started = pipeline::Prometheus::start(Pace::Fast, agent, alertmanager);
        Self(started.await.unwrap())
    }

    /// Starts a Prometheus with this configuration: a file of `deploy/` with other addresses.
    pub(crate) async fn start_with(config: &str) -> Self {
        let started = pipeline::Prometheus::start_with(Pace::Fast, config).await;
        let started = Self(started.unwrap());
        started.load_rules().await;
        started
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Loads our rules once the agent has been scraped.
    pub(crate) async fn load_rules(&self) {
        self.0.load_rules(|rules| rules).await.unwrap();
    }

    /// As `load_rules`, with rules over long windows evaluated every second as well.
    pub(crate) async fn load_rules_eagerly(&self) {
        let eager = |rules: String| {
            let rules = rules.replace("interval: 4m", "interval: 1s");
            rules.replace("interval: 1m", "interval: 1s")
        };
        self.0.load_rules(eager).await.unwrap();
    }

    /// Returns whether a query has a number now, or had one since a time. Panics if the query is
    /// invalid.
    pub(crate) async fn has_data(&self, expression: &str, since: Option<SystemTime>) -> bool {
        // Steps are at whole seconds, none of them before the given time.
        let seconds = |time: SystemTime| {
            let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            (since_epoch.as_secs() + 1).to_string()
        };
        let mut parameters = vec![("query", expression.to_owned())];
        if let Some(since) = since {
            parameters.push(("start", seconds(since)));
            parameters.push(("end", seconds(SystemTime::now())));
            parameters.push(("step", "1".to_owned()));
        }
        let path = if since.is_some() {
            "query_range"
        } else {
            "query"
        };
        let url = format!("http://{}/api/v1/{path}", self.0.address());
        let mut url = reqwest::Url::parse(&url).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        let client = http_client(&HttpOptions::default(), TIMEOUT).unwrap();
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let is_number = |sample: &Value| sample[1].as_str().is_some_and(|value| value != "NaN");
        let series = answer["data"]["result"].as_array().unwrap();
        series.iter().any(|series| {
            let samples = series["values"].as_array().into_iter().flatten();
            samples.chain([&series["value"]]).any(is_number)
        })
    }

    /// Waits until a query has a value that `expected` accepts, and returns it.
    pub(crate) async fn wait_for(&self, expression: &str, expected: impl Fn(f64) -> bool) -> f64 {
        let mut last = None;
        let waiting = async {
            loop {
                last = self.0.query(expression).await.unwrap();
                if let Some(value) = last.filter(|value| expected(*value)) {
                    return value;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let found = tokio::time::timeout(TIMEOUT, waiting).await.ok();
        found.unwrap_or_else(|| panic!("{expression} is {last:?} after {TIMEOUT:?}"))
    }

    /// Returns the value of a query, waiting until it has one.
    pub(crate) async fn value(&self, expression: &str) -> f64 {
        self.wait_for(expression, |_| true).await
    }
}

/// Checks an exposition with `promtool check metrics`.
pub(crate) async fn lint(exposition: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is in the PATH; `make test` installs it");
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(exposition.as_bytes()).await.unwrap();
    drop(input);
    let output = promtool.wait_with_output().await.unwrap();
    let findings = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && findings.is_empty(), "{findings}");
}

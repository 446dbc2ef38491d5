//! The Prometheus of the tests: each value is waited for.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::pipeline::{self, Pace};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Prometheus(pipeline::Prometheus);

impl Prometheus {
    /// Starts one that scrapes `agent` every second, and tells `alertmanager`, if any.
    pub(crate) async fn start(agent: &str, alertmanager: Option<SocketAddr>) -> Self {
        let started = pipeline::Prometheus::start(Pace::Fast, agent, alertmanager);
        Self(started.await.unwrap())
    }

    /// Waits until the query has a value that `expected` accepts, and gives it.
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
        let found = tokio::time::timeout(PATIENCE, waiting).await.ok();
        found.unwrap_or_else(|| panic!("{expression} is {last:?} after {PATIENCE:?}"))
    }

    /// The value of a query that must have one by now.
    pub(crate) async fn value(&self, expression: &str) -> f64 {
        self.wait_for(expression, |_| true).await
    }
}

/// `promtool check metrics` on an exposition.
pub(crate) async fn lint(exposition: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is in the PATH: scripts/test e2e sees to that");
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(exposition.as_bytes()).await.unwrap();
    drop(input);
    let output = promtool.wait_with_output().await.unwrap();
    let findings = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && findings.is_empty(), "{findings}");
}

//! A real Prometheus that scrapes the agent, asked through its API.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use convex_peer_monitor::peer::plain_client;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Prometheus {
    url: String,
    client: reqwest::Client,
    _child: Child,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `target` every second.
    pub(crate) fn start(target: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: monitor\n    static_configs: [{{ targets: ['{target}'] }}]\n"
        );
        std::fs::write(&config, text).unwrap();
        let address = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus is in the PATH: scripts/test e2e sees to that");
        Self {
            url: format!("http://{address}/api/v1/query"),
            client: plain_client(Duration::from_secs(10)).unwrap(),
            _child: child,
            _dir: dir,
        }
    }

    /// The one value of an instant query; none when the answer is empty or not to be had.
    async fn query(&self, expression: &str) -> Option<f64> {
        let mut url = reqwest::Url::parse(&self.url).unwrap();
        url.query_pairs_mut().append_pair("query", expression);
        let text = self.client.get(url).send().await.ok()?.text().await.ok()?;
        let answer: Value = serde_json::from_str(&text).ok()?;
        let result = answer["data"]["result"].as_array()?;
        assert!(result.len() <= 1, "{expression} has several values: {text}");
        result.first()?["value"][1].as_str()?.parse().ok()
    }

    /// Waits until the query has a value that `expected` accepts, and gives it.
    pub(crate) async fn wait_for(&self, expression: &str, expected: impl Fn(f64) -> bool) -> f64 {
        let mut last = None;
        let waiting = async {
            loop {
                last = self.query(expression).await;
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

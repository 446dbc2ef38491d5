//! A running agent, started as the program does it, on a free port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use convex_client::{HttpOptions, http_client};
use convex_peer_monitor::agent::{self, Source};
use convex_peer_monitor::config::shard::Shard;
use convex_peer_monitor::supervisor::Supervisor;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::DEADLINE;

#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    pub(crate) config: PathBuf,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
    client: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Agent {
    /// Starts an agent with this configuration.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_shard(config, Shard::default()).await
    }

    /// Starts an agent that watches one shard of the fleet.
    pub(crate) async fn start_shard(config: &str, shard: Shard) -> Self {
        Self::start_supervised(config, shard, Supervisor::new(CancellationToken::new())).await
    }

    /// Starts an agent whose tasks this supervisor starts.
    pub(crate) async fn start_supervised(
        config: &str,
        shard: Shard,
        supervisor: Supervisor,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let source = Source {
            file: Some(file.clone()),
            shard,
        };
        let config = source.load().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = supervisor.stop().clone();
        let running = tokio::spawn(agent::run(
            source,
            config,
            listener,
            mpsc::channel(1),
            supervisor,
        ));
        Self {
            address,
            config: file,
            stop,
            running,
            client: http_client(&HttpOptions::default(), DEADLINE).unwrap(),
            _dir: dir,
        }
    }

    /// Sends a GET and returns status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = self
            .client
            .get(format!("http://{}{path}", self.address))
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Sends a GET with this `Host`, and returns status and body.
    pub(crate) async fn get_as(&self, host: &str, path: &str) -> (u16, String) {
        let request = self.client.get(format!("http://{}{path}", self.address));
        let response = request.header("host", host).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Returns the texts of a peer's events, a line each.
    pub(crate) async fn events(&self, peer: &str) -> String {
        let url = format!(
            "http://{}/api/v1/events?peer={peer}&limit=1000",
            self.address
        );
        let request = self.client.get(url).header("accept", "application/json");
        let list = request.send().await.unwrap().text().await.unwrap();
        let events: serde_json::Value = serde_json::from_str(&list).unwrap();
        let text = |event: &serde_json::Value| format!("  {}: {}\n", event["at"], event["message"]);
        events.as_array().unwrap().iter().map(text).collect()
    }

    /// Sends a POST and returns status and body.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut request = self.client.post(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Returns the current value of a series, named as in the exposition.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        value_of(&self.get("/metrics").await.1, series)
    }

    /// Waits until `expected` accepts the value of `series`, and returns the value.
    pub(crate) async fn wait_for(&self, series: &str, expected: impl Fn(f64) -> bool) -> f64 {
        let mut last = None;
        let waiting = async {
            loop {
                last = self.metric(series).await;
                if let Some(value) = last.filter(|value| expected(*value)) {
                    return value;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, waiting).await.ok();
        found.unwrap_or_else(|| panic!("{series} is {last:?} after {DEADLINE:?}"))
    }

    /// Stops the agent as a signal would.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.ended().await.unwrap();
    }

    /// Waits until the agent has ended by itself, and returns why.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        let ended = tokio::time::timeout(DEADLINE, self.running).await;
        ended.expect("the agent ends").unwrap()
    }
}

/// Returns the value of a series in an exposition.
pub(crate) fn value_of(exposition: &str, series: &str) -> Option<f64> {
    let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    exposition.lines().find_map(value)
}

//! The agent as a process, used as an operator would.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use convex_client::{HttpOptions, http_client};
use tokio::process::{Child, Command};

use super::{system, until};

/// The address of the agent. No other program is in this network namespace.
pub(crate) const ADDRESS: &str = "127.0.0.1:18880";

pub(crate) struct Agent {
    child: Child,
    /// Working directory, with `config.yml` and `state`.
    pub(crate) dir: PathBuf,
    /// A command that executes the command line appended to it.
    within: Vec<String>,
    pub(crate) address: &'static str,
    client: reqwest::Client,
}

/// Resources of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    pub(crate) descriptors: usize,
    pub(crate) anonymous_kib: u64,
    pub(crate) threads: u64,
}

impl Agent {
    /// Writes `config` to `dir/config.yml` and starts the agent with it.
    pub(crate) async fn start(dir: &Path, config: &str) -> Self {
        Self::start_within(dir, config, &[], ADDRESS).await
    }

    /// Starts the agent through a command that executes the command line appended to it.
    pub(crate) async fn start_within(
        dir: &Path,
        config: &str,
        within: &[&str],
        address: &'static str,
    ) -> Self {
        let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
        assert_ne!(
            network("self"),
            network("1"),
            "not in a separate network namespace: run scripts/test chaos"
        );
        fs::write(dir.join("config.yml"), config).unwrap();
        let within: Vec<String> = within.iter().map(ToString::to_string).collect();
        let mut agent = Self {
            child: spawn(dir, &within, address),
            dir: dir.to_owned(),
            within,
            address,
            client: http_client(&HttpOptions::default(), Duration::from_secs(20)).unwrap(),
        };
        agent.until_ready().await;
        agent
    }

    /// Stops the agent like a service manager.
    pub(crate) async fn end(&mut self) {
        self.signal("-TERM").await;
        let ended = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        assert!(ended.expect("the agent is stopping").unwrap().success());
    }

    /// Kills the agent.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts the agent again and waits until it is ready.
    pub(crate) async fn begin(&mut self) {
        self.launch();
        self.until_ready().await;
    }

    /// Starts the agent again without waiting.
    pub(crate) fn launch(&mut self) {
        self.child = spawn(&self.dir, &self.within, self.address);
    }

    async fn until_ready(&mut self) {
        let url = format!("http://{}/-/ready", self.address);
        let client = self.client.clone();
        let child = &mut self.child;
        until("the agent is ready", async || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the agent ended: {ended:?}");
            let answer = client.get(&url).send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("the agent runs")
    }

    pub(crate) async fn signal(&self, name: &str) {
        system(&format!("kill {name} {}", self.pid())).await;
    }

    /// Returns the log of all starts.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap()
    }

    /// Sends a GET and returns status and body.
    pub(crate) async fn try_get(&self, path: &str) -> reqwest::Result<(u16, String)> {
        let url = format!("http://{}{path}", self.address);
        let answer = self.client.get(url).header("Accept", "application/json");
        let answer = answer.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Returns the body of a successful GET.
    pub(crate) async fn get(&self, path: &str) -> String {
        let (status, body) = self.try_get(path).await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub(crate) async fn json(&self, path: &str) -> serde_json::Value {
        serde_json::from_str(&self.get(path).await).unwrap()
    }

    pub(crate) async fn is_healthy(&self) -> bool {
        let answer = self.try_get("/-/healthy").await;
        answer.is_ok_and(|(status, _)| status == 200)
    }

    /// Returns whether it answers on a new connection.
    pub(crate) async fn answers_a_new_client(&self) -> bool {
        let client = http_client(&HttpOptions::default(), Duration::from_secs(20)).unwrap();
        let url = format!("http://{}/-/healthy", self.address);
        let answer = client.get(url).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// Returns the values of all series of a metric, by labels.
    pub(crate) async fn series(&self, metric: &str) -> BTreeMap<String, f64> {
        let text = self.get("/metrics").await;
        let of_metric = text.lines().filter_map(|line| {
            let (labels, value) = line.strip_prefix(metric)?.rsplit_once(' ')?;
            let is_series = labels.is_empty() || labels.starts_with('{');
            is_series.then(|| (labels.to_owned(), value.parse().unwrap()))
        });
        of_metric.collect()
    }

    /// Counts the series of a metric that are 1 and have `part` in their labels.
    pub(crate) async fn count(&self, metric: &str, part: &str) -> usize {
        let series = self.series(metric).await;
        let ones = series
            .iter()
            .filter(|(labels, value)| labels.contains(part) && **value == 1.0);
        ones.count()
    }

    pub(crate) async fn peers_up(&self) -> usize {
        self.count("convex_peer_up", "").await
    }

    /// Returns the resources of the process.
    pub(crate) fn resources(&self) -> Resources {
        let proc = PathBuf::from(format!("/proc/{}", self.pid()));
        let status = fs::read_to_string(proc.join("status")).unwrap();
        let figure = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap().split_whitespace().next().unwrap().parse()
        };
        Resources {
            descriptors: fs::read_dir(proc.join("fd")).unwrap().count(),
            anonymous_kib: figure("RssAnon:").unwrap(),
            threads: figure("Threads:").unwrap(),
        }
    }
}

fn spawn(dir: &Path, within: &[String], address: &str) -> Child {
    let log = File::options()
        .append(true)
        .create(true)
        .open(dir.join("log"))
        .unwrap();
    let program = env!("CARGO_BIN_EXE_convex-peer-monitor").to_owned();
    let mut words = within.iter().chain([&program]);
    Command::new(words.next().unwrap())
        .args(words)
        .args(["run", "--log-format", "json", "--listen", address])
        .args(["--config", "config.yml"])
        // As the shipped unit and image run it; with more heaps, what is freed shows less.
        .env("MALLOC_ARENA_MAX", "1")
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

//! The agent as a program, started and looked at as an operator does.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use convex_client::{HttpOptions, http_client};
use tokio::process::{Child, Command};

use super::{system, until};

/// Where it listens; nobody else is in this network namespace.
pub(crate) const ADDRESS: &str = "127.0.0.1:18880";

pub(crate) struct Agent {
    child: Child,
    /// Its directory, with `config.yml` and `state`.
    pub(crate) dir: PathBuf,
    /// What starts it: a command whose last words will be the agent's own.
    within: Vec<String>,
    pub(crate) address: &'static str,
    client: reqwest::Client,
}

/// What it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) descriptors: usize,
    pub(crate) anonymous_kib: u64,
    pub(crate) threads: u64,
}

impl Agent {
    /// Starts it on `dir/config.yml`, which is made of `config`.
    pub(crate) async fn start(dir: &Path, config: &str) -> Self {
        Self::start_within(dir, config, &[], ADDRESS).await
    }

    /// Starts it by a command that ends by executing what follows it.
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
            "links and file systems of this host are not to be touched: run scripts/test chaos"
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

    /// Ends it as a service manager does.
    pub(crate) async fn end(&mut self) {
        self.signal("-TERM").await;
        let ended = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        assert!(ended.expect("a stop takes 5 s").unwrap().success());
    }

    /// Ends it at once.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again.
    pub(crate) async fn begin(&mut self) {
        self.launch();
        self.until_ready().await;
    }

    /// Starts it again and does not wait.
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
        self.child.id().expect("it runs")
    }

    pub(crate) async fn signal(&self, name: &str) {
        system(&format!("kill {name} {}", self.pid())).await;
    }

    /// Its log since it was first started.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap()
    }

    /// Status and body, or why there is none.
    pub(crate) async fn try_get(&self, path: &str) -> reqwest::Result<(u16, String)> {
        let url = format!("http://{}{path}", self.address);
        let answer = self.client.get(url).header("Accept", "application/json");
        let answer = answer.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// The body of a page that is there.
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

    /// Whether it answers a client that was not connected before.
    pub(crate) async fn answers_a_newcomer(&self) -> bool {
        let client = http_client(&HttpOptions::default(), Duration::from_secs(20)).unwrap();
        let url = format!("http://{}/-/healthy", self.address);
        let answer = client.get(url).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// The values of a metric's series, by labels.
    pub(crate) async fn series(&self, metric: &str) -> BTreeMap<String, f64> {
        let text = self.get("/metrics").await;
        let of_metric = text.lines().filter_map(|line| {
            let (labels, value) = line.strip_prefix(metric)?.rsplit_once(' ')?;
            let own = labels.is_empty() || labels.starts_with('{');
            own.then(|| (labels.to_owned(), value.parse().unwrap()))
        });
        of_metric.collect()
    }

    /// How many of the metric's series whose labels have `part` are 1.
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

    /// What it holds, by the system.
    pub(crate) fn held(&self) -> Held {
        let proc = PathBuf::from(format!("/proc/{}", self.pid()));
        let status = fs::read_to_string(proc.join("status")).unwrap();
        let figure = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap().split_whitespace().next().unwrap().parse()
        };
        Held {
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
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

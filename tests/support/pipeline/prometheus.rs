//! A real Prometheus with a configuration of `deploy/` and our rules, queried through its API.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use convex_client::{HttpOptions, http_client};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::program::{Program, replace};
use super::{Pace, own_address, root};

/// Limit for the first scrape.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Prometheus {
    program: Program,
    client: reqwest::Client,
    pace: Pace,
}

impl Prometheus {
    /// Starts a Prometheus that scrapes `agent` and sends its alerts to `alertmanager`, if any. It
    /// has no rules before `load_rules`.
    pub(crate) async fn start(
        pace: Pace,
        agent: &str,
        alertmanager: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let config = fs::read_to_string(root().join("deploy/prometheus.yml"))?;
        let config = replace(&config, "127.0.0.1:18880", agent)?;
        let config = match alertmanager {
            Some(address) => replace(&config, "127.0.0.1:9093", &address.to_string())?,
            None => replace(&config, "\"127.0.0.1:9093\"", "")?,
        };
        Self::start_with(pace, &config).await
    }

    /// Starts one Prometheus of a pair, called `replica`, that scrapes both `agents`. It has no
    /// rules before `load_rules`.
    pub(crate) async fn start_pair(
        pace: Pace,
        replica: &str,
        agents: [&str; 2],
        alertmanager: SocketAddr,
    ) -> anyhow::Result<Self> {
        let config = fs::read_to_string(root().join("deploy/prometheus.pair.yml"))?;
        let config = replace(&config, "replica: a\n", &format!("replica: {replica}\n"))?;
        let config = replace(&config, "127.0.0.1:18880", agents[0])?;
        let config = replace(&config, "127.0.0.1:18881", agents[1])?;
        let config = replace(&config, "127.0.0.1:9093", &alertmanager.to_string())?;
        Self::start_with(pace, &config).await
    }

    /// Starts a Prometheus with this configuration: a file of `deploy/` with other addresses. It
    /// has no rules before `load_rules`.
    pub(crate) async fn start_with(pace: Pace, config: &str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let config = replace(
            config,
            "../alerts/convex-peer-monitor.rules.yml",
            "rules.yml",
        )?;
        fs::write(dir.path().join("rules.yml"), "groups: []\n")?;
        fs::write(dir.path().join("prometheus.yml"), pace.scrapes(&config))?;
        let address = own_address()?;
        let program = Program::start(&["prometheus"], dir, address, |dir| {
            vec![
                format!("--config.file={}", dir.join("prometheus.yml").display()).into(),
                format!("--storage.tsdb.path={}", dir.join("data").display()).into(),
                format!("--web.listen-address={address}").into(),
                "--web.enable-lifecycle".into(),
            ]
        });
        Ok(Self {
            program: program.await?,
            client: http_client(&HttpOptions::default(), Duration::from_secs(60))?,
            pace,
        })
    }

    /// Loads our rules, after `change`, as soon as the result of a first scrape is stored. Before
    /// that, an agent that is running would look absent, for as long as a busy machine delays the
    /// scrape.
    pub(crate) async fn load_rules(&self, change: fn(String) -> String) -> anyhow::Result<()> {
        let deadline = Instant::now() + SCRAPE_TIMEOUT;
        while self.query("count(up)").await?.is_none() {
            anyhow::ensure!(Instant::now() < deadline, "nothing was scraped");
            sleep(Duration::from_millis(100)).await;
        }
        let rules = fs::read_to_string(root().join("alerts/convex-peer-monitor.rules.yml"))?;
        let rules = change(self.pace.rules(&rules)?);
        fs::write(self.program.dir().join("rules.yml"), rules)?;
        let url = format!("http://{}/-/reload", self.address());
        let response = self.client.post(url).send().await?;
        let status = response.status();
        let text = response.text().await?;
        anyhow::ensure!(status.is_success(), "the rules are not loaded: {text}");
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.program.address
    }

    /// Returns the value of an instant query, `None` if its result is empty. A result with several
    /// values is an error.
    pub(crate) async fn query(&self, expression: &str) -> anyhow::Result<Option<f64>> {
        let mut url = reqwest::Url::parse(&format!("http://{}/api/v1/query", self.address()))?;
        url.query_pairs_mut().append_pair("query", expression);
        let text = self.client.get(url).send().await?.text().await?;
        let answer: Value = serde_json::from_str(&text)?;
        let result = answer["data"]["result"].as_array();
        let result = result.ok_or_else(|| anyhow::anyhow!("{expression} is answered by {text}"))?;
        anyhow::ensure!(result.len() <= 1, "{expression} has several values: {text}");
        let value = result.first().and_then(|one| one["value"][1].as_str());
        Ok(value.and_then(|value| value.parse().ok()))
    }
}

//! A real Prometheus with a configuration of `deploy/` and our rules, asked through its API.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use convex_client::{HttpOptions, http_client};
use serde_json::Value;

use super::program::{Program, replace};
use super::{Pace, own_address, root};

#[derive(Debug)]
pub(crate) struct Prometheus {
    program: Program,
    client: reqwest::Client,
}

impl Prometheus {
    /// Starts one that scrapes the agent at `agent` and tells `alertmanager`; none: nobody.
    pub(crate) async fn start(
        pace: Pace,
        agent: &str,
        alertmanager: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        Self::start_with(pace, agent, alertmanager, |rules| rules).await
    }

    /// As `start`, with the rules changed.
    pub(crate) async fn start_with(
        pace: Pace,
        agent: &str,
        alertmanager: Option<SocketAddr>,
        change: fn(String) -> String,
    ) -> anyhow::Result<Self> {
        let config = fs::read_to_string(root().join("deploy/prometheus.yml"))?;
        let config = replace(&config, "127.0.0.1:18880", agent)?;
        let config = match alertmanager {
            Some(address) => replace(&config, "127.0.0.1:9093", &address.to_string())?,
            None => replace(&config, "\"127.0.0.1:9093\"", "")?,
        };
        Self::start_as(pace, &config, change).await
    }

    /// Starts one with this configuration, a file of `deploy/` whose addresses are replaced.
    pub(crate) async fn start_as(
        pace: Pace,
        config: &str,
        change: fn(String) -> String,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let rules = fs::read_to_string(root().join("alerts/convex-peer-monitor.rules.yml"))?;
        fs::write(dir.path().join("rules.yml"), change(pace.rules(&rules)?))?;
        let config = replace(
            config,
            "../alerts/convex-peer-monitor.rules.yml",
            "rules.yml",
        )?;
        fs::write(dir.path().join("prometheus.yml"), pace.scrapes(&config))?;
        let address = own_address()?;
        let program = Program::start(&["prometheus"], dir, address, |dir| {
            vec![
                format!("--config.file={}", dir.join("prometheus.yml").display()).into(),
                format!("--storage.tsdb.path={}", dir.join("data").display()).into(),
                format!("--web.listen-address={address}").into(),
            ]
        });
        Ok(Self {
            program: program.await?,
            client: http_client(&HttpOptions::default(), Duration::from_secs(10))?,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.program.address
    }

    /// The one value of an instant query; none when the answer is empty.
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

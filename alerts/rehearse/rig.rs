//! Everything that a rehearsal runs. Dropping the rig stops it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use convex_client::{HttpOptions, http_client};
use convex_peer_monitor::agent::{self, Source};
use convex_peer_monitor::config::shard::Shard;
use convex_peer_monitor::supervisor::Supervisor;
use convex_simulator::{Network, Options, Traffic};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::faults::{PEERS, Rehearsal};
use super::pipeline::{Alertmanager, Pace, Prometheus, Receiver};

/// How alerts get from the agent to Alertmanager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Through Prometheus with our rules.
    Prometheus,
    /// The agent notifies Alertmanager itself.
    Own,
}

pub(super) struct Rig {
    pub(super) network_started: Instant,
    pub(super) receiver: Receiver,
    agent: SocketAddr,
    alertmanager: Alertmanager,
    /// `None` if the agent notifies Alertmanager itself.
    prometheus: Option<Prometheus>,
    _network: Network,
    _config: tempfile::TempDir,
}

impl Rig {
    pub(super) async fn start(rehearsal: &Rehearsal, pace: Pace, way: Way) -> anyhow::Result<Self> {
        let receiver = Receiver::start().await?;
        let alertmanager = Alertmanager::start(pace, &receiver).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let agent = listener.local_addr()?;
        let notified = alertmanager.address();
        let prometheus = match way {
            Way::Prometheus => {
                Some(Prometheus::start(pace, &agent.to_string(), Some(notified)).await?)
            }
            Way::Own => None,
        };
        // After the slow starts above, because the fault begins a fixed time after this.
        let network_started = Instant::now();
        let network = Network::start(Options {
            peers: PEERS,
            seed: 1,
            script: rehearsal.script.clone(),
            traffic: Some(Traffic::parse("1s", PEERS)?),
            ..Options::default()
        });
        let network = network.await?;
        let config = tempfile::tempdir()?;
        let notify = match way {
            Way::Prometheus => String::new(),
            Way::Own => {
                format!("notify: {{ alertmanagers: [{{ name: am, url: 'http://{notified}' }}] }}\n")
            }
        };
        start_agent(&network, pace, &notify, config.path(), listener)?;
        if let Some(prometheus) = &prometheus {
            prometheus.load_rules(|rules| rules).await?;
        }
        Ok(Self {
            network_started,
            receiver,
            agent,
            alertmanager,
            prometheus,
            _network: network,
            _config: config,
        })
    }

    /// Waits until all peers are up. Returns false if `deadline` comes first.
    pub(super) async fn all_up_before(&self, deadline: Instant) -> anyhow::Result<bool> {
        while Instant::now() < deadline {
            if self.all_are_up().await? {
                return Ok(true);
            }
            sleep(Duration::from_millis(250)).await;
        }
        Ok(false)
    }

    /// Returns whether all peers are up, according to Prometheus if there is one.
    async fn all_are_up(&self) -> anyhow::Result<bool> {
        if let Some(prometheus) = &self.prometheus {
            let up = "count(convex_peer_health{state=\"up\"} == 1)";
            return Ok(prometheus.query(up).await? == Some(f64::from(u32::try_from(PEERS)?)));
        }
        let client = http_client(&HttpOptions::default(), Duration::from_secs(5))?;
        let request = client.get(format!("http://{}/metrics", self.agent));
        let exposition = request.send().await?.text().await?;
        let up = |line: &&str| {
            line.starts_with("convex_peer_health{") && line.ends_with("state=\"up\"} 1")
        };
        Ok(exposition.lines().filter(up).count() == PEERS)
    }
}

/// Starts the agent with the configuration of the network, in which all peers are its own.
fn start_agent(
    network: &Network,
    pace: Pace,
    notify: &str,
    dir: &std::path::Path,
    listener: TcpListener,
) -> anyhow::Result<()> {
    // Without this, peers are not expected to produce blocks.
    let mut config = network
        .config()
        .replace("{ name: sim-", "{ expect_block_every: 10m, name: sim-");
    config += notify;
    if pace == Pace::Fast {
        config = config.replace("genesis:", "stake_interval: 10s, genesis:");
        config += "defaults: { interval: 1s, timeout: 900ms }\n\
                   verdicts: { stall_after: 10s, lag_for: 3s }\n";
    }
    let file = dir.join("convex-peer-monitor.yml");
    std::fs::write(&file, config)?;
    let source = Source {
        file: Some(file),
        shard: Shard::default(),
    };
    let config = source.load().context("the configuration of the network")?;
    let running = agent::run(
        source,
        config,
        listener,
        mpsc::channel(1),
        Supervisor::new(CancellationToken::new()),
    );
    tokio::spawn(async move {
        if let Err(error) = running.await {
            eprintln!("the agent ended: {error:#}");
        }
    });
    Ok(())
}

impl fmt::Display for Rig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{PEERS} peers with a block every second, agent http://{}, Alertmanager http://{}",
            self.agent,
            self.alertmanager.address()
        )?;
        match &self.prometheus {
            Some(prometheus) => write!(f, ", Prometheus http://{}", prometheus.address()),
            None => f.write_str(", no Prometheus: the agent notifies Alertmanager itself"),
        }
    }
}

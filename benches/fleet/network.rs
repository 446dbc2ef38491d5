//! The targets: `convex-peer-monitor simulate` in a separate process, with traffic, and the
//! configuration of the agent for one transport.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use convex_client::{Endpoint, TlsSettings, Transport};
use convex_peer_monitor::config::{self, Config, Peer};
use convex_peer_monitor::poller::Prober;
use tokio::process::Command;

use crate::INTERVAL;
use crate::program::{Program, ReadyOn};
use crate::wire::{Relay, Turn};

/// The measured program, as built by `cargo bench`.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_convex-peer-monitor");

/// First ports to try: two ports per peer, below the range of ephemeral ports.
const PORTS: [u16; 4] = [28_000, 25_000, 22_000, 19_000];

/// One block per second, by the peers in turn.
const TRAFFIC: &str = "1s";

/// Number of polls before the recorded one, because the ids of the first requests are shorter.
const POLLS_BEFORE: usize = 100;

/// Largest number of peers in one simulated network.
const MAX_PEERS: usize = 10_000;

/// A simulated network; stops when dropped.
#[derive(Debug)]
pub(crate) struct SimulatedNetwork {
    pub(crate) config: Config,
    _program: Program,
    _dir: tempfile::TempDir,
}

impl SimulatedNetwork {
    /// Starts as many networks as this number of peers needs.
    pub(crate) async fn several(mut peers: usize) -> anyhow::Result<Vec<Self>> {
        let mut networks = Vec::new();
        while peers > 0 {
            let some = peers.min(MAX_PEERS);
            networks.push(Self::start(some, &[]).await?);
            peers -= some;
        }
        Ok(networks)
    }

    pub(crate) async fn start(peers: usize, faults: &[String]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("simulated.yml");
        for port in PORTS {
            let mut command = Command::new(PROGRAM);
            command
                .args(["simulate", "--traffic", TRAFFIC])
                .args(["--peers", &peers.to_string()])
                .args(["--listen-base", &port.to_string(), "--write-config"])
                .arg(&file)
                .args(faults.iter().flat_map(|fault| ["--fault", fault]));
            let written = |line: &str| line.starts_with("to monitor it").then_some(());
            match Program::start(command, ReadyOn::Stdout, written).await {
                Ok((program, ())) => {
                    let config = config::load(&file, &|_| None)?;
                    return Ok(Self {
                        config,
                        _program: program,
                        _dir: dir,
                    });
                }
                Err(error) => eprintln!("no network from port {port} on: {error:#}"),
            }
        }
        bail!("no simulated network could be started");
    }

    /// Returns the endpoints of the peers for `transport`.
    pub(crate) fn endpoints(&self, transport: Transport) -> impl Iterator<Item = &Endpoint> {
        let endpoints = self.config.peers.iter().flat_map(|peer| &peer.endpoints);
        endpoints.filter(move |endpoint| endpoint.transport() == transport)
    }

    /// Records one poll on an open connection.
    pub(crate) async fn turns(&self, transport: Transport) -> anyhow::Result<Vec<Turn>> {
        let endpoint = self.endpoints(transport).next().context("a peer")?;
        let address = format!("{}:{}", endpoint.host(), endpoint.port()).parse()?;
        let relay = Relay::start(address).await?;
        let through = Endpoint::parse(&format!("{transport}://{}", relay.address))?;
        let usual_limit = 1 << 20;
        let mut prober = Prober::new(
            Arc::new(Peer::from_endpoint(through)),
            usual_limit,
            &TlsSettings::default(),
        );
        for _ in 0..POLLS_BEFORE {
            let observation = prober.poll().await;
            if let Some(failure) = &observation.endpoints[0].failure {
                bail!("a poll failed: {failure}");
            }
        }
        relay.take();
        prober.poll().await;
        Ok(relay.take())
    }
}

/// Returns the configuration of the agent for all peers of `networks` over `transport`.
pub(crate) fn agent_config(
    networks: &[SimulatedNetwork],
    transport: Transport,
    state_dir: &Path,
    detail: &str,
) -> anyhow::Result<String> {
    let mut text = format!(
        "defaults: {{ interval: {interval}s }}\n\
         state_dir: \"{}\"\n\
         metrics: {{ detail: {detail} }}\n\
         limits: {{ max_inflight: 512, per_host_inflight: 512 }}\n\
         networks:\n",
        state_dir.display(),
        interval = INTERVAL.as_secs(),
    );
    for (network, number) in networks.iter().zip(1..) {
        let network = network.config.networks.first().context("a network")?;
        let genesis = network.genesis.context("a pinned genesis")?;
        writeln!(
            text,
            "  - {{ name: network-{number}, genesis: \"{genesis}\" }}"
        )?;
    }
    text.push_str("peers:\n");
    for (network, number) in networks.iter().zip(1..) {
        for (peer, endpoint) in network
            .config
            .peers
            .iter()
            .zip(network.endpoints(transport))
        {
            let Peer { name, .. } = &**peer;
            let key = peer.key.context("a pinned key")?;
            writeln!(
                text,
                "  - {{ name: {name}-{number}, network: network-{number}, key: \"{key}\", endpoints: [\"{}\"] }}",
                endpoint.url()
            )?;
        }
    }
    Ok(text)
}

//! The whole main job on real input: a real two-peer network, the agent as a program, a real Prometheus, a real Alertmanager.
//!
//! `scripts/test e2e` sees that Java, the peers, Prometheus, Alertmanager and Schemathesis are there.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a panic is how a test fails, and the figures compared are exact"
)]

mod api;
#[path = "../support/authority.rs"]
mod authority;
mod chain;
#[path = "../support/contract.rs"]
mod contract;
mod dashboards;
mod network;
mod notify;
mod paging;
mod pair;
#[path = "../support/pipeline/mod.rs"]
mod pipeline;
mod prometheus;
mod security;
mod sidecar;
#[path = "../support/simulated.rs"]
mod simulated;
#[path = "../support/tls.rs"]
mod tls;
mod verdicts;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use convex_client::{HttpOptions, http_client};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use network::Network;
use prometheus::Prometheus;

/// The agent's program, as an operator runs it.
struct Agent {
    address: String,
    child: Child,
    dir: tempfile::TempDir,
}

impl Agent {
    async fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.yml"), config).unwrap();
        let address = pipeline::own_address().unwrap().to_string();
        let child = Self::run(dir.path(), &address).await;
        Self {
            address,
            child,
            dir,
        }
    }

    /// Ends it as a service manager does.
    async fn end(&mut self) {
        signal(&self.child, "-TERM");
        self.child.wait().await.unwrap();
    }

    /// Ends it at once, without a chance to write anything.
    async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again at the same address.
    async fn begin(&mut self) {
        self.child = Self::run(self.dir.path(), &self.address).await;
    }

    /// Starts the program with the configuration in `dir`, and waits until it listens.
    async fn run(dir: &Path, listen: &str) -> Child {
        let mut child = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"))
            .args([
                "run",
                "--listen",
                listen,
                "--log-format",
                "json",
                "--config",
            ])
            .arg(dir.join("config.yml"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        loop {
            let line = log
                .next_line()
                .await
                .unwrap()
                .expect("the agent ended at its start");
            let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
            if entry["message"] == "monitoring" {
                assert_eq!(entry["listen"], listen);
                break;
            }
        }
        // The log must be read on, or the agent would wait for its reader.
        tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                eprintln!("{line}");
            }
        });
        child
    }

    /// The value of a series.
    async fn value(&self, series: &str) -> f64 {
        let metrics = self.metrics().await;
        let value = |line: &str| line.strip_prefix(series)?.trim().parse().ok();
        let found: Option<f64> = metrics.lines().find_map(value);
        found.unwrap_or_else(|| panic!("{series} is not there"))
    }

    async fn metrics(&self) -> String {
        let client = http_client(&HttpOptions::default(), Duration::from_secs(10)).unwrap();
        let response = client
            .get(format!("http://{}/metrics", self.address))
            .send()
            .await
            .unwrap();
        response.text().await.unwrap()
    }
}

/// Sends a signal by its name.
fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("the program runs").to_string();
    let sent = std::process::Command::new("kill")
        .args([name, &pid])
        .status()
        .unwrap();
    assert!(sent.success());
}

fn config(network: &Network) -> String {
    let entry = |(i, peer): (usize, &network::RealPeer)| {
        let (http, tcp, key) = (peer.http(), peer.tcp(), peer.key());
        format!("{{ name: peer-{i}, endpoints: ['{http}', '{tcp}'], key: '{key}' }}")
    };
    let peers: Vec<String> = network.peers.iter().enumerate().map(entry).collect();
    format!(
        "defaults: {{ interval: 1s, timeout: 800ms }}\nnetworks: [{{ name: local, genesis: '{}' }}]\npeers: [{}]\n",
        network.peers[0].genesis(),
        peers.join(", ")
    )
}

fn of(metric: &str, peer: usize, more: &str) -> String {
    format!("{metric}{{peer=\"peer-{peer}\",network=\"local\"{more}}}")
}

/// The answer of a peer's own REST interface to a query, as JSON.
async fn rest(peer: &network::RealPeer, source: &str) -> serde_json::Value {
    let client = http_client(&HttpOptions::default(), Duration::from_secs(10)).unwrap();
    let request = client.post(format!("{}/api/v1/query", peer.http()));
    let response = request
        .body(serde_json::json!({ "source": source }).to_string())
        .send()
        .await
        .unwrap();
    let answer: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    answer["value"].clone()
}

#[tokio::test]
async fn a_real_network_is_watched_and_scraped() {
    let mut network = Network::start(2).await;
    for peer in &network.peers {
        contract::holds(&peer.tcp(), &peer.http()).await;
    }
    chain::the_registry_is_what_the_peer_says(&mut network).await;
    let agent = Agent::start(&config(&network)).await;
    let prometheus = Prometheus::start(&agent.address, None).await;

    a_working_network(&network, &prometheus).await;
    the_network_and_its_stake(&network, &prometheus).await;
    prometheus::lint(&agent.metrics().await).await;
    a_transaction_moves_the_order(&mut network, &prometheus).await;
    a_killed_peer(&mut network, &agent, &prometheus).await;
    a_frozen_peer(&network, &prometheus).await;
    a_half_shut_peer(&mut network, &prometheus).await;
    the_untouched_peer(&prometheus).await;
    prometheus::lint(&agent.metrics().await).await;
}

async fn a_working_network(network: &Network, prometheus: &Prometheus) {
    let is = |expected: f64| move |value: f64| value == expected;
    for (i, peer) in network.peers.iter().enumerate() {
        prometheus
            .wait_for(&of("convex_peer_up", i, ""), is(1.0))
            .await;
        prometheus
            .wait_for(&of("convex_peer_health", i, ",state=\"up\""), is(1.0))
            .await;
        let accounts = rest(peer, "(count (:accounts *state*))")
            .await
            .as_f64()
            .unwrap();
        assert_eq!(
            prometheus.value(&of("convex_peer_accounts", i, "")).await,
            accounts
        );
        let pool = rest(peer, "(nth (:globals *state*) 3)")
            .await
            .as_f64()
            .unwrap();
        assert_eq!(
            prometheus
                .value(&of("convex_peer_memory_pool_bytes", i, ""))
                .await,
            pool
        );
        for level in ["block", "proposal", "consensus", "finality"] {
            let level = format!(",level=\"{level}\"");
            assert!(
                prometheus
                    .value(&of("convex_peer_order_blocks", i, &level))
                    .await
                    >= 0.0
            );
        }
        for transport in ["http", "tcp"] {
            let transport = format!(",transport=\"{transport}\"");
            assert!(
                prometheus
                    .value(&of("convex_probe_duration_seconds_sum", i, &transport))
                    .await
                    > 0.0
            );
        }
        for check in ["genesis", "peer_key", "transports_agree"] {
            let check = format!(",check=\"{check}\"");
            prometheus
                .wait_for(&of("convex_peer_identity_match", i, &check), is(1.0))
                .await;
        }
    }
    assert_eq!(
        prometheus.value("up{job=\"convex-peer-monitor\"}").await,
        1.0
    );
}

async fn the_network_and_its_stake(network: &Network, prometheus: &Prometheus) {
    let of_network = |metric: &str| format!("{metric}{{network=\"local\"}}");
    prometheus
        .wait_for(
            &of_network("convex_network_stake_timestamp_seconds"),
            |told| told > 0.0,
        )
        .await;
    for (metric, expected) in [
        ("convex_network_peers_registered", 2.0),
        ("convex_network_state_groups", 1.0),
        ("convex_network_split", 0.0),
        ("convex_network_query_error", 0.0),
        ("convex_network_losable_peers", 0.0),
    ] {
        assert_eq!(
            prometheus.value(&of_network(metric)).await,
            expected,
            "{metric}"
        );
    }
    let idle = "convex_network_order_state{network=\"local\",state=\"idle\"}";
    prometheus.wait_for(idle, |idle| idle == 1.0).await;
    let margin = of_network("convex_network_quorum_margin_ratio");
    prometheus
        .wait_for(&margin, |margin| (margin - 0.33).abs() < 1e-9)
        .await;
    for (i, peer) in network.peers.iter().enumerate() {
        let own = rest(peer, &format!("(get-peer-stake {})", peer.key()))
            .await
            .as_f64()
            .unwrap()
            / 1e9;
        let shown = of("convex_stake_own_cvm", i, "");
        prometheus
            .wait_for(&shown, |shown| (shown - own).abs() < 1e-6)
            .await;
        assert_eq!(
            prometheus.value(&of("convex_peer_lag_blocks", i, "")).await,
            0.0
        );
        assert_eq!(
            prometheus
                .value(&of("convex_peer_state_diverged", i, ""))
                .await,
            0.0
        );
    }
}

async fn a_transaction_moves_the_order(network: &mut Network, prometheus: &Prometheus) {
    let series = |peer| {
        [
            of("convex_peer_order_blocks", peer, ",level=\"block\""),
            of("convex_peer_order_blocks", peer, ",level=\"finality\""),
            of("convex_peer_state_block", peer, ""),
        ]
    };
    let mut before = Vec::new();
    for expression in [series(0), series(1)].concat() {
        before.push((prometheus.value(&expression).await, expression));
    }
    network.peers[0].command("tx (def moved 1)").await;
    for (value, expression) in before {
        prometheus
            .wait_for(&expression, |moved| moved > value)
            .await;
    }
    let advanced = of(
        "convex_peer_order_advance_timestamp_seconds",
        1,
        ",level=\"finality\"",
    );
    assert!(prometheus.value(&format!("time() - {advanced}")).await < 60.0);
}

/// SIGTERM, not SIGKILL: a killed peer's store may be damaged, and it shall come back.
async fn a_killed_peer(network: &mut Network, agent: &Agent, prometheus: &Prometheus) {
    let up = of("convex_peer_up", 1, "");
    network.peers[1].end().await;
    // Two intervals are two polls at most: the one that was under way when the peer ended, and the next.
    let polls = of("convex_probe_attempts_total", 1, ",transport=\"tcp\"");
    let before = agent.value(&polls).await;
    while agent.value(&up).await != 0.0 {
        let polled = agent.value(&polls).await - before;
        assert!(
            polled < 2.0,
            "still up {polled} polls after the peer has ended"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    prometheus.wait_for(&up, |up| up == 0.0).await;
    for transport in ["http", "tcp"] {
        let refused = format!(",transport=\"{transport}\",reason=\"refused\"");
        prometheus
            .wait_for(&of("convex_probe_failures_total", 1, &refused), |n| {
                n >= 1.0
            })
            .await;
    }
    prometheus
        .wait_for(&of("convex_peer_health", 1, ",state=\"down\""), |down| {
            down == 1.0
        })
        .await;
    network.restart(1).await;
    prometheus.wait_for(&up, |up| up == 1.0).await;
    prometheus
        .wait_for(&of("convex_peer_health", 1, ",state=\"up\""), |up| {
            up == 1.0
        })
        .await;
}

async fn a_frozen_peer(network: &Network, prometheus: &Prometheus) {
    let up = of("convex_peer_up", 1, "");
    network.peers[1].signal("-STOP");
    prometheus.wait_for(&up, |up| up == 0.0).await;
    for transport in ["http", "tcp"] {
        let timeout = format!(",transport=\"{transport}\",reason=\"timeout\"");
        prometheus
            .wait_for(&of("convex_probe_failures_total", 1, &timeout), |n| {
                n >= 1.0
            })
            .await;
    }
    network.peers[1].signal("-CONT");
    prometheus.wait_for(&up, |up| up == 1.0).await;
}

async fn a_half_shut_peer(network: &mut Network, prometheus: &Prometheus) {
    network.peers[1].command("close 0").await;
    prometheus
        .wait_for(&of("convex_peer_up", 1, ""), |up| up == 0.0)
        .await;
    let hangs = ",transport=\"tcp\",reason=\"query_hangs\"";
    prometheus
        .wait_for(&of("convex_probe_failures_total", 1, hangs), |n| n >= 1.0)
        .await;
    prometheus
        .wait_for(
            &of("convex_peer_condition", 1, ",condition=\"query_hangs\""),
            |c| c == 1.0,
        )
        .await;
    let refuses = ",transport=\"http\",reason=\"peer_error\"";
    prometheus
        .wait_for(&of("convex_probe_failures_total", 1, refuses), |n| n >= 1.0)
        .await;
}

/// All that happened to its neighbour did not touch it.
async fn the_untouched_peer(prometheus: &Prometheus) {
    assert_eq!(prometheus.value(&of("convex_peer_up", 0, "")).await, 1.0);
    assert_eq!(
        prometheus
            .value(&of("convex_peer_poll_failures_total", 0, ""))
            .await,
        0.0
    );
    let lowest = format!("min_over_time({}[10m])", of("convex_peer_up", 0, ""));
    assert_eq!(prometheus.value(&lowest).await, 1.0);
}

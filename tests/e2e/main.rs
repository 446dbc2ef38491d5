//! End-to-end tests: the agent as a program, with real peers, a real Prometheus and a real
//! Alertmanager. `make test` installs what they need and runs all but the slow ones.
//!
//! They must pass on a busy machine: each waits for a condition, with a generous limit, and the
//! peers have seconds to answer.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a panic fails the test, and the numbers compared are exact"
)]

mod api;
#[path = "../support/authority.rs"]
mod authority;
mod belief;
mod canary;
mod chain;
mod connections;
#[path = "../support/contract.rs"]
mod contract;
mod dashboards;
mod evidence;
mod faketime;
mod network;
mod open_metrics;
mod paging;
#[expect(dead_code, reason = "only rehearsals ask when something arrived")]
#[path = "../support/pipeline/mod.rs"]
mod pipeline;
mod prometheus;
mod registered;
#[expect(dead_code, reason = "real peers need only some of the faults")]
#[path = "../support/relay.rs"]
mod relay;
mod routing;
mod security;
mod sidecar;
mod silences;
#[path = "../support/simulated.rs"]
mod simulated;
mod slow;
#[expect(dead_code, reason = "no real peer is behind another authority")]
#[path = "../support/tls.rs"]
mod tls;
mod transactions;
mod verdicts;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use convex_client::{HttpOptions, http_client};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use network::Network;
use prometheus::Prometheus;

/// Limit for anything that must happen. Only a failing test waits this long.
const TIMEOUT: Duration = Duration::from_secs(600);
/// For configurations that poll real peers: on a busy machine they may take seconds to answer.
const REAL_PEERS: &str = "defaults: { interval: 5s, timeout: 4900ms }\n";

/// The agent as a program, as an operator runs it.
struct Agent {
    address: String,
    child: Child,
    dir: tempfile::TempDir,
    /// Variables of its environment.
    environment: Vec<(String, String)>,
}

impl Agent {
    async fn start(config: &str) -> Self {
        Self::start_at(pipeline::own_address().unwrap(), config).await
    }

    /// Starts the agent at the given address.
    async fn start_at(address: SocketAddr, config: &str) -> Self {
        Self::start_within(address, config, Vec::new()).await
    }

    /// Starts the agent at the given address with these variables in its environment.
    async fn start_within(
        address: SocketAddr,
        config: &str,
        environment: Vec<(String, String)>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.yml"), config).unwrap();
        let address = address.to_string();
        let child = Self::run(dir.path(), &address, &environment).await;
        Self {
            address,
            child,
            dir,
            environment,
        }
    }

    /// Stops the agent with SIGTERM, like a service manager.
    async fn end(&mut self) {
        signal(&self.child, "-TERM");
        self.child.wait().await.unwrap();
    }

    /// Kills the agent, so that it cannot write anything.
    async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts the agent again at the same address.
    async fn begin(&mut self) {
        self.child = Self::run(self.dir.path(), &self.address, &self.environment).await;
    }

    /// Runs the program with the configuration in `dir` and waits until it listens.
    async fn run(dir: &Path, listen: &str, environment: &[(String, String)]) -> Child {
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
            .envs(environment.iter().cloned())
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
                .expect("the agent ended during its start");
            let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
            if entry["message"] == "monitoring" {
                assert_eq!(entry["listen"], listen);
                break;
            }
        }
        // If nobody reads the log, the agent blocks when the pipe is full.
        tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                eprintln!("{line}");
            }
        });
        child
    }

    /// Returns the value of a series.
    async fn value(&self, series: &str) -> f64 {
        value_of(&self.metrics().await, series)
    }

    /// Waits until a series has a value that `expected` accepts, and returns it. If that takes too
    /// long, the test fails with what peers and networks were like.
    async fn until(&self, series: &str, expected: impl Fn(f64) -> bool) -> f64 {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let text = self.metrics().await;
            let found = value(&text, series);
            if let Some(found) = found.filter(|value| expected(*value)) {
                return found;
            }
            let about = text.lines().filter(|line| {
                line.starts_with("convex_peer_condition{") || line.starts_with("convex_network_")
            });
            let about: Vec<&str> = about.collect();
            assert!(
                Instant::now() < deadline,
                "{series} is {found:?} after {TIMEOUT:?}: {about:#?}"
            );
            sleep(Duration::from_millis(250)).await;
        }
    }

    async fn metrics(&self) -> String {
        self.get("/metrics").await
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        serde_json::from_str(&self.get_as(path, "application/json").await).unwrap()
    }

    async fn get(&self, path: &str) -> String {
        self.get_as(path, "*/*").await
    }

    async fn get_as(&self, path: &str, media_type: &str) -> String {
        let client = http_client(&HttpOptions::default(), TIMEOUT).unwrap();
        let response = client
            .get(format!("http://{}{path}", self.address))
            .header("accept", media_type)
            .send()
            .await
            .unwrap();
        response.text().await.unwrap()
    }
}

/// Returns the value of a series in an exposition.
fn value_of(exposition: &str, series: &str) -> f64 {
    value(exposition, series).unwrap_or_else(|| panic!("there is no {series}"))
}

/// Returns the value of a series in an exposition, if it is there.
fn value(exposition: &str, series: &str) -> Option<f64> {
    let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    exposition.lines().find_map(value)
}

/// Sends a signal, given as an option of `kill`.
fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("the program is running").to_string();
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
        "{REAL_PEERS}networks: [{{ name: local, genesis: '{}' }}]\npeers: [{}]\n",
        network.peers[0].genesis(),
        peers.join(", ")
    )
}

fn is(expected: f64) -> impl Fn(f64) -> bool {
    move |value| value == expected
}

fn of(metric: &str, peer: usize, more: &str) -> String {
    format!("{metric}{{peer=\"peer-{peer}\",network=\"local\"{more}}}")
}

/// Returns what the REST interface of a peer answers to a query, as JSON.
async fn rest(peer: &network::RealPeer, source: &str) -> serde_json::Value {
    let client = http_client(&HttpOptions::default(), TIMEOUT).unwrap();
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
async fn the_metrics_show_what_happens_to_a_real_network() {
    let mut network = a_network_with_delegated_stake().await;
    let agent = Agent::start(&config(&network)).await;
    let prometheus = Prometheus::start(&agent.address).await;

    a_working_network(&network, &prometheus).await;
    the_network_and_its_stake(&network, &prometheus).await;
    prometheus::lint(&agent.metrics().await).await;
    a_transaction_moves_the_order(&mut network, &prometheus).await;
    a_killed_peer(&mut network, &agent, &prometheus).await;
    a_frozen_peer(&network, &prometheus).await;
    a_half_dead_peer(&mut network, &prometheus).await;
    the_unaffected_peer(&prometheus).await;
    prometheus::lint(&agent.metrics().await).await;
}

/// Starts two peers and delegates stake, before the peers have registered their URLs: after that, a
/// delegation makes released 0.8.0 peers compute different states (the peer that it is for loses
/// its own URL), which the agent reports as it should.
async fn a_network_with_delegated_stake() -> Network {
    for _ in 0..5 {
        let mut network = Network::launch(2).await;
        for peer in &network.peers {
            contract::holds(&peer.tcp(), &peer.http()).await;
        }
        chain::the_registry_matches_the_peer(&mut network).await;
        chain::transactions_are_counted(&network).await;
        if network.agrees().await {
            return network;
        }
        eprintln!("the real peers have diverged or lost a thread; starting others");
    }
    panic!("the real peers diverged or lost a thread in five networks");
}

async fn a_working_network(network: &Network, prometheus: &Prometheus) {
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
            |time| time > 0.0,
        )
        .await;
    // What was compared and how much can be lost is known once the stakes are.
    for (metric, expected) in [
        ("convex_network_peers_registered", 2.0),
        ("convex_network_state_groups", 1.0),
        ("convex_network_compared_stake_ratio", 1.0),
        ("convex_network_split", 0.0),
        ("convex_network_query_error", 0.0),
    ] {
        prometheus.wait_for(&of_network(metric), is(expected)).await;
    }
    for case in ["worst", "best"] {
        let losable = format!("convex_network_losable_peers{{network=\"local\",case=\"{case}\"}}");
        prometheus.wait_for(&losable, is(0.0)).await;
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
    let sent = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    network.transact(0, "(def moved 1)").await;
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
    let advanced = prometheus.value(&advanced).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(
        (sent.as_secs_f64()..=now.as_secs_f64()).contains(&advanced),
        "{advanced} is not between {sent:?} and {now:?}"
    );
}

/// SIGTERM, not SIGKILL: the peer is started again, and a kill may damage its store.
async fn a_killed_peer(network: &mut Network, agent: &Agent, prometheus: &Prometheus) {
    let up = of("convex_peer_up", 1, "");
    network.peers[1].end().await;
    // The poll that was running when the peer ended may succeed, but not the next one.
    let polls = of("convex_probe_attempts_total", 1, ",transport=\"tcp\"");
    let before = agent.value(&polls).await;
    loop {
        // Both from one answer: on a busy machine polls may finish between two requests.
        let metrics = agent.metrics().await;
        if value_of(&metrics, &up) == 0.0 {
            break;
        }
        let polled = value_of(&metrics, &polls) - before;
        assert!(polled < 2.0, "still up {polled} polls after the peer ended");
        sleep(Duration::from_millis(20)).await;
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

async fn a_half_dead_peer(network: &mut Network, prometheus: &Prometheus) {
    while !network.half_kill(1, prometheus).await {}
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

/// The trouble of the other peer did not affect this one.
async fn the_unaffected_peer(prometheus: &Prometheus) {
    assert_eq!(prometheus.value(&of("convex_peer_up", 0, "")).await, 1.0);
    assert_eq!(
        prometheus
            .value(&of("convex_peer_poll_failures_total", 0, ""))
            .await,
        0.0
    );
    let lowest = format!("min_over_time({}[1h])", of("convex_peer_up", 0, ""));
    assert_eq!(prometheus.value(&lowest).await, 1.0);
}

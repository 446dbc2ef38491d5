//! The exposition contains exactly the metrics of the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use convex_peer_monitor::metrics::{ALL, Definition, Kind, Lean};

use convex_client::transaction::AccountKey;
use convex_simulator::NewAccount;

use crate::sidecar::Process;
use crate::support::agent::{Agent, value_of};
use crate::support::fake::{FakePeer, Script};
use crate::support::tls::acceptor;
use crate::support::until;

/// Number of polls of the peer with a certificate.
const POLLS: &str = "convex_peer_polls_total{peer=\"one\",network=\"default\"}";

/// Returns the label names of each sample of an exposition, by metric.
fn samples(exposition: &str) -> BTreeMap<String, Vec<BTreeSet<String>>> {
    let mut found: BTreeMap<String, Vec<BTreeSet<String>>> = BTreeMap::new();
    let mut family = String::new();
    for line in exposition.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            rest.split(' ').next().unwrap().clone_into(&mut family);
        } else if !line.starts_with('#') {
            let labels = line
                .split_once('{')
                .map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            let names = labels
                .split(',')
                .filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()));
            found
                .entry(family.clone())
                .or_default()
                .push(names.collect());
        }
    }
    found
}

fn definition(name: &str) -> &'static Definition {
    ALL.iter()
        .find(|metric| metric.name == name)
        .unwrap_or_else(|| panic!("{name} is not in the catalogue"))
}

/// Starts an agent that has something to report for every metric: a peer with a certificate and a
/// known clock whose order has advanced, a local process, and a simulated network with a registry
/// and a scheduled upgrade.
async fn agent(detail: &str) -> (Agent, FakePeer, convex_simulator::Network, Process) {
    let (acceptor, certificate) = acceptor("localhost", 2150, &[]);
    let fake = FakePeer::with_tls(Script::default(), Some(acceptor)).await;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, certificate.pem()).unwrap();
    let key = AccountKey::from_seed(&[7; 32]).public_key();
    std::fs::write(dir.path().join("canary.key"), hex::encode([7; 32])).unwrap();
    let options = convex_simulator::Options {
        peers: 2,
        // Enough for a transaction, and for less than three days.
        accounts: vec![NewAccount::new(key).with_cvm("0.0001").unwrap()],
        // Peers of a release that says what it can execute.
        script: convex_simulator::Script::parse(["upgrade=1h:all"], 2).unwrap(),
        ..convex_simulator::Options::default()
    };
    let simulated = convex_simulator::Network::start(options).await.unwrap();
    // Another one in each test: both run at once.
    let seconds = Process::seconds(if detail == "full" { 4 } else { 5 });
    let process = Process::start(&seconds);
    let config = format!(
        "
mode: sidecar
defaults: {{ interval: 1s, timeout: 900ms }}
references: {{ interval: 1s }}
metrics: {{ detail: {detail} }}
notify: {{ heartbeat: {{ url: 'http://127.0.0.1:1', interval: 1d }} }}
state_dir: {state}
networks:
  - name: default
  - name: simulated
    consensus_interval: 10s
    canary: {{ account: {account}, key_file: {key_file}, daily_budget_cvm: 0.1, interval: 1m }}
peers:
  - name: one
    network: default
    endpoints: ['https://localhost:{https}', 'tcp://{tcp}']
    ca_file: {ca}
    labels: {{ region: eu }}
    sidecar: {{ command_contains: 'sleep {seconds}', store: {store} }}
  - name: two
    network: default
    endpoints: ['tcp://{tcp}']
    expect_block_every: 1m
    maintenance: [{{ from: 2020-01-01T00:00:00Z, to: 2100-01-01T00:00:00Z }}]
  - {{ name: sim, network: simulated, endpoints: ['tcp://{sim}'] }}
  - {{ name: reference, role: reference, network: simulated, endpoints: ['tcp://{reference}'] }}
vantages: [{{ name: elsewhere, url: 'http://127.0.0.1:1' }}]
queries: [{{ name: answer, source: '42', networks: [simulated] }}]
",
        https = fake.http.port(),
        tcp = fake.tcp,
        ca = ca.display(),
        store = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        state = dir.path().join("state").display(),
        account = simulated.account(0),
        key_file = dir.path().join("canary.key").display(),
        sim = simulated.tcp(1),
        reference = simulated.tcp(2),
    );
    let agent = Agent::start(&config).await;
    agent.wait_for(POLLS, |polls| polls >= 1.0).await;
    fake.set(|script| script.order = [9; 4]);
    agent.wait_for(POLLS, |polls| polls >= 3.0).await;
    // An upgrade is due in an hour, and half of the stake is the own peer's: the canary sends
    // nothing.
    for (series, least) in [
        (
            "convex_query_success{network=\"simulated\",query=\"answer\"}",
            1.0,
        ),
        (
            "convex_stake_own_cvm{peer=\"sim\",network=\"simulated\"}",
            f64::MIN_POSITIVE,
        ),
        (
            "convex_network_reached_stake_ratio{network=\"simulated\"}",
            f64::MIN_POSITIVE,
        ),
        (
            "convex_network_compared_stake_ratio{network=\"simulated\"}",
            f64::MIN_POSITIVE,
        ),
        (
            "convex_network_level_stake_ratio{network=\"simulated\",level=\"block\"}",
            f64::MIN_POSITIVE,
        ),
        (
            "convex_peer_blocks_made_total{peer=\"sim\",network=\"simulated\"}",
            0.0,
        ),
        (
            "convex_canary_problem{network=\"simulated\",problem=\"low_balance\"}",
            1.0,
        ),
        (
            "convex_peer_store_filesystem_available_bytes{peer=\"one\",network=\"default\"}",
            f64::MIN_POSITIVE,
        ),
    ] {
        agent.wait_for(series, |value| value >= least).await;
    }
    (agent, fake, simulated, process)
}

#[tokio::test]
async fn full_detail_exposes_exactly_the_catalogue_with_its_labels() {
    let (agent, fake, _simulated, _process) = agent("full").await;
    // The phases of connecting are exposed only until the next poll on the same connection.
    let mut exposition = agent.get("/metrics").await.1;
    until("a scrape after a poll that connects", async || {
        let before = value_of(&exposition, POLLS);
        fake.hang_up();
        while value_of(&exposition, POLLS) == before {
            exposition = agent.get("/metrics").await.1;
        }
        exposition.contains("\nconvex_probe_phase_duration_seconds{")
    })
    .await;
    let found = samples(&exposition);
    for (name, samples) in &found {
        let metric = definition(name);
        for labels in samples {
            let mut expected: BTreeSet<String> = metric
                .labels
                .iter()
                .map(|label| (*label).to_owned())
                .collect();
            let mut labels = labels.clone();
            labels.remove("region");
            if metric.kind == Kind::Histogram && labels.contains("le") {
                expected.insert("le".to_owned());
            }
            assert_eq!(labels, expected, "{name}");
        }
    }
    for metric in ALL {
        // Exposed only while something is wrong or acknowledged, where the cgroup counts it, for a
        // process that is a JVM or listens, once peers were registered for five minutes, once
        // blocks were read twice, or once another agent answered.
        let optional = [
            "convex_alert_acknowledged",
            "convex_canary_result_p90_seconds",
            "convex_monitor_clock_skew_seconds",
            "convex_monitor_vantage_opinion_timestamp_seconds",
            "convex_network_finality_seconds",
            "convex_network_transactions_per_second",
            "convex_peer_condition",
            "convex_peer_connections",
            "convex_peer_condition_since_timestamp_seconds",
            "convex_peer_divergence_first_block",
            "convex_peer_fork_first_block",
            "convex_peer_heard_stake_ratio",
            "convex_peer_process_oom_kills_total",
        ]
        .contains(&metric.name)
            || metric.name.starts_with("convex_peer_jvm_")
            // Nothing is sent: see above.
            || metric.labels.starts_with(&["peer", "network"])
                && metric.name.starts_with("convex_canary_");
        assert!(
            optional || found.contains_key(metric.name),
            "{} is not exposed",
            metric.name
        );
    }
}

#[tokio::test]
async fn lean_detail_omits_what_the_catalogue_says() {
    let (agent, _fake, _simulated, _process) = agent("lean").await;
    let exposition = agent.get("/metrics").await.1;
    let found = samples(&exposition);
    for name in found.keys() {
        assert_ne!(definition(name).lean, Lean::Omitted, "{name}");
    }
    assert!(
        found["convex_probe_failures_total"]
            .iter()
            .all(|labels| !labels.contains("reason"))
    );
    assert_eq!(
        found["convex_probe_duration_seconds"].len(),
        5 * 3,
        "one bucket, sum and count for each endpoint"
    );
    for stake in ["convex_stake_own_cvm", "convex_stake_delegated_cvm"] {
        let series: Vec<&str> = exposition
            .lines()
            .filter(|line| line.starts_with(stake))
            .collect();
        assert!(
            series.len() == 1 && series[0].contains("peer=\"sim\""),
            "only for own peers: {series:?}"
        );
    }
    let of_two = exposition
        .lines()
        .filter(|line| line.contains("{peer=\"two\""));
    let of_two = of_two.count();
    assert!(of_two <= 27, "{of_two} series for a peer with one endpoint");
}

//! The agent as a sidecar of a real peer: metrics of a Java process and its store.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::network::Network;
use super::{Agent, REAL_PEERS, TIMEOUT};

const UP: &str = "convex_peer_process_up";

fn of(metric: &str) -> String {
    format!("{metric}{{peer=\"mine\",network=\"default\"}}")
}

/// Waits until a series of the peer has a value that `expected` accepts, and returns it.
async fn wait_for(agent: &Agent, metric: &str, expected: impl Fn(f64) -> bool) -> f64 {
    agent.until(&of(metric), expected).await
}

#[tokio::test]
async fn a_sidecar_measures_a_real_peer_and_finds_it_again_after_a_restart() {
    let mut network = Network::start(1).await;
    let (http, tcp) = (network.peers[0].http(), network.peers[0].tcp());
    let stores = network.stores().display().to_string();
    let agent = Agent::start(&format!(
        "mode: sidecar\n{REAL_PEERS}peers:\n\
         - {{ name: mine, endpoints: ['{http}', '{tcp}'], sidecar: {{ command_contains: '--store {stores}', store: {stores}/peer-0.etch }} }}\n"
    ))
    .await;
    wait_for(&agent, UP, |up| up == 1.0).await;

    let value = async |metric: &str| agent.value(&of(metric)).await;
    let resident = value("convex_peer_process_resident_memory_bytes").await;
    let anonymous = value("convex_peer_process_anonymous_memory_bytes").await;
    assert!(
        20e6 < anonymous && anonymous <= resident,
        "{anonymous} of {resident} bytes of a Java process"
    );
    assert!(value("convex_peer_process_memory_limit_bytes").await > resident);
    assert!(value("convex_peer_process_threads").await > 10.0);
    let open = value("convex_peer_process_open_fds").await;
    assert!(10.0 < open && open <= value("convex_peer_process_max_fds").await);
    assert!(value("convex_peer_process_cpu_seconds_total").await > 0.0);
    let store = wait_for(&agent, "convex_peer_store_bytes", |bytes| bytes > 0.0).await;
    let size = value("convex_peer_store_filesystem_size_bytes").await;
    assert!(store < size, "{store} of {size} bytes");
    the_jvm_is_as_its_own_tool_says(&agent).await;
    let tcp_port = tcp.rsplit(':').next().unwrap();
    let connections =
        format!("convex_peer_connections{{peer=\"mine\",network=\"default\",port=\"{tcp_port}\"}}");
    // That of this agent, which it may have opened after it looked at the host.
    agent.until(&connections, |open| open >= 1.0).await;
    let started = value("convex_peer_process_start_time_seconds").await;

    network.peers[0].end().await;
    wait_for(&agent, UP, |up| up == 0.0).await;
    network.restart(0).await;
    wait_for(&agent, UP, |up| up == 1.0).await;
    assert!(value("convex_peer_process_start_time_seconds").await > started);
}

/// Compares the JVM's counters with what `jstat`, the tool of the JDK, reads of them. Without a JDK
/// they only have to be there.
async fn the_jvm_is_as_its_own_tool_says(agent: &Agent) {
    let jvm = async || agent.json("/api/v1/peers/mine").await["sidecar"]["jvm"].clone();
    let pid = agent.json("/api/v1/peers/mine").await["sidecar"]["pid"].to_string();
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let Some(before) = jstat(&pid) else {
            eprintln!("there is no JDK to compare with");
            assert!(jvm().await["heap_used_bytes"].as_u64() > Some(0));
            return;
        };
        let read = jvm().await;
        // The agent reads at its interval, so what it shows may be older than a second.
        if jstat(&pid).as_ref() == Some(&before) && Some(&before) == Jstat::of(&read).as_ref() {
            break;
        }
        assert!(Instant::now() < deadline, "{read}, by jstat {before:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let exposed = wait_for(agent, "convex_peer_jvm_heap_max_bytes", |max| max > 0.0).await;
    let used = wait_for(agent, "convex_peer_jvm_heap_used_bytes", |used| used > 0.0).await;
    assert!(used < exposed, "{used} of {exposed} bytes");
}

/// What `jstat -gc` says: the heap in use in KiB, and the number of young, full and concurrent
/// collections.
#[derive(Debug, PartialEq)]
struct Jstat {
    used_kib: u64,
    collections: Vec<u64>,
}

impl Jstat {
    /// Returns the same from the agent's reading.
    fn of(jvm: &Value) -> Option<Self> {
        let collections = jvm["collections"].as_array()?;
        Some(Self {
            used_kib: jvm["heap_used_bytes"].as_u64()? >> 10,
            collections: collections
                .iter()
                .map(|it| it["count"].as_u64().unwrap())
                .collect(),
        })
    }
}

fn jstat(pid: &str) -> Option<Jstat> {
    let output = Command::new("jstat").args(["-gc", pid]).output().ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    let (names, values) = text.split_once('\n').unwrap();
    let values: BTreeMap<&str, &str> = names
        .split_whitespace()
        .zip(values.split_whitespace())
        .collect();
    let number = |name: &str| values.get(name)?.parse::<f64>().ok();
    let used: f64 = ["S0U", "S1U", "EU", "OU"]
        .into_iter()
        .filter_map(number)
        .sum();
    let counts = ["YGC", "FGC", "CGC"].into_iter().filter_map(number);
    let whole = |value: f64| format!("{value:.0}").parse().unwrap();
    Some(Jstat {
        used_kib: whole(used.floor()),
        collections: counts.map(whole).collect(),
    })
}

//! The agent as a sidecar of a real peer: metrics of a Java process and its store.

use std::time::Duration;

use super::network::Network;
use super::{Agent, REAL_PEERS, TIMEOUT};

const UP: &str = "convex_peer_process_up";

fn of(metric: &str) -> String {
    format!("{metric}{{peer=\"mine\",network=\"default\"}}")
}

/// Waits until a series of the peer has a value that `expected` accepts, and returns it.
async fn wait_for(agent: &Agent, metric: &str, expected: impl Fn(f64) -> bool) -> f64 {
    let series = of(metric);
    let waiting = async {
        loop {
            let text = agent.metrics().await;
            let value = |line: &str| line.strip_prefix(&series)?.trim().parse().ok();
            let found: Option<f64> = text.lines().find_map(value);
            if let Some(value) = found.filter(|value| expected(*value)) {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let found = tokio::time::timeout(TIMEOUT, waiting).await;
    found.unwrap_or_else(|_| panic!("{series} is not as expected after {TIMEOUT:?}"))
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
    let started = value("convex_peer_process_start_time_seconds").await;

    network.peers[0].end().await;
    wait_for(&agent, UP, |up| up == 0.0).await;
    network.restart(0).await;
    wait_for(&agent, UP, |up| up == 1.0).await;
    assert!(value("convex_peer_process_start_time_seconds").await > started);
}

//! More polls than the limits allow: how the agent reports it.

use std::fs;
use std::process::Command;

use crate::support::agent::value_of;
use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::program::Program;
use crate::support::until;

/// A configuration with three peers at one address that never answer.
fn config(fake: &FakePeer, per_host_inflight: usize) -> String {
    let peer = |i| format!("- {{ name: p{i}, endpoints: ['tcp://{}'] }}\n", fake.tcp);
    let peers: String = (0..3).map(peer).collect();
    format!(
        "defaults: {{ interval: 1s, timeout: 900ms, retries: 0 }}\n\
         limits: {{ per_host_inflight: {per_host_inflight} }}\npeers:\n{peers}"
    )
}

fn reload(agent: &Program) {
    let pid = agent.child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    assert!(sent.success());
}

fn ratio(metrics: &str) -> Option<f64> {
    let series = "convex_monitor_poll_capacity_ratio{limit=\"per_host_inflight\"}";
    value_of(metrics, series)
}

#[tokio::test]
async fn too_many_polls_for_a_host_are_reported_at_the_start_and_at_a_reload() {
    let fake = FakePeer::start(Script {
        fault: Fault::Silent,
        ..Script::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yml");
    fs::write(&file, config(&fake, 1)).unwrap();
    let mut agent = Program::start(&file).await;
    let line = agent.until("need 3 polls at once").await;
    assert!(line.contains("\"WARN\""), "{line}");
    assert!(line.contains("the 3 peers at 127.0.0.1"), "{line}");
    assert!(line.contains("`limits.per_host_inflight` is 1"), "{line}");
    assert_eq!(ratio(&agent.get("/metrics").await.1), Some(2.7));
    until("a poll waits for another", async || {
        let series = "convex_monitor_poll_waits_total{limit=\"per_host_inflight\"}";
        value_of(&agent.get("/metrics").await.1, series) > Some(0.0)
    })
    .await;

    fs::write(&file, config(&fake, 2)).unwrap();
    reload(&agent);
    agent.until("`limits.per_host_inflight` is 2").await;
    fs::write(&file, config(&fake, 3)).unwrap();
    reload(&agent);
    until("the limit is high enough", async || {
        ratio(&agent.get("/metrics").await.1) < Some(1.0)
    })
    .await;
}

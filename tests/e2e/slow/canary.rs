//! The canary on real peers: a transaction that is executed and seen at another peer, and those
//! that are not, because they hang while reads work or because a peer can make no block.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::canary::canary;
use crate::network::Network;
use crate::paging::Pages;
use crate::pipeline::Receiver;
use crate::prometheus::Prometheus;
use crate::{Agent, of};

/// Returns the configuration of an agent that watches the network, sends transactions through
/// `peers` and notifies `hook` itself of alerts with this severity or a higher one.
async fn config(
    network: &mut Network,
    dir: &Path,
    peers: &str,
    hook: &Receiver,
    severity: &str,
) -> String {
    let canary = canary(network, dir, peers).await;
    crate::config(network).replace(
        "networks: [{ name: local,",
        &format!(
            "state_dir: '{}'\n\
             notify: {{ webhooks: [{{ name: hook, url: '{}', min_severity: {severity} }}] }}\n\
             verdicts: {{ stall_after: 30m }}\n\
             networks: [{{ name: local, {canary},",
            dir.join("state").display(),
            hook.url("hook"),
        ),
    )
}

/// `probe --canary` sends a transaction through each peer before the agent runs, and prints the
/// stages.
async fn one_round_by_probe(dir: &Path, config: &str) {
    let file = dir.join("config.yml");
    std::fs::write(&file, config).unwrap();
    let mut probe = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
    probe.args(["probe", "--canary", "--config"]).arg(file);
    let output = probe.stdin(Stdio::null()).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}");
    let executed = text.matches(": executed, result after ").count();
    let seen = text.matches(" s, seen at peer-").count();
    assert_eq!(
        (executed, seen, output.status.code()),
        (2, 2, Some(0)),
        "{text}"
    );
    assert!(text.contains("\n  balance 0.1999"), "{text}");
}

/// Four failed transactions take five minutes.
#[tokio::test]
async fn writes_that_hang_while_reads_work_are_paged() {
    let mut network = Network::start(3).await;
    let dir = tempfile::tempdir().unwrap();
    let hook = Receiver::start().await.unwrap();
    let own = "[peer-0, peer-1]";
    let config = config(&mut network, dir.path(), own, &hook, "critical").await;
    one_round_by_probe(dir.path(), &config).await;
    let agent = Agent::start(&config).await;
    let mut pages = Pages::new(hook);

    let duration = |peer, stage| {
        of(
            "convex_canary_duration_seconds",
            peer,
            &format!(",stage=\"{stage}\""),
        )
    };
    let result = agent.until(&duration(0, "result"), |took| took > 0.0).await;
    let seen = agent.until(&duration(0, "seen"), |took| took > 0.0).await;
    println!("result after {result} s, seen after {seen} s");
    agent
        .until(
            "convex_canary_spent_cvm_total{network=\"local\"}",
            |spent| spent > 0.0,
        )
        .await;

    network.peers[2].signal("-STOP");
    let page = pages.until("ConvexWritesFailing", true).await;
    assert_eq!(page.labels["severity"], "critical");
    assert_eq!(
        page.annotations["summary"],
        "local does not execute transactions"
    );
    let description = &page.annotations["description"];
    for peer in ["peer-0 (last timeout at ", "peer-1 (last timeout at "] {
        assert!(description.contains(peer), "{description}");
    }
    for peer in [0, 1] {
        assert_eq!(
            agent.value(&of("convex_peer_up", peer, "")).await,
            1.0,
            "reads work"
        );
    }
    let spent = agent
        .value("convex_canary_spent_cvm_total{network=\"local\"}")
        .await;
    network.peers[2].signal("-CONT");
    pages.until("ConvexWritesFailing", false).await;
    pages.listen(Duration::from_secs(1)).await;
    let executed = "convex_canary_executed_total";
    agent
        .until(&of(executed, 0, ""), |executed| executed >= 2.0)
        .await;
    let later = agent
        .value("convex_canary_spent_cvm_total{network=\"local\"}")
        .await;
    assert!(later > spent, "the open transaction was paid for");
}

/// The last two of four peers give their stake back, and one of them is evicted. The others go on.
#[tokio::test]
async fn peers_that_can_make_no_block_fail_for_their_reasons_and_are_named_in_the_page() {
    let mut network = Network::start(4).await;
    let dir = tempfile::tempdir().unwrap();
    let hook = Receiver::start().await.unwrap();
    let own = "[peer-2, peer-3]";
    let config = config(&mut network, dir.path(), own, &hook, "critical").await;
    let agent = Agent::start(&config).await;
    let prometheus = Prometheus::start(&agent.address).await;
    let mut pages = Pages::new(hook);
    let executed = of("convex_canary_executed_total", 2, "");
    agent.until(&executed, |executed| executed >= 1.0).await;

    network.unstake(2).await;
    network.unstake(3).await;
    network.evict(3).await;

    let reasons = [(2, "understaked"), (3, "unregistered")];
    for (peer, reason) in reasons {
        let failures = format!(",reason=\"{reason}\"");
        let failures = of("convex_canary_failures_total", peer, &failures);
        agent.until(&failures, |failures| failures >= 2.0).await;
    }
    let page = loop {
        let page = pages.until("ConvexWritesFailing", true).await;
        if page.labels["severity"] == "critical" {
            break page;
        }
    };
    let description = &page.annotations["description"];
    for (peer, reason) in reasons {
        let named = format!("peer-{peer} (last {reason} at ");
        assert!(description.contains(&named), "{description}");
    }
    let firing =
        "ALERTS{alertname=\"ConvexWritesFailing\",severity=\"critical\",alertstate=\"firing\"}";
    prometheus.wait_for(firing, |firing| firing == 1.0).await;
    let description = prometheus
        .annotation("ConvexWritesFailing", "critical", "description")
        .await;
    let both = " peer-2, peer-3: two or more rounds of the canary in a row failed at each (understaked, unregistered).";
    assert!(description.contains(both), "{description}");
}

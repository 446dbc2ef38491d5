//! The canary on real peers: a transaction that is executed and seen at another peer, and one that
//! hangs while reads work, which the agent itself pages about.

use std::time::Duration;

use convex_client::transaction::AccountKey;

use super::network::Network;
use super::paging::Pages;
use super::pipeline::Receiver;
use super::{Agent, of};

const SEED: [u8; 32] = [7; 32];

/// Creates an account with the key and 0.2 CVM, and returns its number.
async fn create_account(network: &mut Network) -> String {
    let key = AccountKey::from_seed(&SEED).public_key();
    let command = format!("tx (let [a (create-account {key})] (transfer a 200000000) a)");
    let answer = network.peers[0].command(&command).await;
    let (_, number) = answer.split_once('#').expect("an address");
    number.trim().to_owned()
}

/// A minute between transactions is the least, so that four failed ones take five minutes.
#[tokio::test]
async fn writes_that_hang_while_reads_work_are_paged() {
    let mut network = Network::start(3).await;
    let account = create_account(&mut network).await;
    let dir = tempfile::tempdir().unwrap();
    let (state, key) = (dir.path().join("state"), dir.path().join("canary.key"));
    std::fs::write(&key, hex::encode(SEED)).unwrap();
    let hook = Receiver::start().await.unwrap();
    let config = super::config(&network).replace(
        "networks: [{ name: local,",
        &format!(
            "state_dir: '{}'\n\
             notify: {{ webhooks: [{{ name: hook, url: '{}', min_severity: critical }}] }}\n\
             verdicts: {{ stall_after: 30m }}\n\
             networks: [{{ name: local, canary: {{ account: {account}, key_file: '{}', \
             interval: 1m, peers: [peer-0, peer-1], daily_budget_cvm: 0.1 }},",
            state.display(),
            hook.url("hook"),
            key.display()
        ),
    );
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

//! Two agents that read each other's opinions, of which one is cut off.

use std::fmt::Write as _;
use std::fs;

use convex_simulator::Network;

use crate::support::agent::Agent;
use crate::support::relay::{Mode, Relay};
use crate::support::simulated::network;
use crate::support::until;

/// A configuration that reaches the peers of the network through these relays.
fn config(vantage: &str, network: &Network, relays: &[Relay], more: &str) -> String {
    let genesis = network.genesis();
    let mut peers = String::new();
    for (i, relay) in (1..).zip(relays) {
        let (key, address) = (network.key(i), relay.address);
        writeln!(
            peers,
            "- {{ name: p{i}, network: n, key: '{key}', endpoints: ['tcp://{address}'] }}"
        )
        .unwrap();
    }
    format!(
        "vantage: {vantage}\ndefaults: {{ interval: 1s, timeout: 900ms, retries: 0 }}\n\
         networks: [{{ name: n, genesis: '{genesis}', consensus_interval: 0 }}]\n\
         {more}peers:\n{peers}"
    )
}

fn relays(network: &Network) -> Vec<Relay> {
    (1..=4).map(|i| Relay::to(network.tcp(i))).collect()
}

async fn cut(relay: &Relay) {
    relay.set(Mode::Resets).await;
}

/// Waits until a page of the agent contains this text.
async fn shows(agent: &Agent, page: &str, text: &str) {
    until(&format!("{page} shows {text:?}"), async || {
        agent.get(page).await.1.contains(text)
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_is_cut_off_knows_from_another_one_whether_it_alone_is() {
    let simulated = network(4, &[], None).await;
    let (of_b, of_a) = (relays(&simulated), relays(&simulated));
    let dir = tempfile::tempdir().unwrap();
    let web = dir.path().join("web.yml");
    let hash = bcrypt::hash("s3cret", 4).unwrap();
    fs::write(&web, format!("basic_auth_users: {{ agent: '{hash}' }}\n")).unwrap();
    let web = format!("web: {{ config_file: '{}' }}\n", web.display());
    let b = Agent::start(&config("b", &simulated, &of_b, &web)).await;
    let vantages = format!(
        "vantages: [{{ name: other, url: 'http://{}', basic_auth: {{ username: agent, password: s3cret }} }}]\n",
        b.address
    );
    let a = Agent::start(&config("a", &simulated, &of_a, "")).await;

    let reached = "convex_network_reached_stake_ratio{network=\"n\"}";
    a.wait_for(reached, |ratio| ratio > 0.99).await;
    let alone = a.get("/peers/p1").await.1;
    assert!(!alone.contains("What each agent says"), "{alone}");
    fs::write(&a.config, config("a", &simulated, &of_a, &vantages)).unwrap();
    assert_eq!(a.post("/-/reload", &[]).await.0, 200);
    shows(&a, "/peers/p1", "<bdi>other</bdi>").await;
    shows(&a, "/networks/n", "<bdi>a (this agent)</bdi>").await;

    cut(&of_a[0]).await;
    shows(&a, "/peers/p1", "The cause is the path").await;
    shows(&a, "/networks/n", "Another agent refutes").await;

    for relay in &of_a {
        cut(relay).await;
    }
    a.wait_for(reached, |ratio| ratio == 0.0).await;
    shows(&a, "/networks/n", "Another agent refutes").await;
    cut(&of_b[0]).await;
    shows(&a, "/peers/p1", "no agent reaches it").await;

    b.stop().await;
    shows(&a, "/peers/p1", "No other agent has a recent opinion").await;
    shows(&a, "/networks/n", "nobody can tell what is absent").await;
    a.stop().await;
}

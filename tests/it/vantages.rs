//! Two agents that read each other's opinions, of which one or both are cut off.

use std::fmt::Write as _;
use std::fs;

use convex_simulator::Network;
use serde_json::Value;

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
    shows(&a, "/networks/n", "<bdi>a</bdi> <small>this agent</small>").await;

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

/// Returns the health of `p1` in the opinion that the agent gives others.
async fn own_opinion(agent: &Agent) -> Value {
    let answer: Value = serde_json::from_str(&agent.get("/api/v1/opinion").await.1).unwrap();
    let mut peers = answer["peers"].as_array().unwrap().iter();
    peers.find(|peer| peer["name"] == "p1").unwrap()["health"].clone()
}

/// Waits until each agent finds `p1` in this health, says so to the other, and concludes this about
/// the place of the cause; null if it concludes nothing.
async fn both_say(agents: [&Agent; 2], healths: [&str; 2], place: Option<&str>) {
    for (agent, health) in agents.into_iter().zip(healths) {
        until(&format!("an agent says {health}, {place:?}"), async || {
            let text = agent.get("/api/v1/peers/p1").await.1;
            let peer: Value = serde_json::from_str(&text).unwrap();
            peer["health"] == health && peer["conclusion"]["place"].as_str() == place
        })
        .await;
    }
    // What one has heard from the other has not become its own opinion.
    let said = [own_opinion(agents[0]).await, own_opinion(agents[1]).await];
    assert_eq!(said, healths);
}

#[tokio::test]
async fn agents_that_read_each_other_repeat_nothing_and_conclude_the_same() {
    let simulated = network(4, &[], None).await;
    let (of_a, of_b) = (relays(&simulated), relays(&simulated));
    let reading = |other: &Agent| {
        format!(
            "vantages: [{{ name: other, url: 'http://{}' }}]\n",
            other.address
        )
    };
    let b = Agent::start(&config("b", &simulated, &of_b, "")).await;
    let a = Agent::start(&config("a", &simulated, &of_a, &reading(&b))).await;
    fs::write(&b.config, config("b", &simulated, &of_b, &reading(&a))).unwrap();
    assert_eq!(b.post("/-/reload", &[]).await.0, 200);
    for agent in [&a, &b] {
        let hears = "convex_monitor_vantage_up{other_vantage=\"other\"}";
        agent.wait_for(hears, |up| up == 1.0).await;
    }
    both_say([&a, &b], ["up", "up"], None).await;

    cut(&of_a[0]).await;
    both_say([&a, &b], ["down", "up"], Some("path")).await;
    cut(&of_b[0]).await;
    both_say([&a, &b], ["down", "down"], Some("peer")).await;
    // Neither keeps the other in its opinion.
    of_a[0].set(Mode::Pass).await;
    both_say([&a, &b], ["up", "down"], Some("path")).await;
    of_b[0].set(Mode::Pass).await;
    both_say([&a, &b], ["up", "up"], None).await;
    a.stop().await;
    b.stop().await;
}

//! A fleet that is sharded over several agents: each peer is watched by one of them, and each sees
//! of a network what a single agent sees.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use convex_peer_monitor::config::shard::Shard;
use convex_simulator::Network;
use tokio::time::{Instant, sleep};

use crate::support::agent::{Agent, value_of};
use crate::support::pace::Pace;
use crate::support::simulated::network;

/// Longest wait for all verdicts, which take about five polls of the peers of other shards.
/// All times here are stretched by the pace.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

fn defaults(pace: &Pace) -> String {
    format!(
        "defaults: {{ interval: {}, timeout: {}, retries: 0, down_after: 3, up_after: 2 }}\n\
         verdicts: {{ stall_after: {} }}\n\
         limits: {{ max_inflight: 1000, per_host_inflight: 1000 }}\n",
        pace.ms(1_000),
        pace.ms(950),
        pace.ms(5_000),
    )
}

/// Number of peers in each network.
const PEERS: usize = 6;

/// Each network with its faults and the verdict that every agent must reach.
const NETWORKS: [(&str, &[&str], &str); 4] = [
    (
        "healthy",
        &[],
        "idle split=0 groups=1 head=999 registered=6 majority=1.00 minority=0.00 down=0.00 unobserved=0.00 margin=0.33 losable=1-1",
    ),
    (
        "stalled",
        &["stall:1,2:5s"],
        "stalled split=0 groups=1 head=999 registered=6 majority=1.00 minority=0.00 down=0.00 unobserved=0.00 margin=0.33 losable=1-1",
    ),
    (
        "split",
        &["fork=990:50%:8s"],
        "idle split=1 groups=2 head=999 registered=6 majority=0.00 minority=0.00 down=0.00 unobserved=1.00 margin=0.33 losable=0-1",
    ),
    (
        "short",
        &["refuse:3:5s"],
        "idle split=0 groups=1 head=999 registered=6 majority=0.83 minority=0.00 down=0.17 unobserved=0.00 margin=0.16 losable=0-0",
    ),
];

fn config(networks: &[Network], pace: &Pace) -> String {
    let (mut named, mut peers) = (String::new(), String::new());
    for ((name, ..), network) in NETWORKS.iter().zip(networks) {
        let genesis = network.genesis();
        writeln!(named, "  - {{ name: {name}, genesis: '{genesis}' }}").unwrap();
        for i in 1..=PEERS {
            let (tcp, http, key) = (network.tcp(i), network.http(i), network.key(i));
            writeln!(
                peers,
                "  - {{ name: {name}-{i}, network: {name}, key: '{key}', endpoints: ['http://{http}', 'tcp://{tcp}'] }}"
            )
            .unwrap();
        }
    }
    format!("{}networks:\n{named}peers:\n{peers}", defaults(pace))
}

/// Formats the verdict on a network in a scrape.
fn verdict(scrape: &str, network: &str) -> String {
    let text = |metric: &str, more: &str| {
        let series = format!("convex_network_{metric}{{network=\"{network}\"{more}}}");
        let value = value_of(scrape, &series);
        value.map_or_else(|| "-".to_owned(), |value| value.to_string())
    };
    let rounded = |metric: &str, more: &str| {
        let value = text(metric, more).parse::<f64>();
        value.map_or_else(|_| "-".to_owned(), |value| format!("{value:.2}"))
    };
    let states = ["unknown", "receding", "stalled", "advancing", "idle"];
    let is_current = |state: &&&str| text("order_state", &format!(",state=\"{state}\"")) == "1";
    let mut found = (*states.iter().find(is_current).unwrap()).to_owned();
    for (name, metric) in [
        ("split", "split"),
        ("groups", "state_groups"),
        ("head", "head_block"),
        ("registered", "peers_registered"),
    ] {
        write!(found, " {name}={}", text(metric, "")).unwrap();
    }
    for standing in ["majority", "minority", "down", "unobserved"] {
        let ratio = rounded("stake_ratio", &format!(",standing=\"{standing}\""));
        write!(found, " {standing}={ratio}").unwrap();
    }
    let margin = rounded("quorum_margin_ratio", "");
    let [worst, best] =
        ["worst", "best"].map(|case| text("losable_peers", &format!(",case=\"{case}\"")));
    found + &format!(" margin={margin} losable={worst}-{best}")
}

/// Returns the peers that have this metric in a scrape.
fn peers(scrape: &str, metric: &str) -> BTreeSet<String> {
    let start = format!("{metric}{{peer=\"");
    let series = scrape.lines().filter_map(|line| line.strip_prefix(&start));
    let name = |rest: &str| rest.split('"').next().unwrap().to_owned();
    series.map(name).collect()
}

async fn scrape(agent: &Agent) -> String {
    agent.get("/metrics").await.1
}

/// Waits until each agent has reached the expected verdict on each network.
async fn settled(agents: &[Agent], pace: &Pace) {
    let deadline = Instant::now() + pace.stretch(SETTLED_WITHIN);
    loop {
        let mut wrong = Vec::new();
        for (i, agent) in agents.iter().enumerate() {
            let scrape = scrape(agent).await;
            for (network, _, expected) in NETWORKS {
                let found = verdict(&scrape, network);
                if found != expected {
                    wrong.push(format!("agent {i}, {network}: {found}, not {expected}"));
                }
            }
        }
        if wrong.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{}", wrong.join("\n"));
        sleep(pace.stretch(Duration::from_millis(300))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_peer_is_in_one_shard_and_all_shards_judge_networks_alike() {
    let mut networks = Vec::new();
    let pace = Pace::measure().await;
    for (_, faults, _) in NETWORKS {
        let faults: Vec<_> = faults.iter().map(|fault| pace.fault(fault)).collect();
        let faults: Vec<_> = faults.iter().map(String::as_str).collect();
        networks.push(network(PEERS, &faults, None).await);
    }
    let config = config(&networks, &pace);
    let mut agents = vec![Agent::start(&config).await];
    for shard in ["1/3", "2/3", "3/3"] {
        let shard: Shard = shard.parse().unwrap();
        agents.push(Agent::start_shard(&config, shard).await);
    }
    settled(&agents, &pace).await;

    let whole = scrape(&agents[0]).await;
    let all = peers(&whole, "convex_peer_polls_total");
    assert_eq!(all.len(), NETWORKS.len() * PEERS);
    let mut found = BTreeSet::new();
    for (index, agent) in (1..).zip(&agents[1..]) {
        let scrape = scrape(agent).await;
        for series in [
            format!("convex_monitor_shard {index}\n"),
            "convex_monitor_shards 3\n".to_owned(),
        ] {
            assert!(scrape.contains(&series), "{series}");
        }
        let own = peers(&scrape, "convex_peer_polls_total");
        assert_eq!(own, peers(&scrape, "convex_peer_info"));
        for other in all.difference(&own) {
            assert!(!scrape.contains(other), "{other} belongs to another shard");
            assert_eq!(agent.get(&format!("/api/v1/peers/{other}")).await.0, 404);
        }
        for peer in own {
            assert!(found.insert(peer.clone()), "{peer} is in two shards");
        }
    }
    assert_eq!(found, all);
    for agent in agents {
        agent.stop().await;
    }
}

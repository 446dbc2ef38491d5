//! Whether every query of the dashboards finds data: on a real healthy network, or else with faults.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use convex_client::{HttpOptions, http_client};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::network::Network;
use super::prometheus::Prometheus;
use super::{Agent, pipeline, simulated, tls};

/// Longest wait for data.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is empty while nothing is wrong, by dashboard, panel or annotation, and letter of the query. Faults fill each of these.
const EMPTY_WHEN_HEALTHY: [&str; 31] = [
    "convex-consensus, Order stalled",
    "convex-consensus, Peers, G",
    "convex-consensus, Split",
    "convex-consensus, State diverged",
    "convex-fleet, Agent restarts",
    "convex-fleet, Failed polls, the worst, A",
    "convex-fleet, Pages",
    "convex-fleet, Peers, C",
    "convex-fleet, Peers, J",
    "convex-fleet, Peers, K",
    "convex-fleet, Reloads",
    "convex-fleet, What is wrong, A",
    "convex-fleet, Why endpoints fail, A",
    "convex-monitor, Agent restarts",
    "convex-monitor, Excused check fails",
    "convex-monitor, Reloads",
    "convex-peer, Agent restarts",
    "convex-peer, Certificate, A",
    "convex-peer, Conditions in force, A",
    "convex-peer, Degraded",
    "convex-peer, Down",
    "convex-peer, Failures of endpoints, A",
    "convex-peer, Identity",
    "convex-peer, Maintenance",
    "convex-peer, Parts of connecting, A",
    "convex-peer, Reloads",
    "convex-peer, Restarts",
    "convex-service-level, Budget burns",
    "convex-service-level, Down",
    "convex-stake, Stake low",
    "convex-stake, Weight decayed",
];

/// What is there only where the host's cgroups count it.
const AS_THE_HOST_TELLS: &str = "convex-peer, Starts and OOM kills, B";

/// A query of a dashboard.
struct Query {
    /// Where it stands, as in the list above.
    place: String,
    /// With its variables filled in.
    expression: String,
    instant: bool,
}

impl Query {
    async fn answered(&self, prometheus: &Prometheus, since: SystemTime) -> bool {
        let since = (!self.instant).then_some(since);
        prometheus.has_data(&self.expression, since).await
    }
}

/// Every query of every panel, variable and annotation; on the dashboard of one peer, of that peer.
fn questions(peer: &str) -> Vec<Query> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(pipeline::root().join("dashboards")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        let dashboard: Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let uid = dashboard["uid"].as_str().unwrap();
        let peer = if uid == "convex-peer" { peer } else { ".+" };
        let mut ask = |place: String, expression: &str, instant| {
            let expression = filled(expression, peer);
            found.push(Query {
                place: format!("{uid}, {place}"),
                expression,
                instant,
            });
        };
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let place = format!("{}, {}", text(&panel["title"]), text(&target["refId"]));
                ask(place, &text(&target["expr"]), target["instant"] == true);
            }
        }
        for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
            let name = annotation["name"].as_str().unwrap().to_owned();
            ask(name, annotation["target"]["expr"].as_str().unwrap(), false);
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let Some(query) = variable["query"]["query"].as_str() else {
                continue;
            };
            let values = query
                .strip_prefix("label_values(")
                .and_then(|it| it.strip_suffix(')'));
            let (selector, label) = values.unwrap().rsplit_once(", ").unwrap();
            let name = variable["name"].as_str().unwrap().to_owned();
            ask(name, &format!("count by ({label}) ({selector})"), true);
        }
    }
    let all = found.len();
    found.retain(|question| question.place != AS_THE_HOST_TELLS);
    assert_eq!(found.len(), all - 1, "there is no {AS_THE_HOST_TELLS}");
    found
}

fn filled(expression: &str, peer: &str) -> String {
    let values = [
        ("$__rate_interval", "10s"),
        ("$__range", "5m"),
        ("$network", ".+"),
        ("$peer", peer),
        ("$vantage", ".+"),
    ];
    let fill = |text: String, (variable, value): (&str, &str)| text.replace(variable, value);
    let filled = values.into_iter().fold(expression.to_owned(), fill);
    assert!(!filled.contains('$'), "{filled}");
    filled
}

/// Asks until all are answered, and panics with those that are not in time.
async fn all_are_answered(mut questions: Vec<Query>, prometheus: &Prometheus, since: SystemTime) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut left = Vec::new();
        for question in questions {
            if !question.answered(prometheus, since).await {
                left.push(question);
            }
        }
        if left.is_empty() {
            return;
        }
        let places: Vec<_> = left.iter().map(|it| (&it.place, &it.expression)).collect();
        assert!(
            Instant::now() < deadline,
            "no data after {PATIENCE:?}: {places:#?}"
        );
        questions = left;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn every_query_of_the_dashboards_has_data_on_a_real_network() {
    let since = SystemTime::now();
    let mut network = Network::start(2).await;
    let config = healthy(&network);
    let agent = Agent::start(&config).await;
    let prometheus = Prometheus::start_eager(&agent.address).await;
    let (empty, filled): (Vec<_>, Vec<_>) = questions("peer-0")
        .into_iter()
        .partition(|it| EMPTY_WHEN_HEALTHY.contains(&it.place.as_str()));
    let listed: BTreeSet<&str> = empty.iter().map(|it| it.place.as_str()).collect();
    assert_eq!(
        listed,
        BTreeSet::from(EMPTY_WHEN_HEALTHY),
        "listed, but no query"
    );
    prometheus
        .wait_for("max(convex_peer_order_blocks)", |_| true)
        .await;
    network.peers[0].command("tx (def moved 1)").await;
    all_are_answered(filled, &prometheus, since).await;
    // Before the first scrape there was no agent, and that is a page.
    let pages = "count(ALERTS{severity=\"critical\"}) or vector(0)";
    prometheus.wait_for(pages, |count| count == 0.0).await;
    let calm = SystemTime::now();
    for question in empty {
        assert!(
            !question.answered(&prometheus, calm).await,
            "{} is not empty on a healthy network",
            question.place
        );
    }
}

fn healthy(network: &Network) -> String {
    let [first, second] = &network.peers[..] else {
        unreachable!("two peers were started");
    };
    format!(
        "mode: sidecar
defaults: {{ interval: 1s, timeout: 900ms }}
references: {{ interval: 1s }}
notify: {{ webhooks: [{{ name: nobody, url: 'http://127.0.0.1:1/' }}] }}
networks: [{{ name: local, genesis: '{}', stake_interval: 10s }}]
queries: [{{ name: core, source: '(balance #8)', interval: 10s }}]
peers:
  - {{ name: peer-0, endpoints: ['{}', '{}'], key: '{}', expect_block_every: 1day,
      sidecar: {{ command_contains: '--index 0 --store {stores}', store: '{stores}/peer-0.etch' }} }}
  - {{ name: peer-1, endpoints: ['{}', '{}'], role: reference }}
",
        first.genesis(),
        first.http(),
        first.tcp(),
        first.key(),
        second.http(),
        second.tcp(),
        stores = network.stores().display(),
    )
}

/// The lines that say what the peers of a simulated network are, under the name of another.
fn peers(simulated: &convex_simulator::Network, network: &str) -> String {
    let config = simulated.config();
    let peers = config.lines().filter(|line| line.contains("name: sim-"));
    let renamed = peers.map(|line| {
        line.replace("name: sim-", &format!("name: {network}-"))
            .replace("network: simulated", &format!("network: {network}"))
            + "\n"
    });
    renamed.collect()
}

/// Accepts connections and shows a certificate that ends in 2150; nobody trusts it.
async fn certified() -> String {
    let (acceptor, _) = tls::acceptor("localhost", 2150, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The client refuses it: that is what it is for.
            drop(acceptor.accept(stream).await);
        }
    });
    format!("https://localhost:{port}")
}

#[tokio::test]
async fn what_is_empty_on_a_healthy_network_is_filled_by_faults() {
    let since = SystemTime::now();
    let faulty = simulated::network(
        8,
        &[
            // Again and again: the agent must first have found the peer well.
            "refuse:1:20s..25s",
            "refuse:1:40s..45s",
            "refuse:1:60s..65s",
            "refuse:1:80s",
            "fork:2:5s",
            "low-stake:3:5s",
            "silent-stake:4:5s",
            "wrong-key:1:30s..35s",
            "half-dead:5:5s",
            "http-500:6:5s",
            "refuse:7:10s",
        ],
        Some("3s"),
    )
    .await;
    let split = simulated::network(4, &["fork:50%:5s"], Some("3s")).await;
    let stalled = simulated::network(4, &["stall:all:5s"], Some("3s")).await;
    let watched = peers(&faulty, "faulty").replace(
        "name: faulty-1,",
        "name: faulty-1, maintenance: [{ from: 2026-01-01T00:00:00Z, to: 2126-01-01T00:00:00Z, comment: always }],",
    );
    let watched = watched.replace(
        "name: faulty-4,",
        "name: faulty-4, expect_block_every: 10s,",
    );
    // What is told to be down burns no budget besides: this one fails polls and is not down yet.
    let watched = watched.replace("name: faulty-7,", "name: faulty-7, down_after: 100,");
    let config = format!(
        "defaults: {{ interval: 1s, timeout: 500ms }}
verdicts: {{ stall_after: 10s }}
self_check: {{ references: ['tcp://127.0.0.1:1'] }}
networks:
  - {{ name: faulty, stake_interval: 10s }}
  - {{ name: split, stake_interval: 10s }}
  - {{ name: stalled, stake_interval: 10s }}
peers:
  - {{ name: certified, network: faulty, endpoints: ['{}'] }}
{watched}{}{}",
        certified().await,
        peers(&split, "split"),
        peers(&stalled, "stalled")
    );
    let mut agent = Agent::start(&config).await;
    let prometheus = Prometheus::start_eager(&agent.address).await;
    let agents = "count(convex_monitor_info)";
    prometheus.wait_for(agents, |count| count == 1.0).await;
    reload(&agent.address).await;
    let reloads = "max(changes(convex_monitor_config_last_reload_success_timestamp_seconds[1m]))";
    prometheus.wait_for(reloads, |count| count > 0.0).await;
    agent.end().await;
    agent.begin().await;

    let mut asked = questions("faulty-1|certified");
    asked.retain(|it| EMPTY_WHEN_HEALTHY.contains(&it.place.as_str()));
    all_are_answered(asked, &prometheus, since).await;
}

async fn reload(address: &str) {
    let client = http_client(&HttpOptions::default(), Duration::from_secs(10)).unwrap();
    let answer = client
        .post(format!("http://{address}/-/reload"))
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}

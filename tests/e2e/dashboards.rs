//! Every query of the dashboards finds data: on a healthy network, or else with faults.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use convex_client::transaction::AccountKey;
use convex_client::{HttpOptions, http_client};
use convex_simulator::{NewAccount, Options};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::canary::canary;
use super::network::Network;
use super::prometheus::Prometheus;
use super::{Agent, REAL_PEERS, TIMEOUT, pipeline, simulated, tls};

/// Queries without data while nothing is wrong, as dashboard, panel or annotation, and letter of
/// the query. Faults fill each of them.
const EMPTY_WHEN_HEALTHY: [&str; 54] = [
    "convex-consensus, Canary by peer, B",
    "convex-consensus, Coins spent, D",
    "convex-consensus, Different states, C",
    "convex-consensus, Evidence, K",
    "convex-consensus, First different block, A",
    "convex-consensus, Forked",
    "convex-consensus, Order stalled",
    "convex-consensus, Peers outside consensus, A",
    "convex-consensus, Peers, I",
    "convex-consensus, Peers, J",
    "convex-consensus, Several histories",
    "convex-consensus, Split",
    "convex-consensus, State diverged",
    "convex-consensus, States differ",
    "convex-consensus, Weight by readiness, A",
    "convex-consensus, Weight by readiness, B",
    "convex-consensus, Weight by readiness, C",
    "convex-consensus, Writes failing",
    "convex-fleet, Agent restarts",
    "convex-fleet, Critical alerts",
    "convex-fleet, Critical alerts, A",
    "convex-fleet, Critical alerts, B",
    "convex-fleet, Failed polls, A",
    "convex-fleet, Failures by reason, A",
    "convex-fleet, Networks, K",
    "convex-fleet, Peers, C",
    "convex-fleet, Peers, I",
    "convex-fleet, Peers, J",
    "convex-fleet, Problems, A",
    "convex-fleet, Problems, B",
    "convex-fleet, Reloads",
    "convex-monitor, Agent restarts",
    "convex-monitor, Reloads",
    "convex-monitor, Self-check fails",
    "convex-peer, Active conditions, A",
    "convex-peer, Active conditions, B",
    "convex-peer, Agent restarts",
    "convex-peer, Certificate, A",
    "convex-peer, Connection phases, A",
    "convex-peer, Degraded",
    "convex-peer, Down",
    "convex-peer, Failures by reason, A",
    "convex-peer, Identity",
    "convex-peer, Maintenance",
    "convex-peer, Reloads",
    "convex-peer, Restarts",
    "convex-peer, Identity, C",
    "convex-service-level, Down",
    "convex-service-level, Error budget left (30 d), B",
    "convex-service-level, Error budgets, C",
    "convex-service-level, Services, C",
    "convex-stake, Stake low",
    "convex-stake, Unregistered",
    "convex-stake, Weight decayed",
];

/// Queries that may have data while nothing is wrong with the network: a warning that the disk of
/// this host fills, for example, or a transaction that the canary skips before it has seen a block.
/// Faults fill each of them.
const DEPENDS_ON_HOST: [&str; 4] = [
    "convex-consensus, Failed transactions, A",
    "convex-consensus, Skipped transactions, A",
    "convex-fleet, Warning alerts, A",
    "convex-fleet, Warning alerts, B",
];

/// Queries that are left out, with the reason.
const LEFT_OUT: [(&str, &str); 9] = [
    (
        "convex-consensus, Duration of transactions, B",
        "needs ten transactions, which are a minute apart; a test of the canary queries it",
    ),
    (
        "convex-monitor, Other agents, A",
        "this agent reads no other ones",
    ),
    (
        "convex-monitor, Age of opinions, A",
        "this agent reads no other ones",
    ),
    (
        "convex-monitor, Agent clock skew, A",
        "has data only while the clock of this host and those of most peers disagree",
    ),
    (
        "convex-service-level, Budget burns",
        "needs half an hour of outages that are each too short for a critical alert, or half a day of failed polls",
    ),
    (
        "convex-peer, Process starts and OOM kills (1 h), B",
        "has data only if the cgroups of this host count it",
    ),
    ("convex-consensus, Peers, K", NOT_JUDGED),
    ("convex-consensus, Stake heard, A", NOT_JUDGED),
    ("convex-peer, Stake heard, A", NOT_JUDGED),
];

const NOT_JUDGED: &str = "no peer is judged before it has been registered for five minutes";

/// A query of a dashboard.
struct Query {
    /// As in the list above.
    place: String,
    /// With values in place of the variables.
    expression: String,
    instant: bool,
}

impl Query {
    async fn has_data(&self, prometheus: &Prometheus, since: SystemTime) -> bool {
        let since = (!self.instant).then_some(since);
        prometheus.has_data(&self.expression, since).await
    }
}

/// Returns whether a query that is left out here has data now.
pub(super) async fn has_data(place: &str, prometheus: &Prometheus) -> bool {
    let all = all_queries(".+");
    let query = all.iter().find(|query| query.place == place);
    let query = query.expect("a query of a dashboard");
    prometheus.has_data(&query.expression, None).await
}

/// Returns the queries that are not left out. Those of the peer dashboard are for `peer`.
fn queries(peer: &str) -> Vec<Query> {
    let mut found = all_queries(peer);
    let all = found.len();
    found.retain(|query| LEFT_OUT.iter().all(|(place, _)| *place != query.place));
    assert_eq!(
        found.len(),
        all - LEFT_OUT.len(),
        "not all of {LEFT_OUT:?} exist"
    );
    found
}

/// Returns all queries of panels, variables and annotations.
fn all_queries(peer: &str) -> Vec<Query> {
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
        let mut add = |place: String, expression: &str, instant| {
            let expression = filled(expression, peer);
            found.push(Query {
                place: format!("{uid}, {place}"),
                expression,
                instant,
            });
        };
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let place = format!("{}, {}", text(&panel["title"]), text(&target["refId"]));
                add(place, &text(&target["expr"]), target["instant"] == true);
            }
        }
        for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
            let name = annotation["name"].as_str().unwrap().to_owned();
            add(name, annotation["target"]["expr"].as_str().unwrap(), false);
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
            add(name, &format!("count by ({label}) ({selector})"), true);
        }
    }
    found
}

/// Returns rows and panels; a collapsed row contains its panels.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let outer = dashboard["panels"].as_array().unwrap().iter();
    outer.flat_map(|panel| {
        let inner = panel["panels"].as_array().into_iter().flatten();
        std::iter::once(panel).chain(inner)
    })
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

/// Waits until all queries have had data.
async fn wait_for_data(mut queries: Vec<Query>, prometheus: &Prometheus, since: SystemTime) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let mut left = Vec::new();
        for query in queries {
            if !query.has_data(prometheus, since).await {
                left.push(query);
            }
        }
        if left.is_empty() {
            return;
        }
        let places: Vec<_> = left.iter().map(|it| (&it.place, &it.expression)).collect();
        assert!(
            Instant::now() < deadline,
            "no data after {TIMEOUT:?}: {places:#?}"
        );
        queries = left;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn dashboards_have_data_on_a_healthy_network_or_are_empty_by_design() {
    let since = SystemTime::now();
    let mut network = Network::start(2).await;
    let dir = tempfile::tempdir().unwrap();
    let canary = canary(&mut network, dir.path(), "own").await;
    let config = healthy(&network, &canary, dir.path());
    let agent = Agent::start(&config).await;
    let prometheus = Prometheus::start_without_rules(&agent.address, None).await;
    prometheus.load_rules_eagerly().await;
    let (empty, filled): (Vec<_>, Vec<_>) = queries("peer-0")
        .into_iter()
        .filter(|it| !DEPENDS_ON_HOST.contains(&it.place.as_str()))
        .partition(|it| EMPTY_WHEN_HEALTHY.contains(&it.place.as_str()));
    let listed: BTreeSet<&str> = empty.iter().map(|it| it.place.as_str()).collect();
    assert_eq!(
        listed,
        BTreeSet::from(EMPTY_WHEN_HEALTHY),
        "the list names queries that do not exist"
    );
    prometheus
        .wait_for("max(convex_peer_order_blocks)", |_| true)
        .await;
    // How long blocks take is known of those that are made between two walks. The canary sends only
    // while others do.
    let blocks = async {
        loop {
            network.transact(0, "(def moved 1)").await;
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    };
    tokio::select! {
        () = wait_for_data(filled, &prometheus, since) => {}
        () = blocks => {}
    }
    wait_until_all_are_empty(&empty, &prometheus).await;
}

/// Waits for a period in which no query has data. On a busy machine the agent itself may be in
/// trouble for a moment; a query that belongs elsewhere has data in every period.
async fn wait_until_all_are_empty(queries: &[Query], prometheus: &Prometheus) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let since = SystemTime::now();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let mut with_data = Vec::new();
        for query in queries {
            if query.has_data(prometheus, since).await {
                with_data.push(&query.place);
            }
        }
        if with_data.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "not empty on a healthy network: {with_data:#?}"
        );
    }
}

fn healthy(network: &Network, canary: &str, dir: &Path) -> String {
    let [first, second] = &network.peers[..] else {
        unreachable!("two peers were started");
    };
    format!(
        "mode: sidecar
{REAL_PEERS}references: {{ interval: 5s }}
notify: {{ webhooks: [{{ name: unreachable, url: 'http://127.0.0.1:1/' }}] }}
state_dir: '{}'
networks:
  - {{ name: local, genesis: '{}', stake_interval: 10s, consensus_interval: 10s, {canary} }}
queries: [{{ name: core, source: '(balance #8)', interval: 10s }}]
peers:
  - {{ name: peer-0, endpoints: ['{}', '{}'], key: '{}', expect_block_every: 1day,
      sidecar: {{ command_contains: '--index 0 --store {stores}', store: '{stores}/peer-0.etch' }} }}
  - {{ name: peer-1, endpoints: ['{}', '{}'], role: reference }}
",
        dir.join("state").display(),
        first.genesis(),
        first.http(),
        first.tcp(),
        first.key(),
        second.http(),
        second.tcp(),
        stores = network.stores().display(),
    )
}

/// Returns the lines about the peers from the configuration of a simulated network, with another
/// network name.
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

/// Starts a server whose certificate is valid until 2150 and not trusted, and returns its URL.
async fn tls_server() -> String {
    let (acceptor, _) = tls::acceptor("localhost", 2150, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The client rejects the certificate, which is enough for the metrics about it.
            drop(acceptor.accept(stream).await);
        }
    });
    format!("https://localhost:{port}")
}

#[tokio::test]
async fn faults_fill_the_queries_that_are_empty_on_a_healthy_network() {
    // Before the networks, whose faults begin a fixed time after their start.
    let address = pipeline::own_address().unwrap();
    let prometheus = Prometheus::start_without_rules(&address.to_string(), None).await;
    let since = SystemTime::now();
    let faulty = simulated::network(
        8,
        &[
            // Repeated, because a peer must be healthy before it can change to down.
            "refuse:1:20s..25s",
            "refuse:1:40s..45s",
            "refuse:1:60s..65s",
            "refuse:1:80s",
            "fork:2:5s",
            "low-stake:3:5s",
            "silent-stake:4:5s",
            "wrong-key:1:30s..35s",
            "wrong-key:1:50s..55s",
            "wrong-key:1:70s..75s",
            "half-dead:5:5s",
            "http-500:6:5s",
            "refuse:7:10s",
            "unregistered:8:20s",
        ],
        Some("3s"),
    )
    .await;
    let split = simulated::network(4, &["fork:50%:5s"], Some("3s")).await;
    let stalled = ["stall:all:5s", "upgrade=21d:all"];
    let stalled = simulated::network(4, &stalled, Some("3s")).await;
    let dir = tempfile::tempdir().unwrap();
    let (refusing, canaries) = refusing(dir.path()).await;
    let watched = peers(&faulty, "faulty").replace(
        "name: faulty-1,",
        "name: faulty-1, maintenance: [{ from: 2026-01-01T00:00:00Z, to: 2126-01-01T00:00:00Z, comment: always }],",
    );
    let watched = watched.replace(
        "name: faulty-4,",
        "name: faulty-4, expect_block_every: 10s,",
    );
    let config = format!(
        "state_dir: '{}'
defaults: {{ interval: 1s, timeout: 500ms }}
verdicts: {{ stall_after: 10s }}
self_check: {{ references: ['tcp://127.0.0.1:1'] }}
networks:
  - {{ name: faulty, stake_interval: 10s, consensus_interval: 10s }}
  - {{ name: split, stake_interval: 10s, consensus_interval: 10s }}
  - {{ name: refusing, stake_interval: 10s, consensus_interval: 10s, {} }}
  - {{ name: stalled, stake_interval: 10s, consensus_interval: 10s, {} }}
peers:
  - {{ name: certified, network: faulty, service: alone, endpoints: ['{}'] }}
{watched}{}{}{}",
        dir.path().join("state").display(),
        canaries[0],
        canaries[1],
        tls_server().await,
        peers(&split, "split"),
        peers(&refusing, "refusing"),
        peers(&stalled, "stalled")
    );
    let mut agent = Agent::start_at(address, &config).await;
    prometheus.load_rules_eagerly().await;
    let agents = "count(convex_monitor_info)";
    prometheus.wait_for(agents, |count| count == 1.0).await;
    reload(&agent.address).await;
    let reloads = "max(changes(convex_monitor_config_last_reload_success_timestamp_seconds[1m]))";
    prometheus.wait_for(reloads, |count| count > 0.0).await;
    agent.end().await;
    agent.begin().await;

    let mut queries = queries("faulty-1|certified");
    queries.retain(|it| {
        let place = it.place.as_str();
        EMPTY_WHEN_HEALTHY.contains(&place) || DEPENDS_ON_HOST.contains(&place)
    });
    wait_for_data(queries, &prometheus, since).await;

    for (alert, network, text) in [
        ("ConvexWritesFailing", "refusing", "failed (rejected)"),
        ("ConvexCanaryFunds", "stalled", "Problems: no_account."),
    ] {
        let firing = format!(
            "ALERTS{{alertname=\"{alert}\",network=\"{network}\",severity=\"warning\",\
             alertstate=\"firing\"}}"
        );
        prometheus.wait_for(&firing, |firing| firing == 1.0).await;
        let description = prometheus.annotation(alert, "warning", "description");
        let description = description.await;
        assert!(description.contains(text), "{alert}: {description}");
    }
}

/// Starts two peers, the first of which refuses transactions. Returns them with a canary that sends
/// transactions through it, and one of a network `stalled` whose account does not exist.
async fn refusing(dir: &Path) -> (convex_simulator::Network, [String; 2]) {
    const SEED: [u8; 32] = [7; 32];
    let key = AccountKey::from_seed(&SEED).public_key();
    let options = Options {
        accounts: vec![NewAccount::new(key)],
        ..simulated::options(2, &["tx-error=TRUST:1"], None)
    };
    let network = convex_simulator::Network::start(options).await.unwrap();
    let key_file = dir.join("canary.key");
    std::fs::write(&key_file, hex::encode(SEED)).unwrap();
    let canary = |account, peer| {
        format!(
            "canary: {{ account: {account}, key_file: '{}', interval: 1m, peers: [{peer}], \
             daily_budget_cvm: 0.1 }}",
            key_file.display()
        )
    };
    let canaries = [
        canary(network.account(0), "refusing-1"),
        canary(999_999, "stalled-1"),
    ];
    (network, canaries)
}

async fn reload(address: &str) {
    let client = http_client(&HttpOptions::default(), TIMEOUT).unwrap();
    let answer = client
        .post(format!("http://{address}/-/reload"))
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}

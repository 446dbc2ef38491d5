//! Two agents with one configuration and two Prometheus, as `docs/scaling.md` has them: to who is told they are one.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use convex_client::{HttpOptions, http_client};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::notify::{PATIENCE, PEERS, is_told_once};
use super::paging::Pages;
use super::pipeline::{Alertmanager, Pace, Prometheus, Receiver, root};
use super::{Agent, simulated};

const DOWN: &str =
    "alertname=ConvexPeerDown cluster=production network=simulated peer=sim-2 severity=critical";

/// One of the agents that watch the simulated network.
async fn agent(config: &str, vantage: &str, alertmanager: SocketAddr) -> Agent {
    let notify = format!(
        "notify: {{ labels: {{ cluster: production }}, alertmanagers: [{{ name: am, url: 'http://{alertmanager}' }}] }}"
    );
    let defaults = "defaults: { interval: 1s, timeout: 800ms }";
    Agent::start(&format!(
        "{config}{defaults}\nvantage: {vantage}\n{notify}\n"
    ))
    .await
}

/// One of the Prometheus that scrape both agents, with every time as shipped.
async fn prometheus(replica: &str, agents: [&Agent; 2], alertmanager: SocketAddr) -> Prometheus {
    let file = root().join("deploy/prometheus.pair.yml");
    let mut config = fs::read_to_string(file).unwrap();
    for (shipped, here) in [
        ("replica: a\n", format!("replica: {replica}\n")),
        ("127.0.0.1:18880", agents[0].address.clone()),
        ("127.0.0.1:18881", agents[1].address.clone()),
        ("127.0.0.1:9093", alertmanager.to_string()),
    ] {
        assert!(config.contains(shipped), "{shipped}");
        config = config.replace(shipped, &here);
    }
    let started = Prometheus::start_as(Pace::Shipped, &config, |rules| rules).await;
    started.unwrap()
}

/// The alerts about peers that are down, as Alertmanager has them.
async fn down(alertmanager: SocketAddr) -> Vec<Value> {
    let client = http_client(&HttpOptions::default(), Duration::from_secs(10)).unwrap();
    let url = format!("http://{alertmanager}/api/v2/alerts?filter=alertname=ConvexPeerDown");
    let text = client.get(url).send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Waits until both agents have told Alertmanager and both Prometheus fire.
async fn all_tell(agents: [&Agent; 2], all_prometheus: [&Prometheus; 2]) {
    let told = "convex_monitor_notifications_total{receiver=\"am\"}";
    let firing = "ALERTS{alertname=\"ConvexPeerDown\",alertstate=\"firing\"}";
    let waiting = async {
        for agent in agents {
            while agent.value(told).await == 0.0 {
                sleep(Duration::from_secs(1)).await;
            }
        }
        for prometheus in all_prometheus {
            while prometheus.query(firing).await.unwrap() != Some(1.0) {
                sleep(Duration::from_secs(1)).await;
            }
        }
    };
    timeout(PATIENCE, waiting).await.expect("four tell of it");
}

/// Both agents and both Prometheus tell of a peer that is down; one agent ends meanwhile, and the other tells when it is over.
pub(super) async fn a_pair_of_agents_and_of_prometheus_is_one_page() {
    let network = simulated::network(PEERS, &["refuse:2:30s..150s"], None).await;
    let receiver = Receiver::start().await.unwrap();
    let alertmanager = Alertmanager::start(Pace::Shipped, &receiver).await.unwrap();
    let to = alertmanager.address();
    let config = network.config();
    let mut one = agent(&config, "one", to).await;
    let two = agent(&config, "two", to).await;
    let a = prometheus("a", [&one, &two], to).await;
    let b = prometheus("b", [&one, &two], to).await;
    let mut pages = Pages::new(receiver);
    pages.until("ConvexPeerDown", true).await;
    all_tell([&one, &two], [&a, &b]).await;
    let alerts = down(to).await;
    assert_eq!(alerts.len(), 1, "four tell of one alert: {alerts:?}");

    one.end().await;
    let healthy = "convex_peer_health{peer=\"sim-2\",network=\"simulated\",state=\"up\"}";
    let waiting = async {
        while two.value(healthy).await == 0.0 {
            let alerts = down(to).await;
            assert_eq!(alerts.len(), 1, "one agent is enough: {alerts:?}");
            assert_eq!(alerts[0]["status"]["state"], "active");
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it comes back");
    pages.until("ConvexPeerDown", false).await;
    // Whatever else is told would be told within the interval of the group.
    pages.listen(Duration::from_secs(125)).await;
    is_told_once(&pages, DOWN);
}

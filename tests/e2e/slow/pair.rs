//! Two agents with one configuration and two Prometheus servers, as in `docs/scaling.md`, notify
//! like one.

use std::net::SocketAddr;
use std::time::Duration;

use convex_client::{HttpOptions, http_client};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::paging::Pages;
use crate::pipeline::{Alertmanager, Pace, Prometheus, Receiver};
use crate::{Agent, TIMEOUT, simulated};

use super::notify::{PEERS, assert_one_page_and_resolve};

const DOWN: &str =
    "alertname=ConvexPeerDown cluster=production network=simulated peer=sim-2 severity=critical";

/// Starts one of the two agents.
async fn agent(config: &str, vantage: &str, alertmanager: SocketAddr) -> Agent {
    let notify = format!(
        "notify: {{ labels: {{ cluster: production }}, alertmanagers: [{{ name: am, url: 'http://{alertmanager}' }}] }}"
    );
    let defaults = "defaults: { interval: 3s, timeout: 2900ms }";
    Agent::start(&format!(
        "{config}{defaults}\nvantage: {vantage}\n{notify}\n"
    ))
    .await
}

/// Starts a Prometheus that scrapes both agents, with all times as shipped.
async fn prometheus(replica: &str, agents: [&Agent; 2], alertmanager: SocketAddr) -> Prometheus {
    let agents = agents.map(|agent| agent.address.as_str());
    let prometheus = Prometheus::start_pair(Pace::Shipped, replica, agents, alertmanager);
    let prometheus = prometheus.await.unwrap();
    prometheus.load_rules(|rules| rules).await.unwrap();
    prometheus
}

/// Returns the alerts about peers that are down from Alertmanager.
async fn down(alertmanager: SocketAddr) -> Vec<Value> {
    let client = http_client(&HttpOptions::default(), TIMEOUT).unwrap();
    let url = format!("http://{alertmanager}/api/v2/alerts?filter=alertname=ConvexPeerDown");
    let text = client.get(url).send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Waits until both agents have notified Alertmanager and both Prometheus servers fire.
async fn wait_for_all_alerts(agents: [&Agent; 2], all_prometheus: [&Prometheus; 2]) {
    let sent = "convex_monitor_notifications_total{receiver=\"am\"}";
    let firing = "ALERTS{alertname=\"ConvexPeerDown\",alertstate=\"firing\"}";
    let waiting = async {
        for agent in agents {
            while agent.value(sent).await == 0.0 {
                sleep(Duration::from_secs(1)).await;
            }
        }
        for prometheus in all_prometheus {
            while prometheus.query(firing).await.unwrap() != Some(1.0) {
                sleep(Duration::from_secs(1)).await;
            }
        }
    };
    timeout(TIMEOUT, waiting).await.expect("all four alert");
}

/// Both agents and both Prometheus servers alert about a peer that is down. One agent stops, and
/// the other one resolves the alert.
pub(super) async fn a_pair_of_agents_and_prometheus_servers_is_one_page() {
    let receiver = Receiver::start().await.unwrap();
    let alertmanager = Alertmanager::start(Pace::Shipped, &receiver).await.unwrap();
    let to = alertmanager.address();
    let network = simulated::network(PEERS, &["refuse:2:30s..180s"], None).await;
    let config = network.config();
    let mut one = agent(&config, "one", to).await;
    let two = agent(&config, "two", to).await;
    let a = prometheus("a", [&one, &two], to).await;
    let b = prometheus("b", [&one, &two], to).await;
    let mut pages = Pages::new(receiver);
    pages.until("ConvexPeerDown", true).await;
    wait_for_all_alerts([&one, &two], [&a, &b]).await;
    let alerts = down(to).await;
    assert_eq!(alerts.len(), 1, "not one alert: {alerts:?}");

    one.end().await;
    let healthy = "convex_peer_health{peer=\"sim-2\",network=\"simulated\",state=\"up\"}";
    let waiting = async {
        loop {
            // Before the peer's health, which may change between the two requests.
            let alerts = down(to).await;
            if two.value(healthy).await != 0.0 {
                return;
            }
            assert_eq!(
                alerts.len(),
                1,
                "the other agent keeps the alert: {alerts:?}"
            );
            assert_eq!(alerts[0]["status"]["state"], "active");
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(TIMEOUT, waiting)
        .await
        .expect("the peer comes back");
    pages.until("ConvexPeerDown", false).await;
    // Longer than `group_interval`: any other notification arrives within this time.
    pages.listen(Duration::from_secs(125)).await;
    assert_one_page_and_resolve(&pages, DOWN);
}

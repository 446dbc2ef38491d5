//! Notifications sent by the agent itself, with all times as shipped: without Prometheus, together
//! with Prometheus, and with all receivers unavailable for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convex_client::{HttpOptions, http_client};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::network::Network;
use crate::paging::Pages;
use crate::pipeline::{Alert, Alertmanager, Pace, Prometheus, Receiver, own_address};
use crate::{Agent, TIMEOUT, simulated};

use super::pair;

/// With seven peers, the loss of one does not put the quorum at risk, which would be another page.
pub(super) const PEERS: usize = 7;

/// Asserts that the notifications about an alert are one page and one resolve.
pub(super) fn assert_one_page_and_resolve(pages: &Pages, labels: &str) {
    let histories = pages.histories();
    let Some(history) = histories.get(labels) else {
        panic!("{labels} is not among {histories:#?}");
    };
    assert!(
        history.fired.len() == 1 && history.resolved,
        "{:#?}",
        pages.notifications
    );
    let named = |alert: &&Alert| labels.contains(&format!("={} ", alert.name()));
    let firing: Vec<bool> = pages
        .notifications
        .iter()
        .filter_map(|notification| notification.alerts.iter().find(named))
        .map(Alert::is_firing)
        .collect();
    let changes = 1 + firing.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, 2, "not firing, then resolved: {firing:?}");
}

/// Returns the configuration for a simulated network, with this `notify` section.
fn config(network: &convex_simulator::Network, state: &tempfile::TempDir, notify: &str) -> String {
    network.config()
        + &format!(
            "defaults: {{ interval: 3s, timeout: 2900ms }}\nstate_dir: '{}'\nnotify: {notify}\n",
            state.path().display()
        )
}

#[tokio::test]
async fn the_agent_notifies_without_prometheus_and_loses_no_notification() {
    // All at once: they wait for minutes, because the times are as shipped.
    tokio::join!(
        a_killed_peer_is_paged_without_prometheus(),
        the_agent_and_prometheus_together_are_one_page(),
        notifications_survive_an_outage_of_all_receivers(),
        pair::a_pair_of_agents_and_prometheus_servers_is_one_page()
    );
}

async fn a_killed_peer_is_paged_without_prometheus() {
    const DOWN: &str = "alertname=ConvexPeerDown network=local peer=peer-1 severity=critical";
    let mut network = Network::start(2).await;
    let receiver = Receiver::start().await.unwrap();
    let alertmanager = Alertmanager::start(Pace::Shipped, &receiver).await.unwrap();
    let notify = format!(
        "notify: {{ alertmanagers: [{{ name: am, url: 'http://{}' }}] }}\n",
        alertmanager.address()
    );
    let agent = Agent::start(&(crate::config(&network) + &notify)).await;
    let mut pages = Pages::new(receiver);
    wait_until_set(&agent, &crate::of("convex_peer_health", 1, ",state=\"up\"")).await;

    network.peers[1].end().await;
    let died = Instant::now();
    let page = pages.until("ConvexPeerDown", true).await;
    println!(
        "from death to page, without Prometheus: {:?}",
        died.elapsed()
    );
    assert_eq!(page.annotations["summary"], "peer-1 of local is down");
    let description = &page.annotations["description"];
    assert!(
        description.contains("active conditions: refused (since "),
        "{description}"
    );
    assert!(page.annotations["runbook_url"].ends_with("/runbooks/ConvexPeerDown"));

    network.restart(1).await;
    pages.until("ConvexPeerDown", false).await;
    pages.listen(Duration::from_secs(20)).await;
    assert_one_page_and_resolve(&pages, DOWN);
}

/// Waits until a series of the agent is 1.
async fn wait_until_set(agent: &Agent, series: &str) {
    let waiting = async {
        while !agent.metrics().await.contains(&format!("{series} 1\n")) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(TIMEOUT, waiting).await.expect(series);
}

const DOWN: &str = "alertname=ConvexPeerDown network=simulated peer=sim-2 severity=critical";

async fn the_agent_and_prometheus_together_are_one_page() {
    let receiver = Receiver::start().await.unwrap();
    let mut hook = Receiver::start().await.unwrap();
    let alertmanager = Alertmanager::start(Pace::Shipped, &receiver).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let network = simulated::network(PEERS, &["refuse:2:30s..180s"], None).await;
    let notify = format!(
        "{{ alertmanagers: [{{ name: am, url: 'http://{}' }}], webhooks: [{{ name: hook, url: '{}' }}] }}",
        alertmanager.address(),
        hook.url("hook")
    );
    let agent = Agent::start(&config(&network, &state, &notify)).await;
    let alertmanager = Some(alertmanager.address());
    let prometheus = Prometheus::start(Pace::Shipped, &agent.address, alertmanager);
    let prometheus = prometheus.await.unwrap();
    prometheus.load_rules(|rules| rules).await.unwrap();
    let mut pages = Pages::new(receiver);
    pages.until("ConvexPeerDown", true).await;

    let own = timeout(TIMEOUT, hook.next()).await.unwrap();
    let own = &own.body["commonLabels"];
    assert_eq!(*own, fired_by(&prometheus, "ConvexPeerDown").await);

    pages.until("ConvexPeerDown", false).await;
    // Longer than `group_interval`: any other notification arrives within this time.
    pages.listen(Duration::from_secs(125)).await;
    assert_one_page_and_resolve(&pages, DOWN);
}

/// Waits until Prometheus fires this alert, once, and returns its labels.
async fn fired_by(prometheus: &Prometheus, name: &str) -> Value {
    let client = http_client(&HttpOptions::default(), TIMEOUT).unwrap();
    let url = format!("http://{}/api/v1/alerts", prometheus.address());
    let firing = async {
        loop {
            let text = client.get(&url).send().await.unwrap().text().await.unwrap();
            let answer: Value = serde_json::from_str(&text).unwrap();
            let alerts = answer["data"]["alerts"].as_array().unwrap();
            let named = alerts
                .iter()
                .filter(|alert| alert["labels"]["alertname"] == name);
            let mut firing = named.filter(|alert| alert["state"] == "firing");
            if let Some(alert) = firing.next() {
                assert!(firing.next().is_none(), "{answer}");
                return alert["labels"].clone();
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(TIMEOUT, firing).await.unwrap()
}

async fn notifications_survive_an_outage_of_all_receivers() {
    let network = simulated::network(PEERS, &["refuse:2:10s..300s"], None).await;
    let receiver = Receiver::start().await.unwrap();
    let (am, hook) = (own_address().unwrap(), own_address().unwrap());
    let state = tempfile::tempdir().unwrap();
    let notify = format!(
        "{{ alertmanagers: [{{ name: am, url: 'http://{am}' }}], webhooks: [{{ name: hook, url: 'http://{hook}/hook' }}] }}"
    );
    let mut agent = Agent::start(&config(&network, &state, &notify)).await;
    let failing = "convex_monitor_notification_failures_total{receiver=\"hook\"}";
    let waiting = async {
        while agent.value(failing).await == 0.0 {
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(TIMEOUT, waiting)
        .await
        .expect("the agent tries to notify");
    agent.kill().await;
    agent.begin().await;
    sleep(Duration::from_secs(120)).await;

    let _alertmanager = Alertmanager::start_at(am, Pace::Shipped, &receiver)
        .await
        .unwrap();
    let mut hook = Receiver::start_at(hook).await.unwrap();
    let mut pages = Pages::new(receiver);
    pages.until("ConvexPeerDown", true).await;
    pages.until("ConvexPeerDown", false).await;
    pages.listen(Duration::from_secs(20)).await;
    assert_one_page_and_resolve(&pages, DOWN);

    // The webhook receives each transition at least once, always with the same id.
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    while let Ok(delivery) = timeout(Duration::from_secs(15), hook.next()).await {
        let text = |key: &str| delivery.body[key].as_str().unwrap().to_owned();
        ids.entry(text("status")).or_default().insert(text("id"));
    }
    let counts: Vec<_> = ids
        .iter()
        .map(|(status, ids)| (status.as_str(), ids.len()))
        .collect();
    assert_eq!(counts, [("firing", 1), ("resolved", 1)]);
}

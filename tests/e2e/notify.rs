//! The agent's own way to a page, with every time as shipped: without Prometheus, beside it, and with everybody gone meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convex_client::{HttpOptions, http_client};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::network::Network;
use super::paging::{Pages, Story};
use super::pipeline::{Alert, Alertmanager, Pace, Prometheus, Receiver, own_address};
use super::{Agent, pair, simulated};

/// Longest wait for something that must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// Of a network of seven one may be lost without being at risk, which would be a page of its own.
pub(super) const PEERS: usize = 7;

fn story<'a>(stories: &'a BTreeMap<String, Story>, labels: &str) -> &'a Story {
    let found = stories.get(labels);
    found.unwrap_or_else(|| panic!("{labels} is not among {stories:#?}"))
}

/// One page and one resolve, of this alert.
pub(super) fn is_told_once(pages: &Pages, labels: &str) {
    let stories = pages.stories();
    let story = story(&stories, labels);
    assert!(story.fired.len() == 1 && story.over, "{:#?}", pages.told);
    let named = |alert: &&Alert| labels.contains(&format!("={} ", alert.name()));
    let told: Vec<bool> = pages
        .told
        .iter()
        .filter_map(|told| told.alerts.iter().find(named))
        .map(Alert::is_firing)
        .collect();
    let changes = 1 + told.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, 2, "firing, then over: {told:?}");
}

/// The configuration of an agent that watches the simulated network, with this section `notify`.
fn watching(
    network: &convex_simulator::Network,
    state: &tempfile::TempDir,
    notify: &str,
) -> String {
    network.config()
        + &format!(
            "defaults: {{ interval: 1s, timeout: 800ms }}\nstate_dir: '{}'\nnotify: {notify}\n",
            state.path().display()
        )
}

#[tokio::test]
async fn the_agent_pages_by_itself_as_prometheus_does_and_loses_nothing() {
    // They wait most of the time: for minutes that no test may shorten.
    tokio::join!(
        a_killed_peer_is_paged_without_prometheus(),
        both_ways_are_one_page(),
        everybody_is_gone_meanwhile(),
        pair::a_pair_of_agents_and_of_prometheus_is_one_page()
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
    let agent = Agent::start(&(super::config(&network) + &notify)).await;
    let mut pages = Pages::new(receiver);
    until_up(&agent, &super::of("convex_peer_health", 1, ",state=\"up\"")).await;

    network.peers[1].end().await;
    let died = Instant::now();
    let page = pages.until("ConvexPeerDown", true).await;
    println!(
        "from death to page, without Prometheus: {:?}",
        died.elapsed()
    );
    assert_eq!(page.annotations["summary"], "A Convex peer is down.");
    let description = &page.annotations["description"];
    assert!(
        description.contains("Conditions in force: refused."),
        "{description}"
    );
    assert!(page.annotations["runbook_url"].ends_with("/runbooks/ConvexPeerDown"));

    network.restart(1).await;
    pages.until("ConvexPeerDown", false).await;
    pages.listen(Duration::from_secs(20)).await;
    is_told_once(&pages, DOWN);
}

/// Waits until a series of the agent is 1.
async fn until_up(agent: &Agent, series: &str) {
    let waiting = async {
        while !agent.metrics().await.contains(&format!("{series} 1\n")) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect(series);
}

const DOWN: &str = "alertname=ConvexPeerDown network=simulated peer=sim-2 severity=critical";

async fn both_ways_are_one_page() {
    let network = simulated::network(PEERS, &["refuse:2:30s..150s"], None).await;
    let receiver = Receiver::start().await.unwrap();
    let mut hook = Receiver::start().await.unwrap();
    let alertmanager = Alertmanager::start(Pace::Shipped, &receiver).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let notify = format!(
        "{{ alertmanagers: [{{ name: am, url: 'http://{}' }}], webhooks: [{{ name: hook, url: '{}' }}] }}",
        alertmanager.address(),
        hook.url("hook")
    );
    let agent = Agent::start(&watching(&network, &state, &notify)).await;
    let told = Some(alertmanager.address());
    let prometheus = Prometheus::start(Pace::Shipped, &agent.address, told)
        .await
        .unwrap();
    let mut pages = Pages::new(receiver);
    pages.until("ConvexPeerDown", true).await;

    let own = timeout(PATIENCE, hook.next()).await.unwrap();
    let own = &own.body["commonLabels"];
    assert_eq!(*own, fired_by(&prometheus, "ConvexPeerDown").await);

    pages.until("ConvexPeerDown", false).await;
    // Whatever else is told would be told within the interval of the group.
    pages.listen(Duration::from_secs(125)).await;
    is_told_once(&pages, DOWN);
}

/// Waits until Prometheus fires this alert, once, and gives its labels.
async fn fired_by(prometheus: &Prometheus, name: &str) -> Value {
    let client = http_client(&HttpOptions::default(), Duration::from_secs(10)).unwrap();
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
    timeout(PATIENCE, firing).await.unwrap()
}

async fn everybody_is_gone_meanwhile() {
    let network = simulated::network(PEERS, &["refuse:2:10s..300s"], None).await;
    let receiver = Receiver::start().await.unwrap();
    let (am, hook) = (own_address().unwrap(), own_address().unwrap());
    let state = tempfile::tempdir().unwrap();
    let notify = format!(
        "{{ alertmanagers: [{{ name: am, url: 'http://{am}' }}], webhooks: [{{ name: hook, url: 'http://{hook}/hook' }}] }}"
    );
    let mut agent = Agent::start(&watching(&network, &state, &notify)).await;
    let failing = "convex_monitor_notification_failures_total{receiver=\"hook\"}";
    let waiting = async {
        while agent.value(failing).await == 0.0 {
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("the page is tried");
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
    is_told_once(&pages, DOWN);

    // The webhook was told each transition at least once, under one id each.
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    while let Ok(told) = timeout(Duration::from_secs(5), hook.next()).await {
        let text = |key: &str| told.body[key].as_str().unwrap().to_owned();
        ids.entry(text("status")).or_default().insert(text("id"));
    }
    let counts: Vec<_> = ids
        .iter()
        .map(|(status, ids)| (status.as_str(), ids.len()))
        .collect();
    assert_eq!(counts, [("firing", 1), ("resolved", 1)]);
}

//! The example routes in a real Alertmanager: which alerts of a fault are notified, and in which
//! groups.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use convex_client::{HttpOptions, http_client};
use serde_json::{Value, json};

use super::TIMEOUT;
use super::paging::{Pages, QUIET};
use super::pipeline::{Alertmanager, Notification, Pace, Receiver};

/// Faults, each in a network of its own, with the alert that names it and those that follow from
/// it. Alerts about the peer `p` have its name.
const FAULTS: [(&str, &str, &[&str]); 3] = [
    (
        "rotated",
        "p ConvexPeerIdentityChanged",
        &[
            "p ConvexPeerDown",
            "p ConvexPeerDegraded",
            "ConvexQuorumAtRisk",
        ],
    ),
    (
        "forked",
        "p ConvexPeerForked",
        &[
            "p ConvexStateDiverged",
            "p ConvexPeerLagging",
            "ConvexStatesDiffer",
        ],
    ),
    (
        "upgraded",
        "ConvexUpgradeFailed",
        &[
            "ConvexConsensusStalled",
            "ConvexQuorumAtRisk",
            "p ConvexPeerDegraded",
        ],
    ),
];

/// Sends alerts to Alertmanager as Prometheus does.
async fn fire(alertmanager: SocketAddr, alerts: impl Iterator<Item = (&str, &str)>) {
    let alert = |(network, alert): (&str, &str)| {
        let (peer, name) = alert.split_once(' ').unwrap_or(("", alert));
        let labels = [
            ("alertname", name),
            ("severity", "critical"),
            ("network", network),
            ("peer", peer),
        ];
        let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
        let labels: serde_json::Map<String, Value> = labels
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        json!({ "labels": labels })
    };
    let alerts: Vec<Value> = alerts.map(alert).collect();
    let client = http_client(&HttpOptions::default(), TIMEOUT).unwrap();
    let request = client
        .post(format!("http://{alertmanager}/api/v2/alerts"))
        .header("Content-Type", "application/json")
        .body(Value::from(alerts).to_string());
    let response = request.send().await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
}

#[tokio::test]
async fn each_fault_is_one_notification_and_a_network_is_a_group_of_its_own() {
    let receiver = Receiver::start().await.unwrap();
    let alertmanager = Alertmanager::start(Pace::Fast, &receiver).await.unwrap();
    let mut pages = Pages::new(receiver);
    // A cause fires no later than what follows from it.
    let address = alertmanager.address();
    fire(
        address,
        FAULTS
            .into_iter()
            .map(|(network, cause, _)| (network, cause)),
    )
    .await;
    pages.listen(QUIET).await;
    let follows = FAULTS.into_iter().flat_map(|(network, _, consequences)| {
        consequences.iter().map(move |alert| (network, *alert))
    });
    fire(address, follows).await;
    pages.listen(QUIET).await;
    let alerts = pages.notifications.iter().flat_map(|it| &it.alerts);
    let notified: BTreeSet<(&str, &str)> = alerts
        .map(|alert| (alert.labels["network"].as_str(), alert.name()))
        .collect();
    let causes = FAULTS.into_iter().map(|(network, cause, _)| {
        let (_, name) = cause.split_once(' ').unwrap_or(("", cause));
        (network, name)
    });
    assert_eq!(notified, causes.collect());

    let upgrade = |it: &&Notification| it.alerts[0].name() == "ConvexUpgradeFailed";
    let upgrade = pages.notifications.iter().find(upgrade).unwrap();
    let group: Vec<&str> = upgrade.group_labels.keys().map(String::as_str).collect();
    assert_eq!(group, ["alertname", "network"]);
}

//! What operators acknowledge and silence, as a real Alertmanager has it.

use convex_client::{HttpOptions, http_client};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::pipeline::{Alertmanager, Pace, Receiver};
use super::{Agent, TIMEOUT, simulated};

const ALERT: &str = "ConvexPeerIdentityChanged";

/// An agent and the Alertmanager that it notifies.
struct Pair {
    agent: Agent,
    alertmanager: Alertmanager,
    client: Client,
}

impl Pair {
    /// Sends a request to the agent's API and returns the answer.
    async fn act(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("http://{}{path}", self.agent.address);
        let request = self.client.request(method, url);
        let request = request.header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await.unwrap();
        assert!(response.status().is_success(), "{response:?}");
        let text = response.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn ask(&self, path: &str) -> Vec<Value> {
        let url = format!("http://{}/api/v2/{path}", self.alertmanager.address());
        let text = self
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Waits until the alert has this state in Alertmanager, and returns the silences that are
    /// active there.
    async fn until(&self, state: &str) -> Vec<Value> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let alerts = self.ask(&format!("alerts?filter=alertname={ALERT}")).await;
            if alerts.len() == 1 && alerts[0]["status"]["state"] == state {
                let mut silences = self.ask("silences").await;
                silences.retain(|it| it["status"]["state"] == "active");
                return silences;
            }
            assert!(Instant::now() < deadline, "not {state}: {alerts:?}");
            sleep(std::time::Duration::from_millis(200)).await;
        }
    }
}

/// Asserts that a silence was set by `name`, is about the alert, and ends.
fn assert_about_the_alert(silence: &Value, name: &str, comment: &str) {
    assert_eq!(silence["createdBy"], format!("{name} at eu"), "{silence}");
    assert!(
        silence["comment"].as_str().unwrap().contains(comment),
        "{silence}"
    );
    let matchers = silence["matchers"].as_array().unwrap();
    let has = |label: &str, value: &str| {
        let mut matchers = matchers.iter();
        matchers.any(|it| it["name"] == label && it["value"] == value && it["isRegex"] == false)
    };
    assert!(has("peer", "sim-1") && has("network", "n"), "{silence}");
}

#[tokio::test]
async fn acknowledgements_and_silences_become_silences_and_end_with_them() {
    let network = simulated::network(1, &[], None).await;
    let receiver = Receiver::start().await.unwrap();
    let alertmanager = Alertmanager::start(Pace::Fast, &receiver).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    // Another key than the pinned one is an alert at once.
    let config = format!(
        "vantage: eu\nstate_dir: '{}'\nnotify: {{ alertmanagers: [{{ name: am, url: 'http://{}' }}] }}\n\
         networks: [{{ name: n }}]\n\
         peers: [{{ name: sim-1, network: n, key: '0x{}', endpoints: ['tcp://{}'] }}]\n",
        state.path().display(),
        alertmanager.address(),
        "11".repeat(32),
        network.tcp(1),
    );
    let mut pair = Pair {
        agent: Agent::start(&config).await,
        alertmanager,
        client: http_client(&HttpOptions::default(), TIMEOUT).unwrap(),
    };
    assert_eq!(pair.until("active").await, Vec::<Value>::new());

    let acknowledge = json!({
        "kind": "acknowledgement", "alertname": ALERT, "seconds": 600, "created_by": "alice",
        "comment": "on it",
    });
    let action = pair.act(Method::POST, "/api/v1/actions", acknowledge).await;
    let silences = pair.until("suppressed").await;
    assert_eq!(silences.len(), 1, "{silences:?}");
    assert_about_the_alert(&silences[0], "alice", "on it");
    let path = format!("/api/v1/actions/{}?created_by=carol", action["id"]);
    pair.act(Method::DELETE, &path, Value::Null).await;
    assert_eq!(pair.until("active").await, Vec::<Value>::new());

    let silence = json!({
        "kind": "silence", "peer": "sim-1", "network": "n", "seconds": 600, "created_by": "bob",
        "comment": "moving",
    });
    let action = pair.act(Method::POST, "/api/v1/actions", silence).await;
    let before = pair.until("suppressed").await;
    assert_eq!(before.len(), 1, "{before:?}");
    assert_about_the_alert(&before[0], "bob", "moving");
    // An agent that was killed knows its silence, and sets no second one.
    pair.agent.kill().await;
    pair.agent.begin().await;
    pair.agent
        .until(
            "convex_monitor_notifications_total{receiver=\"am\"}",
            |it| it > 0.0,
        )
        .await;
    assert_eq!(pair.until("suppressed").await, before);
    let path = format!("/api/v1/actions/{}?created_by=carol", action["id"]);
    pair.act(Method::DELETE, &path, Value::Null).await;
    assert_eq!(pair.until("active").await, Vec::<Value>::new());
}

//! Deliveries to receivers that answer as scripted: order, identity, retries, and what is kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use convex_client::Endpoint;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::alerting::{MonitorFacts, Seen};
use crate::config::shard::Shard;
use crate::config::{self, Config, Peer};
use crate::fleet::{Condition, Fleet, NetworkSnapshot, PeerRecord, Snapshot};
use crate::poller::ScheduleMetrics;
use crate::self_check::{Check, CheckResult, Checks};

use super::outbox::Outbox;
use super::{Context, Counts, Kept, Notifier, Parts};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// One request as it came.
#[derive(Clone, Debug)]
struct Request {
    path: String,
    headers: HeaderMap,
    body: Value,
}

/// Records requests, and answers as scripted, then well.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

struct Receiver {
    url: String,
    script: Script,
}

impl Receiver {
    async fn start(answers: &[u16]) -> Self {
        let script = Script::default();
        let answers = answers
            .iter()
            .map(|code| StatusCode::from_u16(*code).unwrap());
        script.answers.lock().unwrap().extend(answers);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, script }
    }

    fn requests(&self) -> Vec<Request> {
        self.script.requests.lock().unwrap().clone()
    }

    /// Waits for so many requests.
    async fn received(&self, count: usize) -> Vec<Request> {
        let waiting = async {
            while self.requests().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let came = timeout(PATIENCE, waiting).await;
        came.unwrap_or_else(|_| panic!("{count} requests, came {:?}", self.requests()));
        self.requests()
    }
}

async fn take(
    State(script): State<Script>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    script.requests.lock().unwrap().push(Request {
        path: uri.to_string(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });
    script
        .answers
        .lock()
        .unwrap()
        .pop_front()
        .unwrap_or(StatusCode::OK)
}

/// An agent's part that tells, on made-up snapshots.
struct Teller {
    parts: Parts,
    notifier: Notifier,
    config: Config,
    registry: Registry,
}

impl Teller {
    fn start(notify: &str, kept: Kept) -> Self {
        let text = format!(
            "vantage: v\nexternal_url: http://mon.example/convex/\n\
             peers: [{{ name: p, endpoints: ['tcp://192.0.2.1'] }}]\nnotify: {notify}\n"
        );
        let config = config::parse(&text, "c.yml", std::path::Path::new(""), &|_| None).unwrap();
        let registry = Registry::new();
        let parts = Parts {
            fleet: Arc::new(Fleet::default()),
            outbox: Arc::new(Outbox::default()),
            counts: Counts::register(&registry).unwrap(),
            timing: ScheduleMetrics::register(&registry).unwrap(),
            shard: Shard::default(),
            stop: CancellationToken::new(),
        };
        parts.outbox.restore(kept);
        let mut notifier = Notifier::new(parts.clone());
        notifier.apply(&config);
        Self {
            parts,
            notifier,
            config,
            registry,
        }
    }

    /// Looks at peers of which each has these conditions, `later` than now, and publishes.
    fn look(&self, peers: &[(&str, &[Condition])], later: u64) {
        self.look_only(peers, later);
        self.parts.outbox.publish();
    }

    fn look_only(&self, peers: &[(&str, &[Condition])], later: u64) {
        let later = Duration::from_secs(later);
        let record = |(name, conditions): &(&str, &[Condition])| {
            let mut peer = Peer::at(Endpoint::parse("tcp://192.0.2.1").unwrap());
            (*name).clone_into(&mut peer.name);
            "n".clone_into(&mut peer.network);
            let mut record = PeerRecord::new(Arc::new(peer));
            record.conditions = conditions.iter().copied().collect();
            Arc::new(record)
        };
        let snapshot = Snapshot {
            wall: SystemTime::now() + later,
            now: Instant::now() + later,
            peers: peers.iter().map(record).collect(),
            others: Vec::new(),
            networks: vec![NetworkSnapshot {
                name: "n".to_owned(),
                ..NetworkSnapshot::default()
            }],
            checks: Checks::default(),
        };
        let monitor = MonitorFacts {
            reload_successful: true,
            ..MonitorFacts::default()
        };
        let seen = Seen {
            snapshot: &snapshot,
            monitor: &monitor,
        };
        let webhooks = &self.config.notify.webhooks;
        self.parts
            .outbox
            .look(seen, &Context::of(&self.config), webhooks);
    }

    fn counter(&self, name: &str, receiver: &str) -> Option<String> {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name)?;
        let of = |metric: &&prometheus::proto::Metric| metric.get_label()[0].value() == receiver;
        let metric = family.get_metric().iter().find(of)?;
        Some(metric.get_counter().get_value().to_string())
    }

    /// Delivered and undelivered requests, once there are so many.
    async fn counted(&self, receiver: &str, all: &str) -> String {
        let waiting = async {
            while self.counter("convex_monitor_notifications_total", receiver)
                != Some(all.to_owned())
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("counted in time");
        self.counter("convex_monitor_notification_failures_total", receiver)
            .unwrap()
    }

    async fn stop(self) -> Kept {
        self.parts.stop.cancel();
        timeout(PATIENCE, self.notifier.drained()).await.unwrap();
        self.parts.outbox.export()
    }
}

fn ids(requests: &[Request]) -> Vec<String> {
    let id = |request: &Request| {
        request.headers["idempotency-key"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    requests.iter().map(id).collect()
}

fn queued(kept: &Kept) -> usize {
    let kept = serde_json::to_value(kept).unwrap();
    kept["queues"]["ops"].as_array().unwrap().len()
}

const FLAPPING: &[Condition] = &[Condition::Flapping];

#[tokio::test]
async fn a_webhook_is_told_of_both_transitions_in_the_shape_of_alertmanagers_webhooks() {
    let hook = Receiver::start(&[]).await;
    let notify = format!(
        "{{ labels: {{ team: convex }}, webhooks: [{{ name: ops, url: '{}/in?key=s3cret', bearer_token: t0ken }}] }}",
        hook.url
    );
    let teller = Teller::start(&notify, Kept::default());
    teller.look(&[("p", FLAPPING)], 0);
    let first = hook.received(1).await.remove(0);
    teller.look(&[("p", &[])], 5);
    let second = hook.received(2).await.remove(1);

    assert_eq!(first.path, "/in?key=s3cret");
    assert_eq!(first.headers["authorization"], "Bearer t0ken");
    assert_eq!(first.headers["content-type"], "application/json");
    assert_eq!(
        first.headers["idempotency-key"],
        first.body["id"].as_str().unwrap()
    );
    let labels = json!({
        "alertname": "ConvexPeerFlapping", "severity": "warning", "peer": "p", "network": "n", "team": "convex",
    });
    let body = &first.body;
    assert_eq!(
        (&body["version"], &body["status"], &body["receiver"]),
        (&json!("4"), &json!("firing"), &json!("ops"))
    );
    assert_eq!(body["externalURL"], "http://mon.example/convex/");
    assert_eq!(
        (&body["commonLabels"], &body["alerts"][0]["labels"]),
        (&labels, &labels)
    );
    let annotations = &body["alerts"][0]["annotations"];
    assert_eq!(
        annotations["runbook_url"],
        "http://mon.example/convex/runbooks/ConvexPeerFlapping"
    );
    assert_eq!(annotations["summary"], "A Convex peer goes up and down.");
    assert_eq!(
        body["alerts"][0]["generatorURL"],
        "http://mon.example/convex/peers/p"
    );
    assert_eq!(body["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");

    assert_eq!(second.body["status"], "resolved");
    assert_eq!(
        second.body["alerts"][0]["startsAt"],
        body["alerts"][0]["startsAt"]
    );
    assert_ne!(
        second.body["alerts"][0]["endsAt"],
        body["alerts"][0]["endsAt"]
    );
    assert_ne!(second.body["id"], body["id"]);
    assert_eq!(
        second.body["alerts"][0]["fingerprint"],
        body["alerts"][0]["fingerprint"]
    );
    assert_eq!(teller.counted("ops", "2").await, "0");
    teller.stop().await;
}

#[tokio::test]
async fn what_a_webhook_does_not_take_is_told_again_in_order_and_under_its_id() {
    let hook = Receiver::start(&[503, 302, 200, 500]).await;
    let notify = format!("{{ webhooks: [{{ name: ops, url: '{}' }}] }}", hook.url);
    let teller = Teller::start(&notify, Kept::default());
    teller.look(&[("p", FLAPPING)], 0);
    teller.look(&[("p", &[])], 5);
    let requests = hook.received(5).await;
    let ids = ids(&requests);
    assert_eq!((&ids[0], &ids[1]), (&ids[2], &ids[2]));
    assert_eq!(ids[3], ids[4]);
    assert_ne!(ids[0], ids[3]);
    assert_eq!(requests[4].body["status"], "resolved");
    assert_eq!(teller.counted("ops", "5").await, "3");
    assert!(teller.parts.counts.failing().is_empty(), "it works again");
    teller.stop().await;
}

#[tokio::test]
async fn what_a_webhook_will_never_take_is_given_up() {
    let hook = Receiver::start(&[400]).await;
    let notify = format!("{{ webhooks: [{{ name: ops, url: '{}' }}] }}", hook.url);
    let teller = Teller::start(&notify, Kept::default());
    teller.look(&[("p", FLAPPING), ("q", FLAPPING)], 0);
    let requests = hook.received(2).await;
    let ids = ids(&requests);
    assert_ne!(ids[0], ids[1]);
    assert_eq!(teller.counted("ops", "2").await, "1");
    teller.stop().await;
}

#[tokio::test]
async fn a_webhook_is_told_only_what_it_wants() {
    let urgent = Receiver::start(&[]).await;
    let begins = Receiver::start(&[]).await;
    let notify = format!(
        "{{ webhooks: [{{ name: urgent, url: '{}', min_severity: critical }}, {{ name: begins, url: '{}', send_resolved: false }}] }}",
        urgent.url, begins.url
    );
    let teller = Teller::start(&notify, Kept::default());
    let wrong = &[Condition::Failing(crate::failure::Reason::WrongNetwork)];
    teller.look(&[("p", FLAPPING)], 0);
    teller.look(&[("p", &[])], 5);
    teller.look(&[("p", wrong)], 10);
    assert_eq!(begins.received(2).await[1].body["status"], "firing");
    let only = urgent.received(1).await;
    assert_eq!(
        only[0].body["commonLabels"]["alertname"],
        "ConvexPeerWrongNetwork"
    );
    teller.stop().await;
    assert_eq!((urgent.requests().len(), begins.requests().len()), (1, 2));
}

#[tokio::test]
async fn nothing_is_sent_before_it_is_kept_and_what_is_kept_is_sent_after_a_restart() {
    let hook = Receiver::start(&[500, 500]).await;
    let notify = format!("{{ webhooks: [{{ name: ops, url: '{}' }}] }}", hook.url);
    let teller = Teller::start(&notify, Kept::default());
    teller.look_only(&[("p", FLAPPING)], 0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(hook.requests().is_empty(), "it is not on disk yet");
    teller.parts.outbox.publish();
    hook.received(1).await;
    let kept = teller.stop().await;
    assert!(!kept.is_empty());

    let text = serde_json::to_string(&kept).unwrap();
    let again = Teller::start(&notify, serde_json::from_str(&text).unwrap());
    let requests = hook.received(3).await;
    assert_eq!(ids(&requests)[0], ids(&requests)[2]);
    // It is known to fire: a look that finds the same tells nothing.
    again.look(&[("p", FLAPPING)], 0);
    again.look(&[("p", &[])], 300);
    let requests = hook.received(4).await;
    assert_eq!(requests[3].body["status"], "resolved");
    assert_eq!(
        requests[3].body["alerts"][0]["startsAt"],
        requests[0].body["alerts"][0]["startsAt"]
    );
    let kept = again.stop().await;
    assert_eq!(queued(&kept), 0, "all of it was delivered");
}

#[tokio::test]
async fn a_queue_is_bounded_and_gives_up_the_oldest() {
    // Nobody listens: the port is of a listener that is gone.
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let notify = format!("{{ webhooks: [{{ name: ops, url: 'http://{gone}' }}] }}");
    let teller = Teller::start(&notify, Kept::default());
    let names: Vec<String> = (0..10_001).map(|i| format!("p{i:05}")).collect();
    let peers: Vec<(&str, &[Condition])> =
        names.iter().map(|name| (name.as_str(), FLAPPING)).collect();
    teller.look(&peers, 0);
    let (first, lost) = teller.parts.outbox.first("ops");
    // The webhook's own task may have asked first, and has told of it then.
    assert!(lost <= 1);
    let first = serde_json::to_value(first.unwrap()).unwrap();
    assert_eq!(first["commonLabels"]["peer"], "p00001");
    assert_eq!(queued(&teller.stop().await), 10_000);
}

#[tokio::test]
async fn an_alertmanager_is_told_at_once_and_again_after_a_failure() {
    let am = Receiver::start(&[503]).await;
    let notify = format!(
        "{{ alertmanagers: [{{ name: am, url: '{}/prefix/', basic_auth: {{ username: me, password: s3cret }} }}] }}",
        am.url
    );
    let teller = Teller::start(&notify, Kept::default());
    teller.look(&[("p", FLAPPING)], 0);
    let requests = am.received(2).await;
    assert_eq!(requests[1].path, "/prefix/api/v2/alerts");
    assert_eq!(requests[1].headers["authorization"], "Basic bWU6czNjcmV0");
    let alert = &requests[1].body[0];
    let labels = json!({ "alertname": "ConvexPeerFlapping", "severity": "warning", "peer": "p", "network": "n" });
    assert_eq!(alert["labels"], labels);
    let time = |key: &str| humantime::parse_rfc3339(alert[key].as_str().unwrap()).unwrap();
    assert!(time("endsAt") > SystemTime::now() + Duration::from_secs(200));
    teller.look(&[("p", &[])], 1);
    let over = am.received(3).await.remove(2);
    let ends = humantime::parse_rfc3339(over.body[0]["endsAt"].as_str().unwrap()).unwrap();
    assert!(ends <= SystemTime::now() + Duration::from_secs(1));
    assert_eq!(over.body[0]["labels"], labels);
    assert_eq!(teller.counted("am", "3").await, "1");
    teller.stop().await;
}

#[tokio::test]
async fn many_alerts_are_told_in_several_requests_and_none_twice_at_once() {
    let am = Receiver::start(&[]).await;
    let notify = format!("{{ alertmanagers: [{{ name: am, url: '{}' }}] }}", am.url);
    let teller = Teller::start(&notify, Kept::default());
    let names: Vec<String> = (0..300).map(|i| format!("p{i}")).collect();
    let peers: Vec<(&str, &[Condition])> =
        names.iter().map(|name| (name.as_str(), FLAPPING)).collect();
    teller.look(&peers, 0);
    let requests = am.received(2).await;
    let told = |request: &Request| request.body.as_array().unwrap().len();
    assert_eq!(requests.iter().map(told).collect::<Vec<_>>(), [256, 44]);
    let mut more = peers.clone();
    more.push(("one more", FLAPPING));
    teller.look(&more, 1);
    assert_eq!(told(&am.received(3).await[2]), 1, "only what is new");
    teller.stop().await;
}

#[tokio::test]
async fn the_heartbeat_is_withheld_while_the_agent_is_unwell() {
    let switch = Receiver::start(&[]).await;
    let notify = format!("{{ heartbeat: {{ url: '{}', interval: 1s }} }}", switch.url);
    let teller = Teller::start(&notify, Kept::default());
    switch.received(2).await;
    teller
        .parts
        .fleet
        .examine([(Check::Dns, CheckResult::Failed)].into_iter().collect());
    // One call may be on its way.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = switch.requests().len();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(switch.requests().len(), before);
    teller.parts.fleet.examine(Checks::default());
    switch.received(before + 1).await;
    teller.stop().await;
}

#[tokio::test]
async fn a_reload_keeps_what_is_queued_for_a_webhook_that_stays() {
    let before = Receiver::start(&[500; 50]).await;
    let after = Receiver::start(&[]).await;
    let notify = |url: &str| format!("{{ webhooks: [{{ name: ops, url: '{url}' }}] }}");
    let mut teller = Teller::start(&notify(&before.url), Kept::default());
    teller.look(&[("p", FLAPPING)], 0);
    let first = before.received(1).await.remove(0);
    let other = Teller::start(&notify(&after.url), Kept::default());
    teller.notifier.apply(&other.config);
    let moved = after.received(1).await.remove(0);
    assert_eq!(ids(&[first]), ids(&[moved]));

    let none = Teller::start("{ labels: { a: b } }", Kept::default());
    teller.notifier.apply(&none.config);
    assert_eq!(
        teller.counter("convex_monitor_notifications_total", "ops"),
        None
    );
    let kept = serde_json::to_value(teller.stop().await).unwrap();
    assert_eq!(kept["queues"], json!({}));
    other.stop().await;
    none.stop().await;
}

//! Tests of deliveries to receivers with scripted answers: order, ids, retries and persistence.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use convex_client::Endpoint;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::alerting::{MonitorStatus, RuleInput};
use crate::config::shard::Shard;
use crate::config::{self, Config, Peer};
use crate::fleet::{Condition, Fleet, Health, NetworkVerdict, PeerRecord, example};
use crate::poller::ScheduleMetrics;
use crate::self_check::{Check, CheckResult, Checks};
use crate::supervisor::Supervisor;

use super::stand_ins::{Fault, Kind, Shared, StandIn, serve};
use super::{DeliveryMetrics, Dependencies, MessageContext, Notifier, Outbox, PersistedOutbox};

/// Longest wait for an expected event.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A received request.
#[derive(Clone, Debug)]
struct Request {
    at: Instant,
    path: String,
    headers: HeaderMap,
    body: Value,
}

/// `Retry-After` of every answer with status 429; longer than the first pause between attempts.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Records requests; answers with the scripted statuses, then with 200.
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
        let app = Router::new().fallback(record).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, script }
    }

    fn requests(&self) -> Vec<Request> {
        self.script.requests.lock().unwrap().clone()
    }

    /// Waits for this number of requests.
    async fn received(&self, count: usize) -> Vec<Request> {
        let waiting = async {
            while self.requests().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = timeout(TIMEOUT, waiting).await;
        waited.unwrap_or_else(|_| panic!("expected {count} requests: {:?}", self.requests()));
        self.requests()
    }
}

async fn record(
    State(script): State<Script>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap) {
    script.requests.lock().unwrap().push(Request {
        at: Instant::now(),
        path: uri.to_string(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });
    let next = script.answers.lock().unwrap().pop_front();
    let status = next.unwrap_or(StatusCode::OK);
    let mut headers = HeaderMap::new();
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER.as_secs().into());
    }
    (status, headers)
}

/// The alerting of an agent over synthetic snapshots.
struct Alerting {
    dependencies: Dependencies,
    supervisor: Supervisor,
    notifier: Notifier,
    config: Config,
    registry: Registry,
}

impl Alerting {
    fn start(notify: &str, persisted: PersistedOutbox) -> Self {
        let text = format!(
            "vantage: v\nexternal_url: http://mon.example/convex/\n\
             peers: [{{ name: p, endpoints: ['tcp://192.0.2.1'] }}]\nnotify: {notify}\n"
        );
        let config = config::parse(&text, "c.yml", std::path::Path::new(""), &|_| None).unwrap();
        let registry = Registry::new();
        let dependencies = Dependencies {
            fleet: Arc::new(Fleet::default()),
            outbox: Arc::new(Outbox::default()),
            metrics: DeliveryMetrics::register(&registry).unwrap(),
            timing: ScheduleMetrics::register(&registry).unwrap(),
            shard: Shard::default(),
        };
        dependencies.outbox.restore(persisted);
        let supervisor = Supervisor::new(CancellationToken::new());
        let mut notifier = Notifier::new(dependencies.clone(), supervisor.clone());
        notifier.apply(&config);
        Self {
            dependencies,
            supervisor,
            notifier,
            config,
            registry,
        }
    }

    /// Evaluates the rules over peers with these conditions, `later` seconds from now and once
    /// their alerts have waited for others of their group, and publishes.
    fn settle(&self, peers: &[(&str, &[Condition])], later: u64) {
        self.evaluate_only(peers, later);
        self.evaluate(peers, later + GROUP_WAIT);
    }

    /// Evaluates the rules over peers with these conditions, `later` seconds from now, and
    /// publishes.
    fn evaluate(&self, peers: &[(&str, &[Condition])], later: u64) {
        self.evaluate_only(peers, later);
        self.dependencies.outbox.publish();
    }

    fn evaluate_only(&self, peers: &[(&str, &[Condition])], later: u64) {
        let later = Duration::from_secs(later);
        let record = |(name, conditions): &(&str, &[Condition])| {
            let mut peer = Peer::from_endpoint(Endpoint::parse("tcp://192.0.2.1").unwrap());
            (*name).clone_into(&mut peer.name);
            "n".clone_into(&mut peer.network);
            let mut record = PeerRecord::new(Arc::new(peer));
            record.health = Health::Up;
            record.conditions = conditions.iter().copied().collect();
            // As many good polls as seconds have passed.
            for _ in 0..=later.as_secs() {
                example::answer(&mut record, Instant::now() + later);
            }
            Arc::new(record)
        };
        let moment = (Instant::now() + later, SystemTime::now() + later);
        let peers = peers.iter().map(record).collect();
        let snapshot = example::snapshot_of(moment, peers, NetworkVerdict::default());
        let monitor = MonitorStatus {
            reload_successful: true,
            ..MonitorStatus::default()
        };
        let input = RuleInput {
            snapshot: &snapshot,
            monitor: &monitor,
        };
        self.dependencies.outbox.evaluate(
            0,
            input,
            &MessageContext::from_config(&self.config),
            &self.config.notify,
        );
    }

    fn counter(&self, name: &str, receiver: &str) -> Option<String> {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name)?;
        let has_label =
            |metric: &&prometheus::proto::Metric| metric.get_label()[0].value() == receiver;
        let metric = family.get_metric().iter().find(has_label)?;
        Some(metric.get_counter().get_value().to_string())
    }

    /// Waits until `total` requests are counted, and returns how many of them failed.
    async fn failures_of(&self, receiver: &str, total: &str) -> String {
        let waiting = async {
            while self.counter("convex_monitor_notifications_total", receiver)
                != Some(total.to_owned())
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(TIMEOUT, waiting).await.expect("counted in time");
        self.counter("convex_monitor_notification_failures_total", receiver)
            .unwrap()
    }

    async fn stop(self) -> PersistedOutbox {
        self.supervisor.stop().cancel();
        timeout(TIMEOUT, self.supervisor.drained()).await.unwrap();
        self.dependencies.outbox.export()
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

fn queued(persisted: &PersistedOutbox) -> usize {
    let persisted = serde_json::to_value(persisted).unwrap();
    persisted["queues"]["ops"].as_array().unwrap().len()
}

const FORKED: &[Condition] = &[Condition::Forked];

/// How long an alert waits for others of its group, in seconds.
const GROUP_WAIT: u64 = 15;

/// How long after its last cause an alert has ended and its group may send again, in seconds.
const ENDED: u64 = 140;

#[tokio::test]
async fn a_webhook_receives_both_transitions_in_the_format_of_alertmanager() {
    let hook = Receiver::start(&[]).await;
    let notify = format!(
        "{{ labels: {{ team: convex }}, webhooks: [{{ name: ops, url: '{}/in?key=s3cret', bearer_token: t0ken }}] }}",
        hook.url
    );
    let alerting = Alerting::start(&notify, PersistedOutbox::default());
    alerting.settle(&[("p", FORKED)], 0);
    let first = hook.received(1).await.remove(0);
    alerting.settle(&[("p", &[])], ENDED);
    let second = hook.received(2).await.remove(1);

    assert_eq!(first.path, "/in?key=s3cret");
    assert_eq!(first.headers["authorization"], "Bearer t0ken");
    assert_eq!(first.headers["content-type"], "application/json");
    assert_eq!(
        first.headers["idempotency-key"],
        first.body["id"].as_str().unwrap()
    );
    let labels = json!({
        "alertname": "ConvexPeerForked", "severity": "critical", "peer": "p", "network": "n", "team": "convex",
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
        "http://mon.example/convex/runbooks/ConvexPeerForked"
    );
    assert_eq!(
        annotations["summary"],
        "p of n has another history than its network"
    );
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
    assert_eq!(alerting.failures_of("ops", "2").await, "0");
    alerting.stop().await;
}

#[tokio::test]
async fn failed_notifications_are_retried_in_order_and_with_their_id() {
    let hook = Receiver::start(&[503, 302, 200, 500]).await;
    let notify = format!("{{ webhooks: [{{ name: ops, url: '{}' }}] }}", hook.url);
    let alerting = Alerting::start(&notify, PersistedOutbox::default());
    alerting.settle(&[("p", FORKED)], 0);
    alerting.settle(&[("p", &[])], ENDED);
    let requests = hook.received(5).await;
    let ids = ids(&requests);
    assert_eq!((&ids[0], &ids[1]), (&ids[2], &ids[2]));
    assert_eq!(ids[3], ids[4]);
    assert_ne!(ids[0], ids[3]);
    assert_eq!(requests[4].body["status"], "resolved");
    assert_eq!(alerting.failures_of("ops", "5").await, "3");
    assert!(
        alerting.dependencies.metrics.failing_receivers().is_empty(),
        "the last delivery succeeded"
    );
    alerting.stop().await;
}

#[tokio::test]
async fn every_kind_of_receiver_is_left_alone_while_it_asks_for_that() {
    let hook = Receiver::start(&[429]).await;
    let am = Receiver::start(&[429]).await;
    let switch = Receiver::start(&[429]).await;
    let notify = format!(
        "{{ webhooks: [{{ name: ops, url: '{}' }}], alertmanagers: [{{ name: am, url: '{}' }}], heartbeat: {{ url: '{}', interval: 1s }} }}",
        hook.url, am.url, switch.url
    );
    let alerting = Alerting::start(&notify, PersistedOutbox::default());
    alerting.settle(&[("p", FORKED)], 0);
    for receiver in [hook, am, switch] {
        let requests = receiver.received(2).await;
        let pause = requests[1].at - requests[0].at;
        println!("asked to come back after {RETRY_AFTER:?}: {pause:?}");
        assert!(pause >= RETRY_AFTER);
    }
    alerting.stop().await;
}

#[tokio::test]
async fn a_rejected_notification_is_dropped() {
    let hook = Receiver::start(&[400]).await;
    let notify = format!("{{ webhooks: [{{ name: ops, url: '{}' }}] }}", hook.url);
    let alerting = Alerting::start(&notify, PersistedOutbox::default());
    alerting.settle(&[("p", FORKED)], 0);
    alerting.settle(&[("p", FORKED), ("q", FORKED)], ENDED);
    let requests = hook.received(2).await;
    let ids = ids(&requests);
    assert_ne!(ids[0], ids[1]);
    assert_eq!(alerting.failures_of("ops", "2").await, "1");
    alerting.stop().await;
}

#[tokio::test]
async fn a_webhook_receives_only_the_alerts_it_is_configured_for() {
    let urgent = Receiver::start(&[]).await;
    let begins = Receiver::start(&[]).await;
    let notify = format!(
        "{{ webhooks: [{{ name: urgent, url: '{}', min_severity: critical }}, {{ name: begins, url: '{}', send_resolved: false }}] }}",
        urgent.url, begins.url
    );
    let alerting = Alerting::start(&notify, PersistedOutbox::default());
    let another = &[Condition::IdentityChanged];
    // A warning, after two minutes.
    let lagging = &[Condition::Lagging];
    alerting.evaluate(&[("p", lagging)], 0);
    alerting.settle(&[("p", lagging)], 120);
    alerting.settle(&[("p", &[])], 120 + ENDED);
    alerting.settle(&[("p", another)], 120 + 2 * ENDED);
    assert_eq!(begins.received(2).await[1].body["status"], "firing");
    let only = urgent.received(1).await;
    assert_eq!(
        only[0].body["commonLabels"]["alertname"],
        "ConvexPeerIdentityChanged"
    );
    alerting.stop().await;
    assert_eq!((urgent.requests().len(), begins.requests().len()), (1, 2));
}

#[tokio::test]
async fn notifications_are_sent_once_saved_and_again_after_a_restart() {
    let hook = Receiver::start(&[500, 500]).await;
    let notify = format!("{{ webhooks: [{{ name: ops, url: '{}' }}] }}", hook.url);
    let alerting = Alerting::start(&notify, PersistedOutbox::default());
    alerting.evaluate_only(&[("p", FORKED)], 0);
    alerting.evaluate_only(&[("p", FORKED)], GROUP_WAIT);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(hook.requests().is_empty(), "it is not saved yet");
    alerting.dependencies.outbox.publish();
    hook.received(1).await;
    let persisted = alerting.stop().await;
    assert!(!persisted.is_empty());

    let text = serde_json::to_string(&persisted).unwrap();
    let again = Alerting::start(&notify, serde_json::from_str(&text).unwrap());
    let requests = hook.received(3).await;
    assert_eq!(ids(&requests)[0], ids(&requests)[2]);
    // The alert is restored as firing, so the same state sends nothing.
    again.settle(&[("p", FORKED)], 0);
    again.settle(&[("p", &[])], 200);
    let requests = hook.received(4).await;
    assert_eq!(requests[3].body["status"], "resolved");
    assert_eq!(
        requests[3].body["alerts"][0]["startsAt"],
        requests[0].body["alerts"][0]["startsAt"]
    );
    let persisted = again.stop().await;
    assert_eq!(queued(&persisted), 0, "everything was delivered");
}

#[tokio::test]
async fn a_queue_is_bounded_and_drops_the_oldest() {
    // Nothing listens on the port of a closed listener.
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let notify = format!("{{ webhooks: [{{ name: ops, url: 'http://{gone}' }}] }}");
    let alerting = Alerting::start(&notify, PersistedOutbox::default());
    let names: Vec<String> = (0..10_001).map(|i| format!("p{i:05}")).collect();
    let peers: Vec<(&str, &[Condition])> =
        names.iter().map(|name| (name.as_str(), FORKED)).collect();
    alerting.settle(&peers, 0);
    let (first, dropped) = alerting.dependencies.outbox.first("ops");
    // The webhook's task may have taken the count of dropped messages first.
    assert!(dropped <= 1);
    let first = serde_json::to_value(first.unwrap()).unwrap();
    assert_eq!(first["alerts"][0]["labels"]["peer"], "p00256");
    assert_eq!(
        queued(&alerting.stop().await),
        39,
        "messages with 9,745 alerts"
    );
}

#[tokio::test]
async fn an_alertmanager_is_notified_immediately_and_again_after_a_failure() {
    let am = Receiver::start(&[503]).await;
    let notify = format!(
        "{{ alertmanagers: [{{ name: am, url: '{}/prefix/', basic_auth: {{ username: me, password: s3cret }} }}] }}",
        am.url
    );
    let alerting = Alerting::start(&notify, PersistedOutbox::default());
    alerting.evaluate(&[("p", FORKED)], 0);
    let requests = am.received(2).await;
    assert_eq!(requests[1].path, "/prefix/api/v2/alerts");
    assert_eq!(requests[1].headers["authorization"], "Basic bWU6czNjcmV0");
    let alert = &requests[1].body[0];
    let labels = json!({ "alertname": "ConvexPeerForked", "severity": "critical", "peer": "p", "network": "n" });
    assert_eq!(alert["labels"], labels);
    assert_eq!(
        (&alert["startsAt"], &alert["endsAt"]),
        (&Value::Null, &Value::Null)
    );
    alerting.evaluate(&[("p", &[])], ENDED);
    let resolved = am.received(3).await.remove(2);
    let ends = humantime::parse_rfc3339(resolved.body[0]["endsAt"].as_str().unwrap()).unwrap();
    assert!(ends <= SystemTime::now(), "{ends:?}");
    assert_eq!(resolved.body[0]["labels"], labels);
    assert_eq!(alerting.failures_of("am", "3").await, "1");
    alerting.stop().await;
}

#[tokio::test]
async fn many_alerts_are_split_into_requests_and_none_is_repeated_early() {
    let am = Receiver::start(&[]).await;
    let notify = format!("{{ alertmanagers: [{{ name: am, url: '{}' }}] }}", am.url);
    let alerting = Alerting::start(&notify, PersistedOutbox::default());
    let names: Vec<String> = (0..300).map(|i| format!("p{i}")).collect();
    let peers: Vec<(&str, &[Condition])> =
        names.iter().map(|name| (name.as_str(), FORKED)).collect();
    alerting.evaluate(&peers, 0);
    let requests = am.received(3).await;
    let alerts = |request: &Request| request.body.as_array().unwrap().len();
    let counts: Vec<_> = requests.iter().map(alerts).collect();
    assert_eq!(
        counts,
        [0, 256, 44],
        "first without alerts, to learn the time there"
    );
    let mut more = peers.clone();
    more.push(("one more", FORKED));
    alerting.evaluate(&more, 1);
    assert_eq!(alerts(&am.received(4).await[3]), 1, "only the new alert");
    alerting.stop().await;
}

#[tokio::test]
async fn the_heartbeat_pauses_while_a_self_check_fails() {
    let switch = Receiver::start(&[]).await;
    let notify = format!("{{ heartbeat: {{ url: '{}', interval: 1s }} }}", switch.url);
    let alerting = Alerting::start(&notify, PersistedOutbox::default());
    switch.received(2).await;
    alerting
        .dependencies
        .fleet
        .record_self_checks([(Check::Dns, CheckResult::Failed)].into_iter().collect());
    // One request may be in flight.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = switch.requests().len();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(switch.requests().len(), before);
    alerting
        .dependencies
        .fleet
        .record_self_checks(Checks::default());
    switch.received(before + 1).await;
    alerting.stop().await;
}

#[tokio::test]
async fn a_reload_keeps_the_queue_of_a_webhook_that_stays() {
    let before = Receiver::start(&[500; 50]).await;
    let after = Receiver::start(&[]).await;
    let notify = |url: &str| format!("{{ webhooks: [{{ name: ops, url: '{url}' }}] }}");
    let mut alerting = Alerting::start(&notify(&before.url), PersistedOutbox::default());
    alerting.settle(&[("p", FORKED)], 0);
    let first = before.received(1).await.remove(0);
    let other = Alerting::start(&notify(&after.url), PersistedOutbox::default());
    alerting.notifier.apply(&other.config);
    let moved = after.received(1).await.remove(0);
    assert_eq!(ids(&[first]), ids(&[moved]));

    let none = Alerting::start("{ labels: { a: b } }", PersistedOutbox::default());
    alerting.notifier.apply(&none.config);
    assert_eq!(
        alerting.counter("convex_monitor_notifications_total", "ops"),
        None
    );
    let persisted = serde_json::to_value(alerting.stop().await).unwrap();
    assert_eq!(persisted["queues"], json!({}));
    other.stop().await;
    none.stop().await;
}

#[tokio::test]
async fn a_chat_service_gets_a_message_after_the_pause_that_it_asks_for_and_edits_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let service: Shared = Arc::new(Mutex::new(StandIn::new(Kind::Discord)));
    service.lock().unwrap().faults.push_back(Fault::Busy);
    serve(listener, Arc::clone(&service));
    let messages = async |count: usize| {
        let waiting = async {
            while service.lock().unwrap().messages.len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(TIMEOUT, waiting).await.expect("a message");
        service.lock().unwrap().clone()
    };
    let receiver = StandIn::receiver(Kind::Discord, &base);
    let notify = format!("{{ receivers: [{receiver}] }}");
    let alerting = Alerting::start(&notify, PersistedOutbox::default());
    let asked = Instant::now();
    alerting.settle(&[("p", FORKED)], 0);
    let seen = messages(1).await;
    assert!(asked.elapsed() >= Duration::from_millis(2_640), "too early");
    assert_eq!(alerting.failures_of("ops", "2").await, "1");
    let saved = serde_json::to_value(alerting.dependencies.outbox.export()).unwrap();
    let incident = &saved["services"]["ops"]["incidents"][0];
    assert_eq!(incident["message"], seen.messages[0].id.as_str());
    alerting.settle(&[("p", &[])], ENDED);
    let seen = messages(2).await;
    let over = "Resolved: p of n has another history than its network";
    let titles: Vec<&str> = seen.messages.iter().map(|it| it.title.as_str()).collect();
    assert_eq!(titles, [over, over]);
    assert_eq!(seen.messages[0].edits, 1);
    assert_eq!(seen.complaints, Vec::<String>::new());
    assert_eq!(alerting.failures_of("ops", "4").await, "1");
    alerting.stop().await;
}

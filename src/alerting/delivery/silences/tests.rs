//! Tests of silences with a stand-in for an Alertmanager.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::config::{self, HttpOptions, Target};

use super::super::metrics::DeliveryMetrics;
use super::*;

/// What a stand-in for an Alertmanager holds.
#[derive(Default)]
struct Held {
    /// Silences by id; an expired one is null.
    silences: BTreeMap<String, Value>,
    posts: usize,
    /// Answers every request about silences, if set.
    status: Option<StatusCode>,
}

type Shared = Arc<Mutex<Held>>;

async fn stand_in(held: &Shared) -> Sender {
    let create = async |State(held): State<Shared>, body: String| {
        let mut held = held.lock().unwrap();
        held.posts += 1;
        if let Some(status) = held.status {
            return (status, String::new());
        }
        let id = format!("id-{}", held.posts);
        let silence = serde_json::from_str(&body).unwrap();
        held.silences.insert(id.clone(), silence);
        (StatusCode::OK, json!({ "silenceID": id }).to_string())
    };
    let look = async |State(held): State<Shared>, Path(id): Path<String>| match held
        .lock()
        .unwrap()
        .silences
        .get(&id)
    {
        None => (StatusCode::NOT_FOUND, String::new()),
        Some(silence) => {
            let state = if silence.is_null() {
                "expired"
            } else {
                "active"
            };
            (
                StatusCode::OK,
                json!({ "status": { "state": state } }).to_string(),
            )
        }
    };
    let delete = async |State(held): State<Shared>, Path(id): Path<String>| {
        let mut held = held.lock().unwrap();
        if let Some(status) = held.status {
            return status;
        }
        match held.silences.get_mut(&id) {
            None => StatusCode::NOT_FOUND,
            Some(Value::Null) => StatusCode::INTERNAL_SERVER_ERROR,
            Some(silence) => {
                *silence = Value::Null;
                StatusCode::OK
            }
        }
    };
    let list = async |State(held): State<Shared>| {
        let held = held.lock().unwrap();
        if let Some(status) = held.status {
            return (status, String::new());
        }
        let listed = held
            .silences
            .iter()
            .filter(|(_, silence)| !silence.is_null());
        let listed = listed.map(|(id, silence)| {
            let mut silence = silence.clone();
            silence["id"] = id.as_str().into();
            silence["status"] = json!({ "state": "active" });
            silence
        });
        let listed: Vec<Value> = listed.collect();
        (StatusCode::OK, Value::from(listed).to_string())
    };
    let app = Router::new()
        .route("/api/v2/alerts", post(async || StatusCode::OK))
        .route(SILENCES, post(create).get(list))
        .route("/api/v2/silence/{id}", get(look).delete(delete))
        .with_state(Arc::clone(held));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let target = Target {
        url: url.as_str().into(),
        basic_auth: None,
        http: HttpOptions::default(),
    };
    let metrics = DeliveryMetrics::register(&Registry::new()).unwrap();
    Sender::new("am", &target, metrics, Arc::default())
}

fn context() -> MessageContext {
    let text = "vantage: v\nnotify: { labels: { site: paris } }\n\
                peers: [{ name: p, endpoints: ['tcp://192.0.2.1'] }]\n";
    let config = config::parse(text, "c.yml", std::path::Path::new(""), &|_| None);
    MessageContext::from_config(&config.unwrap())
}

fn action(id: u64, kind: ActionKind, labels: [&str; 4]) -> OperatorAction {
    let [alertname, severity, peer, network] =
        labels.map(|it| (!it.is_empty()).then(|| it.to_owned()));
    let now = SystemTime::now();
    OperatorAction {
        id,
        kind,
        matchers: Matchers {
            alertname,
            severity,
            peer,
            network,
            service: None,
        },
        created_by: "alice".to_owned(),
        comment: "disk".to_owned(),
        starts_at: now,
        ends_at: now + Duration::from_secs(3600),
        vantage: None,
    }
}

fn of_peer(id: u64) -> OperatorAction {
    let labels = ["ConvexPeerDown", "critical", "p", "n"];
    action(id, ActionKind::Acknowledgement, labels)
}

/// The matchers of each active silence, as `name=value`.
fn active(held: &Shared) -> Vec<String> {
    let held = held.lock().unwrap();
    let active = held.silences.values().filter(|it| !it.is_null());
    let text = |silence: &Value| {
        let matchers = silence["matchers"].as_array().unwrap().iter();
        let matchers = matchers.map(|it| {
            assert_eq!(
                (&it["isRegex"], &it["isEqual"]),
                (&json!(false), &json!(true))
            );
            format!(
                "{}={}",
                it["name"].as_str().unwrap(),
                it["value"].as_str().unwrap()
            )
        });
        matchers.collect::<Vec<_>>().join(" ")
    };
    active.map(text).collect()
}

#[tokio::test]
async fn a_silence_there_has_the_labels_of_its_alerts_and_no_more() {
    let context = context();
    for (kind, labels, expected) in [
        (
            ActionKind::Acknowledgement,
            ["ConvexPeerDown", "critical", "p", "n"],
            "alertname=ConvexPeerDown severity=critical peer=p network=n service= site=paris",
        ),
        (
            ActionKind::Acknowledgement,
            ["ConvexVantagesDisagree", "warning", "", "n"],
            "alertname=ConvexVantagesDisagree severity=warning peer= network=n service= site=paris",
        ),
        (
            ActionKind::Acknowledgement,
            ["ConvexMonitorUnhealthy", "warning", "", ""],
            "alertname=ConvexMonitorUnhealthy severity=warning peer= network= service= vantage=v site=paris",
        ),
        (ActionKind::Silence, ["", "", "p", ""], "peer=p site=paris"),
    ] {
        let held = Shared::default();
        let mut sender = stand_in(&held).await;
        let wanted = [action(1, kind, labels)];
        assert!(
            Silences::default()
                .sync(&mut sender, &context, &wanted)
                .await
        );
        assert_eq!(active(&held), [expected]);
    }
}

#[tokio::test]
async fn a_silence_is_set_once_found_again_after_a_restart_and_deleted_when_it_ends() {
    let (held, context) = (Shared::default(), context());
    let mut sender = stand_in(&held).await;
    let mut silences = Silences::default();
    let both = [
        of_peer(1),
        action(2, ActionKind::Silence, ["", "", "q", ""]),
    ];
    for _ in 0..2 {
        assert!(silences.sync(&mut sender, &context, &both).await);
        assert_eq!(active(&held).len(), 2);
    }
    let mut silences = Silences::restore(silences.ids());
    assert!(silences.sync(&mut sender, &context, &both).await);
    assert_eq!(held.lock().unwrap().posts, 2, "each once");
    assert!(silences.sync(&mut sender, &context, &both[1..]).await);
    assert_eq!(active(&held).len(), 2, "it may only not be known yet");
    silences.restored = silences.restored.map(|at| at - RESTORED_KEPT_FOR);
    assert!(silences.sync(&mut sender, &context, &both[1..]).await);
    assert_eq!(active(&held), ["peer=q site=paris"]);
    // One that has expired there, or is unknown there, is gone as well.
    for silence in held.lock().unwrap().silences.values_mut() {
        *silence = Value::Null;
    }
    assert!(silences.sync(&mut sender, &context, &[]).await);
    assert!(silences.ids().is_empty());
    let mut silences = Silences::restore([("3".to_owned(), "unknown".to_owned())].into());
    silences.restored = None;
    assert!(silences.sync(&mut sender, &context, &[]).await);
    assert!(silences.ids().is_empty());
}

#[tokio::test]
async fn a_silence_whose_id_was_lost_by_a_kill_is_found_and_an_equal_one_is_another() {
    let (held, context) = (Shared::default(), context());
    let mut sender = stand_in(&held).await;
    let one = [of_peer(1)];
    for _ in 0..2 {
        let mut silences = Silences::default();
        assert!(silences.sync(&mut sender, &context, &one).await);
        assert_eq!(held.lock().unwrap().posts, 1);
        assert_eq!(silences.ids()["1"], "id-1");
    }
    let mut silences = Silences::default();
    let both = [of_peer(1), of_peer(2)];
    assert!(silences.sync(&mut sender, &context, &both).await);
    assert_eq!((active(&held).len(), held.lock().unwrap().posts), (2, 2));
    assert_ne!(silences.ids()["1"], silences.ids()["2"]);
}

#[tokio::test]
async fn an_alertmanager_that_lost_a_silence_gets_it_again() {
    let (held, context) = (Shared::default(), context());
    let mut sender = stand_in(&held).await;
    let mut silences = Silences::default();
    for lost in [false, true] {
        assert!(silences.sync(&mut sender, &context, &[of_peer(1)]).await);
        assert_eq!(active(&held).len(), 1);
        if lost {
            held.lock().unwrap().silences.clear();
        }
        for known in silences.known.values_mut() {
            known.checked -= CHECK_INTERVAL;
        }
    }
    assert!(silences.sync(&mut sender, &context, &[of_peer(1)]).await);
    assert_eq!((active(&held).len(), held.lock().unwrap().posts), (1, 2));
}

#[tokio::test]
async fn an_alertmanager_that_takes_no_silences_is_asked_seldom_and_holds_up_nothing() {
    let alert = |silenced| Alert {
        rule: &crate::alerting::RULES[0],
        subject: crate::alerting::AlertSubject::Monitor,
        starts_at: SystemTime::now(),
        ends_at: None,
        ended_by: None,
        description: String::new(),
        acknowledged: None,
        silenced,
    };
    let context = context();
    let silence = action(1, ActionKind::Silence, ["", "", "p", ""]);
    for (status, done, posts, allowed) in [
        (None, true, 1, true),
        (Some(StatusCode::NOT_FOUND), true, 1, false),
        (Some(StatusCode::FORBIDDEN), true, 1, false),
        (Some(StatusCode::BAD_REQUEST), true, 1, false),
        (Some(StatusCode::SERVICE_UNAVAILABLE), false, 0, false),
    ] {
        let held = Shared::default();
        held.lock().unwrap().status = status;
        let mut sender = stand_in(&held).await;
        let mut silences = Silences::default();
        for _ in 0..2 {
            let wanted = [silence.clone()];
            assert_eq!(silences.sync(&mut sender, &context, &wanted).await, done);
        }
        assert_eq!(held.lock().unwrap().posts, posts, "{status:?}");
        assert!(silences.allow(&alert(None)), "{status:?}");
        let quiet = alert(Some(silence.clone()));
        assert_eq!(silences.allow(&quiet), allowed, "{status:?}");
    }
}

#[test]
fn it_ends_by_the_clock_of_the_alertmanager() {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let mut action = of_peer(1);
    action.ends_at = at(1_000_600);
    for (there, expected) in [
        (None, at(1_000_600)),
        (Some(at(2_000_000)), at(2_000_600)),
        (Some(at(500)), at(1_100)),
    ] {
        let silence = PostableSilence::new(&action, &context(), at(1_000_000), there);
        let expected = format_rfc3339_millis(expected).to_string();
        assert_eq!(silence.ends_at, expected);
        assert_eq!(silence.created_by, "alice at v");
        assert_eq!(silence.comment, "disk (acknowledgement)");
    }
}

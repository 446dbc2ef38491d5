//! `notify-test`, with a stand-in of each service.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;

use crate::support::services::{Fault, Kind, Shared, StandIn, serve};

const KINDS: [Kind; 6] = [
    Kind::Discord,
    Kind::Slack,
    Kind::SlackWebhook,
    Kind::Telegram,
    Kind::Ntfy,
    Kind::PagerDuty,
];

/// Serves a stand-in, and returns it with its base URL.
async fn start(kind: Kind) -> (Shared, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let service = Arc::new(Mutex::new(StandIn::new(kind)));
    serve(listener, Arc::clone(&service));
    (service, base)
}

/// Runs `notify-test` with these receivers, and returns its exit code, output and errors.
async fn notify_test(notify: &str, receiver: &str) -> (Option<i32>, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yml");
    let text = format!(
        "vantage: v\npeers: [{{ name: p, endpoints: ['tcp://127.0.0.1:1'] }}]\nnotify: {notify}\n"
    );
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
    command.args(["notify-test", receiver, "--config"]);
    command.arg(&file).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    drop(dir);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn a_test_page_arrives_and_the_answer_is_printed_without_secrets() {
    for kind in KINDS {
        let (service, base) = start(kind).await;
        let notify = format!("{{ receivers: [{}] }}", StandIn::receiver(kind, &base));
        let (code, out, err) = notify_test(&notify, "ops").await;
        assert_eq!(code, Some(0), "{kind:?}: {out}{err}");
        let delivered = out.ends_with("the test page was delivered\n");
        assert!(delivered && out.contains("answer: HTTP status 20"), "{out}");
        assert!(
            !format!("{out}{err}").contains("s3cret"),
            "{kind:?}: {out}{err}"
        );
        let seen = service.lock().unwrap().clone();
        assert_eq!(seen.complaints, Vec::<String>::new(), "{kind:?}");
        let [page] = seen.messages.as_slice() else {
            panic!("{kind:?}: {:?}", seen.messages);
        };
        assert!(page.title.contains("TEST: notifications of v"), "{page:?}");
        let is_page = kind == Kind::PagerDuty;
        assert_eq!(page.state, if is_page { "resolved" } else { "" });

        service.lock().unwrap().faults.push_back(Fault::Invalid);
        let (code, out, err) = notify_test(&notify, "ops").await;
        assert_eq!(code, Some(1), "{kind:?}: {out}{err}");
        assert!(
            err.contains("the test page was not delivered: "),
            "{kind:?}: {err}"
        );
    }
}

#[tokio::test]
async fn a_test_page_goes_through_webhooks_alertmanagers_and_the_heartbeat_too() {
    type Requests = Arc<Mutex<Vec<(String, String)>>>;
    let requests = Requests::default();
    let record = |axum::extract::State(requests): axum::extract::State<Requests>,
                  uri: http::Uri,
                  body: String| async move {
        requests.lock().unwrap().push((uri.to_string(), body));
        "fine"
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(record);
    let app = app.with_state(Arc::clone(&requests));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let notify = format!(
        "{{ alertmanagers: [{{ name: am, url: '{base}' }}], \
         webhooks: [{{ name: hook, url: '{base}/s3cret' }}], heartbeat: {{ url: '{base}/beat' }} }}"
    );
    for (receiver, kind, path, marks) in [
        (
            "am",
            "alertmanager",
            "/api/v2/alerts",
            &["ConvexNotificationTest", "endsAt"][..],
        ),
        (
            "hook",
            "webhook",
            "/s3cret",
            &["ConvexNotificationTest", "TEST"],
        ),
        ("heartbeat", "heartbeat", "/beat", &[]),
    ] {
        requests.lock().unwrap().clear();
        let (code, out, err) = notify_test(&notify, receiver).await;
        assert_eq!(code, Some(0), "{receiver}: {out}{err}");
        let first = format!("receiver: {receiver} ({kind})\nanswer: HTTP status 200 OK: fine\n");
        assert!(out.starts_with(&first), "{out}");
        let seen = requests.lock().unwrap().clone();
        let last = seen.last().unwrap();
        assert_eq!(last.0, path);
        assert!(marks.iter().all(|mark| last.1.contains(mark)), "{last:?}");
    }
    let (code, out, err) = notify_test(&notify, "ops").await;
    assert_eq!((code, out.as_str()), (Some(2), ""));
    let expected = "has no receiver \"ops\"; it has am, hook, heartbeat\n";
    assert!(err.ends_with(expected), "{err}");
}

//! What operators do at a running agent: through the API, the pages and the command line, kept over
//! restarts, and known to other agents.

use std::fs;
use std::path::Path;

use convex_client::{HttpOptions, http_client};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Script};
use crate::support::{DEADLINE, until};

const ALERT: &str = "ConvexPeerIdentityChanged";

/// The series of an acknowledged alert.
const ACKNOWLEDGED: &str = "convex_alert_acknowledged{alertname=\"ConvexPeerIdentityChanged\",severity=\"critical\",peer=\"p\",network=\"n\",service=\"\"}";

const MAINTAINED: &str = "convex_peer_maintenance{peer=\"p\",network=\"n\"}";

/// The configuration of an agent that watches a peer with another key than the pinned one, which is
/// an alert at once.
fn config(peer: &FakePeer, more: &str) -> String {
    let key = "11".repeat(32);
    format!(
        "{more}defaults: {{ interval: 1s, timeout: 900ms }}\nnetworks: [{{ name: n }}]\n\
         peers: [{{ name: p, network: n, key: '0x{key}', endpoints: ['tcp://{}'] }}]\n",
        peer.tcp
    )
}

fn kept_in(dir: &Path) -> String {
    format!("state_dir: '{}'\n", dir.display())
}

/// Sends a request and returns status and body.
async fn send(
    agent: &Agent,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<(&str, String)>,
) -> (u16, String) {
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    let mut request = client.request(method, format!("http://{}{path}", agent.address));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some((media_type, body)) = body {
        request = request.header("content-type", media_type).body(body);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn post(agent: &Agent, body: &Value) -> (u16, Value) {
    let body = Some(("application/json", body.to_string()));
    let (status, text) = send(agent, Method::POST, "/api/v1/actions", &[], body).await;
    (status, serde_json::from_str(&text).unwrap())
}

async fn get(agent: &Agent, path: &str) -> Value {
    let (status, text) = agent.get(path).await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Waits until the alert about the peer fires.
async fn fires(agent: &Agent) {
    until("the alert fires", async || {
        let alerts = get(agent, "/api/v1/alerts").await;
        alerts
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["alertname"] == ALERT)
    })
    .await;
}

async fn alert(agent: &Agent) -> Value {
    let alerts = get(agent, "/api/v1/alerts").await;
    let mut alerts = alerts.as_array().unwrap().iter();
    alerts.find(|it| it["alertname"] == ALERT).unwrap().clone()
}

/// Waits until the page contains this text.
async fn shows(agent: &Agent, page: &str, text: &str) {
    until(&format!("{page} shows {text:?}"), async || {
        agent.get(page).await.1.contains(text)
    })
    .await;
}

/// Returns the messages of all events about the peer.
async fn events(agent: &Agent) -> Vec<String> {
    let accept = [("accept", "application/json")];
    let path = "/api/v1/events?peer=p&limit=1000";
    let (_, text) = send(agent, Method::GET, path, &accept, None).await;
    let events: Vec<Value> = serde_json::from_str(&text).unwrap();
    let messages = events.iter().map(|it| it["message"].as_str().unwrap());
    messages.map(str::to_owned).collect()
}

fn acknowledgement() -> Value {
    json!({
        "kind": "acknowledgement", "alertname": ALERT, "created_by": "alice",
        "comment": "new key <on purpose>",
    })
}

#[tokio::test]
async fn what_operators_say_is_shown_exported_recorded_and_outlives_a_restart() {
    let fake = FakePeer::start(Script::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::start(&config(&fake, &kept_in(dir.path()))).await;
    fires(&agent).await;
    assert_eq!(agent.metric(ACKNOWLEDGED).await, None);
    let opinion = get(&agent, "/api/v1/opinion").await;
    let firing =
        json!([{ "alertname": ALERT, "severity": "critical", "peer": "p", "network": "n" }]);
    assert_eq!(opinion["firing"], firing);
    assert_eq!(opinion.get("acknowledged"), None);

    let (status, acknowledged) = post(&agent, &acknowledgement()).await;
    assert_eq!(status, 201, "{acknowledged}");
    assert_eq!(
        (&acknowledged["peer"], &acknowledged["severity"]),
        (&json!("p"), &json!("critical"))
    );
    assert_eq!(alert(&agent).await["acknowledged"], acknowledged);
    assert_eq!(agent.metric(ACKNOWLEDGED).await, Some(1.0));
    for page in ["/", "/networks/n", "/peers/p"] {
        shows(&agent, page, "new key &#60;on purpose&#62;").await;
    }
    let silence = json!({
        "kind": "silence", "peer": "p", "seconds": 600, "created_by": "bob", "comment": "moving",
    });
    let (status, silence) = post(&agent, &silence).await;
    assert_eq!(status, 201, "{silence}");
    assert_eq!(alert(&agent).await["silenced"]["id"], silence["id"]);
    let maintenance = json!({
        "kind": "maintenance", "network": "n", "seconds": 600, "starts_at": 4e9, "created_by": "bob",
        "comment": "later",
    });
    assert_eq!(post(&agent, &maintenance).await.0, 400, "too far ahead");
    agent.stop().await;

    let agent = Agent::start(&config(&fake, &kept_in(dir.path()))).await;
    let actions = get(&agent, "/api/v1/actions").await;
    assert_eq!(actions, json!([acknowledged, silence]));
    fires(&agent).await;
    agent.wait_for(ACKNOWLEDGED, |value| value == 1.0).await;
    let (id, path) = (&acknowledged["id"], "/api/v1/actions");
    let path = format!("{path}/{id}?created_by=carol");
    let (status, ended) = send(&agent, Method::DELETE, &path, &[], None).await;
    assert_eq!(status, 200, "{ended}");
    assert_eq!(send(&agent, Method::DELETE, &path, &[], None).await.0, 404);
    assert_eq!(agent.metric(ACKNOWLEDGED).await, None);
    let alert = alert(&agent).await;
    assert!(alert.get("acknowledged").is_none() && alert.get("silenced").is_some());
    let recorded = events(&agent).await;
    for expected in [
        "acknowledgement of alertname=\"ConvexPeerIdentityChanged\", severity=\"critical\", peer=\"p\", network=\"n\" by alice: new key <on purpose>",
        "silence of peer=\"p\" by bob: moving",
        "the acknowledgement of alertname=\"ConvexPeerIdentityChanged\", severity=\"critical\", peer=\"p\", network=\"n\" has ended: ended by carol",
    ] {
        assert!(
            recorded.iter().any(|it| it == expected),
            "{expected}: {recorded:?}"
        );
    }
    agent.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_a_reason() {
    let fake = FakePeer::start(Script::default()).await;
    let without = Agent::start(&config(&fake, "")).await;
    fires(&without).await;
    let (status, problem) = post(&without, &acknowledgement()).await;
    assert_eq!(status, 409, "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("set `state_dir`")
    );
    let page = without.get("/actions?peer=p").await.1;
    assert!(
        page.contains("Set <code>state_dir</code>") && !page.contains("<form"),
        "{page}"
    );
    without.stop().await;

    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::start(&config(&fake, &kept_in(dir.path()))).await;
    fires(&agent).await;
    let with = |field: &str, value: Value| {
        let mut body = acknowledgement();
        body[field] = value;
        body
    };
    for (body, expected, why) in [
        (
            with("alertname", json!("ConvexPeerForked")),
            404,
            "no alert fires",
        ),
        (with("peer", json!("q")), 404, "no alert fires"),
        (with("seconds", json!(14_401)), 400, "expected 1s to 4h"),
        (with("seconds", json!(-1)), 400, "invalid body"),
        (with("comment", json!("")), 400, "`comment` is empty"),
        (with("created_by", json!(null)), 400, "invalid type: null"),
        (with("kind", json!("other")), 400, "unknown variant"),
        (with("unknown", json!(1)), 400, "unknown field"),
        (json!({}), 400, "missing field"),
        (
            json!({"kind": "silence", "peer": "p", "seconds": 60, "comment": "c"}),
            400,
            "`created_by` is missing",
        ),
        (
            json!({"kind": "maintenance", "peer": "q", "seconds": 60, "created_by": "a", "comment": "c"}),
            404,
            "no watched peer or network",
        ),
        (
            json!({"kind": "maintenance", "network": "m", "seconds": 60, "created_by": "a", "comment": "c"}),
            404,
            "no watched peer or network",
        ),
    ] {
        let (status, problem) = post(&agent, &body).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            status == expected && detail.contains(why),
            "{body}: {status} {detail}"
        );
    }
    let text = Some(("text/plain", acknowledgement().to_string()));
    let as_text = send(&agent, Method::POST, "/api/v1/actions", &[], text).await;
    assert_eq!(
        as_text.0, 415,
        "a page of another origin can send this without a preflight"
    );
    assert_eq!(get(&agent, "/api/v1/actions").await, json!([]));
    agent.stop().await;
}

#[tokio::test]
async fn only_who_may_change_something_acts_and_the_password_says_who_that_was() {
    let fake = FakePeer::start(Script::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let web = dir.path().join("web.yml");
    let hash = bcrypt::hash("s3cret", 4).unwrap();
    fs::write(&web, format!("basic_auth_users: {{ ann: '{hash}' }}\n")).unwrap();
    let more = format!(
        "{}web: {{ config_file: '{}' }}\n",
        kept_in(dir.path()),
        web.display()
    );
    let agent = Agent::start(&config(&fake, &more)).await;
    let ann = ("authorization", "Basic YW5uOnMzY3JldA==");
    let silence = json!({"kind": "silence", "peer": "p", "seconds": 60, "comment": "c"});
    let form = "kind=silence&peer=p&network=n&seconds=60&comment=c&created_by=bob";
    let own = format!("http://{}", agent.address);
    for (headers, expected) in [
        (vec![], StatusCode::UNAUTHORIZED),
        (
            vec![ann, ("origin", "http://evil.example")],
            StatusCode::FORBIDDEN,
        ),
        (vec![ann, ("origin", "null")], StatusCode::FORBIDDEN),
        (vec![ann, ("origin", own.as_str())], StatusCode::CREATED),
    ] {
        let json = Some(("application/json", silence.to_string()));
        let answer = send(&agent, Method::POST, "/api/v1/actions", &headers, json).await;
        assert_eq!(answer.0, expected.as_u16(), "{headers:?}: {}", answer.1);
        let form = Some(("application/x-www-form-urlencoded", form.to_owned()));
        let answer = send(&agent, Method::POST, "/actions", &headers, form).await;
        let expected = match expected {
            StatusCode::CREATED => 303,
            other => other.as_u16(),
        };
        assert_eq!(answer.0, expected, "{headers:?}: {}", answer.1);
        let end = "/api/v1/actions/1";
        let answer = send(&agent, Method::DELETE, end, &headers, None).await;
        let expected = if expected == 303 { 404 } else { expected };
        assert_eq!(answer.0, expected, "{headers:?}: {}", answer.1);
    }
    let (_, actions) = send(&agent, Method::GET, "/api/v1/actions", &[ann], None).await;
    let actions: Value = serde_json::from_str(&actions).unwrap();
    let names: Vec<&Value> = actions
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["created_by"])
        .collect();
    assert_eq!(names, ["ann", "bob (ann)"]);
    agent.stop().await;
}

/// Runs a command of the program against this agent. Returns exit code, output and errors.
async fn command(agent: &Agent, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
    let url = format!("http://{}", agent.address);
    let output = command
        .args(args)
        .args(["--url", &url])
        .env("USER", "dave")
        .output();
    let output = output.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn commands_act_at_a_running_agent() {
    let fake = FakePeer::start(Script::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::start(&config(&fake, &kept_in(dir.path()))).await;
    fires(&agent).await;
    let why = ["--comment", "as planned"];
    let ok = async |args: &[&str]| {
        let (code, output, errors) = command(&agent, args).await;
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{args:?}: {output}");
        output
    };
    let acknowledged = ok(&["ack", ALERT, why[0], why[1], "--for", "1h"]).await;
    assert!(acknowledged.contains("peer=p network=n"), "{acknowledged}");
    assert!(
        acknowledged.ends_with(" by dave: as planned\n"),
        "{acknowledged}"
    );
    assert_eq!(agent.metric(ACKNOWLEDGED).await, Some(1.0));
    let silenced = ok(&[
        "silence", "--peer", "p", "--for", "4h", why[0], why[1], "--by", "erin",
    ])
    .await;
    assert!(silenced.ends_with(" by erin: as planned\n"), "{silenced}");
    assert_eq!(ok(&["actions"]).await, format!("{acknowledged}{silenced}"));
    let (id, _) = silenced.split_once(' ').unwrap();
    assert_eq!(
        ok(&["actions", "--end", id]).await,
        format!("ended: {silenced}")
    );

    for (target, start) in [
        ("p", "peer=p network=n"),
        ("n", "maintenance network=n"),
        ("peer:p", "peer=p"),
    ] {
        assert_eq!(agent.metric(MAINTAINED).await, None);
        let begun = ok(&[
            "maintenance",
            "start",
            target,
            "--for",
            "1h",
            why[0],
            why[1],
        ])
        .await;
        assert!(begun.contains(start), "{begun}");
        assert_eq!(agent.metric(MAINTAINED).await, Some(1.0), "at once");
        shows(&agent, "/peers/p", "maintenance</span>").await;
        assert_eq!(get(&agent, "/api/v1/peers/p").await["maintenance"], true);
        assert_eq!(
            ok(&["maintenance", "end", target]).await,
            format!("ended: {begun}")
        );
    }
    assert_eq!(agent.metric(MAINTAINED).await, None);
    let later = ok(&[
        "maintenance",
        "start",
        "p",
        "--for",
        "1h",
        why[0],
        why[1],
        "--at",
        &tomorrow(),
    ])
    .await;
    assert_eq!(agent.metric(MAINTAINED).await, None, "{later}");
    for (args, expected) in [
        (
            &["ack", "ConvexPeerForked", "--comment", "c"][..],
            "no alert fires with",
        ),
        (&["actions", "--end", "7"], "nothing active has the id 7"),
        (
            &["maintenance", "end", "n"],
            "nobody has begun maintenance of network n",
        ),
        (
            &["maintenance", "start", "x", "--for", "1h", "--comment", "c"],
            "no peer or network \"x\"",
        ),
        (
            &["silence", "--peer", "p", "--for", "31d", "--comment", "c"],
            "expected 1s to 30days",
        ),
    ] {
        let (code, _, errors) = command(&agent, args).await;
        assert!(
            code == Some(1) && errors.contains(expected),
            "{args:?}: {errors}"
        );
    }
    agent.stop().await;
}

fn tomorrow() -> String {
    let day = std::time::Duration::from_secs(24 * 3600);
    humantime::format_rfc3339_seconds(std::time::SystemTime::now() + day).to_string()
}

#[tokio::test]
async fn an_acknowledgement_counts_at_other_agents_while_that_agent_says_so() {
    let fake = FakePeer::start(Script::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let told = Agent::start(&config(&fake, &kept_in(dir.path()))).await;
    let more = format!(
        "vantage: here\nvantages: [{{ name: there, url: 'http://{}' }}]\n",
        told.address
    );
    let other = Agent::start(&config(&fake, &more)).await;
    fires(&told).await;
    fires(&other).await;
    assert_eq!(other.metric(ACKNOWLEDGED).await, None);
    let (_, acknowledged) = post(&told, &acknowledgement()).await;
    other.wait_for(ACKNOWLEDGED, |value| value == 1.0).await;
    let known = alert(&other).await["acknowledged"].clone();
    assert_eq!(
        (&known["vantage"], &known["created_by"]),
        (&json!("there"), &json!("alice"))
    );
    assert!(known.get("id").is_none(), "it is ended where it was made");
    let opinion = get(&other, "/api/v1/opinion").await;
    assert!(
        opinion.get("acknowledged").is_none(),
        "agents do not repeat others: {opinion}"
    );
    let path = format!("/api/v1/actions/{}?created_by=bob", acknowledged["id"]);
    assert_eq!(send(&told, Method::DELETE, &path, &[], None).await.0, 200);
    until("the acknowledgement ends", async || {
        other.metric(ACKNOWLEDGED).await.is_none()
    })
    .await;
    told.stop().await;
    other.stop().await;
}

//! The agent as a process that notifies receivers, and is killed in between.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use convex_peer_monitor::metrics;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use crate::support::agent::value_of;
use crate::support::fake::{FakePeer, Script};
use crate::support::fleet;
use crate::support::ports::ClosedPort;
use crate::support::program::{Program, file_contains};
use crate::support::services::{self, Kind, StandIn};
use crate::support::tls::acceptor;
use crate::support::until;

/// The `Idempotency-Key` of each notification, in order of arrival.
type Ids = Arc<Mutex<Vec<String>>>;

/// Waits until a notification has arrived.
async fn arrived(ids: &Ids) {
    until("a notification arrives", async || {
        !ids.lock().unwrap().is_empty()
    })
    .await;
}

/// Serves a webhook.
fn serve(listener: TcpListener, ids: Ids) {
    let take = |State(ids): State<Ids>, headers: HeaderMap| async move {
        let id = headers["idempotency-key"].to_str().unwrap().to_owned();
        ids.lock().unwrap().push(id);
    };
    let app = Router::new().fallback(take).with_state(ids);
    tokio::spawn(async move { axum::serve(listener, app).await });
}

/// The configuration of an agent that watches a peer of the wrong network, which is reported at
/// once.
fn config(peer: &FakePeer, hook: SocketAddr) -> String {
    let other = "0x1111111111111111111111111111111111111111111111111111111111111111";
    format!(
        "state_dir: state\ndefaults: {{ interval: 1s, timeout: 900ms }}\n\
         networks: [{{ name: n, genesis: \"{other}\" }}]\n\
         peers: [{{ name: p, network: n, endpoints: ['tcp://{}'] }}]\n\
         notify: {{ webhooks: [{{ name: ops, url: 'http://{hook}/' }}] }}\n",
        peer.tcp
    )
}

#[tokio::test]
async fn a_notification_survives_a_kill_and_keeps_its_id() {
    let fake = FakePeer::start(Script::default()).await;
    let (hook, chat) = (ClosedPort::new(), ClosedPort::new());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yml");
    let receiver = StandIn::receiver(Kind::Discord, &format!("http://{}", chat.address));
    let receiver = receiver.replace("name: ops", "name: chat");
    let both = format!(", receivers: [{receiver}] }}\n");
    let text = config(&fake, hook.address);
    fs::write(
        &file,
        text.trim_end().strip_suffix(" }").unwrap().to_owned() + &both,
    )
    .unwrap();
    let mut agent = Program::start(&file).await;
    agent.until("a notification was not delivered").await;
    let state = dir.path().join("state/state.json");
    file_contains(&state, "ConvexPeerWrongNetwork").await;
    agent.child.kill().await.unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    let id = kept["notifications"]["queues"]["ops"][0]["id"]
        .as_str()
        .unwrap();

    let ids = Ids::default();
    serve(hook.listen(), Arc::clone(&ids));
    let service = Arc::new(Mutex::new(StandIn::new(Kind::Discord)));
    services::serve(chat.listen(), Arc::clone(&service));
    let mut agent = Program::start(&file).await;
    agent.until("\"restored the saved state\"").await;
    arrived(&ids).await;
    until("a message arrives", async || {
        !service.lock().unwrap().messages.is_empty()
    })
    .await;
    let message = service.lock().unwrap().messages[0].id.clone();
    // The id of the message, by which it is edited later, survives another kill.
    file_contains(&state, &message).await;
    // Several more polls find the same problem.
    let polls = async || {
        let polls = "convex_peer_polls_total{peer=\"p\",network=\"n\"}";
        value_of(&agent.get("/metrics").await.1, polls).unwrap()
    };
    let before = polls().await;
    until("three more polls", async || polls().await >= before + 3.0).await;
    assert_eq!(*ids.lock().unwrap(), [id], "sent once, with its id");
    let seen = service.lock().unwrap().clone();
    assert_eq!(
        (seen.messages.len(), seen.complaints.len()),
        (1, 0),
        "{seen:?}"
    );
    let exposition = agent.get("/metrics").await.1;
    let delivered = "convex_monitor_notifications_total{receiver=\"ops\"} 1\n";
    assert!(exposition.contains(delivered), "{exposition}");
}

/// Serves a webhook over TLS and returns its port and its self-signed certificate for `localhost`.
async fn serve_tls(ids: Ids) -> (u16, String) {
    let (acceptor, certificate) = acceptor("localhost", 2150, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let take = move |request: http::Request<hyper::body::Incoming>| {
        let id = request.headers()["idempotency-key"]
            .to_str()
            .unwrap()
            .to_owned();
        ids.lock().unwrap().push(id);
        async {
            Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(bytes::Bytes::new())))
        }
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, take) = (acceptor.clone(), take.clone());
            tokio::spawn(async move {
                // A client that does not trust the certificate ends the handshake.
                if let Ok(stream) = acceptor.accept(stream).await {
                    let service = hyper::service::service_fn(take);
                    let served = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    drop(served);
                }
            });
        }
    });
    (port, certificate.pem())
}

#[tokio::test]
async fn a_receiver_is_trusted_only_by_its_configured_certificate() {
    let ids = Ids::default();
    let (port, certificate) = serve_tls(Arc::clone(&ids)).await;
    let fake = FakePeer::start(Script::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yml");
    fs::write(dir.path().join("ca.pem"), certificate).unwrap();
    let hook = |more: &str| format!("{{ url: 'https://localhost:{port}/'{more}, name: ");
    let (trusted, untrusted) = (hook(", ca_file: ca.pem"), hook(""));
    let text = config(&fake, "127.0.0.1:1".parse().unwrap());
    let (start, _) = text.split_once("notify:").unwrap();
    fs::write(
        &file,
        format!("{start}notify: {{ webhooks: [{trusted}trusted }}, {untrusted}untrusted }}] }}\n"),
    )
    .unwrap();
    let mut agent = Program::start(&file).await;
    let why = agent.until("a notification was not delivered").await;
    assert!(
        why.contains("\"receiver\":\"untrusted\"") && why.contains("UnknownIssuer"),
        "{why}"
    );
    arrived(&ids).await;
    assert!(!why.contains("https://"), "no address in the log: {why}");
}

#[test]
fn receivers_count_in_the_estimated_series() {
    let series = |notify: &str| {
        let text = format!("peers: [{{ name: p, endpoints: ['tcp://127.0.0.1'] }}]\n{notify}");
        let config = fleet::config(&text);
        let happenings = convex_peer_monitor::agent::AgentMetrics::new().unwrap();
        happenings.delivery.set_receivers(config.notify.receivers());
        metrics::estimate_series(&config, &happenings.registry)
    };
    let two =
        "notify: { alertmanagers: [{ name: a, url: 'http://a' }], heartbeat: { url: 'http://b' } }";
    assert_eq!(series(two) - series(""), 4);
}

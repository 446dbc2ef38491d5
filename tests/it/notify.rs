//! The agent as a program that tells a webhook of its verdicts, and is killed meanwhile.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use convex_peer_monitor::config::{self, Config};
use convex_peer_monitor::metrics;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use crate::support::fake::{FakePeer, Script};
use crate::support::program::{Program, file_tells};
use crate::support::tls::acceptor;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

type Ids = Arc<Mutex<Vec<String>>>;

/// Waits until something was told.
async fn arrived(ids: &Ids) {
    let told = async {
        while ids.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    told.expect("the page arrives");
}

/// Listens for notifications and records what identifies them.
async fn listen(address: SocketAddr, ids: Ids) {
    let take = |State(ids): State<Ids>, headers: HeaderMap| async move {
        let id = headers["idempotency-key"].to_str().unwrap().to_owned();
        ids.lock().unwrap().push(id);
    };
    let app = Router::new().fallback(take).with_state(ids);
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
}

/// The config of an agent that watches a peer of another network than the pinned one: told without waiting.
fn config(peer: &FakePeer, hook: SocketAddr) -> String {
    let other = "0x1111111111111111111111111111111111111111111111111111111111111111";
    format!(
        "state_dir: state\ndefaults: {{ interval: 1s, timeout: 500ms }}\n\
         networks: [{{ name: n, genesis: \"{other}\" }}]\n\
         peers: [{{ name: p, network: n, endpoints: ['tcp://{}'] }}]\n\
         notify: {{ webhooks: [{{ name: ops, url: 'http://{hook}/' }}] }}\n",
        peer.tcp
    )
}

#[tokio::test]
async fn a_page_survives_a_kill_and_comes_under_the_id_that_it_had() {
    let fake = FakePeer::start(Script::default()).await;
    let hook = {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        free.local_addr().unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yml");
    fs::write(&file, config(&fake, hook)).unwrap();
    let mut agent = Program::start(&file).await;
    agent.until("a notification is not delivered").await;
    let state = dir.path().join("state/state.json");
    file_tells(&state, "ConvexPeerWrongNetwork").await;
    agent.child.kill().await.unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    let id = kept["notifications"]["queues"]["ops"][0]["id"]
        .as_str()
        .unwrap();

    let ids = Ids::default();
    listen(hook, Arc::clone(&ids)).await;
    let mut agent = Program::start(&file).await;
    agent.until("\"remembering\"").await;
    arrived(&ids).await;
    // Several more polls find the same.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(*ids.lock().unwrap(), [id], "once, under its id");
    let exposition = agent.get("/metrics").await.1;
    let delivered = "convex_monitor_notifications_total{receiver=\"ops\"} 1\n";
    assert!(exposition.contains(delivered), "{exposition}");
}

/// Listens for notifications over TLS, with a certificate of its own for `localhost`; gives the port and the certificate.
async fn listen_over_tls(ids: Ids) -> (u16, String) {
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
                // Who does not trust the certificate ends the handshake.
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
async fn a_receiver_is_trusted_by_the_certificate_that_is_configured_and_by_no_other() {
    let ids = Ids::default();
    let (port, certificate) = listen_over_tls(Arc::clone(&ids)).await;
    let fake = FakePeer::start(Script::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yml");
    fs::write(dir.path().join("ca.pem"), certificate).unwrap();
    let hook = |more: &str| format!("{{ url: 'https://localhost:{port}/'{more}, name: ");
    let (trusted, not) = (hook(", ca_file: ca.pem"), hook(""));
    let text = config(&fake, "127.0.0.1:1".parse().unwrap());
    let (start, _) = text.split_once("notify:").unwrap();
    fs::write(
        &file,
        format!("{start}notify: {{ webhooks: [{trusted}trusted }}, {not}not }}] }}\n"),
    )
    .unwrap();
    let mut agent = Program::start(&file).await;
    let why = agent.until("a notification is not delivered").await;
    assert!(
        why.contains("\"receiver\":\"not\"") && why.contains("UnknownIssuer"),
        "{why}"
    );
    arrived(&ids).await;
    assert!(!why.contains("https://"), "no address in the log: {why}");
}

#[test]
fn receivers_are_part_of_what_a_configuration_costs() {
    let series = |notify: &str| {
        let text = format!("peers: [{{ name: p, endpoints: ['tcp://127.0.0.1'] }}]\n{notify}");
        let config: Config =
            config::parse(&text, "c.yml", std::path::Path::new(""), &|_| None).unwrap();
        let happenings = convex_peer_monitor::agent::AgentMetrics::new().unwrap();
        happenings.counts.only(config.notify.receivers());
        metrics::series(&config, &happenings.registry)
    };
    let two =
        "notify: { alertmanagers: [{ name: a, url: 'http://a' }], heartbeat: { url: 'http://b' } }";
    assert_eq!(series(two) - series(""), 4);
}

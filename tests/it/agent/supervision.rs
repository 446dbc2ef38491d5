//! What happens to an agent whose tasks panic, and to one that reloads without end.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use convex_client::{HttpOptions, http_client};
use convex_peer_monitor::config::shard::Shard;
use convex_peer_monitor::supervisor::Supervisor;
use convex_peer_monitor::survey::discovery::discovered_name;
use convex_simulator::{Network, Options};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::DEADLINE;
use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Script};
use crate::support::until;

/// Tasks that cannot be restarted: the agent ends with them.
const ESSENTIAL: [&str; 2] = ["state writer", "web server"];

/// Names of tasks.
type Names = Arc<Mutex<BTreeSet<String>>>;

/// A supervisor whose tasks panic when they first start, if `panics` says so, and the names of all
/// tasks.
fn supervisor(panics: impl Fn(&str) -> bool + Send + Sync + 'static) -> (Supervisor, Names) {
    let names = Names::default();
    let started = Arc::clone(&names);
    let supervisor = Supervisor::new(CancellationToken::new());
    let supervisor = supervisor.with_start_hook(move |name| {
        let is_first = started.lock().unwrap().insert(name.to_owned());
        assert!(!is_first || !panics(name), "as scripted");
    });
    (supervisor, names)
}

/// Receives notifications; returns its URL and the paths that were called.
async fn receiver() -> (String, Names) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let calls = Names::default();
    let take = |State(calls): State<Names>, uri: Uri| async move {
        calls.lock().unwrap().insert(uri.path().to_owned());
    };
    let app = Router::new().fallback(take).with_state(calls.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}"), calls)
}

#[tokio::test]
async fn a_stop_while_the_agent_starts_is_obeyed_and_starts_no_task() {
    let dir = tempfile::tempdir().unwrap();
    let (supervisor, names) = supervisor(|_| false);
    supervisor.stop().cancel();
    let config = format!(
        "state_dir: '{}'\npeers: [{{ name: one, endpoints: ['tcp://192.0.2.1:1'] }}]\n",
        dir.path().display()
    );
    let agent = Agent::start_supervised(&config, Shard::default(), supervisor).await;
    agent.ended().await.unwrap();
    assert_eq!(*names.lock().unwrap(), BTreeSet::new());
}

#[tokio::test]
async fn every_task_that_panics_is_restarted() {
    let network = Network::start(Options {
        peers: 2,
        ..Options::default()
    })
    .await
    .unwrap();
    let stranger = FakePeer::start(Script::default()).await;
    let (receiver, calls) = receiver().await;
    let other = "0x1111111111111111111111111111111111111111111111111111111111111111";
    let state = tempfile::tempdir().unwrap();
    let config = format!(
        "mode: sidecar\n\
         state_dir: '{}'\n\
         defaults: {{ interval: 1s, timeout: 900ms, up_after: 1 }}\n\
         references: {{ interval: 1s }}\n\
         networks:\n\
         - {{ name: n, stake_interval: 10s, discovery: {{ enabled: true, interval: 1s, allow_private: true }} }}\n\
         - {{ name: other, genesis: '{other}' }}\n\
         queries: [{{ name: answer, source: '(+ 40 2)', networks: [n], interval: 10s }}]\n\
         peers:\n\
         - {{ name: p, network: n, endpoints: ['tcp://{}'], sidecar: {{ command_contains: supervision }} }}\n\
         - {{ name: stranger, network: other, endpoints: ['tcp://{}'], role: own }}\n\
         notify:\n\
         \x20 alertmanagers: [{{ name: am, url: '{receiver}' }}]\n\
         \x20 webhooks: [{{ name: ops, url: '{receiver}/ops' }}]\n\
         \x20 heartbeat: {{ url: '{receiver}/heartbeat', interval: 10s }}\n",
        state.path().display(),
        network.tcp(1),
        stranger.tcp,
    );
    let (supervisor, names) = supervisor(|name| !ESSENTIAL.contains(&name));
    let agent = Agent::start_supervised(&config, Shard::default(), supervisor).await;

    let discovered = discovered_name(&network.key(2));
    for series in [
        format!("convex_peer_up{{peer=\"{discovered}\",network=\"n\"}}"),
        "convex_query_value{network=\"n\",query=\"answer\"}".to_owned(),
        "convex_network_peers_registered{network=\"n\"}".to_owned(),
        "convex_peer_state_diverged{peer=\"p\",network=\"n\"}".to_owned(),
        "convex_peer_process_up{peer=\"p\",network=\"n\"}".to_owned(),
        "convex_monitor_self_healthy{check=\"clock\"}".to_owned(),
    ] {
        agent.wait_for(&series, |_| true).await;
    }
    until("all receivers are called", async || {
        let calls = calls.lock().unwrap();
        ["/ops", "/heartbeat", "/api/v2/alerts"]
            .iter()
            .all(|path| calls.contains(*path))
    })
    .await;
    until("the history is written", async || {
        let history = agent.get("/api/v1/peers/p/history").await.1;
        history.contains("\"good\":")
    })
    .await;
    let names: Vec<String> = names.lock().unwrap().iter().cloned().collect();
    let expected = [
        "alert rules",
        "discovery of n",
        "history writer",
        "liveness",
        "notifications to am",
        "notifications to heartbeat",
        "notifications to ops",
        "polls of p",
        "query answer of n",
        "registry of n",
        "self-checks",
        "service levels",
        "sidecar of p",
        "state writer",
        "verdict on n",
        "verdict on other",
        "web server",
    ];
    for name in expected {
        assert!(
            names.iter().any(|it| it == name),
            "{name} is not in {names:?}"
        );
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_task_that_panics_again_and_again_is_a_stuck_part() {
    let peer = FakePeer::start(Script::default()).await;
    let config = format!(
        "defaults: {{ interval: 1s, timeout: 900ms, up_after: 1 }}\n\
         peers: [{{ name: p, endpoints: ['tcp://{}'] }}]\n",
        peer.tcp
    );
    let supervisor = Supervisor::new(CancellationToken::new());
    let supervisor =
        supervisor.with_start_hook(|name| assert!(name != "alert rules", "as scripted"));
    let agent = Agent::start_supervised(&config, Shard::default(), supervisor).await;
    assert_eq!(agent.get("/-/healthy").await, (200, "healthy\n".to_owned()));
    until("the agent is unhealthy", async || {
        let (status, text) = agent.get("/-/healthy").await;
        status == 503 && text.starts_with("stuck: tasks;")
    })
    .await;
    assert_eq!(agent.get("/-/ready").await.0, 200);
    let up = "convex_peer_up{peer=\"p\",network=\"default\"}";
    assert_eq!(agent.metric(up).await, Some(1.0), "the rest works");
    agent.stop().await;
}

#[tokio::test]
async fn the_agent_ends_with_a_task_that_cannot_be_restarted() {
    let state = tempfile::tempdir().unwrap();
    let config = format!(
        "state_dir: '{}'\npeers: [{{ name: p, endpoints: ['tcp://127.0.0.1:1'] }}]\n",
        state.path().display()
    );
    for lost in ESSENTIAL {
        let (supervisor, _) = supervisor(move |name| name == lost);
        let agent = Agent::start_supervised(&config, Shard::default(), supervisor).await;
        let error = agent.ended().await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!("the task `{lost}` ended unexpectedly: it panicked: as scripted")
        );
    }
}

#[tokio::test]
async fn a_stop_amid_a_thousand_reloads_is_obeyed_and_nothing_is_left_running() {
    let fake = FakePeer::start(Script::default()).await;
    let config = |polls: u32| {
        format!(
            "defaults: {{ interval: 1s, timeout: {}ms }}\n\
             peers: [{{ name: p, endpoints: ['tcp://{}'] }}]\n",
            800 + polls % 100,
            fake.tcp
        )
    };
    let supervisor = Supervisor::new(CancellationToken::new());
    let agent = Agent::start_supervised(&config(0), Shard::default(), supervisor.clone()).await;
    let polls = "convex_peer_polls_total{peer=\"p\",network=\"default\"}";
    let before = agent.wait_for(polls, |polls| polls >= 1.0).await;
    let (address, file) = (agent.address, agent.config.clone());
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    let mut reloads = Vec::new();
    for i in 0..1000_u32 {
        fs::write(&file, config(i)).unwrap();
        if i < 500 {
            assert_eq!(agent.post("/-/reload", &[]).await.0, 200, "reload {i}");
        } else {
            // The stop comes amid these.
            let url = format!("http://{address}/-/reload");
            reloads.push(tokio::spawn(client.post(url).send()));
        }
        if i == 499 {
            let after = agent.wait_for(polls, |polls| polls > before).await;
            assert!(after > before, "a reload keeps the counters");
        }
        if i == 750 {
            supervisor.stop().cancel();
        }
    }
    agent.ended().await.unwrap();
    tokio::time::timeout(Duration::ZERO, supervisor.drained())
        .await
        .expect("no task is left");
    for reload in reloads {
        drop(reload.await);
    }
}

//! The DNS resolver hangs while receivers of notifications and a self-check need it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::Uri;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::aftermath::{Before, all_polled};
use super::agent::{ADDRESS, Agent};
use super::names::NameServer;
use super::network::Network;
use super::{last, until};

const PEERS: usize = 20;

/// How long the agent may take to stop.
const STOP: Duration = Duration::from_secs(5);

/// Counts the requests to each path.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<BTreeMap<String, usize>>>);

impl Received {
    async fn start(port: u16) -> Self {
        let received = Self::default();
        let counting = received.clone();
        let app = Router::new().fallback(move |uri: Uri| {
            let counting = counting.clone();
            async move {
                let path = uri.path().to_owned();
                *counting.0.lock().unwrap().entry(path).or_default() += 1;
            }
        });
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        received
    }

    fn at(&self, path: &str) -> usize {
        let counts = self.0.lock().unwrap();
        counts.get(path).copied().unwrap_or_default()
    }

    fn by_name(&self) -> usize {
        ["/named", "/named/api/v2/alerts", "/heartbeat"]
            .iter()
            .map(|path| self.at(path))
            .sum()
    }
}

const RECEIVERS: &str = "
self_check: { dns_name: name.test }
notify:
  webhooks:
  - { name: named, url: 'http://hooks.test:18881/named' }
  - { name: hook, url: 'http://127.0.0.1:18881/hook' }
  alertmanagers:
  - { name: named_am, url: 'http://alertmanager.test:18881/named' }
  - { name: am, url: 'http://127.0.0.1:18881/am' }
  heartbeat: { url: 'http://heartbeat.test:18881/heartbeat', interval: 2s }
";

/// Starts the agent with this resolver, which waits two and a half minutes for an answer.
async fn start(dir: &Path, config: &str) -> Agent {
    let resolver = "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n";
    fs::write(dir.join("resolv.conf"), resolver).unwrap();
    fs::write(dir.join("nsswitch.conf"), "hosts: dns\n").unwrap();
    let mounts = "mount --bind resolv.conf /etc/resolv.conf && \
                  mount --bind nsswitch.conf /etc/nsswitch.conf && exec \"$0\" \"$@\"";
    let within = ["unshare", "--mount", "sh", "-c", mounts];
    Agent::start_within(dir, config, &within, ADDRESS).await
}

#[tokio::test]
async fn a_resolver_that_hangs_delays_neither_polls_nor_other_receivers_nor_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let mut network = Network::start(dir.path(), PEERS).await;
    let server = NameServer::start().await;
    let received = Received::start(18881).await;
    let config = format!("{}{RECEIVERS}", network.config());
    let mut agent = start(dir.path(), &config).await;
    until("the heartbeat arrives", async || {
        received.at("/heartbeat") > 0
    })
    .await;
    let before = Before::fault(&agent, PEERS).await;

    server.set_delay(None);
    until("the self-check fails", async || {
        agent.log().contains("count against peers")
    })
    .await;
    let named = received.by_name();
    all_polled(&agent, PEERS).await;
    // Alerts for the receivers at addresses.
    network.kill().await;
    until("the other receivers get the alerts", async || {
        received.at("/hook") > 0 && received.at("/am/api/v2/alerts") > 0
    })
    .await;
    assert_eq!(received.by_name(), named);
    assert!(agent.answers_a_new_client().await);
    network.begin().await;
    all_polled(&agent, PEERS).await;
    last(30).await;
    let threads = agent.resources().threads;
    let stopping = Instant::now();
    agent.end().await;
    let stopped = stopping.elapsed();
    assert!(stopped < STOP, "{stopped:?}");
    agent.begin().await;
    all_polled(&agent, PEERS).await;
    assert_eq!(received.by_name(), named);

    server.set_delay(Some(Duration::ZERO));
    until("the receivers at names get what they missed", async || {
        received.at("/named") > 0 && received.at("/heartbeat") > 0 && received.by_name() > named
    })
    .await;
    eprintln!("with a hanging resolver: {threads} threads, stopped in {stopped:?}");
    before.restored(&mut agent, "a hanging resolver").await;
}

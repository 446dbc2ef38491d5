//! An agent next to its peer: what it reads from the host and how it is reported.

use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use convex_peer_monitor::config::{Config, Role};
use convex_peer_monitor::fleet::{Fleet, PeerRecord};
use convex_peer_monitor::sidecar::{ProcessReading, Reading, StoreReading};
use tokio::time::{Instant, advance};

use crate::support::agent::{Agent, value_of};
use crate::support::fake::{FakePeer, Script};
use crate::support::fleet::{config, fleet};

/// A process in place of a peer; killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(seconds: &str) -> Self {
        Self(Command::new("sleep").arg(seconds).spawn().unwrap())
    }

    /// Returns a duration that no other process sleeps for.
    pub(crate) fn seconds(nth: u32) -> String {
        format!("86398.{}{nth}", std::process::id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn agent_config(fake: &FakePeer, detail: &str, sidecar: &str) -> String {
    format!(
        "mode: sidecar\nvantage: here\ndefaults: {{ interval: 1s, timeout: 900ms }}\nmetrics: {{ detail: {detail} }}\n\
         peers:\n- {{ name: p, endpoints: ['tcp://{}'], sidecar: {sidecar} }}\n",
        fake.tcp
    )
}

fn series(metric: &str) -> String {
    format!("{metric}{{peer=\"p\",network=\"default\"}}")
}

#[tokio::test]
async fn an_agent_reports_process_and_store_of_the_peer_on_its_host() {
    let fake = FakePeer::start(Script::default()).await;
    let seconds = Process::seconds(1);
    let process = Process::start(&seconds);
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("etch.db");
    std::fs::write(&store, vec![1; 100_000]).unwrap();
    let sidecar = format!(
        "{{ command_contains: 'sleep {seconds}', store: {} }}",
        store.display()
    );
    let agent = Agent::start(&agent_config(&fake, "full", &sidecar)).await;
    let up = series("convex_peer_process_up");
    agent.wait_for(&up, |up| up == 1.0).await;
    agent
        .wait_for(&series("convex_peer_store_bytes"), |bytes| {
            bytes >= 100_000.0
        })
        .await;

    let text = agent.get("/metrics").await.1;
    let value =
        |metric: &str| value_of(&text, &series(metric)).unwrap_or_else(|| panic!("{metric}"));
    let resident = value("convex_peer_process_resident_memory_bytes");
    let anonymous = value("convex_peer_process_anonymous_memory_bytes");
    assert!(0.0 < anonymous && anonymous <= resident);
    assert!(value("convex_peer_process_memory_limit_bytes") > resident);
    assert!(value("convex_peer_process_cpu_seconds_total") >= 0.0);
    assert!(value("convex_peer_process_open_fds") >= 3.0);
    assert!(value("convex_peer_process_max_fds") >= value("convex_peer_process_open_fds"));
    assert_eq!(value("convex_peer_process_threads"), 1.0);
    assert!(value("convex_peer_process_start_time_seconds") > 1e9);
    let size = value("convex_peer_store_filesystem_size_bytes");
    assert!(value("convex_peer_store_filesystem_available_bytes") <= size);
    let info = "convex_monitor_info{vantage=\"here\",mode=\"sidecar\",url=\"\"}";
    assert_eq!(value_of(&text, info), Some(1.0));

    let report: serde_json::Value =
        serde_json::from_str(&agent.get("/api/v1/peers/p").await.1).unwrap();
    assert_eq!(report["sidecar"]["pid"], process.0.id());
    assert_eq!(report["sidecar"]["process_up"], true);
    assert!(report["sidecar"]["store_bytes"].as_u64() >= Some(100_000));
    assert!(report["sidecar"]["unavailable"].is_object());

    drop(process);
    agent.wait_for(&up, |up| up == 0.0).await;
    let text = agent.get("/metrics").await.1;
    let resident = series("convex_peer_process_resident_memory_bytes");
    assert_eq!(value_of(&text, &resident), None, "the process is gone");
    let report: serde_json::Value =
        serde_json::from_str(&agent.get("/api/v1/peers/p").await.1).unwrap();
    let why = report["sidecar"]["unavailable"]["process"].as_str();
    assert!(why.unwrap().contains("no process has"), "{why:?}");

    let again = Process::start(&seconds);
    agent.wait_for(&up, |up| up == 1.0).await;
    drop(again);
    agent.stop().await;
}

#[tokio::test]
async fn a_reload_changes_which_process_is_watched() {
    let fake = FakePeer::start(Script::default()).await;
    let (seconds, other) = (Process::seconds(2), Process::seconds(3));
    let _process = Process::start(&seconds);
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("peer.pid");
    let by_file = format!("{{ pid_file: {} }}", pid_file.display());
    let agent = Agent::start(&agent_config(&fake, "lean", &by_file)).await;
    let up = series("convex_peer_process_up");
    agent.wait_for(&up, |up| up == 0.0).await;
    let by_command = |seconds: &str| {
        let sidecar = format!("{{ command_contains: 'sleep {seconds}' }}");
        agent_config(&fake, "lean", &sidecar)
    };
    for (seconds, expected) in [(&seconds, 1.0), (&other, 0.0)] {
        std::fs::write(&agent.config, by_command(seconds)).unwrap();
        assert_eq!(agent.post("/-/reload", &[]).await.0, 200);
        agent.wait_for(&up, |up| up == expected).await;
    }
    let central = agent_config(&fake, "lean", "{}").replace("sidecar: {}", "role: own");
    std::fs::write(&agent.config, central).unwrap();
    assert_eq!(agent.post("/-/reload", &[]).await.0, 200);
    assert_eq!(agent.metric(&up).await, None);
    agent.stop().await;
}

fn watched() -> (Fleet, Config) {
    let text = "mode: sidecar\ndefaults: { interval: 10s }\npeers:\n\
                - { name: p, endpoints: [tcp://127.0.0.1:1], sidecar: { pid_file: x, store: y } }\n";
    (fleet(text), config(text))
}

fn record(fleet: &Fleet) -> Arc<PeerRecord> {
    Arc::clone(&fleet.snapshot().peers[0])
}

#[tokio::test(start_paused = true)]
async fn readings_of_the_host_stay_current_for_three_intervals() {
    let (fleet, config) = watched();
    let process = ProcessReading {
        process_up: Some(true),
        ..ProcessReading::default()
    };
    fleet.record_host_reading(
        &config.peers[0],
        Reading::Process(Box::new(process.clone())),
    );
    advance(Duration::from_secs(20)).await;
    fleet.record_host_reading(&config.peers[0], Reading::Store(StoreReading::default()));
    advance(Duration::from_secs(9)).await;
    assert_eq!(record(&fleet).process(Instant::now()), Some(&process));
    advance(Duration::from_secs(1)).await;
    assert_eq!(record(&fleet).process(Instant::now()), None);
    assert!(record(&fleet).store(Instant::now()).is_some());
}

#[tokio::test]
async fn a_reading_for_the_peer_before_a_reload_is_dropped() {
    let (fleet, mut config) = watched();
    let before = config.peers[0].clone();
    Arc::make_mut(&mut config.peers[0]).role = Role::Reference;
    fleet.apply(&config);
    fleet.record_host_reading(&before, Reading::Store(StoreReading::default()));
    assert!(record(&fleet).store(Instant::now()).is_none());
}

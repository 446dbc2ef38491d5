//! A log that nobody reads stops nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use convex_client::{HttpOptions, http_client};
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::support::agent::value_of;
use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::program::send_signal;
use crate::support::{DEADLINE, until};

/// Capacity of a pipe.
const PIPE_BYTES: usize = 64 << 10;

/// Counts the lines that could not be written.
const DROPPED: &str = "convex_monitor_log_lines_dropped_total";

/// A running program whose log goes where the test wants.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    /// Starts the agent on an address of its own in 127/8, with arguments after `run`.
    fn start(test: u8, peer: &FakePeer, log: Stdio, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = SocketAddr::from((Ipv4Addr::new(127, 64 + test, high, low), 18_880));
        let file = dir.keep().join("config.yml");
        let config = format!(
            "listen: {address}\n\
             defaults: {{ interval: 1s, timeout: 900ms, down_after: 1, up_after: 1 }}\n\
             peers: [{{ name: p, endpoints: ['tcp://{}'] }}]\n",
            peer.tcp
        );
        fs::write(&file, config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"))
            .arg("run")
            .args(args)
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, address }
    }

    async fn get(&self, path: &str) -> Option<String> {
        let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
        let request = client.get(format!("http://{}{path}", self.address));
        request.send().await.ok()?.text().await.ok()
    }

    async fn metric(&self, series: &str) -> Option<f64> {
        value_of(&self.get("/metrics").await?, series)
    }

    async fn health_is(&self, state: &str) {
        let series =
            format!("convex_peer_health{{peer=\"p\",network=\"default\",state=\"{state}\"}}");
        until(&series, async || self.metric(&series).await == Some(1.0)).await;
    }

    fn signal(&self, signal: Signal) {
        send_signal(&self.child, signal);
    }
}

/// The agent polls, reloads, judges and stops whatever its log is.
async fn everything_works(mut program: Program, peer: &FakePeer, log: &str) {
    program.health_is("up").await;
    let loaded = "convex_monitor_config_last_reload_success_timestamp_seconds";
    let before = program.metric(loaded).await;
    program.signal(Signal::HUP);
    until("a reload", async || program.metric(loaded).await != before).await;
    peer.set(|script| script.fault = Fault::Close);
    peer.hang_up();
    program.health_is("down").await;
    peer.set(|script| script.fault = Fault::None);
    program.health_is("up").await;
    let lines = program.metric(DROPPED).await.unwrap_or_default();
    let stopping = Instant::now();
    program.signal(Signal::TERM);
    let status = tokio::time::timeout(DEADLINE, program.child.wait()).await;
    assert!(status.expect("the agent ends").unwrap().success());
    eprintln!(
        "{log}: {lines} lines dropped, stopped in {:?}",
        stopping.elapsed()
    );
}

#[tokio::test]
async fn a_log_without_a_reader_or_on_a_full_disk_costs_only_its_lines() {
    let peer = FakePeer::start(Script::default()).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let logs = [
        (1, OwnedFd::from(writer), "a log without a reader"),
        (2, OwnedFd::from(full), "a log on a full disk"),
    ];
    for (test, log, what) in logs {
        let program = Program::start(test, &peer, log.into(), &[]);
        until("lines are dropped", async || {
            program
                .metric(DROPPED)
                .await
                .is_some_and(|lines| lines > 0.0)
        })
        .await;
        everything_works(program, &peer, what).await;
    }
}

#[tokio::test]
async fn a_pipe_that_nobody_drains_stops_nothing() {
    let peer = FakePeer::start(Script::default()).await;
    let (_reader, mut writer) = std::io::pipe().unwrap();
    // As much as the system lets a pipe hold, so that the first line of the log blocks.
    writer.write_all(&vec![b'\n'; PIPE_BYTES]).unwrap();
    let log = OwnedFd::from(writer);
    let program = Program::start(3, &peer, log.into(), &["--log-level", "trace"]);
    everything_works(program, &peer, "a pipe that nobody drains, at level trace").await;
}

#[tokio::test]
async fn the_log_is_text_unless_json_is_asked_for_and_names_the_url_to_open() {
    let peer = FakePeer::start(Script::default()).await;
    let dir = tempfile::tempdir().unwrap();
    for (test, args, expected) in [
        (4, &[][..], "monitoring"),
        (5, &["--log-format", "json"], "\"message\":\"monitoring\""),
    ] {
        let path = dir.path().join(test.to_string());
        let program = Program::start(test, &peer, File::create(&path).unwrap().into(), args);
        let url = format!("http://{}/", program.address);
        until(expected, async || {
            let log = fs::read_to_string(&path).unwrap();
            log.lines()
                .any(|line| line.contains(expected) && line.contains(&url))
        })
        .await;
    }
}

#[tokio::test]
async fn hangups_while_the_agent_starts_do_not_end_it() {
    let peer = FakePeer::start(Script::default()).await;
    let program = Program::start(6, &peer, Stdio::null(), &[]);
    // The loader of the system comes first: nothing can handle a signal before the program runs.
    let status = format!("/proc/{}/status", program.child.id().unwrap());
    let handles_hangup = || {
        let status = fs::read_to_string(&status).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        u64::from_str_radix(mask.unwrap().trim(), 16).unwrap() & 1 == 1
    };
    while !handles_hangup() {
        tokio::task::yield_now().await;
    }
    let mut hangups = 0;
    while program.get("/-/ready").await.is_none() {
        program.signal(Signal::HUP);
        hangups += 1;
        tokio::task::yield_now().await;
    }
    let what = format!("after {hangups} hangups while it started");
    everything_works(program, &peer, &what).await;
}

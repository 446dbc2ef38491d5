//! The wall clock steps an hour, both ways.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::aftermath::Before;
use super::agent::{ADDRESS, Agent};
use super::network::Network;
use super::until;

const PEERS: usize = 4;

/// The library that changes the time of a process, from the Debian package libfaketime.
pub(crate) fn library() -> PathBuf {
    let found = fs::read_dir("/usr/lib").unwrap().find_map(|dir| {
        let library = dir.unwrap().path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    });
    found.expect("libfaketime is installed")
}

/// Steps the clock of the agent to this offset.
pub(crate) fn step(dir: &Path, offset: &str) {
    let new = dir.join("clock.new");
    fs::write(&new, offset).unwrap();
    fs::rename(new, dir.join("clock")).unwrap();
}

/// Returns the number of polls in the history of a peer.
async fn polls_in_history(agent: &Agent) -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let (from, to) = (now - 2 * 3600, now + 2 * 3600);
    let path = format!("/api/v1/peers/sim-1/history?from={from}&to={to}&step=60");
    let piece = agent.json(&path).await;
    let points = piece["points"].as_array().unwrap();
    let count = |point: &serde_json::Value| {
        let polls = point["polls"].as_object().unwrap();
        polls
            .values()
            .filter_map(serde_json::Value::as_u64)
            .sum::<u64>()
    };
    points.iter().map(count).sum()
}

#[tokio::test]
async fn a_clock_that_steps_an_hour_both_ways_is_detected_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    step(dir.path(), "+0");
    let network = Network::start(dir.path(), PEERS).await;
    let preload = format!("LD_PRELOAD={}", library().display());
    let within = [
        "env",
        &preload,
        "FAKETIME_TIMESTAMP_FILE=clock",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    ];
    let config = network.config();
    let mut agent = Agent::start_within(dir.path(), &config, &within, ADDRESS).await;
    let before = Before::fault(&agent, PEERS).await;

    // To the agent, the clocks of the peers are off in the other direction.
    for (offset, skew) in [("+3600", -3600.0), ("-3600", 3600.0), ("+0", 0.0)] {
        let polls = polls_in_history(&agent).await;
        step(dir.path(), offset);
        until("the skew of all peers is measured", async || {
            let skews = agent.series("convex_peer_clock_skew_seconds").await;
            skews.len() >= PEERS && skews.values().all(|it: &f64| (it - skew).abs() < 60.0)
        })
        .await;
        until("only the clock of the agent is called wrong", async || {
            let disputed = agent.series("convex_monitor_clock_skew_seconds").await;
            let accused = agent.count("convex_peer_condition", "\"clock_skew\"").await;
            let is_own = |it: &f64| skew != 0.0 && (it + skew).abs() < 60.0;
            accused == 0
                && disputed.len() == usize::from(skew != 0.0)
                && disputed.values().all(is_own)
        })
        .await;
        until("no peer is down because of a clock", async || {
            agent.peers_up().await == PEERS
        })
        .await;
        until("polls continue and none is lost", async || {
            polls_in_history(&agent).await >= polls + 5
        })
        .await;
    }
    before
        .restored(&mut agent, "the clock steps an hour both ways")
        .await;
}

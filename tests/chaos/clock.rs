//! The wall clock steps an hour, both ways.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::aftermath::Before;
use super::agent::{ADDRESS, Agent};
use super::network::Network;
use super::until;

const PEERS: usize = 4;

/// The library by which a process is told another time: Debian's package libfaketime.
fn library() -> PathBuf {
    let found = fs::read_dir("/usr/lib").unwrap().find_map(|dir| {
        let library = dir.unwrap().path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    });
    found.expect("libfaketime is installed")
}

/// Sets the agent's clock off by so much, as one step.
fn step(dir: &Path, offset: &str) {
    let new = dir.join("clock.new");
    fs::write(&new, offset).unwrap();
    fs::rename(new, dir.join("clock")).unwrap();
}

/// Polls of a peer that the history tells of.
async fn polls_told(agent: &Agent) -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let (from, to) = (now - 2 * 3600, now + 2 * 3600);
    let path = format!("/api/v1/peers/sim-1/history?from={from}&to={to}&step=60");
    let piece = agent.json(&path).await;
    let points = piece["points"].as_array().unwrap();
    let of = |point: &serde_json::Value| {
        let polls = point["polls"].as_object().unwrap();
        polls
            .values()
            .filter_map(serde_json::Value::as_u64)
            .sum::<u64>()
    };
    points.iter().map(of).sum()
}

#[tokio::test]
async fn a_clock_that_steps_an_hour_both_ways_is_noticed_and_loses_nothing() {
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
    let before = Before::trouble(&agent, PEERS).await;

    // The peers' clocks are off by as much, the other way.
    for (offset, skew) in [("+3600", -3600.0), ("-3600", 3600.0), ("+0", 0.0)] {
        let told = polls_told(&agent).await;
        step(dir.path(), offset);
        until("all peers' clocks look wrong by as much", async || {
            let skews = agent.series("convex_peer_clock_skew_seconds").await;
            skews.len() >= PEERS && skews.values().all(|it: &f64| (it - skew).abs() < 60.0)
        })
        .await;
        until("a clock is nobody's death", async || {
            agent.peers_up().await == PEERS
        })
        .await;
        until("polls go on and none is forgotten", async || {
            polls_told(&agent).await >= told + 5
        })
        .await;
    }
    before
        .restored(&mut agent, "the clock steps an hour both ways")
        .await;
}

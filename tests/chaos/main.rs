//! The agent as a process that watches a simulated network while its host, its network or its
//! clients misbehave. After each fault nothing may be lost, stuck or leaked (see `aftermath.rs`).
//! `scripts/test chaos` runs the tests one after the other in separate namespaces, because they
//! mount file systems and cut links.
//!
//! Related tests: `tests/it/poller/faults.rs` for faults of peers within one poll,
//! `tests/it/agent/state_file.rs` and `tests/it/history` for torn and foreign files, and `src/web`
//! for bad clients.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a panic is how a test fails, and the figures compared are exact"
)]

mod aftermath;
mod agent;
mod clients;
mod clock;
mod configuration;
mod crowd;
mod descriptors;
mod disk;
mod everything;
mod kills;
mod links;
mod names;
mod network;
mod peers;
mod receivers;
mod relay;

use std::time::Duration;

/// Longest wait for something that must happen.
const DEADLINE: Duration = Duration::from_secs(300);

/// Waits until `holds`, checking it ten times a second.
async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    let in_time = holds_within(DEADLINE, holds).await;
    assert!(in_time, "not within {DEADLINE:?}: {what}");
}

/// Returns whether `holds` within this time.
async fn holds_within(longest: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(longest, waiting).await.is_ok()
}

/// Lets a fault last this long.
async fn last(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Runs a command and waits for its success.
async fn system(command: &str) {
    let mut words = command.split_whitespace();
    let status = tokio::process::Command::new(words.next().unwrap())
        .args(words)
        .status()
        .await;
    assert!(status.unwrap().success(), "{command}");
}

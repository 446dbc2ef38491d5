//! The agent as a program against a simulated network while its host, its network or its clients misbehave. After each trouble nothing
//! may be lost, stuck or leaked (`aftermath.rs` says what that means). `scripts/test chaos` runs it, one trouble after the other, in namespaces
//! of its own: file systems are mounted and links are cut here.
//!
//! What one poll does about each fault of a peer, with out-of-order, doubled and late replies among them, is shown by `tests/it/faults.rs`;
//! torn and foreign files by `tests/it/state_file.rs` and `tests/it/history.rs`; what the listener does about each kind of bad client
//! by the tests of `src/web`.

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
mod kills;
mod links;
mod names;
mod network;
mod peers;
mod relay;

use std::time::Duration;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until `holds`, looking ten times a second.
async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    let in_time = holds_within(PATIENCE, holds).await;
    assert!(in_time, "not within {PATIENCE:?}: {what}");
}

/// Whether `holds` within so long.
async fn holds_within(longest: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(longest, waiting).await.is_ok()
}

/// Lets a trouble last.
async fn last(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Runs a command of the system to its end.
async fn system(command: &str) {
    let mut words = command.split_whitespace();
    let status = tokio::process::Command::new(words.next().unwrap())
        .args(words)
        .status()
        .await;
    assert!(status.unwrap().success(), "{command}");
}

//! The configuration is half-written, replaced by symbolic links as in Kubernetes, and reloaded by
//! a storm of signals.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::aftermath::Before;
use super::agent::Agent;
use super::network::Network;
use super::until;

const PEERS: usize = 20;

/// Returns the configuration without the last peer.
fn fewer(config: &str) -> &str {
    let last = config.trim_end().rfind('\n').unwrap();
    &config[..=last]
}

/// Replaces `config.yml` like Kubernetes replaces a mounted `ConfigMap`: a new directory, and a
/// rename of the link to it.
fn mount(dir: &Path, version: usize, config: &str) {
    let name = format!("..version-{version}");
    fs::create_dir(dir.join(&name)).unwrap();
    fs::write(dir.join(&name).join("config.yml"), config).unwrap();
    symlink(&name, dir.join("..data.new")).unwrap();
    fs::rename(dir.join("..data.new"), dir.join("..data")).unwrap();
}

async fn peers(agent: &Agent) -> usize {
    agent.series("convex_peer_polls_total").await.len()
}

#[tokio::test]
async fn a_half_written_file_is_refused_and_a_replaced_link_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let network = Network::start(dir.path(), PEERS).await;
    let config = network.config();
    let mut agent = Agent::start(dir.path(), &config).await;
    let before = Before::fault(&agent, PEERS).await;

    let file = dir.path().join("config.yml");
    let refused = |agent: &Agent| agent.log().matches("configuration was rejected").count();
    // Each ends within a line, so that the file is invalid.
    for (i, part) in [10, 4, 3, 2].into_iter().enumerate() {
        let line_ends = config[..config.len() / part].rfind('\n').unwrap();
        fs::write(&file, &config[..line_ends - 3]).unwrap();
        agent.signal("-HUP").await;
        until("the file is refused", async || refused(&agent) == i + 1).await;
        assert_eq!(peers(&agent).await, PEERS);
    }

    mount(dir.path(), 0, &config);
    symlink("..data/config.yml", dir.path().join("link")).unwrap();
    fs::rename(dir.path().join("link"), &file).unwrap();
    for version in 1..=40 {
        let (config, expected) = if version % 2 == 0 {
            (config.as_str(), PEERS)
        } else {
            (fewer(&config), PEERS - 1)
        };
        mount(dir.path(), version, config);
        agent.signal("-HUP").await;
        until("the linked file is loaded", async || {
            peers(&agent).await == expected
        })
        .await;
    }
    assert_eq!(refused(&agent), 4);
    before
        .restored(&mut agent, "half-written and linked configurations")
        .await;
}

#[tokio::test]
async fn a_storm_of_signals_ends_with_the_last_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let network = Network::start(dir.path(), PEERS).await;
    let config = network.config();
    let mut agent = Agent::start(dir.path(), &config).await;
    let before = Before::fault(&agent, PEERS).await;

    let storm = format!(
        "i=0; while [ $i -lt 100 ]; do kill -HUP {}; i=$((i+1)); done",
        agent.pid()
    );
    let new = dir.path().join("new.yml");
    for i in 0..100 {
        let other = if i % 2 == 0 { fewer(&config) } else { &config };
        fs::write(&new, other).unwrap();
        fs::rename(&new, dir.path().join("config.yml")).unwrap();
        let status = tokio::process::Command::new("sh")
            .args(["-c", &storm])
            .status();
        assert!(status.await.unwrap().success());
    }
    until("the last configuration is active", async || {
        peers(&agent).await == PEERS
    })
    .await;
    before
        .restored(&mut agent, "10,000 SIGHUPs over 100 configurations")
        .await;
}

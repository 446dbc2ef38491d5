//! Ten minutes of everything at once: silent peers, a dead resolver, a full disk, a stepping clock,
//! scrapers that never read, half-written configurations and a storm of reloads.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::aftermath::Before;
use super::agent::{ADDRESS, Agent};
use super::clients::scraper;
use super::clock::{library, step};
use super::disk::Mounted;
use super::names::NameServer;
use super::network::{DEFAULTS, Network};
use super::peers::relays;
use super::relay::Quality;
use super::{holds_within, system};

const PEERS: usize = 20;

/// How often each peer is polled.
const INTERVAL: Duration = Duration::from_secs(10);

/// How long everything lasts in all.
const LENGTH: Duration = Duration::from_secs(600);

/// How long all faults last together, before all of them end.
const ROUND: Duration = Duration::from_secs(60);

const SCRAPERS: usize = 100;

/// Counts the peers that are up and have no condition but flapping, which the faults cause.
async fn well(agent: &Agent) -> usize {
    let ill = agent.series("convex_peer_condition").await;
    let ill = ill.keys().filter(|labels| !labels.contains("flapping"));
    let ill: Vec<&str> = ill.filter_map(|labels| labels.split('"').nth(1)).collect();
    let health = agent.series("convex_peer_health").await;
    let well = health.iter().filter(|(labels, value)| {
        let is_up = labels.contains("\"up\"") || labels.contains("\"degraded\"");
        let peer = labels.split('"').nth(1).unwrap_or_default();
        is_up && **value == 1.0 && !ill.contains(&peer)
    });
    well.count()
}

/// Starts an agent whose clock and resolver the test controls; returns it with its configuration.
/// Half of the peers are known by name, the others by the address of relays.
async fn start(dir: &Path, network: &Network) -> (Agent, String) {
    let defaults = "defaults: { interval: 10s, timeout: 5s, up_after: 1 }\n";
    let config = (0..PEERS).fold(network.config(), |config, i| {
        let port = 28000 + i;
        let name = format!("//p{port}.test:{port}");
        config.replace(&format!("//127.0.0.1:{port}"), &name)
    });
    let config = config
        .replace(DEFAULTS, defaults)
        .replace("//127.0.0.1:", "//127.0.0.2:");
    fs::write(dir.join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    fs::write(dir.join("nsswitch.conf"), "hosts: dns\n").unwrap();
    let mounts = "mount --bind resolv.conf /etc/resolv.conf && \
                  mount --bind nsswitch.conf /etc/nsswitch.conf && exec \"$0\" \"$@\"";
    let preload = format!("LD_PRELOAD={}", library().display());
    let within = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        mounts,
        "env",
        &preload,
        "FAKETIME_TIMESTAMP_FILE=clock",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    ];
    let agent = Agent::start_within(dir, &config, &within, ADDRESS).await;
    (agent, config)
}

#[tokio::test]
async fn ten_minutes_of_everything_at_once_leave_every_verdict_right() {
    let dir = tempfile::tempdir().unwrap();
    let network = Network::start(dir.path(), PEERS).await;
    let relays = relays("127.0.0.2", PEERS).await;
    let server = NameServer::start().await;
    step(dir.path(), "+0");
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    system(&format!(
        "mount -t tmpfs -o size=8m chaos {}",
        state.display()
    ))
    .await;
    let _mounted = Mounted(state.display().to_string());
    let (mut agent, config) = start(dir.path(), &network).await;
    // The C library keeps what scrapers took for the next ones, so only further rounds show a leak.
    let mut before = None;
    let ballast = state.join("ballast");
    let file = dir.path().join("config.yml");
    let since = Instant::now();
    let mut rounds = 0;
    while since.elapsed() < LENGTH {
        rounds += 1;
        for relay in &relays[..PEERS] {
            relay.set(if rounds % 2 == 0 {
                Quality::Silent
            } else {
                Quality::Trickle
            });
        }
        server.set_delay(None);
        let mut filling = File::create(&ballast).unwrap();
        while filling.write_all(&[0; 1024]).is_ok() {}
        step(dir.path(), if rounds % 2 == 0 { "-3600" } else { "+3600" });
        let mut scrapers = Vec::new();
        for _ in 0..SCRAPERS {
            scrapers.push(scraper(agent.address).await);
        }
        let round = Instant::now();
        let mut reloads = 0;
        while round.elapsed() < ROUND {
            reloads += 1;
            let half_written = &config[..config.len() / 2 - 3];
            let text = if reloads % 2 == 0 {
                &config
            } else {
                half_written
            };
            fs::write(&file, text).unwrap();
            agent.signal("-HUP").await;
            assert!(agent.answers_a_new_client().await, "round {rounds}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }

        drop((filling, scrapers));
        fs::remove_file(&ballast).unwrap();
        fs::write(&file, &config).unwrap();
        agent.signal("-HUP").await;
        step(dir.path(), "+0");
        server.set_delay(Some(Duration::ZERO));
        for relay in &relays {
            relay.set(Quality::Good);
        }
        let mut last = 0;
        let right = holds_within(2 * INTERVAL, async || {
            last = well(&agent).await;
            last == PEERS
        })
        .await;
        let health = agent.series("convex_peer_condition").await;
        assert!(
            right,
            "round {rounds}: {last} of {PEERS} are well; {health:?}"
        );
        if before.is_none() {
            before = Some(Before::fault(&agent, PEERS).await);
        }
    }
    before
        .expect("there is more than one round")
        .restored(
            &mut agent,
            &format!("{rounds} rounds of everything at once"),
        )
        .await;
}

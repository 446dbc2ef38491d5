//! Events: what happens to a peer, in order.

use std::fs;
use std::time::SystemTime;

use cad3::Hash;
use convex_client::FailureReason;
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::history::EventKind;

use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Script};

use super::{TWO, Watched, failed, good, words};

#[tokio::test]
async fn what_happens_to_a_peer_is_told_once_and_in_order() {
    let watched = Watched::start(None, TWO).await;
    let now = SystemTime::now();
    let mut following = watched.history.subscribe(None);
    for attempt in [
        good(7, 5, 1),
        good(7, 5, 1),
        failed(Reason::Client(FailureReason::Refused)),
        failed(Reason::Client(FailureReason::Refused)),
        failed(Reason::Client(FailureReason::Refused)),
        good(7, 5, 1),
        good(7, 5, 1),
        good(8, 5, 1),
    ] {
        watched.poll(0, now, attempt);
    }
    let key = |byte| Hash::new([byte; 32]);
    let expected = [
        "one: refused".to_owned(),
        "one: down, was up: tcp: refused: as scripted".to_owned(),
        "one: restarted".to_owned(),
        "one: no longer refused".to_owned(),
        "one: up, was down".to_owned(),
        format!("one: key {} answers, was {}", key(8), key(7)),
        "one: identity_changed".to_owned(),
        "one: degraded, was up".to_owned(),
    ];
    assert_eq!(watched.told(), expected);
    let mut followed = Vec::new();
    for _ in 0..expected.len() {
        followed.push(following.next().await.unwrap());
    }
    assert_eq!(words(&followed), expected);
    let of_peer = watched.history.events_of("one", 1);
    assert_eq!(words(&of_peer), expected[7..]);
    assert_eq!(of_peer[0].network.as_deref(), Some("main"));
}

#[tokio::test]
async fn a_fork_is_told_when_it_begins_and_when_it_ends() {
    let config = format!("{TWO}- {{ name: three, endpoints: ['tcp://192.0.2.3:1'] }}\n");
    let watched = Watched::start(None, &config).await;
    for (block, hashes) in [(5, [1, 1, 1]), (6, [2, 2, 9]), (7, [3, 3, 3])] {
        for (peer, hash) in (0..3).zip(hashes) {
            let key = u8::try_from(peer).unwrap();
            watched.poll(peer, SystemTime::now(), good(key, block, hash));
        }
    }
    let of_three = watched.history.events_of("three", 99);
    let told: Vec<_> = of_three.iter().rev().map(|event| &event.what).collect();
    let is = |expected: fn(&EventKind) -> bool| told.iter().position(|what| expected(what));
    let began = is(|what| {
        matches!(
            what,
            EventKind::ForkBegan {
                first_block: Some(5)
            }
        )
    });
    let ended = is(|what| matches!(what, EventKind::ForkEnded));
    assert!(began.is_some() && began < ended, "{told:?}");
    assert!(watched.history.events_of("one", 99).is_empty());
}

#[tokio::test]
async fn an_agent_keeps_a_history_of_what_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let peer = FakePeer::start(Script::default()).await;
    let config = |more: &str| {
        format!(
            "state_dir: {}\nhistory: {{ max_bytes: 64MiB }}\ndefaults: {{ interval: 1s, timeout: 500ms }}\n\
             peers: [{{ name: fake, endpoints: ['tcp://{}'] }}{more}]\n",
            dir.path().display(),
            peer.tcp
        )
    };
    let agent = Agent::start(&config("")).await;
    agent
        .wait_for(
            "convex_peer_polls_total{peer=\"fake\",network=\"default\"}",
            |polls| polls >= 2.0,
        )
        .await;
    fs::write(&agent.config, "no configuration").unwrap();
    assert_eq!(agent.post("/-/reload", &[]).await.0, 400);
    fs::write(
        &agent.config,
        config(", { name: gone, endpoints: ['tcp://127.0.0.1:1'] }"),
    )
    .unwrap();
    assert_eq!(agent.post("/-/reload", &[]).await.0, 200);
    agent
        .wait_for(
            "convex_peer_health{peer=\"gone\",network=\"default\",state=\"down\"}",
            |down| down == 1.0,
        )
        .await;
    agent.stop().await;

    let watched = Watched::start(Some(dir.path()), &config("")).await;
    let told = watched.told();
    let version = format!("the agent {} has started", env!("CARGO_PKG_VERSION"));
    assert_eq!(told[0], version);
    assert!(
        told[1].starts_with("the new configuration is refused: "),
        "{told:?}"
    );
    assert_eq!(told[2], "the configuration is reloaded, 2 peers");
    assert!(
        told.iter()
            .any(|it| it.starts_with("gone: down, was unknown: tcp: refused")),
        "{told:?}"
    );
    assert_eq!(told.last().unwrap(), "the agent stops");
    let [day, ..] = watched.history.uptime("fake").await.unwrap();
    assert_eq!(day.ratio(), Some(1.0));
}

//! Events: what happened to a peer, in order.

use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

use cad3::Hash;
use convex_client::FailureReason;
use convex_peer_monitor::fleet::peer_json::ExactInteger;
use convex_peer_monitor::history::{Event, EventKind, StateOfPeer};
use convex_peer_monitor::supervisor::liveness::{Liveness, Part};
use tokio_util::sync::CancellationToken;

use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Script};
use crate::support::fleet::config;
use crate::support::polls::failed;
use crate::support::until;

use super::{TWO, Watched, as_text, good};

#[tokio::test]
async fn each_event_of_a_peer_is_recorded_once_and_in_order() {
    let watched = Watched::start(None, TWO).await;
    let now = SystemTime::now();
    let mut subscription = watched.history.subscribe(None);
    for attempt in [
        good(7, 5, 1),
        good(7, 5, 1),
        failed(FailureReason::Refused),
        failed(FailureReason::Refused),
        failed(FailureReason::Refused),
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
        format!("one: key changed from {} to {}", key(7), key(8)),
        "one: identity_changed".to_owned(),
        "one: degraded, was up".to_owned(),
    ];
    assert_eq!(watched.events(), expected);
    let mut received = Vec::new();
    for _ in 0..expected.len() {
        received.push(subscription.next().await.unwrap());
    }
    assert_eq!(as_text(&received), expected);
    let newest = watched.history.peer_events("one", 1);
    assert_eq!(as_text(&newest), expected[7..]);
    assert_eq!(newest[0].network.as_deref(), Some("main"));
}

#[tokio::test]
async fn the_start_and_the_end_of_a_fork_are_events() {
    let config = format!("{TWO}- {{ name: three, endpoints: ['tcp://192.0.2.3:1'] }}\n");
    let watched = Watched::start(None, &config).await;
    // Only those who hold more than half of the registered stake can show that a peer is wrong.
    watched.register(&[0, 1, 2]);
    for (block, hashes) in [(5, [1, 1, 1]), (6, [2, 2, 9]), (7, [3, 3, 3])] {
        for (peer, hash) in (0..3).zip(hashes) {
            let key = u8::try_from(peer).unwrap();
            watched.poll(peer, SystemTime::now(), good(key, block, hash));
        }
    }
    let events = watched.history.peer_events("three", 99);
    let kinds: Vec<_> = events.iter().rev().map(|event| &event.kind).collect();
    let position = |expected: fn(&EventKind) -> bool| kinds.iter().position(|what| expected(what));
    let began = position(|what| {
        matches!(
            what,
            EventKind::ForkBegan {
                first_block: Some(5)
            }
        )
    });
    let ended = position(|what| matches!(what, EventKind::ForkEnded));
    assert!(began.is_some() && began < ended, "{kinds:?}");
    assert!(watched.history.peer_events("one", 99).is_empty());
}

#[tokio::test]
async fn an_agent_records_what_it_does_and_keeps_it_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let peer = FakePeer::start(Script::default()).await;
    let config = |more: &str| {
        format!(
            "state_dir: {}\nhistory: {{ max_bytes: 64MiB }}\ndefaults: {{ interval: 2s, timeout: 1900ms }}\n\
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
    let events = watched.events();
    let version = format!("the agent {} has started", env!("CARGO_PKG_VERSION"));
    assert_eq!(events[0], version);
    assert!(
        events[1].starts_with("the new configuration was rejected: "),
        "{events:?}"
    );
    assert_eq!(events[2], "the configuration was reloaded, 2 peers");
    assert!(
        events
            .iter()
            .any(|it| it.starts_with("gone: down, was unknown: tcp: refused")),
        "{events:?}"
    );
    assert_eq!(events.last().unwrap(), "the agent is stopping");
    let [day, ..] = watched.history.uptime("fake").await.unwrap();
    assert_eq!(day.ratio(), Some(1.0));
}

#[tokio::test]
async fn a_renamed_peer_keeps_its_events_and_its_summaries() {
    let dir = tempfile::tempdir().unwrap();
    let watched = Watched::start(Some(dir.path()), TWO).await;
    for _ in 0..2 {
        watched.poll(0, SystemTime::now(), failed(FailureReason::Refused));
    }
    watched.write().await;
    let before = as_text(&watched.history.peer_events("one", 99));
    assert!(!before.is_empty());
    let renamed = config(&TWO.replace("name: one", "name: uno"));
    watched.history.rename(watched.fleet.apply(&renamed));
    watched.history.set_peers(&watched.fleet.snapshot());
    watched.poll(0, SystemTime::now(), failed(FailureReason::Refused));
    watched.write().await;
    assert!(watched.history.peer_events("one", 99).is_empty());
    let renamed: Vec<String> = before
        .iter()
        .map(|line| line.replace("one:", "uno:"))
        .collect();
    let events = as_text(&watched.history.peer_events("uno", 99));
    assert!(events.ends_with(&renamed), "{events:?}");

    // Another process finds both under the new name.
    drop(watched);
    let again = Watched::start(Some(dir.path()), &TWO.replace("name: one", "name: uno")).await;
    let stored = as_text(&again.history.peer_events("uno", 99));
    assert!(stored.ends_with(&renamed), "{stored:?}");
}

#[tokio::test]
async fn different_states_at_one_block_are_an_event_when_they_begin_and_when_they_end() {
    let watched = Watched::start(None, TWO).await;
    let pulse = Liveness::default().pulse(Part::History, "history");
    let recording = Arc::clone(&watched.history).run(
        Arc::clone(&watched.fleet),
        pulse,
        CancellationToken::new(),
    );
    let recording = tokio::spawn(recording);
    for (block, hashes, events) in [
        (5, [1, 1], 0),
        (6, [2, 9], 1),
        (7, [3, 8], 1),
        (8, [4, 4], 2),
    ] {
        for (peer, hash) in hashes.into_iter().enumerate() {
            let key = u8::try_from(peer).unwrap();
            watched.poll(peer, SystemTime::now(), good(key, block, hash));
        }
        let of_network = || {
            let events = watched.history.events_since(0, usize::MAX);
            events.iter().filter(|event| event.peer.is_none()).count()
        };
        until("an event of the network", async || of_network() >= events).await;
    }
    recording.abort();
    let events = watched.history.events_since(0, usize::MAX);
    let of_network = events.iter().filter(|event| event.peer.is_none());
    let of_network: Vec<&EventKind> = of_network.map(|event| &event.kind).collect();
    let hash = |byte: &str| byte.repeat(16);
    let expected = [
        EventKind::StatesDifferBegan {
            block: ExactInteger(5),
            states: vec![
                StateOfPeer {
                    hash: hash("02"),
                    peer: "one".to_owned(),
                },
                StateOfPeer {
                    hash: hash("09"),
                    peer: "two".to_owned(),
                },
            ],
        },
        EventKind::StatesDifferEnded,
    ];
    assert_eq!(of_network, expected.iter().collect::<Vec<_>>());
    let text = expected[0].to_string();
    assert_eq!(
        text,
        "peers have different states at block 5: 0x02020202… (one), 0x09090909… (two)"
    );
}

#[tokio::test]
async fn finality_that_goes_back_is_an_event_each_time() {
    let watched = Watched::start(None, TWO).await;
    for attempt in [
        good(7, 30, 1),
        good(7, 30, 1),
        good(7, 10, 1),
        failed(FailureReason::Refused),
        good(7, 11, 1),
        good(7, 9, 1),
        good(7, 9, 1),
        good(7, 40, 1),
    ] {
        watched.poll(0, SystemTime::now(), attempt);
    }
    let mut events = watched.events();
    events.retain(|event| event.contains("finality"));
    assert_eq!(
        events,
        [
            "one: finality went back from 30 to 10 blocks",
            "one: finality went back from 11 to 9 blocks",
        ]
    );
}

#[tokio::test]
async fn absurd_blocks_in_events_are_exact_as_json() {
    let watched = Watched::start(None, TWO).await;
    let claimed = 1_i64 << 62;
    for block in [claimed, claimed - 1] {
        watched.poll(0, SystemTime::now(), good(7, block, 1));
    }
    let event = watched.history.peer_events("one", 1).remove(0);
    let json = serde_json::to_string(&*event).unwrap();
    assert!(
        json.contains(r#""from":"4611686018427387904","to":"4611686018427387903""#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), *event);
}

//! The state file: complete after a kill, and no obstacle when it is torn, foreign or cannot be
//! written.

mod any;
mod renamed;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{FailureReason, PollAnswer, Transport};
use convex_peer_monitor::agent::state_file::{State, StateError, StateFile};
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::{
    Comparison, ConfiguredIdentity, Fleet, Health, LastPoll, SavedEndpoint, SavedFleet, SavedOrder,
    SavedPeer, SavedRegistrations, Snapshot, Streak, UnixMillis,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::agent::{Agent, value_of};
use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::fleet::{config, fleet};
use crate::support::polls::{self, points};
use crate::support::program::{Program, file_contains};

const URL: &str = "tcp://192.0.2.1:1";

const ONE: &str = "peers: [{ name: one, endpoints: ['tcp://192.0.2.1:1'] }]\n";

/// The state of an agent that remembers this of its fleet.
fn state(fleet: SavedFleet) -> State {
    State {
        fleet,
        ..State::default()
    }
}

/// What an agent could remember of the peer in [`ONE`].
fn memory() -> SavedFleet {
    let mut streak = Streak::default();
    streak.record(false, 1, 1);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let now = UnixMillis(u64::try_from(now.as_millis()).unwrap());
    let endpoint = SavedEndpoint {
        attempt: Some(now),
        failures: 7,
        failure: Some(("refused".to_owned(), "as scripted".to_owned())),
        ..SavedEndpoint::default()
    };
    let one = SavedPeer {
        configured: ConfiguredIdentity {
            network: "default".to_owned(),
            pinned_genesis: None,
            pinned_key: None,
        },
        health: Health::Down,
        streak,
        verdict_changes: Vec::new(),
        recent_polls: None,
        genesis: Some(Hash::new([1; 32])),
        key: Some(Hash::new([2; 32])),
        genesis_match: None,
        key_match: Some(false),
        transports_agree: None,
        key_changed: Some(now),
        diverged_at: Some(41),
        forked_at: Some(17),
        registered_key: Some(Hash::new([2; 32])),
        condition_since: ["diverged", "forked", "identity_changed", "refused"]
            .map(|condition| (condition.to_owned(), now))
            .into(),
        advanced: [Some(now), None, None, None],
        order: SavedOrder::default(),
        endpoints: BTreeMap::from([(URL.to_owned(), Box::new(endpoint))]),
    };
    let registered = SavedRegistrations {
        peers: ["one".to_owned()].into(),
        keys: [Hash::new([2; 32]), Hash::new([3; 32])].into(),
    };
    SavedFleet {
        peers: BTreeMap::from([("one".to_owned(), one)]),
        finality_advanced: BTreeMap::from([("default".to_owned(), now)]),
        genesis: BTreeMap::from([("default".to_owned(), Hash::new([9; 32]))]),
        registered_in: BTreeMap::from([("default".to_owned(), vec![registered])]),
    }
}

fn conditions(snapshot: &Snapshot) -> Vec<&'static str> {
    let conditions = snapshot.peers[0].conditions.iter();
    conditions.map(|condition| condition.as_str()).collect()
}

#[test]
fn a_fleet_continues_where_it_ended() {
    let fleet = fleet(ONE);
    let memory = memory();
    fleet.restore(memory.clone());
    fleet.judge_all();
    assert_eq!(fleet.export(), memory);
    let snapshot = fleet.snapshot();
    let one = &snapshot.peers[0];
    assert_eq!(
        (one.health, one.last_poll, one.polls),
        (Health::Down, LastPoll::None, 0)
    );
    assert_eq!(one.comparison, Comparison::Diverged { first_block: 41 });
    let endpoint = &one.endpoints[0];
    let reason = endpoint.last_failure.as_ref().map(|failure| failure.reason);
    assert_eq!(
        (endpoint.consecutive_failures, reason),
        (7, Some(Reason::Client(FailureReason::Refused)))
    );
    assert_eq!(
        conditions(&snapshot),
        ["refused", "forked", "diverged", "identity_changed"]
    );
    assert!(snapshot.networks[0].verdict.finality_advanced.is_some());
}

/// Polls the peer, which shows these points, and returns its conditions.
fn poll(fleet: &Fleet, shown: [i64; 4]) -> Vec<&'static str> {
    let result = polls::good(polls::status(2, points(shown)), PollAnswer::default());
    fleet.record(&fleet.slots()[0], &polls::of_one(Transport::Tcp, result));
    conditions(&fleet.snapshot())
}

/// Polls the peer without an answer.
fn fail(fleet: &Fleet) {
    let result = polls::failed(FailureReason::Timeout);
    fleet.record(&fleet.slots()[0], &polls::of_one(Transport::Tcp, result));
}

#[tokio::test(start_paused = true)]
async fn a_stall_outlives_the_agent() {
    let before = fleet(ONE);
    assert!(poll(&before, [5, 4, 4, 4]).is_empty());
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(poll(&before, [5, 4, 4, 4]), ["stalled"]);
    let after = fleet(ONE);
    after.restore(before.export());
    assert_eq!(poll(&after, [5, 4, 4, 4]), ["stalled"]);
    assert!(poll(&after, [5, 5, 5, 5]).is_empty(), "finality has moved");
}

#[tokio::test(start_paused = true)]
async fn flapping_by_either_rule_outlives_the_agent() {
    const DOWN_AFTER_ONE: &str = "defaults: { up_after: 1, down_after: 1 }\n";
    const DOWN_AFTER_TWO: &str = "defaults: { up_after: 1, down_after: 2 }\n";
    for defaults in [DOWN_AFTER_ONE, DOWN_AFTER_TWO] {
        let text = format!("{defaults}{ONE}");
        let before = fleet(&text);
        for _ in 0..3 {
            poll(&before, [5; 4]);
            fail(&before);
        }
        assert_eq!(poll(&before, [5; 4]), ["flapping"], "{defaults}");
        let saved = serde_json::to_string(&before.export()).unwrap();
        let after = fleet(&text);
        after.restore(serde_json::from_str(&saved).unwrap());
        assert_eq!(conditions(&after.snapshot()), ["flapping"], "{defaults}");
        assert_eq!(poll(&after, [5; 4]), ["flapping"], "{defaults}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_verdict_is_worth_an_immediate_write() {
    let fleet = fleet(ONE);
    for _ in 0..2 {
        poll(&fleet, [5; 4]);
    }
    let up = fleet.significant_fingerprint();
    fail(&fleet);
    assert_eq!(fleet.significant_fingerprint(), up, "one failed poll");
    fail(&fleet);
    assert_ne!(fleet.significant_fingerprint(), up, "down");
}

#[test]
fn a_path_of_an_endpoint_is_not_saved_and_one_saved_earlier_is_recognised() {
    let path = "http://192.0.2.1:1/s3cret";
    let mut old = memory();
    let one = old.peers.get_mut("one").unwrap();
    let endpoint = one.endpoints.remove(URL).unwrap();
    one.endpoints.insert(path.to_owned(), endpoint);

    let absent = fleet("peers: [{ name: two, endpoints: ['tcp://192.0.2.2:1'] }]\n");
    absent.restore(old.clone());
    let mut saved = absent.export();
    assert!(!serde_json::to_string(&saved).unwrap().contains("s3cret"));
    // Both as saved earlier and as saved now.
    saved.peers.retain(|name, _| name == "one");
    for saved in [old, saved] {
        let same = fleet(&ONE.replace(URL, path));
        same.restore(saved);
        let one = &same.snapshot().peers[0];
        assert_eq!(one.health, Health::Down);
        assert_eq!(one.endpoints[0].consecutive_failures, 7);
        assert_eq!(one.endpoints[0].url, "http://192.0.2.1:1/<secret>");
        let other = fleet(&ONE.replace(URL, "http://192.0.2.1:1/0ther"));
        other.restore(same.export());
        assert_eq!(other.snapshot().peers[0].health, Health::Unknown);
    }
}

#[test]
fn another_peer_with_the_same_name_inherits_nothing() {
    for text in [
        "networks: [{ name: other }]\npeers: [{ name: one, endpoints: ['tcp://192.0.2.1:1'] }]\n",
        "peers: [{ name: one, endpoints: ['tcp://192.0.2.9:1'] }]\n",
        &format!(
            "peers: [{{ name: one, key: '{}', endpoints: ['tcp://192.0.2.1:1'] }}]\n",
            Hash::new([3; 32])
        ),
    ] {
        let fleet = fleet(text);
        fleet.restore(memory());
        assert_eq!(fleet.snapshot().peers[0].health, Health::Unknown, "{text}");
        assert_eq!(fleet.snapshot().peers[0].identity.key, None, "{text}");
    }
}

#[test]
fn the_memory_of_a_peer_is_kept_until_it_is_configured_again() {
    let later = fleet("peers: [{ name: two, endpoints: ['tcp://192.0.2.2:1'] }]\n");
    later.restore(memory());
    assert!(
        later.export().peers.contains_key("one"),
        "it may be configured later"
    );
    let both = "peers: [{ name: two, endpoints: ['tcp://192.0.2.2:1'] }, { name: one, endpoints: ['tcp://192.0.2.1:1'] }]\n";
    later.apply(&config(both));
    assert_eq!(later.snapshot().peers[1].health, Health::Down);
}

/// The memory of `one` and of another peer, polled at these times in days from now.
fn polled(one: i64, other: i64) -> SavedFleet {
    let mut memory = memory();
    let now = memory.finality_advanced["default"].0;
    let mut other_peer = memory.peers["one"].clone();
    let endpoint = other_peer.endpoints.remove(URL).unwrap();
    other_peer
        .endpoints
        .insert("tcp://192.0.2.2:1".to_owned(), endpoint);
    let one_peer = memory.peers.get_mut("one").unwrap();
    for (peer, days) in [(one_peer, one), (&mut other_peer, other)] {
        for endpoint in peer.endpoints.values_mut() {
            endpoint.attempt = Some(UnixMillis(now.saturating_add_signed(days * 86_400_000)));
        }
    }
    memory.peers.insert("other".to_owned(), other_peer);
    memory
}

#[test]
fn only_a_peer_that_was_polled_long_before_others_is_forgotten() {
    for (one, other, remembered, what) in [
        (-32, 0, false, "removed a month ago"),
        (-29, 0, true, "removed recently"),
        (
            -100,
            -100,
            true,
            "the agent was stopped, or its clock is ahead",
        ),
        (100, 100, true, "the clock is behind"),
        (
            0,
            100,
            true,
            "the clock was ahead when the other was polled",
        ),
    ] {
        let fleet = fleet(ONE);
        fleet.restore(polled(one, other));
        let learned = fleet.snapshot().peers[0].identity.key;
        assert_eq!(learned.is_some(), remembered, "{what}");
    }
}

#[test]
fn what_happened_in_the_future_counts_as_now() {
    let fleet = fleet(ONE);
    let mut memory = memory();
    let ahead = UnixMillis(u64::MAX);
    let one = memory.peers.get_mut("one").unwrap();
    one.key_changed = Some(ahead);
    one.advanced = [Some(ahead); 4];
    one.order.stuck = Some(ahead);
    memory.finality_advanced.insert("default".to_owned(), ahead);
    fleet.restore(memory);
    fleet.judge_all();
    let snapshot = fleet.snapshot();
    assert!(conditions(&snapshot).contains(&"identity_changed"));
    let advanced = snapshot.networks[0].verdict.finality_advanced;
    assert!(advanced.unwrap() <= SystemTime::now());
}

#[test]
fn a_file_torn_at_any_byte_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let file = StateFile::open(dir.path()).unwrap();
    file.write(&state(memory())).unwrap();
    let path = dir.path().join("state.json");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let found = file.read();
        assert!(found.state.is_none(), "{length} bytes");
        let to = found.quarantined.unwrap().to.unwrap();
        assert_eq!(fs::read(to).unwrap().len(), length, "nothing is lost");
        assert!(!path.exists());
    }
    assert!(
        file.read().quarantined.is_none(),
        "a missing file is no error"
    );
}

#[test]
fn a_foreign_file_is_set_aside_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let file = StateFile::open(dir.path()).unwrap();
    let path = dir.path().join("state.json");
    for (text, expected) in [
        ("#!/bin/sh\n", "truncated or not a state file"),
        ("[]", "truncated or not a state file"),
        ("{}", "missing field `format`"),
        (
            "{\"format\":\"recipes\",\"version\":1}",
            "its format is \"recipes\"",
        ),
        (
            "{\"format\":\"convex-peer-monitor state\",\"version\":2}",
            "its version is 2; this program reads version 1",
        ),
        (
            "{\"format\":\"convex-peer-monitor state\",\"version\":1,\"peers\":7}",
            "not a state of version 1",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let why = file.read().quarantined.unwrap().why;
        assert!(why.contains(expected), "{text}: {why}");
    }
    let sparse = fs::File::create(&path).unwrap();
    sparse.set_len((64 << 20) + 1).unwrap();
    assert!(
        file.read()
            .quarantined
            .unwrap()
            .why
            .contains("larger than 67108864 bytes")
    );
    fs::create_dir(&path).unwrap();
    let why = file.read().quarantined.unwrap().why;
    assert_eq!(why, "cannot read it: it is a directory, not a regular file");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let why = file.read().quarantined.unwrap().why;
    assert_eq!(why, "cannot read it: it is a FIFO, not a regular file");
    let memory = memory();
    file.write(&state(memory.clone())).unwrap();
    assert_eq!(
        file.read().state,
        Some(state(memory)),
        "the path is free again"
    );
}

#[test]
fn no_file_in_the_state_directory_is_read_or_written_through_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let state_dir = dir.path().join("state");
    let victim = dir.path().join("victim");
    let saved = StateFile::open(&state_dir).unwrap();
    saved.write(&state(memory())).unwrap();
    fs::rename(state_dir.join("state.json"), &victim).unwrap();
    let before = fs::read(&victim).unwrap();
    for name in ["state.json", "state.json.new"] {
        symlink(&victim, state_dir.join(name)).unwrap();
    }
    let found = saved.read();
    assert_eq!(
        (found.state, found.quarantined.unwrap().why.as_str()),
        (
            None,
            "cannot read it: it is a symbolic link, not a regular file"
        )
    );
    saved.write(&State::default()).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), before);
    assert_eq!(saved.read().state, Some(State::default()));
    drop(saved);
    // A dangling link would create the file that it points to.
    let lock = state_dir.join("lock");
    fs::remove_file(&lock).unwrap();
    symlink(dir.path().join("created"), &lock).unwrap();
    let error = StateFile::open(&state_dir).unwrap_err().to_string();
    assert!(
        error.ends_with("/lock: it is a symbolic link, not a regular file"),
        "{error}"
    );
    assert!(!dir.path().join("created").exists());
    fs::remove_file(&lock).unwrap();
    mknodat(CWD, &lock, FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert!(
        StateFile::open(&state_dir).is_err(),
        "and it does not block"
    );
}

#[test]
fn the_state_directory_is_created_and_locked_by_one_agent() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("var/lib/monitor");
    let first = StateFile::open(&deep).unwrap();
    let second = StateFile::open(&deep).unwrap_err();
    assert!(matches!(second, StateError::Taken { .. }));
    assert!(
        second.to_string().contains("another agent uses"),
        "{second}"
    );
    drop(first);
    assert!(StateFile::open(&deep).is_ok());
}

#[tokio::test]
async fn a_killed_agent_remembers_health_and_learned_key() {
    let fake = FakePeer::start(Script::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.yml");
    let peer = format!(
        "peers: [{{ name: one, endpoints: ['tcp://{}'] }}]\n",
        fake.tcp
    );
    let with = |defaults: &str| format!("state_dir: state\ndefaults: {{ {defaults} }}\n{peer}");
    fs::write(&config, with("interval: 1s, timeout: 900ms")).unwrap();
    let mut agent = Program::start(&config).await;
    let state = dir.path().join("state/state.json");
    file_contains(&state, "\"health\":\"up\"").await;
    agent.child.kill().await.unwrap();

    // The first poll of the next agent never ends, so all that it reports is remembered.
    fake.set(|script| script.fault = Fault::Silent);
    fs::write(&config, with("interval: 1d, timeout: 1h")).unwrap();
    let agent = Program::start(&config).await;
    let text = agent.get("/metrics").await.1;
    let up = "convex_peer_health{peer=\"one\",network=\"default\",state=\"up\"}";
    assert_eq!(value_of(&text, up), Some(1.0));
    let polls = "convex_peer_polls_total{peer=\"one\",network=\"default\"}";
    assert_eq!(value_of(&text, polls), Some(0.0), "counters start at zero");
    let key = Script::default().key.to_string();
    let info = text
        .lines()
        .find(|line| line.starts_with("convex_peer_info"));
    assert!(info.unwrap().contains(&key), "{info:?}");
    drop(agent);

    // Another key is a change, although this agent never saw the first one.
    fake.set(|script| {
        script.fault = Fault::None;
        script.key = Hash::new([9; 32]);
    });
    fs::write(&config, with("interval: 1s, timeout: 900ms")).unwrap();
    let mut agent = Program::start(&config).await;
    let line = agent.until("the peer's health changed").await;
    assert!(line.contains("identity_changed"), "{line}");
}

#[tokio::test]
async fn a_second_agent_in_one_state_directory_monitors_without_state() {
    let fake = FakePeer::start(Script::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.yml");
    let text = format!(
        "state_dir: state\ndefaults: {{ interval: 1s, timeout: 900ms }}\npeers: [{{ name: one, endpoints: ['tcp://{}'] }}]\n",
        fake.tcp
    );
    fs::write(&config, text).unwrap();
    let mut first = Program::start(&config).await;
    let mut second = Program::start(&config).await;
    let line = second.until("cannot save the state").await;
    assert!(line.contains("another agent uses"), "{line}");
    assert_eq!(second.get("/-/ready").await.0, 200);
    first.child.kill().await.unwrap();
    second.until("the state is saved again").await;
}

#[tokio::test]
async fn an_agent_that_cannot_write_its_state_monitors_nevertheless() {
    let fake = FakePeer::start(Script::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let state_dir = dir.path().join("state");
    fs::write(&state_dir, "a file where a directory should be").unwrap();
    let agent = Agent::start(&format!(
        "state_dir: {}\ndefaults: {{ interval: 1s, timeout: 900ms }}\npeers: [{{ name: one, endpoints: ['tcp://{}'] }}]\n",
        state_dir.display(),
        fake.tcp
    ))
    .await;
    let up = "convex_peer_health{peer=\"one\",network=\"default\",state=\"up\"}";
    agent.wait_for(up, |up| up == 1.0).await;
    // Once the directory can be created, the state is written, and again at the stop.
    fs::remove_file(&state_dir).unwrap();
    let state = state_dir.join("state.json");
    file_contains(&state, "\"health\":\"up\"").await;
    fake.set(|script| script.fault = Fault::Close);
    let down = "convex_peer_health{peer=\"one\",network=\"default\",state=\"down\"}";
    agent.wait_for(down, |down| down == 1.0).await;
    agent.stop().await;
    file_contains(&state, "\"health\":\"down\"").await;
}

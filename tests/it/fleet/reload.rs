//! What a fleet keeps of a peer when the configuration changes.

use std::collections::BTreeMap;

use convex_client::{FailureReason, PollAnswer, Transport};
use convex_peer_monitor::fleet::{Condition, Fleet, PeerRecord};

use crate::support::fleet::{config, fleet};
use crate::support::polls::{self, points, status};

const BEFORE: &str = "defaults: { up_after: 1 }\n\
    networks: [{ name: n }, { name: m }]\n\
    peers: [{ name: p, network: n, endpoints: ['tcp://192.0.2.1:1'] }]\n";

/// A fleet whose peer has answered one poll.
fn polled() -> Fleet {
    let fleet = fleet(BEFORE);
    poll(&fleet, true);
    fleet
}

/// Polls the peer, which answers or does not.
fn poll(fleet: &Fleet, answers: bool) {
    let result = if answers {
        polls::good(status(2, points([5; 4])), PollAnswer::default())
    } else {
        polls::failed(FailureReason::Timeout)
    };
    fleet.record(&fleet.slots()[0], &polls::of_one(Transport::Tcp, result));
}

/// What a restart remembers as well.
fn learned(record: &PeerRecord) -> (u64, bool, &'static str) {
    let learned_key = record.identity.key.is_some();
    (record.polls, learned_key, record.health.as_str())
}

#[test]
fn a_peer_whose_settings_change_keeps_its_record() {
    for (from, to) in [
        ("up_after: 1", "up_after: 1, timeout: 1s, interval: 20s"),
        ("name: p,", "name: p, role: reference, labels: { tier: a },"),
        (
            "['tcp://192.0.2.1:1']",
            "['http://192.0.2.1:1', 'tcp://192.0.2.1:1']",
        ),
    ] {
        let fleet = polled();
        let new = config(&BEFORE.replace(from, to));
        fleet.apply(&new);
        let record = &fleet.snapshot().peers[0];
        assert_eq!(learned(record), (1, true, "up"), "{to}");
        assert_eq!(record.peer, new.peers[0], "{to}");
        let urls: Vec<_> = record.endpoints.iter().map(|it| &it.url).collect();
        let configured: Vec<_> = new.peers[0]
            .endpoints
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(urls, configured.iter().collect::<Vec<_>>());
        let tcp = record.endpoints.last().unwrap();
        assert!(tcp.last_success.is_some(), "{to}");
    }
}

#[test]
fn a_renamed_peer_keeps_its_record_and_pinning_its_key_does_too() {
    let key = polled().snapshot().peers[0].identity.key.unwrap();
    let renamed = BEFORE.replace("name: p,", "name: gateway,");
    for (text, renames) in [
        (renamed.clone(), 1),
        (
            renamed.replace("gateway,", &format!("gateway, key: '{key}',")),
            1,
        ),
        (
            BEFORE.replace("name: p,", &format!("name: p, key: '{key}',")),
            0,
        ),
        // Another peer takes over the old name.
        (
            renamed.replace(
                "1:1'] }]\n",
                "1:1'] }, { name: p, network: n, endpoints: ['tcp://192.0.2.9:1'] }]\n",
            ),
            1,
        ),
    ] {
        let fleet = polled();
        let found = fleet.apply(&config(&text));
        assert_eq!(found.len(), renames, "{text}");
        let record = &fleet.snapshot().peers[0];
        if renames > 0 {
            let names = (found[0].from.as_str(), found[0].to.as_str());
            assert_eq!(names, ("p", record.peer.name.as_str()));
        }
        assert_eq!(record.polls, 1, "{text}");
    }
}

#[test]
fn peers_that_exchange_their_names_keep_their_records() {
    let both = |first: &str, second: &str| {
        config(&format!(
            "peers:\n- {{ name: {first}, endpoints: ['tcp://192.0.2.1:1'] }}\n\
             - {{ name: {second}, endpoints: ['tcp://192.0.2.2:1'] }}\n"
        ))
    };
    let fleet = Fleet::default();
    fleet.apply(&both("a", "b"));
    let renames = fleet.apply(&both("b", "a"));
    let mut names = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
    for rename in renames {
        let peer = names.remove(&rename.from).unwrap();
        assert_eq!(names.insert(rename.to, peer), None);
    }
    assert_eq!(
        names,
        BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)])
    );
}

#[test]
fn a_reload_does_not_end_flapping() {
    let fleet = polled();
    for answers in [false, true, false, true, false] {
        poll(&fleet, answers);
    }
    let is_flapping = || {
        fleet.snapshot().peers[0]
            .conditions
            .contains(&Condition::Flapping)
    };
    assert!(is_flapping());
    fleet.apply(&config(
        &BEFORE.replace("up_after: 1", "up_after: 2, timeout: 1s"),
    ));
    poll(&fleet, true);
    assert!(is_flapping());
}

#[test]
fn another_peer_with_the_same_name_starts_without_a_record() {
    let key = "0x1111111111111111111111111111111111111111111111111111111111111111";
    for (from, to) in [
        ("network: n", "network: m".to_owned()),
        ("192.0.2.1:1", "192.0.2.2:1".to_owned()),
        ("name: p,", format!("name: p, key: '{key}',")),
    ] {
        let fleet = polled();
        fleet.apply(&config(&BEFORE.replace(from, &to)));
        let record = &fleet.snapshot().peers[0];
        assert_eq!(learned(record), (0, false, "unknown"), "{to}");
    }
}

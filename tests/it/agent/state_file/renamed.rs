//! A peer that got another name while the agent was stopped.

use std::collections::BTreeMap;
use std::fs;

use cad3::Hash;
use convex_client::{HttpOptions, http_client};
use convex_peer_monitor::fleet::{Fleet, Health, Rename, SavedFleet};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::agent::value_of;
use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::fleet::{config, fleet};
use crate::support::program::{Program, file_contains};
use crate::support::{DEADLINE, until};

use super::memory;

const X: &str = "tcp://192.0.2.1:1";
const X_BY_HTTP: &str = "http://192.0.2.1:2";
const Y: &str = "tcp://192.0.2.2:1";

/// Saved peers: name, endpoint, and the byte that the key repeats. Each failed as often as that.
fn saved(peers: &[(&str, &str, u8)]) -> SavedFleet {
    let template = memory();
    let peers = peers.iter().map(|(name, endpoint, key)| {
        let mut peer = template.peers["one"].clone();
        peer.key = Some(Hash::new([*key; 32]));
        let mut known = std::mem::take(&mut peer.endpoints);
        let mut known = known.pop_first().unwrap().1;
        known.failures = u32::from(*key);
        peer.endpoints = BTreeMap::from([((*endpoint).to_owned(), known)]);
        ((*name).to_owned(), peer)
    });
    SavedFleet {
        peers: peers.collect(),
        ..template
    }
}

/// What is known of each configured peer: the byte of its key, if any.
fn known(fleet: &Fleet) -> BTreeMap<String, u32> {
    let snapshot = fleet.snapshot();
    let restored = snapshot.peers.iter().filter(|record| {
        assert_eq!(
            record.health == Health::Down,
            record.identity.key.is_some(),
            "restored as a whole or not at all"
        );
        record.identity.key.is_some()
    });
    let known = restored.map(|record| {
        let failures = record.endpoints.iter().map(|it| it.consecutive_failures);
        (record.peer.name.clone(), failures.max().unwrap())
    });
    known.collect()
}

/// The names that peers have after `renames`, by the names that they had.
fn followed(before: &SavedFleet, renames: &[Rename]) -> BTreeMap<String, String> {
    let mut names: BTreeMap<String, String> = before
        .peers
        .keys()
        .map(|name| (name.clone(), name.clone()))
        .collect();
    for rename in renames {
        let was = names.remove(&rename.from).unwrap();
        names.insert(rename.to.clone(), was);
    }
    let others = names.into_iter().filter(|(name, was)| name != was);
    others.map(|(name, was)| (was, name)).collect()
}

/// Saved peers, those of the new configuration, what is known of each, and who has a new name.
type Case<'a> = (
    &'a [(&'a str, &'a str, u8)],
    &'a str,
    &'a [(&'a str, u32)],
    &'a [(&'a str, &'a str)],
);

const ONE: &[(&str, &str, u8)] = &[("one", X, 7)];
const TWO: &[(&str, &str, u8)] = &[("one", X, 7), ("two", Y, 8)];
const ONE_TWICE: &[(&str, &str, u8)] = &[("one", X, 7), ("two", X_BY_HTTP, 7)];
const OTHERS: &[(&str, &str, u8)] = &[("one", X, 7), ("two", X_BY_HTTP, 8)];

/// `X`, `Y` and `H` are the endpoints, `K7` and `K9` keys.
#[rustfmt::skip]
const CASES: &[Case<'_>] = &[
    (ONE, "{ name: new, endpoints: [X] }", &[("new", 7)], &[("one", "new")]),
    (ONE, "{ name: new, endpoints: [H, X] }", &[("new", 7)], &[("one", "new")]),
    (ONE, "{ name: new, key: K7, endpoints: [X] }", &[("new", 7)], &[("one", "new")]),
    // Another peer.
    (ONE, "{ name: new, key: K9, endpoints: [X] }", &[], &[]),
    (ONE, "{ name: new, endpoints: [Y] }", &[], &[]),
    (ONE, "{ name: new, network: other, endpoints: [X] }", &[], &[]),
    // Another peer has its name now, which nobody or a watched peer had.
    (ONE, "{ name: one, endpoints: [Y] }, { name: new, endpoints: [X] }", &[("new", 7)], &[("one", "new")]),
    (TWO, "{ name: two, endpoints: [X] }", &[("two", 7)], &[("one", "two")]),
    // Exchanged, and passed on.
    (TWO, "{ name: two, endpoints: [X] }, { name: one, endpoints: [Y] }", &[("one", 8), ("two", 7)], &[("one", "two"), ("two", "one")]),
    (TWO, "{ name: two, endpoints: [X] }, { name: new, endpoints: [Y] }", &[("new", 8), ("two", 7)], &[("one", "two"), ("two", "new")]),
    // A name that fits goes before endpoints that do.
    (ONE, "{ name: new, endpoints: [X] }, { name: one, endpoints: [X] }", &[("one", 7)], &[]),
    (ONE, "{ name: new, endpoints: [X] }, { name: newer, endpoints: [X] }", &[("new", 7)], &[("one", "new")]),
    // Two entries become one: only if they are known to be one peer.
    (ONE_TWICE, "{ name: new, endpoints: [H, X] }", &[("new", 7)], &[("one", "new")]),
    (OTHERS, "{ name: new, endpoints: [H, X] }", &[], &[]),
];

#[test]
fn a_peer_is_recognised_under_another_name_by_network_endpoints_and_key() {
    for (peers_before, peers, expected, new_names) in CASES {
        let saved = saved(peers_before);
        let network = ["default", "other"][usize::from(peers.contains("network: other"))];
        let peers = [("X", X), ("Y", Y), ("H", X_BY_HTTP)]
            .into_iter()
            .fold((*peers).to_owned(), |peers, (short, url)| {
                peers.replace(short, &format!("'{url}'"))
            });
        let key = |byte| format!("'{}'", Hash::new([byte; 32]));
        let peers = peers.replace("K7", &key(7)).replace("K9", &key(9));
        let text = format!("networks: [{{ name: {network} }}]\npeers: [{peers}]\n");
        let owned = |(was, is): &(&str, &str)| ((*was).to_owned(), (*is).to_owned());
        let new_names = new_names.iter().map(owned).collect();
        let expected = expected
            .iter()
            .map(|(name, known)| ((*name).to_owned(), *known))
            .collect();
        let check = |fleet: &Fleet, renames: &[Rename]| {
            assert_eq!(known(fleet), expected, "{text}");
            assert_eq!(followed(&saved, renames), new_names, "{text}");
        };
        let at_start = fleet(&text);
        let renames = at_start.restore(saved.clone());
        check(&at_start, &renames);
        // The peers are added after the start, as by discovery or a reload.
        let later = fleet("peers: [{ name: z, endpoints: ['tcp://192.0.2.9:1'] }]\n");
        assert_eq!(later.restore(saved.clone()), []);
        let renames = later.apply(&config(&text));
        check(&later, &renames);
    }
}

#[test]
fn the_state_of_peers_that_could_be_meant_is_kept() {
    let saved = saved(&[("one", X, 7), ("two", X_BY_HTTP, 8)]);
    let merged = format!("peers: [{{ name: new, endpoints: ['{X_BY_HTTP}', '{X}'] }}]\n");
    let fleet = fleet(&merged);
    fleet.restore(saved.clone());
    let both = format!(
        "peers: [{{ name: one, endpoints: ['{X}'] }}, {{ name: two, endpoints: ['{X_BY_HTTP}'] }}]\n"
    );
    let later = self::fleet(&both);
    later.restore(fleet.export());
    assert_eq!(
        known(&later),
        BTreeMap::from([("one".to_owned(), 7), ("two".to_owned(), 8)])
    );
}

#[tokio::test]
async fn health_history_and_alerts_continue_under_the_new_name() {
    let failing = Script {
        fault: Fault::Close,
        ..Script::default()
    };
    let first = FakePeer::start(failing).await;
    let second = FakePeer::start(Script {
        key: Hash::new([9; 32]),
        ..Script::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.yml");
    let write = |peers: &str| {
        let text = format!(
            "state_dir: state\n\
             defaults: {{ interval: 1s, timeout: 900ms, retries: 0, down_after: 1 }}\n\
             notify: {{ webhooks: [{{ name: ops, url: 'http://127.0.0.1:1/' }}] }}\n\
             peers: [{peers}]\n"
        );
        fs::write(&config, text).unwrap();
    };
    let state_file = dir.path().join("state/state.json");
    let alert_of = |peer: &str| {
        let state: Value = serde_json::from_slice(&fs::read(&state_file).unwrap()).unwrap();
        let alerts = state["notifications"]["alerts"].as_array().cloned();
        alerts.unwrap_or_default().into_iter().find(|alert| {
            alert["alert"] == "ConvexPeerDown" && alert["subject"]["peer"]["peer"] == peer
        })
    };
    write(&format!(
        "{{ name: one, endpoints: ['tcp://{}'] }}",
        first.tcp
    ));
    let mut agent = Program::start(&config).await;
    file_contains(&state_file, "ConvexPeerDown").await;
    agent.signal(Signal::TERM);
    agent.child.wait().await.unwrap();
    let before = alert_of("one").unwrap();

    // Its name goes to another peer.
    write(&format!(
        "{{ name: gateway, endpoints: ['tcp://{}'] }}, {{ name: one, endpoints: ['tcp://{}'] }}",
        first.tcp, second.tcp
    ));
    let agent = Program::start(&config).await;
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    let events = async |peer: &str| {
        let url = format!("http://{}/api/v1/events?peer={peer}", agent.address);
        let request = client.get(url).header("accept", "application/json");
        request.send().await.unwrap().text().await.unwrap()
    };
    let of_gateway = events("gateway").await;
    assert!(of_gateway.contains("\"to\":\"down\""), "{of_gateway}");
    until("the alert has the new name", async || {
        alert_of("gateway").is_some()
    })
    .await;
    let after = alert_of("gateway").unwrap();
    assert_eq!(after["since"], before["since"]);
    until("the other peer is up", async || {
        let up = "convex_peer_up{peer=\"one\",network=\"default\"}";
        value_of(&agent.get("/metrics").await.1, up) == Some(1.0)
    })
    .await;
    assert_eq!(events("one").await, "[]");
    assert_eq!(alert_of("one"), None);
}

//! `check-config`: what it prints about each file.

use std::fs;

use convex_peer_monitor::cli::check_config;
use convex_peer_monitor::config;
use convex_peer_monitor::config::shard::Shard;

use super::{PEER, check, valid};

#[test]
fn checking_tells_every_file_and_what_it_costs() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good.yml"), dir.path().join("bad.yml"));
    fs::write(&good, PEER).unwrap();
    fs::write(&bad, "listn: x\n").unwrap();
    let files = [bad, good.clone()];

    let (ok, out, err) = check(&files, check_config::Options::default());
    assert!(!ok);
    assert!(err.contains("bad.yml:1:1: listn: unknown key"), "{err}");
    assert!(out.contains("good.yml: ok\n"), "{out}");
    assert!(
        out.contains("peers: 1, networks: 1, series: 50, polls a second: 0.07, connections: 1"),
        "{out}"
    );
    assert!(out.contains("needs 641 file descriptors"), "{out}");

    let (ok, out, err) = check(
        &files,
        check_config::Options {
            json: true,
            print: true,
            shard: Shard::default(),
        },
    );
    assert!(!ok && err.is_empty(), "{err}");
    let answers: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answers[0]["ok"], false);
    assert_eq!(answers[0]["errors"][0]["line"], 1);
    assert_eq!(answers[0]["errors"][0]["path"], "listn");
    assert_eq!(answers[1]["cost"]["connections"], 1);

    let (ok, out, _) = check(
        &[good],
        check_config::Options {
            print: true,
            json: false,
            shard: Shard::default(),
        },
    );
    assert!(ok);
    assert_eq!(
        valid(&out),
        valid(PEER),
        "what is printed is a configuration:\n{out}"
    );
    assert_eq!(answers[1]["config"], config::render(&valid(PEER)));
}

#[test]
fn what_discovery_may_add_is_part_of_the_cost() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yml");
    let text = format!(
        "defaults: {{ interval: 10s }}\nnetworks:\n\
         - {{ name: m, discovery: {{ enabled: true, max_peers: 300 }} }}\n- {{ name: n }}\n{PEER}    network: n\n"
    );
    fs::write(&file, text).unwrap();
    let (ok, out, err) = check(&[file], check_config::Options::default());
    assert!(ok, "{err}");
    assert!(
        out.contains(
            "peers: 1 and up to 300 discovered, networks: 2, series: up to 50, polls a second: up to 5.10, \
             connections: up to 301"
        ),
        "{out}"
    );
    assert!(out.contains("needs 941 file descriptors"), "{out}");
}

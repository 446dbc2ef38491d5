//! `check-config`: what it prints about each file.

use std::fs;

use convex_peer_monitor::cli::check_config;
use convex_peer_monitor::config;
use convex_peer_monitor::config::shard::Shard;

use super::{PEER, check, valid};

#[test]
fn every_file_is_reported_with_its_errors_or_its_cost() {
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
        out.contains("peers: 1, networks: 1, series: 50, polls per second: 0.07, connections: 1"),
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
    let reports: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(reports[0]["ok"], false);
    assert_eq!(reports[0]["errors"][0]["line"], 1);
    assert_eq!(reports[0]["errors"][0]["path"], "listn");
    assert_eq!(reports[1]["cost"]["connections"], 1);

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
        "the output is a valid configuration:\n{out}"
    );
    assert_eq!(reports[1]["config"], config::render(&valid(PEER)));
}

#[test]
fn peers_that_discovery_may_add_count_in_the_cost() {
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
            "peers: 1 and up to 300 discovered, networks: 2, series: up to 50, polls per second: up to 5.10, \
             connections: up to 301"
        ),
        "{out}"
    );
    assert!(out.contains("needs 941 file descriptors"), "{out}");
}

#[test]
fn limits_that_are_too_low_for_the_polls_are_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yml");
    let peer = |i| format!("- {{ name: p{i}, endpoints: ['tcp://10.0.0.1:{i}'] }}\n");
    let peers: String = (1..=40).map(peer).collect();
    fs::write(&file, format!("peers:\n{peers}")).unwrap();
    let (ok, out, err) = check(&[file], check_config::Options::default());
    assert!(ok, "{err}");
    let warning = "  warning: the 40 peers at 10.0.0.1 need 14 polls at once";
    assert!(out.contains(warning), "{out}");
}

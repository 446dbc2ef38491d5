//! The canary of a network: what it needs, and where it is reported that something is missing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::parse_in;

/// A configuration with two own peers, a reference and a peer of another network, and this canary
/// of the first network.
fn with(canary: &str, state_dir: &str) -> String {
    format!(
        "{state_dir}
networks:
  - name: main
    canary: {canary}
  - name: test
peers:
  - {{ name: a, network: main, endpoints: ['tcp://a'] }}
  - {{ name: b, network: main, endpoints: ['http://b'] }}
  - {{ name: c, network: main, role: reference, endpoints: ['tcp://c'] }}
  - {{ name: d, network: test, endpoints: ['tcp://d'] }}
"
    )
}

/// Files with these names and contents.
fn dir(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    dir
}

const KEY: &[u8] = include_bytes!("canary.key");
const STATE_DIR: &str = "state_dir: state";

#[test]
fn a_canary_is_reported_with_the_place_of_what_does_not_fit() {
    let dir = dir(&[
        ("key", KEY),
        ("short", b"0707"),
        (
            "encrypted",
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        ),
    ]);
    let rest = "key_file: key, daily_budget_cvm: 1";
    for (canary, state_dir, expected) in [
        (
            format!("{{ account: 7, {rest} }}"),
            "",
            "c.yml:4:13: networks[0].canary: needs `state_dir`: what was signed and spent must survive \
             a restart; set `state_dir`, or remove `canary`",
        ),
        (
            format!("{{ {rest} }}"),
            STATE_DIR,
            "c.yml:4:13: networks[0].canary.account: is missing; add it",
        ),
        (
            format!("{{ account: x, {rest} }}"),
            STATE_DIR,
            "c.yml:4:24: networks[0].canary.account: \"x\" is not an account; write its number, as in \
             `11` or `\"#11\"`",
        ),
        (
            "{ account: 7, key_file: gone, daily_budget_cvm: 1 }".to_owned(),
            STATE_DIR,
            "c.yml:4:37: networks[0].canary.key_file: cannot read ",
        ),
        (
            "{ account: 7, key_file: short, daily_budget_cvm: 1 }".to_owned(),
            STATE_DIR,
            "holds 4 hexadecimal digits; a seed has 64",
        ),
        (
            "{ account: 7, key_file: encrypted, daily_budget_cvm: 1 }".to_owned(),
            STATE_DIR,
            "holds an encrypted key, for which there is no password here: export the key with ",
        ),
        (
            "{ account: 7, key_file: key, daily_budget_cvm: 0 }".to_owned(),
            STATE_DIR,
            "networks[0].canary.daily_budget_cvm: 0 is not a number from 0.000000001 to 1000000",
        ),
        (
            format!("{{ account: 7, {rest}, interval: 30s }}"),
            STATE_DIR,
            "networks[0].canary.interval: \"30s\" is out of range; expected 1m to 1day",
        ),
        (
            format!("{{ account: 7, {rest}, peers: all }}"),
            STATE_DIR,
            "networks[0].canary.peers: \"all\" is neither `own` nor a list of names of own peers",
        ),
        (
            format!("{{ account: 7, {rest}, peers: [] }}"),
            STATE_DIR,
            "networks[0].canary.peers: is empty; name at least one peer, or write `own` for all own \
             peers",
        ),
        (
            format!("{{ account: 7, {rest}, peers: [x] }}"),
            STATE_DIR,
            "networks[0].canary.peers[0]: \"x\" is not a peer of this file",
        ),
        (
            format!("{{ account: 7, {rest}, peers: [a, b] }}"),
            STATE_DIR,
            "networks[0].canary.peers[1]: \"b\" has no tcp:// endpoint, and transactions are sent over \
             the binary protocol",
        ),
        (
            format!("{{ account: 7, {rest}, peers: [c] }}"),
            STATE_DIR,
            "networks[0].canary.peers[0]: \"c\" is a reference; transactions are sent through own peers \
             only",
        ),
        (
            format!("{{ account: 7, {rest}, peers: [d] }}"),
            STATE_DIR,
            "networks[0].canary.peers[0]: \"d\" is a peer of the network \"test\", not of \"main\"",
        ),
        (
            format!("{{ account: 7, {rest}, peers: [a, a] }}"),
            STATE_DIR,
            "networks[0].canary.peers[1]: \"a\" is given twice; remove one",
        ),
    ] {
        let text = with(&canary, state_dir);
        let errors = parse_in(dir.path(), &text).expect_err(&canary).to_string();
        assert!(errors.contains(expected), "{canary}: {errors}");
        assert!(!errors.contains("0707"), "{errors}");
    }
}

#[test]
fn warnings_say_what_allow_idle_does_and_when_the_canary_never_sends() {
    let dir = dir(&[("key", KEY)]);
    let canary = |more: &str| format!("{{ account: 7, key_file: key, daily_budget_cvm: 1{more} }}");
    for (text, expected) in [
        (with(&canary(""), STATE_DIR), ""),
        (with(&canary(", allow_idle: false"), STATE_DIR), ""),
        (
            with(&canary(", allow_idle: true"), STATE_DIR),
            "c.yml:4:63: allow_idle: on an idle network each transaction of the canary moves the time \
             of the network",
        ),
        (
            with(&canary(""), STATE_DIR)
                .replace("name: main", "name: main\n    consensus_interval: 0"),
            "the canary sends only after it has seen blocks of others",
        ),
    ] {
        let config = parse_in(dir.path(), &text).unwrap_or_else(|errors| panic!("{errors}"));
        let warnings: Vec<String> = config.warnings.lines().collect();
        let warnings = warnings.join("\n");
        assert_eq!(warnings.is_empty(), expected.is_empty(), "{warnings}");
        assert!(warnings.contains(expected), "{warnings}");
    }
}

#[test]
fn a_key_that_every_user_can_read_is_warned_about_and_never_shown() {
    let dir = dir(&[("key", KEY)]);
    fs::set_permissions(dir.path().join("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let canary = "{ account: 7, key_file: key, daily_budget_cvm: 1 }";
    let config = parse_in(dir.path(), &with(canary, STATE_DIR)).unwrap();
    let warnings: Vec<String> = config.warnings.lines().collect();
    assert!(
        warnings[0].contains("holds a secret, but every user"),
        "{warnings:?}"
    );
    assert!(!format!("{config:?}").contains("0707"));
}

//! Syntax of values: YAML, environment variables, numbers and file names.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use convex_peer_monitor::config::{self, Detail};

use super::{PEER, environment, errors, parse, valid, with_peer};

#[test]
fn variables_are_replaced_and_two_dollars_give_one() {
    let config = valid(&with_peer(
        "labels: { a: \"x-${HOST}-y\", b: \"$${HOST}\", c: \"$$$$\" }\nbearer_token: ${TOKEN}",
    ));
    let labels: Vec<_> = config.peers[0]
        .labels
        .values()
        .map(String::as_str)
        .collect();
    assert_eq!(labels, ["x-peer.example-y", "${HOST}", "$$"]);
    let token = config.peers[0].http.bearer_token.as_ref().unwrap();
    assert_eq!(token.expose(), "s3cret");
}

#[test]
fn accounts_sizes_and_hashes_have_several_notations() {
    for account in ["11", "\"#11\"", "\"11\""] {
        let config = valid(&with_peer(&format!("account: {account}")));
        assert_eq!(config.peers[0].account, Some(11), "{account}");
    }
    for (size, bytes) in [
        ("65536", 65_536),
        ("64KiB", 65_536),
        ("1MiB", 1_048_576),
        ("1 MB", 1_000_000),
    ] {
        let config = valid(&format!("limits: {{ max_response_bytes: {size} }}\n{PEER}"));
        assert_eq!(config.limits.max_response_bytes, bytes, "{size}");
    }
    let digits = "1234567890".repeat(6) + "1234";
    for key in [
        digits.clone(),
        format!("0x{digits}"),
        format!("\"{digits}\""),
    ] {
        let config = valid(&with_peer(&format!("key: {key}")));
        assert_eq!(config.peers[0].key, Some(digits.parse().unwrap()), "{key}");
    }
}

#[test]
fn an_alias_repeats_its_anchor() {
    let config = valid(
        "peers:\n\
         - { name: a, endpoints: [http://a], labels: &l { region: eu } }\n\
         - { name: b, endpoints: [http://b], labels: *l }\n",
    );
    assert_eq!(config.peers[0].labels, config.peers[1].labels);
    assert_eq!(config.peers[1].labels["region"], "eu");
}

#[test]
fn an_alias_bomb_is_refused_before_it_is_expanded() {
    let mut bomb = "a: &l0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let alias = format!("*l{}", level - 1);
        writeln!(bomb, "a{level}: &l{level} [{}]", vec![alias; 10].join(", ")).unwrap();
    }
    let error = errors(&bomb);
    assert!(
        error.contains("with all aliases expanded; at most 1000000"),
        "{error}"
    );

    let mut chain = "a: &l0 [x]\n".to_owned();
    for level in 1..100_000 {
        writeln!(chain, "a{level}: &l{level} [*l{}]", level - 1).unwrap();
    }
    let error = errors(&chain);
    assert!(
        error.contains("nested more than 32 levels deep, aliases followed"),
        "{error}"
    );
    let error = errors(&format!("a: {}", "[".repeat(100_000)));
    assert!(error.contains("recursion limit exceeded"), "{error}");
}

#[test]
fn ten_thousand_peers_are_read_with_lean_detail() {
    let mut text = "networks: [{ name: main }]\npeers:\n".to_owned();
    for i in 0..10_000 {
        write!(
            text,
            "  - name: peer-{i}\n    role: reference\n    endpoints: [http://10.0.0.1:{port}, \"tcp://10.0.0.1:{port}\"]\n    \
             labels: {{ region: eu, rack: r{i} }}\n    interval: 30s\n    key: \"0x{i:064x}\"\n",
            port = i + 1
        )
        .unwrap();
    }
    let config = valid(&text);
    assert_eq!((config.peers.len(), config.detail), (10_000, Detail::Lean));
    assert_eq!(config.peers[9_999].labels["rack"], "r9999");

    let invalid = text.replace("interval: 30s", "interval: 30");
    let errors = parse(&invalid).expect_err("every peer is invalid");
    assert_eq!(errors.problems().len() + errors.omitted(), 10_000);
}

#[test]
fn a_byte_order_mark_is_ignored() {
    assert_eq!(valid(&format!("\u{feff}{PEER}")), valid(PEER));
    assert!(errors("\u{feff}listn: x\n").contains("c.yml:1:1: listn"));
}

#[test]
fn windows_line_ends_and_multi_line_texts_are_read() {
    let text = with_peer(
        "labels:\n  a: |-\n    one\n  b: >-\n    two\n    three\n  c: \"four\n    five\"\n  d: six\n    seven",
    );
    let config = valid(&text);
    let labels: Vec<_> = config.peers[0]
        .labels
        .values()
        .map(String::as_str)
        .collect();
    assert_eq!(labels, ["one", "two three", "four five", "six seven"]);
    assert_eq!(valid(&text.replace('\n', "\r\n")), config);
}

#[test]
fn file_names_are_relative_to_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("token"), "abc\r\n").unwrap();
    let path = dir.path().join("config.yml");
    fs::write(&path, with_peer("bearer_token_file: token")).unwrap();
    let config = config::load(&path, &environment).unwrap();
    let token = config.peers[0].http.bearer_token.as_ref().unwrap();
    assert_eq!(token.expose(), "abc");
}

#[test]
fn the_state_directory_is_relative_to_the_configuration_and_may_not_exist() {
    let at = |dir: &str| valid(&format!("state_dir: {dir}\n{PEER}")).state_dir;
    assert_eq!(at("state"), Some(PathBuf::from("/nonexistent/state")));
    assert_eq!(at("/var/x"), Some(PathBuf::from("/var/x")));
}

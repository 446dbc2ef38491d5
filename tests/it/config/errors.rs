//! Error messages: every mistake, where it is and what would be right.

use std::fmt::Write as _;
use std::fs;

use convex_peer_monitor::cli::check_config;
use convex_peer_monitor::config;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{PEER, check, environment, errors, parse_in, with_peer};

#[test]
fn all_errors_in_a_file_are_reported_at_once() {
    insta::assert_snapshot!(errors(include_str!("everything-wrong.yml")));
}

#[test]
fn a_file_full_of_errors_is_reported_in_a_hundred_lines() {
    let text = format!("peers:\n{}", "  - 7\n".repeat(200_000));
    let report = errors(&text);
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines.len(), 101);
    assert!(lines[0].starts_with("c.yml:2:5: peers[0]: "), "{report}");
    assert!(
        lines[99].starts_with("c.yml:101:5: peers[99]: "),
        "{report}"
    );
    assert_eq!(lines[100], "and 199900 more");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yml");
    fs::write(&file, text).unwrap();
    let json = check_config::Options {
        json: true,
        ..check_config::Options::default()
    };
    let (_, out, _) = check(std::slice::from_ref(&file), json);
    let reports: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(reports[0]["errors"].as_array().unwrap().len(), 100);
    assert_eq!(reports[0]["more_errors"], 199_900);
}

#[test]
fn the_errors_of_a_second_file_are_cut_short_too() {
    let dir = tempfile::tempdir().unwrap();
    let users: Vec<_> = (0..300).map(|i| format!("  u{i}: wrong")).collect();
    let users = users.join("\n");
    fs::write(
        dir.path().join("web.yml"),
        format!("basic_auth_users:\n{users}"),
    )
    .unwrap();
    let text = format!("listn: x\nweb: {{ config_file: web.yml }}\n{PEER}");
    let report = parse_in(dir.path(), &text).unwrap_err().to_string();
    assert_eq!(report.lines().count(), 101, "{report}");
    assert!(report.ends_with("\nand 201 more"), "{report}");
}

#[test]
fn a_key_as_long_as_the_file_is_not_quoted_in_full() {
    let report = errors(&format!("{}: 1\n", "k".repeat(1 << 20)));
    assert!(report.len() < 10_000, "{}", report.len());
}

#[test]
fn an_error_names_the_place_and_what_would_be_right() {
    let mut report = String::new();
    for text in include_str!("bad-peers.txt").split("\n\n") {
        let text = with_peer(text.trim_end());
        // The first three lines are always the same.
        let added: Vec<_> = text.lines().skip(3).map(str::trim_start).collect();
        let added = added.join("\n");
        writeln!(report, "{added}\n{}\n", errors(&text)).unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn an_invalid_file_is_reported_with_the_place_of_the_error() {
    let mut report = String::new();
    for text in [
        "",
        "# nothing yet\n",
        "---\n",
        "peers: []\n",
        "listen: 127.0.0.1:1\n",
        "listen: 18880\n",
        "peers: [{ name: x, url: 'http://x:8080' }]\n",
        "peers: [{ name: x, endpoints: ['http://x:8080/api/v1/query', 'http://x/prefix/'] }]\n",
        "defaults: { interval: 500ms }\npeers: [{ name: x, endpoints: [http://x], interval: 5s }]\n",
        "- a\n",
        "just words\n",
        "peers:\n\t- name: a\n",
        "peers: [\n",
        "peers: \"a\n",
        "listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2\n",
        "peers: [{ name: ${HOST} }]\n",
        "peers: *nowhere\n",
        "peers: &a [*a]\n",
        "peers:\n  - &a { name: a }\n  - { <<: *a }\n",
        "peers: !secret x\n",
        "? [a]\n: b\n",
        "networks: []\n",
        "networks:\npeers:\n",
        "peers:\n  - name: a\n    name: b\n    endpoints: [http://a]\n    endpoints: [http://b]\n",
        "mode: central\nmode: central\n",
        "networks: [{ name: a }, { name: b }]\npeers: [{ name: x, endpoints: [http://x] }]\n",
        "networks: [{ name: mainnet }]\npeers: [{ name: x, network: mianet, endpoints: [http://x] }]\n",
        "networks: [{ name: mainnet }]\npeers: [{ name: x, network: other, endpoints: [http://x] }]\n",
        "peers: [{ name: x, network: protonet, endpoints: [http://x] }]\n",
        "networks: [7]\npeers: [{ name: x, endpoints: [http://x] }]\n",
        "networks: 7\npeers: [{ name: x, endpoints: [http://x] }]\n",
        "state_dir: \"\"\n",
        "verdicts: { lag_blocks: 0, lag_for: 2d, lag_time: 0s, restart_grace: 2d, clock_skew: 0s, own_stake_margin_cvm: -1, controller_balance_cvm: .nan }\n",
        "verdicts: { own_stake_margin_cvm: \"100\", controller_balance_cvm: 1000000001 }\n",
        "networks: [{ name: n, stake_interval: 5s, discovery: { enabled: yes, interval: 0s, max_peers: 0, allow_private: 1, http_port: 0 } }]\n",
        "networks: [{ name: a, consensus_interval: 9s }, { name: b, consensus_interval: 60 }, { name: c, consensus_interval: no }]\n",
        "networks: [{ name: a, slo: { objective: 99.9, window: 1h, serving_min: 0 } }, { name: b, slo: { objective: 100%, target: 99% } }, { name: c, slo: 99.9% }]\n",
        "networks:\n- { name: a, slo: { serving_min: 2 } }\npeers:\n- { name: x, endpoints: [http://x] }\n- { name: y, service: other, endpoints: [http://y] }\n- { name: z, service: other, endpoints: [http://z] }\n",
        "self_check: { references: [localhost:1, \"tcp://u:pw@h\"], dns_name: 10.0.0.1, dns: x }\n",
        "queries:\n- {}\n- { name: A, source: \"(balance #13\" }\n- { name: 1a, source: \")\" }\n- { name: a, source: \"1 2\", networks: [protonat], interval: 0s }\n- { name: a, source: 13, help: \"a\\nb\" }\n- name: \"\"\n  source: |\n    (do\n      a})\n",
        "networks: [{ name: protonet }]\nqueries: [{ name: a, source: \"1\", networks: [protonat, 7, x] }]\n",
    ] {
        writeln!(report, "{text:?}\n{}\n", errors(text)).unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn an_unreadable_file_is_reported_with_the_error_of_the_system() {
    let dir = tempfile::tempdir().unwrap();
    let error = |name: &str, content: Option<&[u8]>| {
        let path = dir.path().join(name);
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let error = config::load(&path, &environment)
            .expect_err(name)
            .to_string();
        error.replace(dir.path().to_str().unwrap(), "DIR")
    };
    assert_eq!(
        error("missing.yml", None),
        "DIR/missing.yml: cannot read the configuration: No such file or directory (os error 2)"
    );
    assert_eq!(
        error("", None),
        "DIR/: cannot read the configuration: it is a directory, not a regular file"
    );
    assert_eq!(
        error("latin1.yml", Some(b"listen: x\nvantage: caf\xe9\n")),
        "DIR/latin1.yml:2:13: not UTF-8 from here on; save the file as UTF-8"
    );
    assert_eq!(
        error("large.yml", Some(&vec![b'#'; (16 << 20) + 1])),
        "DIR/large.yml: cannot read the configuration: larger than 16777216 bytes"
    );
}

#[test]
fn a_pipe_in_the_place_of_any_file_is_an_error_and_blocks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (fifo, path) = (dir.path().join("fifo"), dir.path().join("config.yml"));
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let peer = "peers: [{ name: one, endpoints: ['http://192.0.2.1:1'], FILE: fifo }]\n";
    let receiver = "peers: [{ name: one, endpoints: ['http://192.0.2.1:1'] }]\n\
                    notify: { webhooks: [{ name: w, url_file: fifo }] }\n";
    let web = "peers: [{ name: one, endpoints: ['http://192.0.2.1:1'] }]\n\
               web: { config_file: FILE }\n";
    fs::write(
        dir.path().join("web.yml"),
        "tls_server_config: { cert_file: fifo, key_file: fifo }\n",
    )
    .unwrap();
    for text in [
        &peer.replace("FILE", "bearer_token_file"),
        &peer.replace("FILE", "headers_file"),
        &peer.replace("FILE", "ca_file"),
        receiver,
        &web.replace("FILE", "fifo"),
        &web.replace("FILE", "web.yml"),
    ] {
        fs::write(&path, text).unwrap();
        let error = config::load(&path, &environment).unwrap_err().to_string();
        let expected = "fifo\": it is a FIFO, not a regular file";
        assert!(error.contains(expected), "{text}: {error}");
    }
    let error = config::load(&fifo, &environment).unwrap_err().to_string();
    assert!(
        error.ends_with("it is a FIFO, not a regular file"),
        "{error}"
    );
}

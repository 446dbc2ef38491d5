//! Reading configurations: what is taken, and what bad input is told.

mod reference;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{Endpoint, Query};
use convex_peer_monitor::cli::check_config;
use convex_peer_monitor::config::shard::Shard;
use convex_peer_monitor::config::{
    self, Alertmanager, BasicAuth, Config, CustomQuery, Detail, Discovery, Errors, Heartbeat,
    HttpOptions, Limits, Mode, Network, Notify, Peer, Polling, ProcessBy, Role, Secret, SelfCheck,
    Severity, Sidecar, Target, Thresholds, Webhook, Window,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

const PEER: &str = "peers:\n  - name: a\n    endpoints: [http://a]\n";

fn environment(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("peer.example".to_owned()),
        "TOKEN" => Some("s3cret".to_owned()),
        "BAD_TOKEN" => Some("s3cret with blanks".to_owned()),
        _ => None,
    }
}

fn parse_in(dir: &Path, text: &str) -> Result<Config, Errors> {
    config::parse(text, "c.yml", dir, &environment)
}

fn parse(text: &str) -> Result<Config, Errors> {
    parse_in(Path::new("/nonexistent"), text)
}

fn errors(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

fn valid(text: &str) -> Config {
    parse(text).unwrap_or_else(|errors| panic!("{errors}\nin\n{text}"))
}

/// A configuration with one peer, to whose entry `lines` are added.
fn with_peer(lines: &str) -> String {
    let mut text = PEER.to_owned();
    for line in lines.lines() {
        writeln!(text, "    {line}").expect("a String takes all");
    }
    text
}

#[test]
fn everything_wrong_with_a_file_is_told_at_once() {
    insta::assert_snapshot!(errors(include_str!("config/everything-wrong.yml")));
}

#[test]
fn every_supported_key_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let ca = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
    fs::write(dir.path().join("ca.pem"), ca.cert.pem()).unwrap();
    fs::write(dir.path().join("token"), "s3cret\n").unwrap();
    fs::write(dir.path().join("url"), "https://am.example/s3cret/\n").unwrap();
    fs::write(
        dir.path().join("headers"),
        "X-Tenant: one\r\n\nX-Key: s3cret\n",
    )
    .unwrap();
    fs::write(dir.path().join("web-config.yml"), "").unwrap();
    let config = parse_in(dir.path(), include_str!("config/every-key.yml")).unwrap();

    let [a, b] = config.peers.as_slice() else {
        panic!("two peers, found {}", config.peers.len());
    };
    let token = a.http.bearer_token.as_ref().map(Secret::expose);
    assert_eq!(
        token,
        Some("s3cret"),
        "without the newline at the file's end"
    );
    assert_eq!(b.http.headers["x-key"], "s3cret");
    assert!(b.http.headers["x-key"].is_sensitive());
    assert_eq!(a.http.ca, Some(vec![ca.cert.der().to_vec()]));
    let debug = format!("{config:?}");
    assert!(!debug.contains("s3cret"), "{debug}");

    let shown = config::render(&config);
    assert!(!shown.contains("s3cret"), "{shown}");
    let dir_name = dir.path().to_str().unwrap();
    insta::assert_snapshot!(shown.replace(dir_name, "DIR"));
    let again =
        parse(&shown.replace("<secret>", "s3cret")).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(again.peers[0], config.peers[0]);
    assert_eq!(
        (again.networks, again.queries, again.self_check),
        (config.networks, config.queries, config.self_check)
    );
    assert_eq!(
        config.notify.receivers().collect::<Vec<_>>(),
        ["am-1", "am-2", "ops", "chat", "heartbeat"]
    );
    let urls = config.notify.webhooks.iter();
    let urls: Vec<_> = urls.map(|webhook| webhook.target.url.expose()).collect();
    assert_eq!(
        urls,
        ["https://hooks.example/s3cret", "https://am.example/s3cret/"]
    );
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let config = valid(PEER);
    assert_eq!(config.listen.to_string(), "127.0.0.1:18880");
    assert_eq!(config.external_url, None);
    assert!(!config.vantage.is_empty());
    assert_eq!(
        config.networks,
        [Network {
            name: "default".to_owned(),
            genesis: None,
            verdicts: Thresholds::default(),
            discovery: None,
            stake_interval: Duration::from_secs(60),
        }]
    );
    assert_eq!(config.detail, Detail::Full);
    let limits = Limits {
        max_inflight: 512,
        max_response_bytes: 1_048_576,
        per_host_inflight: 8,
    };
    assert_eq!(config.limits, limits);
    let peer = &config.peers[0];
    assert_eq!((peer.network.as_str(), peer.role), ("default", Role::Own));
    let verdicts = Thresholds {
        stall_after: Duration::from_secs(60),
        lag_blocks: 10,
        lag_for: Duration::from_secs(30),
        clock_skew: Duration::from_secs(1),
        certificate: Duration::from_secs(21 * 86_400),
        own_stake_margin_cvm: 100.0,
        controller_balance_cvm: 10.0,
    };
    assert_eq!(peer.verdicts, verdicts);
    assert_eq!(
        (peer.expect_block_every, peer.maintenance.as_slice()),
        (None, [].as_slice())
    );
    assert_eq!(
        (config.state_dir, config.self_check, config.queries),
        (None, SelfCheck::default(), Vec::new())
    );
    let polling = Polling {
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(5),
        retries: 1,
        down_after: 2,
        up_after: 2,
        max_interval: Duration::from_secs(15),
    };
    assert_eq!(peer.polling, polling);
    assert_eq!(config.defaults, polling);
    let gentle = Polling {
        interval: Duration::from_secs(60),
        retries: 0,
        max_interval: Duration::from_secs(600),
        ..polling
    };
    assert_eq!(config.references, gentle);
}

#[test]
fn discovery_that_is_on_has_the_documented_defaults_and_off_is_none() {
    let discovery = |text: &str| {
        let file = format!("networks: [{{ name: n, discovery: {text} }}]\n{PEER}");
        valid(&file).networks.remove(0).discovery
    };
    let defaults = Discovery {
        interval: Duration::from_secs(600),
        max_peers: 500,
        allow_private: false,
        http_port: None,
    };
    assert_eq!(discovery("{ enabled: true }"), Some(defaults));
    assert_eq!(discovery("{ max_peers: 7 }"), None);
    assert_eq!(discovery("{ enabled: false, max_peers: 7 }"), None);
}

#[test]
fn the_threshold_nearest_to_the_peer_holds_key_by_key() {
    let config = valid(
        "verdicts: { lag_blocks: 1, stall_after: 1m, certificate: 1d }\n\
         networks:\n\
         - { name: m, verdicts: { lag_blocks: 2, certificate: 2d } }\n\
         - { name: n }\n\
         peers:\n\
         - { name: a, network: m, endpoints: [tcp://a], verdicts: { lag_blocks: 3, own_stake_margin_cvm: 0.5 } }\n\
         - { name: b, network: m, endpoints: [tcp://b] }\n\
         - { name: c, network: n, endpoints: [tcp://c] }\n",
    );
    let of = |verdicts: Thresholds| {
        let days = verdicts.certificate.as_secs() / 86_400;
        (verdicts.lag_blocks, days, verdicts.own_stake_margin_cvm)
    };
    let of_peers: Vec<_> = config.peers.iter().map(|peer| of(peer.verdicts)).collect();
    assert_eq!(of_peers, [(3, 2, 0.5), (2, 2, 100.0), (1, 1, 100.0)]);
    let of_networks: Vec<_> = config.networks.iter().map(|it| of(it.verdicts)).collect();
    assert_eq!(of_networks, [(2, 2, 100.0), (1, 1, 100.0)]);

    let implied = valid(&format!("verdicts: {{ lag_blocks: 4 }}\n{PEER}"));
    assert_eq!(implied.networks[0].verdicts.lag_blocks, 4);
    assert_eq!(implied.peers[0].verdicts.lag_blocks, 4);
}

#[test]
fn the_state_directory_is_relative_to_the_configuration_and_need_not_be_there() {
    let at = |dir: &str| valid(&format!("state_dir: {dir}\n{PEER}")).state_dir;
    assert_eq!(at("state"), Some(PathBuf::from("/nonexistent/state")));
    assert_eq!(at("/var/x"), Some(PathBuf::from("/var/x")));
}

#[test]
fn a_query_is_read_as_the_form_that_its_text_is_and_asked_in_every_network_unless_told() {
    let config = valid(
        "networks: [{ name: m }, { name: n }]\n\
         peers: [{ name: a, network: n, endpoints: [tcp://a] }]\n\
         queries:\n\
         - { name: a, source: \"(balance #13)\", networks: [n, n], interval: 5m, help: what }\n\
         - { name: b, source: \"*juice*\" }\n\
         - { name: _c2, source: \"1\", networks: [] }\n",
    );
    let [a, b, c] = config.queries.as_slice() else {
        panic!("three queries, found {}", config.queries.len());
    };
    let expected = CustomQuery {
        name: "a".to_owned(),
        query: Query::read("(balance #13)").expect("a form"),
        help: "what".to_owned(),
        networks: vec!["n".to_owned()],
        interval: Duration::from_secs(300),
    };
    assert_eq!(a, &expected);
    assert_eq!((b.help.as_str(), b.interval), ("", Duration::from_secs(60)));
    assert_eq!((&b.networks, c.networks.len()), (&c.networks, 2));
}

#[test]
fn more_queries_or_references_than_allowed_are_refused_with_both_numbers() {
    let queries = |n: usize| {
        let items = (0..n).fold(String::new(), |text, i| {
            format!("{text}- {{ name: q{i}, source: \"1\" }}\n")
        });
        format!("{PEER}queries:\n{items}")
    };
    assert_eq!(valid(&queries(50)).queries.len(), 50);
    assert_eq!(
        errors(&queries(51)),
        "c.yml:5:3: queries: 51 queries, at most 50; remove some, or let one return a sum"
    );
    let references = |n: usize| {
        let items = vec!["\"tcp://h\""; n].join(", ");
        format!("self_check: {{ references: [{items}] }}\n{PEER}")
    };
    assert_eq!(valid(&references(10)).self_check.references.len(), 10);
    assert_eq!(
        errors(&references(11)),
        "c.yml:1:27: self_check.references: 11 references, at most 10; remove some"
    );
    let long = format!(
        "{PEER}queries: [{{ name: q, source: \"{}\" }}]",
        "a".repeat(16_385)
    );
    assert!(errors(&long).contains("an expression of 16385 bytes, at most 16384"));
}

#[test]
fn a_configuration_differs_when_any_of_its_judgements_does() {
    let config = valid(PEER);
    for text in [
        format!("state_dir: s\n{PEER}"),
        format!("verdicts: {{ controller_balance_cvm: 11 }}\n{PEER}"),
        format!("self_check: {{ dns_name: example.com }}\n{PEER}"),
        format!("networks: [{{ name: default, stake_interval: 2m }}]\n{PEER}"),
        format!("networks: [{{ name: default, discovery: {{ enabled: true }} }}]\n{PEER}"),
        format!("{PEER}queries: [{{ name: a, source: \"1\" }}]\n"),
        with_peer("expect_block_every: 1m"),
        with_peer("maintenance: [{ from: 2026-12-01T10:00:00Z, to: 2026-12-01T11:00:00Z }]"),
    ] {
        let other = valid(&text);
        assert_eq!(other, valid(&text));
        assert_ne!(other, config, "{text}");
    }
}

#[test]
fn the_embedded_configuration_watches_protonet_over_both_transports_as_a_reference() {
    let config = config::embedded();
    let genesis = "b0e44f2a645abfa539f5b96b7a0eabb0f902866feaff0f7c12d1213e02333f13"
        .parse()
        .unwrap();
    assert_eq!(
        config.networks,
        [Network {
            name: "protonet".to_owned(),
            genesis: Some(genesis),
            verdicts: Thresholds::default(),
            discovery: None,
            stake_interval: Duration::from_secs(60),
        }]
    );
    let [peer] = config.peers.as_slice() else {
        panic!("one peer");
    };
    assert_eq!((peer.genesis, peer.role), (Some(genesis), Role::Reference));
    let endpoints: Vec<_> = peer.endpoints.iter().map(Endpoint::to_string).collect();
    assert_eq!(
        endpoints,
        ["https://peer.convex.live", "tcp://peer.convex.live:18888"]
    );
}

#[test]
fn a_peer_overrides_the_defaults_key_by_key() {
    let config = valid(
        "defaults: { interval: 10s, timeout: 2s, max_interval: 1m }\n\
         peers:\n\
         - { name: a, endpoints: [tcp://a, http://a] }\n\
         - { name: b, endpoints: [tcp://b], interval: 1m 30s, max_interval: 90s, retries: 0 }\n",
    );
    let seconds = |peer: &Peer| {
        let polling = &peer.polling;
        [polling.interval, polling.timeout, polling.max_interval].map(|d| d.as_secs())
    };
    assert_eq!(seconds(&config.peers[0]), [10, 2, 60]);
    assert_eq!(seconds(&config.peers[1]), [90, 2, 90]);
    assert_eq!(
        (
            config.peers[0].polling.retries,
            config.peers[1].polling.retries
        ),
        (1, 0)
    );
    let endpoints = &config.peers[0].endpoints;
    assert_eq!(
        endpoints[0].to_string(),
        "http://a",
        "HTTP first, whatever the order in the file"
    );
}

#[test]
fn a_reference_is_polled_gently_unless_it_is_said_otherwise() {
    let peers = "peers:\n\
         - { name: own, endpoints: [tcp://a] }\n\
         - { name: stranger, role: reference, endpoints: [tcp://b] }\n\
         - { name: well-known, role: reference, endpoints: [tcp://c], interval: 20m }\n\
         - { name: friend, role: reference, endpoints: [tcp://d], interval: 5s, timeout: 1s, retries: 3 }\n";
    for (rhythms, expected) in [
        (
            "",
            [[15, 15, 1], [60, 600, 0], [1200, 1200, 0], [5, 600, 3]],
        ),
        (
            "defaults: { interval: 2m, max_interval: 1h }\n",
            [
                [120, 3600, 1],
                [120, 3600, 0],
                [1200, 3600, 0],
                [5, 3600, 3],
            ],
        ),
        (
            "references: { interval: 30s, max_interval: 40m, retries: 2 }\n",
            [[15, 15, 1], [30, 2400, 2], [1200, 2400, 2], [5, 2400, 3]],
        ),
    ] {
        let config = valid(&format!("{rhythms}{peers}"));
        let found = config.peers.iter().map(|peer| {
            let polling = &peer.polling;
            let [interval, longest] = [polling.interval, polling.max_interval].map(|d| d.as_secs());
            [interval, longest, polling.retries.into()]
        });
        let found: Vec<[u64; 3]> = found.collect();
        assert_eq!(found, expected, "{rhythms}");
    }
    let told = errors(&format!("references: {{ interval: 3s }}\n{PEER}"));
    assert!(
        told.contains("references.interval: timeout 5s is not shorter than interval 3s"),
        "{told}"
    );
}

#[test]
fn bad_input_is_told_where_it_stands_and_what_would_be_right() {
    let mut told = String::new();
    for text in include_str!("config/bad-peers.txt").split("\n\n") {
        let text = with_peer(text.trim_end());
        // The three lines before the peer's own are the same in all.
        let added: Vec<_> = text.lines().skip(3).map(str::trim_start).collect();
        let added = added.join(
            "
",
        );
        writeln!(told, "{added}\n{}\n", errors(&text)).unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_bad_file_is_told_where_it_breaks() {
    let mut told = String::new();
    for text in [
        "",
        "# nothing yet\n",
        "---\n",
        "peers: []\n",
        "listen: 127.0.0.1:1\n",
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
        "verdicts: { lag_blocks: 0, lag_for: 2d, clock_skew: 0s, own_stake_margin_cvm: -1, controller_balance_cvm: .nan }\n",
        "verdicts: { own_stake_margin_cvm: \"100\", controller_balance_cvm: 1000000001 }\n",
        "networks: [{ name: n, stake_interval: 5s, discovery: { enabled: yes, interval: 0s, max_peers: 0, allow_private: 1, http_port: 0 } }]\n",
        "self_check: { references: [localhost:1, \"tcp://u:pw@h\"], dns_name: 10.0.0.1, dns: x }\n",
        "queries:\n- {}\n- { name: A, source: \"(balance #13\" }\n- { name: 1a, source: \")\" }\n- { name: a, source: \"1 2\", networks: [protonat], interval: 0s }\n- { name: a, source: 13, help: \"a\\nb\" }\n- name: \"\"\n  source: |\n    (do\n      a})\n",
        "networks: [{ name: protonet }]\nqueries: [{ name: a, source: \"1\", networks: [protonat, 7, x] }]\n",
    ] {
        writeln!(told, "{text:?}\n{}\n", errors(text)).unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_value_that_the_environment_gave_is_never_told() {
    for lines in [
        "bearer_token: ${BAD_TOKEN}",
        "bearer_token_file: ${TOKEN}",
        "headers: { X-Key: \"${TOKEN}\\n\" }",
        "interval: ${TOKEN}",
        "account: ${TOKEN}",
        "key: ${TOKEN}",
        "role: ${TOKEN}",
        "network: ${TOKEN}",
        "server_name: \"${BAD_TOKEN}\"",
        "proxy: ${TOKEN}",
        "proxy: http://h/${TOKEN}",
        "ca_file: ${TOKEN}",
        "key: 5s3cret",
        "bearer_token: s3cret\nbearer_token: s3cret",
        "proxy: http://u:s3cret@h",
        "proxy: u:s3cret@h",
        "expect_block_every: ${TOKEN}",
        "maintenance: [{ from: \"${TOKEN}\", to: \"${TOKEN}\" }]",
    ] {
        let told = errors(&with_peer(lines));
        let given = lines.contains("key: 5s3cret");
        assert!(
            given == told.contains("s3cret"),
            "{lines} is told as {told}"
        );
    }
    for endpoint in [
        "${TOKEN}",
        "http://h/?${TOKEN}",
        "tcp://h/${TOKEN}",
        "${TOKEN}://h",
        "http://h:${TOKEN}",
        "u:s3cret@h:18888",
        "http://u:s3cret@h",
    ] {
        let told = errors(&format!(
            "peers: [{{ name: a, endpoints: [\"{endpoint}\"] }}]"
        ));
        assert!(!told.contains("s3cret"), "{endpoint} is told as {told}");
    }
    for line in [
        "self_check: { references: [\"${TOKEN}\"] }",
        "self_check: { dns_name: \"${BAD_TOKEN}\" }",
        "queries: [{ name: \"${BAD_TOKEN}\", source: \"1\" }]",
        "queries: [{ name: a, source: \"1 \\\\${TOKEN}\" }]",
        "queries: [{ name: a, source: \"##${TOKEN}\" }]",
        "queries: [{ name: a, source: \"1\", networks: [\"${TOKEN}\"] }]",
    ] {
        let told = errors(&format!("{PEER}{line}\n"));
        assert!(!told.contains("s3cret"), "{line} is told as {told}");
    }
}

#[test]
fn texts_take_the_environment_and_two_dollars_are_one() {
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
fn accounts_sizes_and_hashes_are_read_as_people_write_them() {
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
fn an_alias_stands_for_what_its_anchor_marks() {
    let config = valid(
        "peers:\n\
         - { name: a, endpoints: [http://a], labels: &l { region: eu } }\n\
         - { name: b, endpoints: [http://b], labels: *l }\n",
    );
    assert_eq!(config.peers[0].labels, config.peers[1].labels);
    assert_eq!(config.peers[1].labels["region"], "eu");
}

#[test]
fn an_alias_bomb_is_refused_before_it_is_written_out() {
    let mut bomb = "a: &l0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let alias = format!("*l{}", level - 1);
        writeln!(bomb, "a{level}: &l{level} [{}]", vec![alias; 10].join(", ")).unwrap();
    }
    let told = errors(&bomb);
    assert!(
        told.contains("with all aliases expanded; at most 1000000"),
        "{told}"
    );

    let mut chain = "a: &l0 [x]\n".to_owned();
    for level in 1..100_000 {
        writeln!(chain, "a{level}: &l{level} [*l{}]", level - 1).unwrap();
    }
    let told = errors(&chain);
    assert!(
        told.contains("nested more than 32 levels deep, aliases followed"),
        "{told}"
    );
    let told = errors(&format!("a: {}", "[".repeat(100_000)));
    assert!(told.contains("recursion limit exceeded"), "{told}");
}

#[test]
fn ten_thousand_peers_are_read_and_seen_lean() {
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

    let broken = text.replace("interval: 30s", "interval: 30");
    let told = parse(&broken).expect_err("every peer is wrong");
    assert_eq!(told.problems().len(), 10_000);
}

#[test]
fn detail_is_full_up_to_two_hundred_peers_unless_configured() {
    let peers = |n: usize| {
        (0..n).fold("peers:\n".to_owned(), |text, i| {
            format!("{text}- {{ name: p{i}, endpoints: [tcp://h:{}] }}\n", i + 1)
        })
    };
    assert_eq!(valid(&peers(200)).detail, Detail::Full);
    assert_eq!(valid(&peers(201)).detail, Detail::Lean);
    let discovering = |max: usize, n: usize| {
        let discovery = format!("discovery: {{ enabled: true, max_peers: {max} }}");
        format!("networks: [{{ name: n, {discovery} }}]\n{}", peers(n))
    };
    assert_eq!(valid(&discovering(150, 50)).detail, Detail::Full);
    assert_eq!(valid(&discovering(151, 50)).detail, Detail::Lean);
    assert_eq!(
        valid(&format!("metrics: {{ detail: full }}\n{}", peers(201))).detail,
        Detail::Full
    );
    assert_eq!(
        valid(&format!("metrics: {{ detail: lean }}\n{PEER}")).detail,
        Detail::Lean
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_what_the_system_says() {
    let dir = tempfile::tempdir().unwrap();
    let told = |name: &str, content: Option<&[u8]>| {
        let path = dir.path().join(name);
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let told = config::load(&path, &environment)
            .expect_err(name)
            .to_string();
        told.replace(dir.path().to_str().unwrap(), "DIR")
    };
    assert_eq!(
        told("missing.yml", None),
        "DIR/missing.yml: cannot read the configuration: No such file or directory (os error 2)"
    );
    assert_eq!(
        told("", None),
        "DIR/: cannot read the configuration: Is a directory (os error 21)"
    );
    assert_eq!(
        told("latin1.yml", Some(b"listen: x\nvantage: caf\xe9\n")),
        "DIR/latin1.yml:2:13: not UTF-8 from here on; save the file as UTF-8"
    );
    assert_eq!(
        told("large.yml", Some(&vec![b'#'; (16 << 20) + 1])),
        "DIR/large.yml: cannot read the configuration: larger than 16777216 bytes"
    );
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    assert_eq!(valid(&format!("\u{feff}{PEER}")), valid(PEER));
    assert!(errors("\u{feff}listn: x\n").contains("c.yml:1:1: listn"));
}

#[test]
fn line_ends_of_windows_and_texts_of_several_lines_are_read() {
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
fn names_of_files_are_relative_to_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("token"), "abc\r\n").unwrap();
    let path = dir.path().join("config.yml");
    fs::write(&path, with_peer("bearer_token_file: token")).unwrap();
    let config = config::load(&path, &environment).unwrap();
    let token = config.peers[0].http.bearer_token.as_ref().unwrap();
    assert_eq!(token.expose(), "abc");
}

#[test]
fn a_file_with_a_bad_secret_is_told_without_the_secret() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = String::new();
    for (key, content) in [
        ("bearer_token_file", b"s3cret\nline\n".as_slice()),
        ("bearer_token_file", b""),
        ("bearer_token_file", b"\n"),
        ("bearer_token_file", b"s3cret\xff"),
        ("headers_file", b"X-A: 1\ns3cret\n"),
        ("headers_file", b"X-A: s3cret\x01\n"),
        ("headers_file", b"X-A: s3cret\nx-a: s3cret\n"),
        ("headers_file", b"Content-Type: s3cret\n"),
        ("ca_file", b"s3cret"),
        (
            "ca_file",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        (
            "ca_file",
            b"-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
        ),
    ] {
        fs::write(dir.path().join("f"), content).unwrap();
        let told = parse_in(dir.path(), &with_peer(&format!("{key}: f"))).expect_err(key);
        writeln!(all, "{told}").unwrap();
    }
    assert!(!all.contains("s3cret"), "{all}");
    insta::assert_snapshot!(all.replace(dir.path().to_str().unwrap(), "DIR"));
}

#[test]
fn a_receiver_that_is_wrong_is_told_without_its_secrets() {
    insta::assert_snapshot!(errors(&format!(
        "{PEER}{}",
        r#"notify:
  labels: { severity: page }
  alertmanagers:
    - { name: am, url: "ftp://s3cret" }
    - { name: am, url: "https://me:s3cret@am.example" }
    - { name: heartbeat, url: "s3cret" }
    - { name: none }
    - { name: two, url: http://a, url_file: b }
    - { name: both, url: http://a, bearer_token: s3cret, basic_auth: { username: a, password: s3cret } }
    - { name: user, url: http://a, basic_auth: { username: "a:b", password: s3cret } }
    - { name: word, url: http://a, basic_auth: { username: a } }
    - { name: more, url: http://a, server_name: a, send_resolved: true }
  webhooks:
    - { name: am, url: http://a }
    - { name: level, url: http://a, min_severity: page, send_resolved: 1 }
  heartbeat: { interval: 1m }
"#
    )));
}

#[test]
fn a_sidecar_says_which_process_is_the_peers() {
    let sidecar = |text: &str| {
        let text = format!("mode: sidecar\n{}", with_peer(&format!("sidecar: {text}")));
        parse_in(Path::new("/etc/monitor"), &text)
    };
    let read = |text: &str| sidecar(text).unwrap().peers[0].sidecar.clone();
    assert_eq!(
        read("{ pid_file: run/peer.pid, store: /var/etch.db }"),
        Some(Sidecar {
            process: ProcessBy::PidFile("/etc/monitor/run/peer.pid".into()),
            store: Some("/var/etch.db".into()),
        })
    );
    assert_eq!(
        read("{ command_contains: ' -jar convex.jar', store: etch.db }"),
        Some(Sidecar {
            process: ProcessBy::Command(" -jar convex.jar".to_owned()),
            store: Some("/etc/monitor/etch.db".into()),
        })
    );
    let mut all = String::new();
    for text in [
        "{}",
        "{ store: x }",
        "{ pid_file: x, command_contains: y }",
        "{ pid_file: '' }",
        "{ pid_file: 7, store: '' }",
        "{ command_contains: ' ' }",
        "{ command_contains: \"a\\nb\" }",
        "{ pidfile: x }",
        "x",
    ] {
        writeln!(all, "{text}\n{}\n", sidecar(text).expect_err(text)).unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_mode_is_central_unless_it_is_sidecar() {
    assert_eq!(valid(PEER).mode, Mode::Central);
    assert_eq!(valid(&format!("mode: sidecar\n{PEER}")).mode, Mode::Sidecar);
}

#[test]
fn a_peer_differs_when_any_of_its_secrets_does() {
    let peer = |lines: &str| valid(&with_peer(lines)).peers.remove(0);
    assert_eq!(peer("bearer_token: a"), peer("bearer_token: a"));
    assert_ne!(peer("bearer_token: a"), peer("bearer_token: b"));
    assert_ne!(peer("headers: { X-A: a }"), peer("headers: { X-A: b }"));
    assert_ne!(peer("proxy: http://a"), peer("proxy: http://b"));
    assert_ne!(peer("server_name: a"), peer("server_name: b"));
}

/// What is wrong with a configuration whose web configuration is `text`, beside a certificate of its own.
fn with_web(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (name, text) in [
        ("cert.pem", own.cert.pem()),
        ("key.pem", own.signing_key.serialize_pem()),
        ("other.pem", other.signing_key.serialize_pem()),
        ("web.yml", text.to_owned()),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let read = parse_in(
        dir.path(),
        &format!("web: {{ config_file: web.yml }}\n{PEER}"),
    );
    read.map_err(|errors| {
        errors
            .to_string()
            .replace(dir.path().to_str().unwrap(), "DIR")
    })
}

#[test]
fn every_key_of_a_web_configuration_is_read() {
    let config = with_web(include_str!("config/web.yml")).unwrap();
    let web = &config.web;
    assert!(web.requires_authentication() && !web.http2);
    assert_eq!(
        web.users.keys().collect::<Vec<_>>(),
        ["Jürgen", "prometheus"]
    );
    assert!(web.users["prometheus"].verify(b"s3cret") && !web.users["prometheus"].verify(b"other"));
    assert_eq!(web.headers["strict-transport-security"], "max-age=31536000");
    assert!(config.web.tls.as_ref().unwrap().requires_certificate());
    assert!(config::render(&config).contains("/web.yml"));
}

#[test]
fn a_web_configuration_without_anything_is_plain_http_without_passwords() {
    for text in ["", "\n# later\n"] {
        let config = with_web(text).unwrap();
        assert!(
            config.web.tls.is_none() && config.web.http2 && !config.web.requires_authentication()
        );
    }
}

#[test]
fn what_is_wrong_with_a_web_configuration_is_told_in_its_own_file() {
    insta::assert_snapshot!(with_web(include_str!("config/bad-web.yml")).unwrap_err());
    let tls = |lines: &str| {
        let text = format!("tls_server_config:\n  cert_file: cert.pem\n{lines}");
        with_web(&text).unwrap_err()
    };
    insta::assert_snapshot!(
        [
            tls("  key_file: other.pem\n"),
            tls("  key_file: gone.pem\n"),
            tls("  key_file: cert.pem\n"),
            tls("  key_file: key.pem\n  client_ca_file: cert.pem\n"),
            tls("  key_file: key.pem\n  client_auth_type: RequireAndVerifyClientCert\n"),
            tls("  key_file: key.pem\n  client_ca_file: key.pem\n  client_auth_type: VerifyClientCertIfGiven\n"),
            tls("  key_file: key.pem\n  min_version: TLS13\n  max_version: TLS12\n"),
            with_web("basic_auth_users: {}\n").unwrap_err(),
            with_web("tls_server_config: [").unwrap_err(),
        ]
        .join("\n")
    );
}

#[test]
fn a_listener_that_is_open_to_others_is_told_in_words() {
    let exposure = |text: &str, address: &str| {
        let config = with_web(text).unwrap();
        config.web.exposure_warning(address.parse().unwrap())
    };
    let open = exposure("", "0.0.0.0:18880").unwrap();
    assert!(open.contains("open to anyone"), "{open}");
    let hash = bcrypt::hash("s3cret", 4).unwrap();
    let users = format!("basic_auth_users: {{ a: '{hash}' }}\n");
    let plain = exposure(&users, "[2001:db8::1]:1").unwrap();
    assert!(plain.contains("in plain"), "{plain}");
    let tls = "tls_server_config: { cert_file: cert.pem, key_file: key.pem }\n";
    assert!(
        exposure(tls, "192.0.2.1:1")
            .unwrap()
            .contains("open to anyone")
    );
    assert_eq!(exposure(&format!("{tls}{users}"), "192.0.2.1:1"), None);
    assert_eq!(exposure("", "127.0.0.1:1"), None);

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yml");
    fs::write(&file, format!("listen: 0.0.0.0:1\n{PEER}")).unwrap();
    let (ok, out, _) = check(&[file], check_config::Options::default());
    assert!(
        ok && out.contains("warning: 0.0.0.0:1 is open to anyone"),
        "{out}"
    );
}

#[test]
fn a_secret_that_every_user_of_the_host_can_read_is_told_with_what_would_be_right() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("s3cret", 4).unwrap();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = "tls_server_config: { cert_file: cert.pem, key_file: key.pem }";
    let files = [
        ("token", "s3cret".to_owned()),
        ("password", "s3cret".to_owned()),
        ("url", "http://127.0.0.1/s3cret".to_owned()),
        ("headers", "X-Key: s3cret".to_owned()),
        ("cert.pem", own.cert.pem()),
        ("key.pem", own.signing_key.serialize_pem()),
        ("web.yml", format!("{tls}\nbasic_auth_users: {{ a: '{hash}' }}\n")),
        (
            "c.yml",
            "web: { config_file: web.yml }\n\
             peers: [{ name: a, endpoints: [http://a], headers: { X-Key: s3cret }, bearer_token_file: token }]\n\
             notify:\n  webhooks:\n  - { name: w, url_file: url, headers_file: headers, basic_auth: { username: u, password_file: password } }\n"
                .to_owned(),
        ),
    ];
    let warned = |mode| {
        for (name, text) in &files {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let config = config::load(&dir.path().join("c.yml"), &environment).unwrap();
        let lines: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
        lines
            .join("\n")
            .replace(dir.path().to_str().unwrap(), "DIR")
    };
    for mode in [0o600, 0o640] {
        assert_eq!(warned(mode), "", "{mode:o}");
    }
    insta::assert_snapshot!(warned(0o644));
    let (ok, out, _) = check(
        &[dir.path().join("c.yml")],
        check_config::Options::default(),
    );
    assert!(
        ok && out.contains("warning: ") && out.contains("chmod 640"),
        "{out}"
    );
}

#[test]
fn peers_that_a_reload_does_not_change_are_in_memory_once() {
    let file = |second: &str| {
        valid(&format!(
            "peers:\n- {{ name: a, endpoints: [http://a] }}\n- {{ name: b, endpoints: [http://{second}] }}\n"
        ))
    };
    let (before, mut config) = (file("b"), file("c"));
    let alone = config.clone();
    config.reuse_peers(&before);
    assert_eq!(config, alone);
    assert!(Arc::ptr_eq(&config.peers[0], &before.peers[0]));
    assert!(!Arc::ptr_eq(&config.peers[1], &before.peers[1]));
}

fn check(files: &[PathBuf], options: check_config::Options) -> (bool, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let series = |config: &Config| config.peers.len() as u64 * 50;
    let ok =
        check_config::run(files, options, &series, &mut out, &mut err).expect("a Vec takes all");
    (
        ok,
        String::from_utf8(out).expect("UTF-8"),
        String::from_utf8(err).expect("UTF-8"),
    )
}

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
            "peers: 1 and up to 300 discovered, networks: 2, series: up to 50, polls per second: up to 5.10, \
             connections: up to 301"
        ),
        "{out}"
    );
    assert!(out.contains("needs 941 file descriptors"), "{out}");
}

/// Anything that a label can be: no control characters, no line separators.
fn text() -> impl Strategy<Value = String> {
    "[\\PC&&[^\u{2028}\u{2029}]]{0,12}"
}

fn name() -> impl Strategy<Value = String> {
    "[\\PC&&[^\u{2028}\u{2029}]]{1,12}".prop_filter("a name", |text| {
        text.trim() == text && !text.contains(['/', '\\']) && !matches!(text.as_str(), "." | "..")
    })
}

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::new)
}

fn endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    let http = prop::sample::select(vec!["http://h", "https://h:8443/a/$b", "http://[::1]:80"]);
    let tcp = prop::sample::select(vec!["tcp://h", "tcp://[::1]:1", "tcp://10.0.0.1:18888"]);
    (prop::option::of(http), prop::option::of(tcp))
        .prop_filter("one at least", |(http, tcp)| {
            http.is_some() || tcp.is_some()
        })
        .prop_map(|(http, tcp)| {
            let both = [http, tcp].into_iter().flatten();
            both.map(|text| Endpoint::parse(text).expect(text))
                .collect()
        })
}

fn polling() -> impl Strategy<Value = Polling> {
    (
        1_000u64..10_000_000,
        0u64..1_000_000,
        10u64..1_000,
        0u32..100,
        1u32..1000,
        1u32..1000,
    )
        .prop_map(
            |(interval, longer, timeout, retries, down_after, up_after)| Polling {
                interval: Duration::from_millis(interval),
                timeout: Duration::from_millis(timeout),
                retries,
                down_after,
                up_after,
                max_interval: Duration::from_millis(interval + longer),
            },
        )
}

fn http_options() -> impl Strategy<Value = HttpOptions> {
    let header_names = prop::collection::btree_set("x-[a-z!#$&]{1,8}", 0..3);
    let server_name = prop::option::of("[a-z]{1,9}\\.example");
    let proxy = prop::option::of(Just("http://proxy:3128/".parse().expect("a URL")));
    (header_names, any::<bool>(), server_name, proxy).prop_map(
        |(names, token, server_name, proxy)| {
            let mut headers = HeaderMap::new();
            for name in names {
                headers.insert(
                    HeaderName::try_from(name).expect("a header name"),
                    HeaderValue::from_static("filled-in"),
                );
            }
            HttpOptions {
                headers,
                bearer_token: token.then(|| "filled-in".into()),
                server_name,
                proxy,
                ..HttpOptions::default()
            }
        },
    )
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    (
        1_000u64..86_400_000,
        1u64..1_000_000,
        0u64..86_400_000,
        1u64..86_400_000,
        1u64..100_000_000,
        0.0..1e9,
        0.0..1e9,
    )
        .prop_map(
            |(stall, lag_blocks, lag, skew, certificate, own, controller)| Thresholds {
                stall_after: Duration::from_millis(stall),
                lag_blocks,
                lag_for: Duration::from_millis(lag),
                clock_skew: Duration::from_millis(skew),
                certificate: Duration::from_secs(certificate),
                own_stake_margin_cvm: own,
                controller_balance_cvm: controller,
            },
        )
}

fn window() -> impl Strategy<Value = Window> {
    // To the end of the year 9999.
    let seconds = 0u64..253_402_000_000;
    (
        seconds,
        1u64..86_400,
        0u32..1_000_000_000,
        prop::option::of(text()),
    )
        .prop_map(|(from, lasts, nanos, comment)| {
            let from = SystemTime::UNIX_EPOCH + Duration::new(from, nanos);
            Window {
                from,
                to: from + Duration::from_secs(lasts),
                comment,
            }
        })
}

fn discovery() -> impl Strategy<Value = Option<Discovery>> {
    let http_port = prop::option::of(1u16..);
    let found = (1u64..86_400, 1usize..100_000, any::<bool>(), http_port);
    prop::option::of(found.prop_map(
        |(interval, max_peers, allow_private, http_port)| Discovery {
            interval: Duration::from_secs(interval),
            max_peers,
            allow_private,
            http_port,
        },
    ))
}

fn network() -> impl Strategy<Value = Network> {
    (
        prop::option::of(hash()),
        thresholds(),
        discovery(),
        10u64..86_400,
    )
        .prop_map(|(genesis, verdicts, discovery, stake_interval)| Network {
            name: String::new(),
            genesis,
            verdicts,
            discovery,
            stake_interval: Duration::from_secs(stake_interval),
        })
}

fn self_check() -> impl Strategy<Value = SelfCheck> {
    let references = prop::collection::vec(endpoints().prop_map(|all| all[0].clone()), 0..10);
    (references, prop::option::of("[a-z]{1,9}\\.example")).prop_map(|(references, dns_name)| {
        SelfCheck {
            references,
            dns_name,
        }
    })
}

/// Queries by name, each of the first network.
fn queries() -> impl Strategy<Value = BTreeMap<String, CustomQuery>> {
    let sources = ["(balance #13)", "\"$ ${x}\"", "[1 2.5 :k]", "*juice*\n"];
    let query = (prop::sample::select(sources.to_vec()), text(), 1u64..86_400);
    let query = query.prop_map(|(source, help, interval)| CustomQuery {
        name: String::new(),
        query: Query::read(source).expect(source),
        help,
        networks: Vec::new(),
        interval: Duration::from_secs(interval),
    });
    prop::collection::btree_map("[a-z_][a-z0-9_]{0,8}", query, 0..3)
}

fn sidecar() -> impl Strategy<Value = Option<Sidecar>> {
    let file = || "/[a-z$]{1,9}".prop_map(PathBuf::from);
    let process = prop_oneof![
        file().prop_map(ProcessBy::PidFile),
        text().prop_map(|text| ProcessBy::Command(format!("java {text}"))),
    ];
    let sidecar = (process, prop::option::of(file()));
    prop::option::of(sidecar.prop_map(|(process, store)| Sidecar { process, store }))
}

fn peer() -> impl Strategy<Value = Peer> {
    let labels = prop::collection::btree_map("my_[a-z0-9]{1,8}", text(), 0..3);
    let account = prop::option::of(0..=i64::MAX.cast_unsigned());
    let role = prop::sample::select(vec![Role::Own, Role::Reference]);
    let every = prop::option::of((1u64..100_000_000).prop_map(Duration::from_secs));
    let windows = prop::collection::vec(window(), 0..3);
    let judged = (thresholds(), every, windows, sidecar());
    (
        name(),
        role,
        endpoints(),
        prop::option::of(hash()),
        labels,
        account,
        http_options(),
        polling(),
        judged,
    )
        .prop_map(
            |(name, role, endpoints, key, labels, account, http, polling, judged)| Peer {
                name,
                network: String::new(),
                genesis: None,
                role,
                endpoints,
                key,
                labels,
                account,
                http,
                polling,
                verdicts: judged.0,
                expect_block_every: judged.1,
                maintenance: judged.2,
                sidecar: judged.3,
                sampled: None,
            },
        )
}

fn target() -> impl Strategy<Value = Target> {
    let basic_auth = prop::option::of("[a-z$]{1,9}".prop_map(|username| BasicAuth {
        username,
        password: "filled-in".into(),
    }));
    let paths = prop::sample::select(vec!["", "/filled-in"]);
    ("[a-z]{1,9}", paths, http_options(), basic_auth).prop_map(
        |(host, path, mut http, mut basic_auth)| {
            http.server_name = None;
            if http.bearer_token.is_some() || http.headers.contains_key("authorization") {
                basic_auth = None;
            }
            Target {
                url: format!("https://{host}{path}").as_str().into(),
                http,
                basic_auth,
            }
        },
    )
}

fn notify() -> impl Strategy<Value = Notify> {
    let names = || prop::collection::btree_set("[a-z]{1,8}", 0..3);
    let severity = prop::sample::select(Severity::ALL.to_vec());
    let heartbeat = prop::option::of((target(), 1u64..86_400));
    let labels = prop::collection::btree_map("my_[a-z0-9]{1,8}", text(), 0..3);
    let webhook = (any::<bool>(), severity);
    (labels, names(), names(), target(), webhook, heartbeat).prop_map(
        |(labels, alertmanagers, webhooks, target, (send_resolved, min_severity), heartbeat)| {
            let alertmanager = |name: String| Alertmanager {
                name: format!("am-{name}"),
                target: target.clone(),
            };
            let webhook = |name: String| Webhook {
                name: format!("hook-{name}"),
                target: target.clone(),
                send_resolved,
                min_severity,
            };
            Notify {
                labels,
                alertmanagers: alertmanagers.into_iter().map(alertmanager).collect(),
                webhooks: webhooks.into_iter().map(webhook).collect(),
                heartbeat: heartbeat.map(|(target, seconds)| Heartbeat {
                    target,
                    interval: Duration::from_secs(seconds),
                }),
            }
        },
    )
}

prop_compose! {
    fn any_config()(
        port in any::<u16>(),
        external_url in prop::option::of("https://[a-z]{1,9}/[a-z$]{0,9}"),
        vantage in name(),
        networks in prop::collection::btree_map(name(), network(), 1..4),
        peers in prop::collection::vec((peer(), any::<prop::sample::Index>()), 1..5),
        (mode, (defaults, references), state_dir, self_check, queries, notify) in (
            prop::sample::select(Mode::ALL.to_vec()),
            (polling(), polling()),
            prop::option::of("/[a-z$]{1,9}"),
            self_check(),
            queries(),
            notify(),
        ),
        inflight in 1usize..1_000_000,
        bytes in 1024usize..50_000_000,
        max_bytes in 4u64 << 20..1 << 40,
        detail in prop::sample::select(vec![Detail::Full, Detail::Lean]),
    ) -> Config {
        let networks: Vec<_> = networks.into_iter().map(|(name, network)| Network { name, ..network }).collect();
        let queries = queries.into_iter().map(|(name, query)| CustomQuery {
            name,
            networks: vec![networks[0].name.clone()],
            ..query
        }).collect();
        let peers: BTreeMap<_, _> = peers.into_iter().map(|(mut peer, index)| {
            let network: &Network = index.get(&networks);
            peer.network.clone_from(&network.name);
            peer.genesis = network.genesis;
            peer.sidecar = peer.sidecar.filter(|_| mode == Mode::Sidecar);
            (peer.name.clone(), Arc::new(peer))
        }).collect();
        Config {
            listen: ([127, 0, 0, 1], port).into(),
            external_url: external_url.map(|url| url.parse().expect("a URL")),
            web: Arc::default(),
            vantage,
            mode,
            state_dir: state_dir.map(PathBuf::from),
            defaults,
            references,
            self_check,
            queries,
            notify,
            networks,
            peers: peers.into_values().collect(),
            others: Vec::new(),
            sample: Vec::new(),
            history: config::History { max_bytes },
            limits: Limits { max_inflight: inflight, max_response_bytes: bytes, per_host_inflight: inflight },
            detail,
            warnings: Vec::new(),
        }
    }
}

proptest! {
    #[test]
    fn a_shown_configuration_with_its_secrets_filled_in_reads_back_equal(config in any_config()) {
        let shown = config::render(&config);
        prop_assert!(!shown.contains("filled-in"));
        let text = shown.replace(config::SECRET, "filled-in");
        match parse(&text) {
            Ok(again) => prop_assert_eq!(again, config),
            Err(errors) => prop_assert!(false, "{}\n{}", errors, text),
        }
    }

    #[test]
    fn any_text_is_read_or_told_to_be_wrong(text in "[a-z:\\-\\[\\]{}&*!|>'\"#%@`,? \n\t$]{0,80}") {
        if let Err(errors) = parse(&text) {
            prop_assert!(!errors.problems().is_empty());
        }
    }
}

//! Peers: what they inherit, and when two of them are equal.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use convex_peer_monitor::config::{Peer, ProcessBy, Sidecar, Thresholds};

use super::{PEER, errors, parse_in, valid, with_peer};

#[test]
fn a_peer_overrides_single_defaults() {
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
        "HTTP comes first, regardless of the order in the file"
    );
}

#[test]
fn a_peer_overrides_single_thresholds_of_its_network() {
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
    let summary = |verdicts: Thresholds| {
        let days = verdicts.certificate.as_secs() / 86_400;
        (verdicts.lag_blocks, days, verdicts.own_stake_margin_cvm)
    };
    let peers: Vec<_> = config
        .peers
        .iter()
        .map(|peer| summary(peer.verdicts))
        .collect();
    assert_eq!(peers, [(3, 2, 0.5), (2, 2, 100.0), (1, 1, 100.0)]);
    let networks: Vec<_> = config
        .networks
        .iter()
        .map(|it| summary(it.verdicts))
        .collect();
    assert_eq!(networks, [(2, 2, 100.0), (1, 1, 100.0)]);

    let implied = valid(&format!("verdicts: {{ lag_blocks: 4 }}\n{PEER}"));
    assert_eq!(implied.networks[0].verdicts.lag_blocks, 4);
    assert_eq!(implied.peers[0].verdicts.lag_blocks, 4);
}

#[test]
fn references_are_polled_less_often_by_default() {
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
    let error = errors(&format!("references: {{ interval: 3s }}\n{PEER}"));
    assert!(
        error.contains("references.interval: interval 3s is not longer than the timeout, which is 5s here; add for example `timeout: 2s`"),
        "{error}"
    );
}

#[test]
fn a_sidecar_names_the_process_of_the_peer() {
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
fn configurations_with_different_judgements_are_not_equal() {
    let config = valid(PEER);
    for text in [
        format!("state_dir: s\n{PEER}"),
        format!("verdicts: {{ controller_balance_cvm: 11 }}\n{PEER}"),
        format!("self_check: {{ dns_name: example.com }}\n{PEER}"),
        format!("networks: [{{ name: default, stake_interval: 2m }}]\n{PEER}"),
        format!("networks: [{{ name: default, consensus_interval: 0 }}]\n{PEER}"),
        format!("networks: [{{ name: default, discovery: {{ enabled: true }} }}]\n{PEER}"),
        format!("{PEER}queries: [{{ name: a, source: \"1\" }}]\n"),
        format!("networks: [{{ name: default, slo: {{ window: 7d }} }}]\n{PEER}"),
        with_peer("service: gateway"),
        with_peer("expect_block_every: 1m"),
        with_peer("maintenance: [{ from: 2026-12-01T10:00:00Z, to: 2026-12-01T11:00:00Z }]"),
    ] {
        let other = valid(&text);
        assert_eq!(other, valid(&text));
        assert_ne!(other, config, "{text}");
    }
}

#[test]
fn peers_with_different_secrets_are_not_equal() {
    let peer = |lines: &str| valid(&with_peer(lines)).peers.remove(0);
    assert_eq!(peer("bearer_token: a"), peer("bearer_token: a"));
    assert_ne!(peer("bearer_token: a"), peer("bearer_token: b"));
    assert_ne!(peer("headers: { X-A: a }"), peer("headers: { X-A: b }"));
    assert_ne!(peer("proxy: http://a"), peer("proxy: http://b"));
    assert_ne!(peer("server_name: a"), peer("server_name: b"));
}

#[test]
fn a_reload_shares_unchanged_peers() {
    let file = |second: &str| {
        valid(&format!(
            "peers:\n- {{ name: a, endpoints: [http://a] }}\n- {{ name: b, endpoints: [http://{second}] }}\n"
        ))
    };
    let (before, mut config) = (file("b"), file("c"));
    let unshared = config.clone();
    config.reuse_peers(&before);
    assert_eq!(config, unshared);
    assert!(Arc::ptr_eq(&config.peers[0], &before.peers[0]));
    assert!(!Arc::ptr_eq(&config.peers[1], &before.peers[1]));
}

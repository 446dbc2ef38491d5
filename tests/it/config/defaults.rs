//! What applies when a key, or the whole file, is missing.

use std::time::Duration;

use convex_client::Endpoint;
use convex_peer_monitor::config::{
    self, Detail, Discovery, Limits, Mode, Network, Polling, Role, SelfCheck, Slo, Thresholds,
};

use super::{PEER, valid};

#[test]
fn missing_keys_have_the_documented_defaults() {
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
            consensus_interval: Some(Duration::from_secs(60)),
            canary: None,
            slo: Slo {
                objective_percent: 99.9,
                window: Duration::from_secs(30 * 86_400),
                serving_min: 1,
            },
        }]
    );
    assert_eq!(config.detail, Detail::Full);
    let limits = Limits {
        max_inflight: 512,
        max_response_bytes: 262_144,
        per_host_inflight: 8,
    };
    assert_eq!(config.limits, limits);
    let peer = &config.peers[0];
    assert_eq!((peer.network.as_str(), peer.role), ("default", Role::Own));
    let verdicts = Thresholds {
        stall_after: Duration::from_secs(60),
        lag_blocks: 10,
        lag_for: Duration::from_secs(30),
        lag_time: Duration::from_secs(120),
        restart_grace: Duration::from_secs(120),
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
    assert!(!peer.validator);
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
        connection_max_age: Duration::from_secs(300),
    };
    assert_eq!(peer.polling, polling);
    assert_eq!(config.defaults, polling);
    let references = Polling {
        interval: Duration::from_secs(60),
        retries: 0,
        max_interval: Duration::from_secs(600),
        ..polling
    };
    assert_eq!(config.references, references);
}

#[test]
fn discovery_has_the_documented_defaults_and_is_off_unless_enabled() {
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
fn the_embedded_configuration_watches_a_reference_of_protonet() {
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
            stake_interval: Duration::from_secs(3600),
            consensus_interval: None,
            slo: Slo::default(),
            canary: None,
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
fn the_mode_is_central_by_default() {
    assert_eq!(valid(PEER).mode, Mode::Central);
    assert_eq!(valid(&format!("mode: sidecar\n{PEER}")).mode, Mode::Sidecar);
}

#[test]
fn detail_is_full_for_up_to_two_hundred_peers_by_default() {
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

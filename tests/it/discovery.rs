//! Discovery of registered peers, and the URLs that they advertise, on a simulated network.

use std::sync::Arc;

use convex_client::chain::{Registry, RegistryReader};
use convex_client::resolve_all;
use convex_peer_monitor::config::shard::Shard;
use convex_peer_monitor::config::{self, Config};
use convex_peer_monitor::fleet::{Addresses, Condition, Fleet, PeerRecord};
use convex_peer_monitor::survey::discovery::{ScanResult, Scanner, Watchlist, discovered_name};
use convex_simulator::{Network, Options};

use crate::support::agent::{Agent, value_of};
use crate::support::contract::{peer, prober};
use crate::support::fake::{FakePeer, Script};
use crate::support::fleet::{config, fleet};

async fn network(peers: usize) -> Network {
    let options = Options {
        peers,
        ..Options::default()
    };
    Network::start(options).await.unwrap()
}

/// A configuration with one peer of the network.
fn config_of_one(network: &Network, discovery: &str) -> String {
    let tcp = network.tcp(1);
    format!(
        "defaults: {{ interval: 1s, timeout: 900ms }}\n\
         references: {{ interval: 1s }}\n\
         networks: [{{ name: n, stake_interval: 10s{discovery} }}]\n\
         peers: [{{ name: one, network: n, endpoints: ['tcp://{tcp}'] }}]\n"
    )
}

async fn registry(network: &Network) -> Registry {
    let mut prober = prober(&peer(&[&format!("tcp://{}", network.tcp(1))]));
    let mut reading = RegistryReader::default();
    while let Some(question) = reading.next_query() {
        reading.handle_answer(prober.ask(&question).await).unwrap();
    }
    reading.finish().unwrap()
}

async fn scan(config: &Config, registry: &Registry) -> ScanResult {
    let fleet = Fleet::default();
    fleet.apply(config);
    let scanner = Scanner::new(config, &config.networks[0]).unwrap();
    scanner.scan(registry, &fleet.snapshot()).await
}

/// Polls each peer of the fleet once.
async fn poll(fleet: &Fleet) -> Vec<Arc<PeerRecord>> {
    for slot in fleet.slots() {
        let observation = prober(&slot.peer()).poll().await;
        fleet.record(&slot, &observation);
    }
    fleet.judge_all();
    fleet.snapshot().peers
}

#[tokio::test]
async fn one_configured_peer_is_enough_to_discover_all_others() {
    let network = network(4).await;
    let on = ", discovery: { enabled: true, interval: 1s, allow_private: true, max_peers: 9 }";
    let agent = Agent::start(&config_of_one(&network, on)).await;
    let references = "convex_monitor_targets{network=\"n\",role=\"reference\"}";
    agent.wait_for(references, |peers| peers == 3.0).await;
    for i in 2..=4 {
        let name = discovered_name(&network.key(i));
        let up = format!("convex_peer_up{{peer=\"{name}\",network=\"n\"}}");
        agent.wait_for(&up, |up| up == 1.0).await;
        let matches = format!(
            "convex_peer_identity_match{{peer=\"{name}\",network=\"n\",check=\"advertised_url\"}}"
        );
        agent.wait_for(&matches, |matches| matches == 1.0).await;
    }
    let (_, text) = agent.get("/metrics").await;
    assert_eq!(value_of(&text, references), Some(3.0), "each peer once");
    let (_, shown) = agent.get("/config").await;
    assert!(
        shown.contains("name: one") && !shown.contains("chain-"),
        "discovered peers are not part of the configuration: {shown}"
    );

    let polls = format!(
        "convex_peer_polls_total{{peer=\"{}\",network=\"n\"}}",
        discovered_name(&network.key(2))
    );
    let before = agent.metric(&polls).await.unwrap();
    assert_eq!(agent.post("/-/reload", &[]).await.0, 200);
    assert!(
        agent.metric(&polls).await.unwrap() >= before,
        "a reload keeps discovered peers and their counters"
    );
    std::fs::write(&agent.config, config_of_one(&network, "")).unwrap();
    assert_eq!(agent.post("/-/reload", &[]).await.0, 200);
    assert_eq!(agent.metric(references).await, Some(0.0));
    agent.stop().await;
}

#[tokio::test]
async fn peers_at_private_addresses_are_reported_once_and_not_watched() {
    let network = network(4).await;
    let registry = registry(&network).await;
    let config = config(&config_of_one(&network, ", discovery: { enabled: true }"));
    let mut list = Watchlist::default();
    // Three peers, because the fourth is configured with the same endpoint.
    for hidden in [Some(3), None] {
        let news = list.apply(scan(&config, &registry).await, &config);
        assert_eq!((news.changed, news.not_dialed), (false, hidden));
    }
    assert_eq!(list.merged(&config), config);
}

#[tokio::test]
async fn each_discovered_peer_is_in_one_shard_and_sampled_by_the_others() {
    let network = network(12).await;
    let registry = registry(&network).await;
    let on = ", discovery: { enabled: true, allow_private: true }";
    let config = config(&config_of_one(&network, on));
    let mut others: Vec<_> = (2..=12).map(|i| discovered_name(&network.key(i))).collect();
    others.sort_unstable();
    let names = |peers: &[Arc<config::Peer>]| -> Vec<String> {
        let names = peers.iter().map(|peer| peer.name.clone());
        names.filter(|name| name != "one").collect()
    };
    let mut found = Vec::new();
    for shard in ["1/2", "2/2"] {
        let shard: Shard = shard.parse().unwrap();
        let mut config = config.clone();
        shard.retain_peers(&mut config);
        let mut list = Watchlist::new(shard);
        list.apply(scan(&config, &registry).await, &config);
        let merged = list.merged(&config);
        let (own, sample) = (names(&merged.peers), names(&merged.sample));
        assert!(!own.is_empty());
        let mut all = [own.clone(), sample].concat();
        all.sort_unstable();
        assert_eq!(all, others, "neither shard discovers the configured peer");
        found.extend(own);
    }
    found.sort_unstable();
    assert_eq!(found, others);
}

#[tokio::test]
async fn no_secret_is_sent_to_a_discovered_peer() {
    let network = network(1).await;
    let mut registry = registry(&network).await;
    let fake = FakePeer::start(Script::default()).await;
    let mut row = registry.peers.pop_first().unwrap().1;
    row.url = Some(format!("tcp://{}", fake.tcp));
    registry.peers.insert(Script::default().key, row);

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "s3cret\n").unwrap();
    let http_port = fake.http.port();
    let text = format!(
        "networks: [{{ name: n, discovery: {{ enabled: true, allow_private: true, http_port: {http_port} }} }}]\n\
         peers: [{{ name: one, network: n, endpoints: ['https://one.example'], labels: {{ team: s3cret }}, \
         headers: {{ X-Api-Key: s3cret }}, bearer_token_file: token, proxy: 'http://127.0.0.1:1' }}]\n"
    );
    let config = config::parse(&text, "c.yml", dir.path(), &|_| None).unwrap();
    let mut list = Watchlist::default();
    assert!(list.apply(scan(&config, &registry).await, &config).changed);
    let merged = list.merged(&config);
    let [_, found] = merged.peers.as_slice() else {
        panic!("{:?}", merged.peers);
    };
    let observation = prober(found).poll().await;
    let failures = observation.endpoints.iter().map(|it| &it.failure);
    assert!(failures.clone().all(Option::is_none), "{observation:?}");
    assert_eq!(failures.count(), 2);
    let heads = fake.heads();
    assert!(!heads.is_empty());
    for head in heads {
        let lower = head.to_ascii_lowercase();
        for secret in ["s3cret", "authorization", "x-api-key", "cookie"] {
            assert!(!lower.contains(secret), "{head}");
        }
    }
}

#[tokio::test]
async fn a_peer_that_advertises_the_endpoint_of_another_peer_is_detected() {
    let network = network(3).await;
    let registered = registry(&network).await;
    let peer = |i| format!("{{ name: p{i}, endpoints: ['tcp://{}'] }}", network.tcp(i));
    let peers = [1, 2, 3].map(peer).join(", ");
    let text = format!("networks: [{{ name: n }}]\npeers: [{peers}]\n");
    let fleet = fleet(&text);
    let advertise = |urls: [String; 3]| {
        let mut registry = registered.clone();
        for (i, url) in (1..).zip(urls) {
            registry.peers.get_mut(&network.key(i)).unwrap().url = Some(url);
        }
        registry
    };
    let matches = |records: &[Arc<PeerRecord>]| -> Vec<_> {
        let identity = |record: &Arc<PeerRecord>| {
            let identity = &record.identity;
            (
                identity.advertised_match.to_bool(),
                identity.advertised_changes,
            )
        };
        records.iter().map(identity).collect()
    };
    poll(&fleet).await;
    fleet.check_advertised_urls("n", &registered, &Addresses::new());
    let all_match = [(Some(true), 0); 3];
    assert_eq!(matches(&fleet.snapshot().peers), all_match);

    let (second, third) = (network.tcp(2), network.tcp(3).port());
    let registry = advertise([
        second.to_string(),
        "nowhere.invalid:1".to_owned(),
        format!("tcp://localhost:{third}"),
    ]);
    let hosts = fleet.advertised_hosts("n", &registry);
    assert_eq!(
        hosts,
        ["localhost", "nowhere.invalid"].map(String::from).into()
    );
    let addresses = resolve_all(["localhost".to_owned()].into()).await;
    fleet.check_advertised_urls("n", &registry, &addresses);
    let records = poll(&fleet).await;
    let expected = [(Some(false), 1), (None, 1), (Some(true), 1)];
    assert_eq!(matches(&records), expected);
    let conditions = records
        .iter()
        .map(|record| record.conditions.contains(&Condition::AdvertisedUrl));
    assert_eq!(conditions.collect::<Vec<_>>(), [true, false, false]);
}

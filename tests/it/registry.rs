//! Registries of any size, read from simulated networks.

use convex_client::chain::{Coverage, Registry, RegistryReader};
use convex_client::{ClientOptions, Endpoint, StatePair, TcpClient};
use convex_peer_monitor::fleet::Fleet;
use convex_peer_monitor::survey::discovery::Scanner;
use convex_simulator::{Network, Options, Registered, Traffic};
use tokio::time::Instant;

use crate::support::DEADLINE;
use crate::support::agent::Agent;
use crate::support::fleet::config;

/// A network of four peers and `registered` more in the registry, each with 0.01 CVM.
async fn network(registered: usize, traffic: Option<&str>) -> Network {
    let options = Options {
        peers: 4,
        registered: Registered {
            count: registered,
            stake_copper: 10_000_000,
        },
        traffic: traffic.map(|text| Traffic::parse(text, 4).unwrap()),
        ..Options::default()
    };
    Network::start(options).await.unwrap()
}

/// Reads the registry from the first peer. `outrun`: waits for another state before each page.
async fn read(network: &Network, mut reader: RegistryReader, outrun: bool) -> Registry {
    let endpoint = Endpoint::parse(&format!("tcp://{}", network.tcp(1))).unwrap();
    let mut client = TcpClient::new(&endpoint, &ClientOptions::default());
    while let Some(query) = reader.next_query() {
        if outrun {
            let before = state(&mut client).await;
            while state(&mut client).await == before {}
        }
        let answer = client.query(&query, Instant::now() + DEADLINE).await;
        reader.handle_answer(answer).unwrap();
    }
    reader.finish().unwrap()
}

async fn state(client: &mut TcpClient) -> StatePair {
    let (attempt, _) = client.sample_state(Instant::now() + DEADLINE).await;
    attempt.query.unwrap().value.unwrap()
}

fn stake_of_four(registry: &Registry, network: &Network) -> f64 {
    (1..=4).map(|i| registry.stakes()[&network.key(i)]).sum()
}

#[tokio::test]
async fn registries_beyond_one_page_are_read_whole() {
    for registered in [1_496, 19_996] {
        let network = network(registered, None).await;
        let registry = read(&network, RegistryReader::default(), false).await;
        assert!(registry.coverage.is_complete(), "{:?}", registry.coverage);
        assert_eq!(registry.peers.len(), registered + 4);
        let copper = registry.coverage.totals().unwrap().stake_copper;
        let strangers = i64::try_from(registered).unwrap() * 10_000_000;
        assert!(copper > 4 * 66_600_000_000_000 + strangers, "{copper}");
        let rest = 1.0 - stake_of_four(&registry, &network);
        assert!(rest > 0.0 && rest < 0.002, "{rest}");
    }
}

#[tokio::test]
async fn totals_and_watched_keys_are_read_where_blocks_outrun_the_pages() {
    let network = network(5_996, Some("10ms")).await;
    let watched = (1..=4).map(|i| network.key(i));
    let reader = RegistryReader::new(watched);
    let registry = read(&network, reader, true).await;
    assert!(
        matches!(registry.coverage, Coverage::Totals(_)),
        "{:?}",
        registry.coverage
    );
    assert_eq!((registry.registered, registry.peers.len()), (6_000, 4));
    let share = stake_of_four(&registry, &network);
    assert!(share > 0.999 && share < 1.0, "{share}");
    let weights: f64 = registry.weights().values().sum();
    assert!(weights > 0.999, "{weights}");
}

#[tokio::test]
async fn nothing_is_discovered_where_only_totals_are_known() {
    let network = network(0, None).await;
    let mut registry = read(&network, RegistryReader::default(), false).await;
    let text = "networks: [{ name: n, discovery: { enabled: true, allow_private: true } }]\n\
                peers: [{ name: c, network: n, endpoints: ['tcp://127.0.0.1:1'] }]";
    let config = config(text);
    let fleet = Fleet::default();
    fleet.apply(&config);
    let scanner = Scanner::new(&config, &config.networks[0]).unwrap();
    let whole = scanner.scan(&registry, &fleet.snapshot()).await;
    assert_eq!((whole.candidates.len(), whole.complete), (4, true));
    registry.coverage = Coverage::Totals(registry.coverage.totals().unwrap());
    registry.peers.retain(|key, _| *key == network.key(1));
    let watched = scanner.scan(&registry, &fleet.snapshot()).await;
    assert_eq!((watched.candidates.len(), watched.complete), (1, false));
}

#[tokio::test]
async fn the_agent_knows_the_weight_of_its_peers_in_a_large_registry() {
    let network = network(20_000, None).await;
    let agent = Agent::start(&network.config()).await;
    let weight = "convex_stake_weight_ratio{peer=\"sim-1\",network=\"simulated\"}";
    agent
        .wait_for(weight, |ratio| (0.249..0.25).contains(&ratio))
        .await;
    let losable = "convex_network_losable_peers{network=\"simulated\",case=\"worst\"}";
    agent.wait_for(losable, |losable| losable == 1.0).await;
}

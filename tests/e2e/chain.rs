//! The registry of peers on chain, compared with what a real peer reports over REST.

use std::time::Duration;

use cad3::Cell;
use convex_client::chain::economics::{self, COPPER_PER_CVM};
use convex_client::chain::{
    Coverage, ExecutedTransactions, Registry, RegistryReader, executed_transactions_query,
    read_executed_transactions, to_number,
};
use convex_client::{HttpOptions, Query, http_client};
use convex_peer_monitor::poller::Prober;
use serde_json::Value;
use tokio::time::sleep;

use super::TIMEOUT;
use super::contract::{peer, prober};
use super::network::{Network, RealPeer};

/// Reads the registry. Each query first evaluates `first`, whose changes are discarded afterwards.
async fn registry(prober: &mut Prober, first: &str) -> Registry {
    read(prober, first, RegistryReader::default()).await.0
}

/// Reads the registry, and returns the number of queries too.
async fn read(prober: &mut Prober, first: &str, mut reading: RegistryReader) -> (Registry, usize) {
    let mut queries = 0;
    while let Some(question) = reading.next_query() {
        let source = format!("(do {first} {})", question.source());
        let question = Query::read(&source).unwrap();
        reading.handle_answer(prober.ask(&question).await).unwrap();
        queries += 1;
    }
    (reading.finish().unwrap(), queries)
}

async fn value(prober: &mut Prober, source: &str) -> Cell {
    let question = Query::read(source).unwrap();
    prober.ask(&question).await.unwrap()
}

/// Returns how many blocks the peer has executed. The time of its state may be the same after
/// another one.
async fn state_block(prober: &mut Prober) -> i64 {
    let block = value(prober, "(nth (:globals *state*) 5)").await;
    block.as_i64().unwrap()
}

/// Waits until the peer has executed no block for three seconds: a registry that changes while it
/// is read in pages is read again from the start.
async fn until_no_block_comes(prober: &mut Prober) {
    let mut before = None;
    loop {
        let now = state_block(prober).await;
        if before == Some(now) {
            return;
        }
        before = Some(now);
        sleep(Duration::from_secs(3)).await;
    }
}

/// Reads until no block comes meanwhile, so that all that was read is of one state.
async fn of_one_state<T>(prober: &mut Prober, read: impl AsyncFn(&mut Prober) -> T) -> T {
    loop {
        let before = state_block(prober).await;
        let found = read(prober).await;
        if state_block(prober).await == before {
            return found;
        }
    }
}

/// Returns what the REST interface of a peer reports about a peer.
async fn rest_record(asked: &RealPeer, key: &str) -> Value {
    let client = http_client(&HttpOptions::default(), TIMEOUT).unwrap();
    let request = client.get(format!("{}/api/v1/peers/{key}", asked.http()));
    let response = request.send().await.unwrap();
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// What a peer says of a registered one, other than in the registry.
struct Reported {
    /// By the REST interface.
    record: Value,
    own_stake: Cell,
    /// Of the controller.
    balance: Cell,
}

/// Checks the registry of a real network.
pub(crate) async fn the_registry_matches_the_peer(network: &mut Network) {
    let keys = [0, 1].map(|i| network.peers[i].key().to_owned());
    // A number that is not divisible shows how shares are rounded.
    let stake = format!("(set-stake {} 12345678901)", keys[1]);
    network.transact(0, &stake).await;
    let asked = &network.peers[0];
    for endpoint in [asked.http(), asked.tcp()] {
        let mut prober = prober(&peer(&[&endpoint]));
        let read = async |prober: &mut Prober| {
            let registry = registry(prober, "nil").await;
            let mut reported = Vec::new();
            for key in &keys {
                let record = rest_record(asked, key).await;
                let controller = record["controller"].as_u64().unwrap();
                reported.push(Reported {
                    record,
                    own_stake: value(prober, &format!("(get-peer-stake {key})")).await,
                    balance: value(prober, &format!("(balance #{controller})")).await,
                });
            }
            let total = "(reduce (fn [a p] (+ a (:balance p))) 0 (values (:peers *state*)))";
            let total = value(prober, total).await;
            (
                registry,
                value(prober, "*timestamp*").await,
                reported,
                total,
            )
        };
        let (registry, time, reported, total) = of_one_state(&mut prober, read).await;
        assert_eq!(
            (registry.registered, registry.coverage.is_complete()),
            (2, true)
        );
        assert_eq!(Some(registry.state_time_ms), time.as_i64(), "{endpoint}");
        for (key, reported) in keys.iter().zip(&reported) {
            let found = &registry.peers[&key.parse().unwrap()];
            let record = &reported.record;
            assert_eq!(found.controller, record["controller"].as_u64());
            let balance = found.own_copper + found.delegated_copper;
            assert_eq!(Some(balance), record["balance"].as_i64());
            let shares = ["stake", "delegated-stake"].map(|part| record[part].as_i64().unwrap());
            assert_eq!(found.shares, shares[0] + shares[1]);
            let timestamp = record["timestamp"].as_i64().filter(|ms| *ms >= 0);
            assert_eq!(found.last_block_ms, timestamp);
            assert_eq!(found.url.as_deref(), record["metadata"]["url"].as_str());

            let own = reported.own_stake.as_i64();
            assert_eq!(Some(found.own_copper), own, "{endpoint}");
            let controller = found.controller.unwrap();
            let balance = reported.balance.as_i64();
            assert_eq!(Some(registry.controllers[&controller]), balance);
            assert!(found.has_effective_stake());
        }
        let delegated = &registry.peers[&keys[1].parse().unwrap()];
        assert!(delegated.delegated_copper > 0, "{delegated:?}");
        let copper = registry.coverage.totals().unwrap().stake_copper;
        assert_eq!(Some(copper), total.as_i64());
        let gauge = to_number(&total).unwrap();
        assert!((gauge / 1e9 - economics::cvm(copper)).abs() < 1e-6);
        a_large_registry(&mut prober).await;
        let controller = registry.peers[&keys[0].parse().unwrap()].controller;
        strange_urls(&endpoint, &keys[0], controller).await;
    }
}

/// Checks that the transactions of a real network are counted over both transports.
pub(crate) async fn transactions_are_counted(network: &Network) {
    let asked = &network.peers[0];
    for endpoint in [asked.http(), asked.tcp()] {
        let mut prober = prober(&peer(&[&endpoint]));
        let read =
            async |prober: &mut Prober| (executed(prober).await, reported_sequences(asked).await);
        let (found, reported) = of_one_state(&mut prober, read).await;
        assert!(reported > 0, "stake was delegated before");
        assert_eq!(found.count, Some(reported), "{endpoint}");
    }
}

/// Returns the sum of the sequence numbers that the REST interface of a peer reports, account by
/// account.
async fn reported_sequences(asked: &RealPeer) -> u64 {
    let client = http_client(&HttpOptions::default(), TIMEOUT).unwrap();
    let mut sum = 0;
    for number in 0.. {
        let request = client.get(format!("{}/api/v1/accounts/{number}", asked.http()));
        let response = request.send().await.unwrap();
        if response.status() == 404 {
            break;
        }
        let account: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        sum += account["sequence"].as_u64().unwrap();
    }
    sum
}

async fn executed(prober: &mut Prober) -> ExecutedTransactions {
    let answer = prober
        .ask(&executed_transactions_query(None))
        .await
        .unwrap();
    read_executed_transactions(&answer).unwrap()
}

/// Registers 1,200 peers more, in the state of each query, and reads them in one page, in small
/// pages, and as totals.
async fn a_large_registry(prober: &mut Prober) {
    let many = "(loop [i 0] (if (< i 1200) (do (create-peer (hash (encoding i)) 1000000000) (recur (inc i))) nil))";
    let in_three_ways = async |prober: &mut Prober| {
        until_no_block_comes(prober).await;
        let whole = read(prober, many, RegistryReader::default()).await;
        let small = RegistryReader::default().with_max_page(100);
        let in_pages = read(prober, many, small).await;
        let watched = whole.0.peers.keys().next().copied().unwrap();
        let totals = totals(prober, many, RegistryReader::new([watched])).await;
        (whole, in_pages, totals)
    };
    let ((whole, queries), (in_pages, page_queries), totals) =
        of_one_state(prober, in_three_ways).await;
    assert_eq!((whole.registered, whole.peers.len()), (1202, 1202));
    assert_eq!(queries, 2, "one page and the balances");
    let created = whole
        .peers
        .values()
        .filter(|peer| !peer.has_effective_stake());
    assert_eq!(created.clone().count(), 1200);
    for peer in created {
        assert_eq!(
            (peer.own_copper, peer.last_block_ms),
            (COPPER_PER_CVM, None)
        );
        assert_eq!((peer.controller, peer.url.as_ref()), (Some(11), None));
    }
    assert_eq!(page_queries, 14, "13 pages and the balances");
    assert_eq!(in_pages, whole);

    let watched = whole.peers.keys().next().copied().unwrap();
    let Coverage::Totals(found) = totals.coverage else {
        panic!("{:?}", totals.coverage);
    };
    let expected = whole.coverage.totals().unwrap();
    assert_eq!(found.stake_copper, expected.stake_copper);
    assert!(
        (found.weight / expected.weight - 1.0).abs() < 1e-9,
        "{found:?} {expected:?}"
    );
    assert_eq!(totals.peers.len(), 1);
    assert_eq!(totals.peers[&watched], whole.peers[&watched]);
}

/// Reads the registry as totals: every page of rows but the first exceeds the juice.
async fn totals(prober: &mut Prober, first: &str, reading: RegistryReader) -> Registry {
    let mut reading = reading.with_max_page(1000);
    while let Some(question) = reading.next_query() {
        let source = question.source();
        let is_later_page =
            source.contains("(mapv (fn [[k p]]") && !source.contains("(slice peers (min 0 ");
        let burned = if is_later_page {
            "(loop [] (recur))"
        } else {
            "nil"
        };
        let question = Query::read(&format!("(do {first} {burned} {source})")).unwrap();
        reading.handle_answer(prober.ask(&question).await).unwrap();
    }
    reading.finish().unwrap()
}

/// An owner may register anything as a URL. The rest of the registry must still be read.
async fn strange_urls(endpoint: &str, key: &str, controller: Option<u64>) {
    let mut peer = peer(&[endpoint]);
    peer.account = controller;
    let mut prober = prober(&peer);
    let own_stake = format!("(get-peer-stake {key})");
    for (metadata, expected) in [
        (
            "{:url (reduce (fn [a x] (str a a)) \"0123456789\" [1 2 3 4 5 6 7 8])}",
            None,
        ),
        ("{:url 7}", None),
        ("{}", None),
        ("{:url \"a\\n\\\"é\"}", Some("a\n\"é")),
    ] {
        let set = format!("(set-peer-data {key} {metadata})");
        let read = async |prober: &mut Prober| {
            let registry = registry(prober, &set).await;
            (registry, value(prober, &own_stake).await.as_i64())
        };
        let (registry, own_stake) = of_one_state(&mut prober, read).await;
        assert_eq!(registry.peers.len(), 2, "{metadata}");
        let found = &registry.peers[&key.parse().unwrap()];
        assert_eq!(found.url.as_deref(), expected, "{metadata}");
        assert_eq!(Some(found.own_copper), own_stake, "{metadata}");
    }
}

//! Networks: seeds, traffic, releases, and large networks.

use std::sync::Arc;
use std::time::SystemTime;

use convex_client::belief::{read_belief, read_blocks};
use convex_client::{ClientOptions, Endpoint, FailureReason, TcpClient, TlsSettings};
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::{Condition, EndpointObservation, Health};
use convex_peer_monitor::poller::Prober;
use convex_simulator::{Network, Options, PeerSet, StartError};
use futures_util::StreamExt;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use crate::support::contract::{holds, prober, verdict};
use crate::support::fleet::config;
use crate::support::simulated::network;
use crate::support::{DEADLINE, until};

use super::{figures, pinned, poll, rest};

#[tokio::test]
async fn simulated_peers_of_all_releases_meet_the_contract() {
    let network = network(4, &["old-api:2", "map-status:3", "new-api:4"], None).await;
    for i in 1..=4 {
        let (tcp, http) = (network.tcp(i), network.http(i));
        holds(&format!("tcp://{tcp}"), &format!("http://{http}")).await;
    }
}

#[tokio::test]
async fn all_peers_of_a_healthy_network_are_up_and_agree() {
    let network = network(4, &[], None).await;
    let first = figures(&network, 1).await;
    for i in 1..=4 {
        let (_, record) = poll(&network, i).await;
        assert_eq!(record.health, Health::Up, "{:?}", record.conditions);
        assert_eq!(figures(&network, i).await, first);
    }
    assert_eq!(first.1.registered_peers, Some(4));
}

#[tokio::test]
async fn peers_prove_their_keys_and_tell_their_releases_from_0_8_3_on() {
    let network = network(3, &["old-api:1", "new-api:3"], None).await;
    for (peer, proven, release) in [
        (1, None, None),
        (2, Some(true), Some("0.8.6")),
        (3, Some(true), Some("0.8.17")),
    ] {
        let pinned = pinned(&network, peer);
        let mut prober = prober(&pinned);
        let mut record = verdict(&pinned, &prober.poll().await);
        for _ in 0..2 {
            let poll = prober.poll().await;
            let ignored = poll.endpoints.iter().map(|it| it.attempt.ignored);
            assert_eq!(
                ignored.sum::<u32>(),
                0,
                "the peer's own challenge is expected"
            );
            record.record_poll(&poll, Instant::now(), SystemTime::now());
        }
        assert_eq!(record.health, Health::Up, "{:?}", record.conditions);
        assert_eq!(record.identity.key_proof().to_bool(), proven, "{peer}");
        let told = prober.release(Instant::now() + DEADLINE).await;
        let told = told.unwrap().unwrap();
        assert_eq!(told.as_deref(), release, "{peer}");
        // Upgrades came with 0.8.7: an older release executes none, and 0.8.17 says what it does.
        let before = record.supported_protocol(Instant::now());
        assert_eq!(before.is_none(), release == Some("0.8.6"), "{peer}");
        record.record_release(told.as_deref(), Instant::now());
        let after = record.supported_protocol(Instant::now());
        assert_eq!(after, before.or(Some(0)), "{peer}");
    }
}

#[tokio::test]
async fn rest_answers_json_as_each_release_does() {
    let network = network(2, &["old-api:1"], None).await;
    let genesis = network.genesis();
    for (i, route, source, status, part) in [
        (1, "query", Some("[:a 1]"), 200, r#""value":[":a",1]"#),
        (
            2,
            "query",
            Some("[:a 1]"),
            200,
            r#""result":"[:a 1]","value":["a",1]"#,
        ),
        (1, "query", Some("nope"), 422, r#""errorCode":"UNDECLARED""#),
        (2, "query", Some("nope"), 200, r#""errorCode":"UNDECLARED""#),
        (
            2,
            "query",
            Some("(+ 1"),
            400,
            r#"{"error":"Parse error at 1:"#,
        ),
        (1, "status", None, 404, "404 Not found: /api/v1/status"),
        (2, "status", None, 200, &format!(r#""genesis":"{genesis}""#)),
        (2, "query", None, 404, "404 Not found: /api/v1/query"),
        (
            1,
            "blocks/999",
            None,
            404,
            "404 Not found: /api/v1/blocks/999",
        ),
        (2, "blocks/999", None, 200, r#""finalised": true"#),
        (
            2,
            "blocks/1000",
            None,
            404,
            "404 Not found: /api/v1/blocks/1000",
        ),
        (
            2,
            "blocks/-1",
            None,
            404,
            "404 Not found: /api/v1/blocks/-1",
        ),
        (
            2,
            "blocks/x",
            None,
            400,
            r#"{"error":"Invalid block number format: must be a number"}"#,
        ),
    ] {
        let (found, body) = rest(&network, i, route, source).await;
        assert_eq!(found, status, "peer {i}, {route} {source:?}: {body}");
        assert!(body.contains(part), "peer {i}, {route} {source:?}: {body}");
    }
}

#[tokio::test]
async fn rest_has_the_blocks_that_the_order_of_the_peer_holds() {
    let network = network(4, &["minority-fork=990:2"], None).await;
    for i in [1, 2] {
        let endpoint = Endpoint::parse(&format!("tcp://{}", network.tcp(i))).unwrap();
        let mut client = TcpClient::new(&endpoint, &ClientOptions::default());
        let mut cells = client.cells(Instant::now() + DEADLINE);
        let (_, belief) = read_belief(&mut cells, &[]).await.unwrap();
        let order = &belief.orders[&network.key(i)];
        let last = order.blocks.count() - 1;
        assert_eq!(last >= 991, i == 1, "{last}");
        let [read] = &read_blocks(&mut cells, &order.blocks, last..u64::MAX)
            .await
            .unwrap()[..]
        else {
            panic!("not one block");
        };
        let block = read.block.as_ref().unwrap();
        let (status, body) = rest(&network, i, &format!("blocks/{last}"), None).await;
        let found: serde_json::Value = serde_json::from_str(&body).unwrap();
        let expected = serde_json::json!({
            "index": last,
            "hash": read.hash,
            "peer": block.maker,
            "timestamp": block.timestamp_ms,
            "transactionCount": block.transactions,
            "finalised": true,
        });
        assert_eq!((status, found), (200, expected));
    }
}

#[tokio::test]
async fn traffic_advances_the_order_of_every_peer() {
    let network = network(3, &[], Some("20ms:1")).await;
    let (before, first) = figures(&network, 2).await;
    until("three more final blocks", async || {
        let (order, figures) = figures(&network, 3).await;
        let advanced = order.finality > before.finality + 3;
        if advanced {
            assert!(figures.state_block > first.state_block);
            assert_ne!(figures.state_hash, first.state_hash);
        }
        advanced
    })
    .await;
}

#[tokio::test]
async fn a_block_is_produced_on_demand() {
    let network = network(2, &[], None).await;
    let (before, _) = figures(&network, 1).await;
    network.make_block(2);
    until("the block is final", async || {
        figures(&network, 1).await.0.finality == before.finality + 1
    })
    .await;
}

#[tokio::test]
async fn the_same_seed_gives_the_same_network() {
    let start = async |seed, peers| {
        let options = Options {
            peers,
            seed,
            ..Options::default()
        };
        let network = Network::start(options).await.unwrap();
        (network.genesis(), network.key(peers))
    };
    let first = start(5, 3).await;
    assert_eq!(start(5, 3).await, first);
    assert_ne!(start(6, 3).await, first);
    assert_ne!(start(5, 4).await.0, first.0);
}

#[tokio::test]
async fn a_dropped_network_stops_listening() {
    let network = network(1, &[], None).await;
    let peer = pinned(&network, 1);
    drop(network);
    let mut prober = prober(&peer);
    until("both ports refuse connections", async || {
        let observation = prober.poll().await;
        let mut reasons = observation
            .endpoints
            .iter()
            .map(EndpointObservation::reason);
        reasons.all(|reason| reason == Some(Reason::Client(FailureReason::Refused)))
    })
    .await;
}

#[tokio::test]
async fn two_thousand_peers_are_distinguished_by_the_dialled_address() {
    let peers = 2000;
    let network = network(peers, &["refuse:1000"], None).await;
    assert_eq!(network.tcp(1).ip().to_string(), "127.1.0.1");
    assert_eq!(network.tcp(256).ip().to_string(), "127.1.1.0");
    assert_eq!(network.tcp(1).port(), network.tcp(peers).port());
    let tls = TlsSettings::default();
    let polls = (1..=peers).map(|i| {
        let mut peer = pinned(&network, i);
        peer.polling.timeout = DEADLINE;
        // One transport for each peer is enough, because both use the same code.
        peer.endpoints.remove(i % 2);
        let tls = &tls;
        async move {
            let observation = Prober::new(Arc::new(peer.clone()), 1 << 20, tls)
                .poll()
                .await;
            (i, verdict(&peer, &observation).health, observation)
        }
    });
    let mut polls = futures_util::stream::iter(polls).buffer_unordered(32);
    while let Some((i, health, observation)) = polls.next().await {
        let failure = observation.endpoints[0].failure.as_ref();
        if i == 1000 {
            // All peers share a listener, so the connection is closed instead of refused.
            assert_eq!(
                failure.map(|failure| failure.reason),
                Some(Reason::Client(FailureReason::Closed))
            );
        } else {
            // The pinned key proves that this peer answered.
            assert_eq!(health, Health::Up, "peer {i}: {failure:?}");
        }
    }
}

#[tokio::test]
async fn a_network_may_have_ten_thousand_peers() {
    let network = network(10_000, &["tarpit:50%"], None).await;
    assert_eq!(network.http(10_000).ip().to_string(), "127.1.39.16");
    let mut first = pinned(&network, 1);
    first.polling.timeout = DEADLINE;
    let record = verdict(&first, &prober(&first).poll().await);
    assert_eq!(record.health, Health::Up, "{:?}", record.conditions);
    let figures = record.poll_answer(Instant::now()).unwrap();
    assert_eq!(figures.registered_peers, Some(10_000));
    for foreign in ["127.0.0.1", "127.1.39.17"] {
        let address = (foreign, network.tcp(1).port());
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let read = timeout(DEADLINE, stream.read(&mut [0])).await.unwrap();
        assert!(
            matches!(read, Ok(0) | Err(_)),
            "{foreign} is not a peer: {read:?}"
        );
    }
    let (_, last) = poll(&network, 10_000).await;
    assert!(
        last.conditions
            .contains(&Condition::Failing(Reason::Client(FailureReason::Timeout)))
    );
}

#[tokio::test]
async fn a_network_without_peers_or_with_too_many_does_not_start() {
    for peers in [0, 10_001] {
        let options = Options {
            peers,
            ..Options::default()
        };
        let error = Network::start(options).await.unwrap_err();
        assert!(matches!(error, StartError::Peers(_)), "{error}");
    }
    let options = Options {
        peers: 1000,
        first_port: Some(64_000),
        ..Options::default()
    };
    let error = Network::start(options).await.unwrap_err().to_string();
    assert!(error.contains("need ports up to 65999"), "{error}");
}

#[tokio::test]
async fn the_generated_configuration_is_valid_and_watches_every_peer() {
    let network = network(3, &[], None).await;
    let config = config(&network.config());
    assert_eq!(config.networks[0].name, "simulated");
    assert!(config.limits.per_host_inflight >= 3);
    let names: Vec<_> = config.peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["sim-1", "sim-2", "sim-3"]);
    let some = PeerSet::parse("1,3", 3).unwrap();
    let some = crate::support::fleet::config(&network.config_of(&some));
    let names: Vec<_> = some.peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["sim-1", "sim-3"]);
    for peer in &config.peers {
        let record = verdict(peer, &prober(peer).poll().await);
        assert_eq!(record.last_poll.up(), Some(true), "{:?}", record.conditions);
        assert_eq!(record.identity.genesis_match.to_bool(), Some(true));
        assert_eq!(record.identity.key_match.to_bool(), Some(true));
    }
}

//! The simulated network, as the agent's own prober sees it.

use std::sync::Arc;
use std::time::Duration;

use convex_client::{Api, FailureReason, HttpClients, OrderPoints, PollAnswer};
use convex_peer_monitor::config::{self, Peer};
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::Observation;
use convex_peer_monitor::fleet::{Condition, Health, PeerRecord};
use convex_peer_monitor::poller::prober::Prober;
use convex_simulator::{KINDS, Network, Options, StartError};
use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt};
use tokio::time::{Instant, sleep, timeout};

use crate::support::contract::{holds, peer, prober, verdict};
use crate::support::simulated::network;

/// Long for anything on loopback; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Peer `i` by both endpoints, with everything pinned and little patience.
fn pinned(network: &Network, i: usize) -> Peer {
    let mut peer = peer(&[
        &format!("http://{}", network.http(i)),
        &format!("tcp://{}", network.tcp(i)),
    ]);
    peer.genesis = Some(network.genesis());
    peer.key = Some(network.key(i));
    peer.polling.timeout = Duration::from_millis(1500);
    peer.polling.retries = 0;
    peer
}

async fn poll(network: &Network, i: usize) -> (Observation, PeerRecord) {
    let peer = pinned(network, i);
    let observation = prober(&peer).poll().await;
    let record = verdict(&peer, &observation);
    (observation, record)
}

async fn figures(network: &Network, i: usize) -> (OrderPoints, PollAnswer) {
    let (_, record) = poll(network, i).await;
    let now = Instant::now();
    (
        record.order(now).unwrap(),
        record.figures(now).unwrap().clone(),
    )
}

#[tokio::test]
async fn the_contract_holds_of_simulated_peers_of_all_releases() {
    let network = network(3, &["old-api:2", "map-status:3"], None).await;
    for i in 1..=3 {
        let (tcp, http) = (network.tcp(i), network.http(i));
        holds(&format!("tcp://{tcp}"), &format!("http://{http}")).await;
    }
}

#[tokio::test]
async fn a_healthy_network_is_up_in_all_its_peers_and_they_agree() {
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
async fn each_fault_of_the_wire_has_its_reason_by_either_transport() {
    for (fault, http, tcp) in [
        (
            "tarpit:1",
            Some(Reason::Client(FailureReason::Timeout)),
            Some(Reason::Client(FailureReason::Timeout)),
        ),
        (
            "slow=1h:1",
            Some(Reason::Client(FailureReason::Timeout)),
            Some(Reason::Client(FailureReason::Timeout)),
        ),
        ("slow=10ms:1", None, None),
        (
            "garbage:1",
            Some(Reason::Client(FailureReason::Malformed)),
            Some(Reason::Client(FailureReason::Malformed)),
        ),
        (
            "huge-frame:1",
            Some(Reason::Client(FailureReason::TooLarge)),
            Some(Reason::Client(FailureReason::TooLarge)),
        ),
        (
            "half-reply:1",
            Some(Reason::Client(FailureReason::Closed)),
            Some(Reason::Client(FailureReason::Closed)),
        ),
        (
            "refuse:1",
            Some(Reason::Client(FailureReason::Refused)),
            Some(Reason::Client(FailureReason::Refused)),
        ),
        (
            "reset:1",
            Some(Reason::Client(FailureReason::Closed)),
            Some(Reason::Client(FailureReason::Closed)),
        ),
        (
            "half-dead:1",
            Some(Reason::Client(FailureReason::Timeout)),
            Some(Reason::Client(FailureReason::QueryHangs)),
        ),
        (
            "http-500:1",
            Some(Reason::Client(FailureReason::HttpStatus)),
            None,
        ),
        (
            "wrong-genesis:1",
            Some(Reason::WrongNetwork),
            Some(Reason::WrongNetwork),
        ),
        (
            "wrong-key:1",
            Some(Reason::WrongPeer),
            Some(Reason::WrongPeer),
        ),
        (
            "query-error=LOAD:1",
            Some(Reason::Client(FailureReason::Overloaded)),
            Some(Reason::Client(FailureReason::Overloaded)),
        ),
    ] {
        let network = network(2, &[fault], None).await;
        let (observation, record) = poll(&network, 1).await;
        let reasons = observation.endpoints.iter().map(|probed| {
            let failure = probed.failure.as_ref();
            failure.map(|failure| failure.reason)
        });
        assert_eq!(reasons.collect::<Vec<_>>(), [http, tcp], "{fault}");
        assert_eq!(record.up, Some(tcp.is_none()), "{fault}");
        let (_, untouched) = poll(&network, 2).await;
        assert_eq!(untouched.health, Health::Up, "{fault}");
    }
}

#[tokio::test]
async fn a_half_dead_old_peer_says_so_by_rest() {
    let network = network(1, &["half-dead:1", "old-api:1"], None).await;
    let (observation, _) = poll(&network, 1).await;
    let failure = observation.endpoints[0].failure.as_ref().unwrap();
    assert_eq!(
        failure.reason,
        Reason::Client(FailureReason::PeerError),
        "{failure}"
    );
    assert!(failure.message.contains("Disconnected"), "{failure}");
}

#[tokio::test]
async fn a_query_error_leaves_the_peer_up() {
    let network = network(2, &["query-error=JUICE:1"], None).await;
    let (_, record) = poll(&network, 1).await;
    assert_eq!((record.up, record.health), (Some(true), Health::Degraded));
    assert!(record.conditions.contains(&Condition::QueryError));
    assert_eq!(record.query_error.unwrap().code, "JUICE");
}

#[tokio::test]
async fn releases_are_told_apart_and_a_clock_that_is_off_is_measured() {
    let network = network(3, &["old-api:1", "skew=-5s:2"], None).await;
    assert_eq!(poll(&network, 1).await.1.api, Some(Api::V0_8_0));
    let mut prober = prober(&pinned(&network, 2));
    prober.poll().await;
    let second = prober.poll().await;
    let clock = second.endpoints[1].attempt.clock.as_ref().unwrap().value;
    // The measurement says itself how exact it is.
    let off = (clock.skew + 5.0).abs();
    assert!(off <= clock.uncertainty + 0.002, "{clock:?}");
}

#[tokio::test]
async fn faults_of_the_order_are_seen_in_the_figures() {
    let faults = [
        "stall:1",
        "lag=40:2",
        "recede=7:3",
        "fork=990:4",
        "low-stake:5",
        "silent-stake:5",
    ];
    let network = network(6, &faults, None).await;
    let (healthy_order, healthy) = figures(&network, 6).await;
    let (order, _) = figures(&network, 1).await;
    assert!(
        order.pending() > 0 && order.finality == healthy_order.finality,
        "{order:?}"
    );
    for (i, behind) in [(2, 40), (3, 7)] {
        let (order, figures) = figures(&network, i).await;
        assert_eq!(order.finality, healthy_order.finality - behind);
        assert_eq!(
            figures.state_block.unwrap(),
            healthy.state_block.unwrap() - behind
        );
    }
    let (order, forked) = figures(&network, 4).await;
    assert_eq!(
        (order, forked.state_block),
        (healthy_order, healthy.state_block)
    );
    assert_ne!(forked.state_hash, healthy.state_hash);

    let key = network.key(5);
    let rows =
        format!("(mapv (fn [p] [(:stake p) (:timestamp p)]) [(get-in *state* [:peers {key}])])");
    let answer = rest_query(&network, 6, &rows).await;
    let state_time = healthy.timestamp_ms.unwrap();
    assert_eq!(answer["value"][0][0], 500_000_000_000_i64);
    assert_eq!(answer["value"][0][1], state_time - 3_600_000);
}

async fn rest_query(network: &Network, i: usize, source: &str) -> serde_json::Value {
    let (_, text) = rest(network, i, "query", Some(source)).await;
    serde_json::from_str(&text).unwrap()
}

/// Status and body of a REST request, as JSON.
async fn rest(network: &Network, i: usize, route: &str, source: Option<&str>) -> (u16, String) {
    let url = format!("http://{}/api/v1/{route}", network.http(i));
    let client =
        convex_client::http_client(&convex_client::HttpOptions::default(), PATIENCE).unwrap();
    let request = match source {
        Some(source) => client
            .post(url)
            .body(serde_json::json!({ "source": source }).to_string()),
        None => client.get(url),
    };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn rest_speaks_json_as_each_release_does() {
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
    ] {
        let (found, body) = rest(&network, i, route, source).await;
        assert_eq!(found, status, "peer {i}, {route} {source:?}: {body}");
        assert!(body.contains(part), "peer {i}, {route} {source:?}: {body}");
    }
}

#[tokio::test]
async fn traffic_advances_the_order_and_every_peer_follows() {
    let network = network(3, &[], Some("20ms:1")).await;
    let (before, first) = figures(&network, 2).await;
    timeout(PATIENCE, async {
        loop {
            let (order, figures) = figures(&network, 3).await;
            if order.finality > before.finality + 3 {
                assert!(figures.state_block > first.state_block);
                assert_ne!(figures.state_hash, first.state_hash);
                return;
            }
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_block_is_made_on_demand() {
    let network = network(2, &[], None).await;
    let (before, _) = figures(&network, 1).await;
    network.make_block(2);
    timeout(PATIENCE, async {
        while figures(&network, 1).await.0.finality != before.finality + 1 {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn faults_come_and_go_at_their_times_on_connections_that_are_kept() {
    for (fault, reason) in [
        ("refuse:1:1s..2s", Reason::Client(FailureReason::Refused)),
        ("reset:1:1s..2s", Reason::Client(FailureReason::Closed)),
        ("garbage:1:1s..2s", Reason::Client(FailureReason::Malformed)),
    ] {
        let network = network(2, &[fault], None).await;
        let mut prober = prober(&pinned(&network, 1));
        for wanted in [None, Some(reason), None] {
            timeout(PATIENCE, async {
                loop {
                    let observation = prober.poll().await;
                    let failures = observation.endpoints.iter();
                    let reasons: Vec<_> = failures
                        .map(|probed| probed.failure.as_ref().map(|f| f.reason))
                        .collect();
                    if reasons == [wanted, wanted] {
                        return;
                    }
                    sleep(Duration::from_millis(20)).await;
                }
            })
            .await
            .unwrap_or_else(|_| panic!("{fault}: never {wanted:?}"));
        }
    }
}

#[tokio::test]
async fn a_seed_gives_the_same_network_each_time() {
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
async fn a_dropped_network_listens_no_longer() {
    let network = network(1, &[], None).await;
    let peer = pinned(&network, 1);
    drop(network);
    let mut prober = prober(&peer);
    timeout(PATIENCE, async {
        while prober.poll().await.endpoints.iter().any(|probed| {
            !matches!(&probed.failure, Some(failure) if failure.reason == Reason::Client(FailureReason::Refused))
        }) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn two_thousand_peers_are_told_apart_by_the_address_that_is_dialled() {
    let peers = 2000;
    let network = network(peers, &["refuse:1000"], None).await;
    assert_eq!(network.tcp(1).ip().to_string(), "127.1.0.1");
    assert_eq!(network.tcp(256).ip().to_string(), "127.1.1.0");
    assert_eq!(network.tcp(1).port(), network.tcp(peers).port());
    let clients = Arc::new(HttpClients::default());
    let polls = (1..=peers).map(|i| {
        let mut peer = pinned(&network, i);
        peer.polling.timeout = PATIENCE;
        // One transport each: the other one is the same code.
        peer.endpoints.remove(i % 2);
        let clients = Arc::clone(&clients);
        async move {
            let observation = Prober::new(Arc::new(peer.clone()), 1 << 20, &clients)
                .poll()
                .await;
            (i, verdict(&peer, &observation).health, observation)
        }
    });
    let mut polls = futures_util::stream::iter(polls).buffer_unordered(32);
    while let Some((i, health, observation)) = polls.next().await {
        let failure = observation.endpoints[0].failure.as_ref();
        if i == 1000 {
            // Its listener is everybody's: the connection is reset instead.
            assert_eq!(
                failure.map(|failure| failure.reason),
                Some(Reason::Client(FailureReason::Closed))
            );
        } else {
            // The pinned key proves that it was this one that answered.
            assert_eq!(health, Health::Up, "peer {i}: {failure:?}");
        }
    }
}

#[tokio::test]
async fn ten_thousand_peers_are_one_network() {
    let network = network(10_000, &["tarpit:50%"], None).await;
    assert_eq!(network.http(10_000).ip().to_string(), "127.1.39.16");
    let mut first = pinned(&network, 1);
    first.polling.timeout = PATIENCE;
    let record = verdict(&first, &prober(&first).poll().await);
    assert_eq!(record.health, Health::Up, "{:?}", record.conditions);
    let figures = record.figures(Instant::now()).unwrap();
    assert_eq!(figures.registered_peers, Some(10_000));
    for foreign in ["127.0.0.1", "127.1.39.17"] {
        let address = (foreign, network.tcp(1).port());
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let heard = timeout(PATIENCE, stream.read(&mut [0])).await.unwrap();
        assert!(
            matches!(heard, Ok(0) | Err(_)),
            "{foreign} is nobody: {heard:?}"
        );
    }
    let (_, last) = poll(&network, 10_000).await;
    assert!(
        last.conditions
            .contains(&Condition::Failing(Reason::Client(FailureReason::Timeout)))
    );
}

#[tokio::test]
async fn a_network_of_no_peers_or_too_many_does_not_start() {
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
        base: Some(64_000),
        ..Options::default()
    };
    let error = Network::start(options).await.unwrap_err().to_string();
    assert!(error.contains("need ports up to 65999"), "{error}");
}

#[tokio::test]
async fn the_written_configuration_is_valid_and_watches_every_peer() {
    let network = network(3, &[], None).await;
    let config = config::parse(
        &network.config(),
        "sim.yml",
        std::path::Path::new(""),
        &|_| None,
    );
    let config = config.unwrap();
    assert_eq!(config.networks[0].name, "simulated");
    assert!(config.limits.per_host_inflight >= 3);
    let names: Vec<_> = config.peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["sim-1", "sim-2", "sim-3"]);
    for peer in &config.peers {
        let record = verdict(peer, &prober(peer).poll().await);
        assert_eq!(record.up, Some(true), "{:?}", record.conditions);
        assert_eq!(record.identity.genesis_match, Some(true));
        assert_eq!(record.identity.key_match, Some(true));
    }
}

/// The program's `simulate` with these arguments.
fn program(args: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
    command.arg("simulate").args(args);
    command
}

#[test]
fn a_fault_that_is_none_is_refused_with_the_list_before_a_port_is_bound() {
    for (args, part) in [
        (
            &["--fault", "explode:1"][..],
            "there are: stall, fork[=BLOCK], lag=BLOCKS",
        ),
        (
            &["--fault", "tarpit:1", "--fault", "reset:all"],
            "peer 1 cannot have tarpit and reset at once",
        ),
        (
            &["--peers", "3", "--fault", "stall:4"],
            "there are 3 peers, no peer 4",
        ),
        (&["--peers", "0"], "a network needs at least 1 peer"),
        (&["--traffic", "1ms"], "is no period of at least 10ms"),
    ] {
        let output = program(args).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(part), "{args:?}: {errors}");
    }
}

#[test]
fn every_kind_of_fault_is_in_the_help_and_in_the_guide() {
    let help = program(&["--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let guide = include_str!("../../docs/simulate.md");
    for (kind, _) in KINDS {
        assert!(help.contains(kind), "{kind}: {help}");
        assert!(guide.contains(&format!("| `{kind}` |")), "{kind}");
    }
}

#[test]
fn a_descriptor_limit_that_is_too_low_is_told_with_what_to_change() {
    let program = env!("CARGO_BIN_EXE_convex-peer-monitor");
    let limited = format!("ulimit -n 100 && exec {program} simulate --peers 500");
    let output = std::process::Command::new("sh")
        .args(["-c", &limited])
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("500 peers needs 2064 file descriptors"),
        "{errors}"
    );
    assert!(errors.contains("LimitNOFILE=2064"), "{errors}");
    assert_eq!(
        output.status.code(),
        Some(1),
        "it cannot listen everywhere: {errors}"
    );
}

#[tokio::test]
async fn the_command_writes_a_configuration_serves_it_and_ends_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sim.yml");
    let mut base = 20_000 + std::process::id() % 3000 * 4;
    let mut process = timeout(PATIENCE, async {
        loop {
            // Another one when it is taken; below the ports that the system gives out by itself.
            base += 4;
            let first = base.to_string();
            let args = [
                "--peers",
                "2",
                "--listen-base",
                &first,
                "--write-config",
                file.to_str().unwrap(),
            ];
            let mut process = tokio::process::Command::from(program(&args))
                .stdout(std::process::Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let mut lines = tokio::io::BufReader::new(process.stdout.take().unwrap()).lines();
            if let Some(line) = lines.next_line().await.unwrap() {
                assert!(
                    line.starts_with("simulated network of 2 peers, genesis 0x"),
                    "{line}"
                );
                return process;
            }
        }
    })
    .await
    .unwrap();
    let config = config::load(&file, &|_| None).unwrap();
    let [first, second] = &config.peers[..] else {
        panic!("not two peers");
    };
    let port = |peer: &Peer, i: usize| peer.endpoints[i].port();
    assert_eq!(port(first, 0), port(first, 1) + 1, "HTTP is next to TCP");
    assert_eq!(port(second, 1), port(first, 1) + 2);
    for peer in [first, second] {
        let record = verdict(peer, &prober(peer).poll().await);
        assert_eq!(record.up, Some(true), "{:?}", record.conditions);
    }
    let pid = process.id().unwrap().to_string();
    assert!(
        std::process::Command::new("kill")
            .arg(pid)
            .status()
            .unwrap()
            .success()
    );
    let status = timeout(PATIENCE, process.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}

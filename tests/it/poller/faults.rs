//! Faults of a peer, over either transport: the poll fails with the right reason, and the next one
//! works.

use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{FailureReason, Transport};
use convex_peer_monitor::config::Peer;
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::{Condition, Health, Observation};
use convex_peer_monitor::poller::Prober;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use crate::support::contract::{self, peer, verdict};
use crate::support::fake::{FakePeer, Fault, Script, public_key};
use crate::support::ports::ClosedPort;
use crate::support::{DEADLINE, let_hang};

/// Much longer than an answer on loopback takes. Some tests wait for it to pass.
const TIMEOUT: Duration = Duration::from_secs(4);

struct Watch {
    peer: Peer,
    prober: Prober,
}

impl Watch {
    fn new(fake: &FakePeer, transport: Transport) -> Self {
        let url = match transport {
            Transport::Http => format!("http://{}", fake.http),
            Transport::Tcp => format!("tcp://{}", fake.tcp),
        };
        Self::with(&[&url], |_| {})
    }

    fn with(urls: &[&str], change: impl FnOnce(&mut Peer)) -> Self {
        let mut peer = peer(urls);
        peer.polling.timeout = TIMEOUT;
        peer.polling.retries = 0;
        change(&mut peer);
        let prober = contract::prober(&peer);
        Self { peer, prober }
    }

    async fn poll(&mut self) -> Observation {
        let poll = timeout(DEADLINE, self.prober.poll());
        poll.await.expect("a poll has a timeout")
    }

    async fn reason(&mut self) -> Option<Reason> {
        self.poll().await.endpoints[0].reason()
    }

    /// Polls a peer that does not answer the query.
    async fn hanging_poll(&mut self, fake: &FakePeer) -> Option<Reason> {
        let observation = let_hang(fake, TIMEOUT, self.prober.poll()).await;
        observation.endpoints[0].reason()
    }
}

#[tokio::test]
async fn each_fault_has_its_reason_and_the_next_poll_works() {
    use FailureReason::{
        Closed, HttpStatus, Malformed, Overloaded, PeerError, QueryHangs, Timeout, TooLarge,
        UnsupportedRelease,
    };
    let deep = [&[0xce_u8, 0x10][..], &[0x80, 0x01].repeat(5000)].concat();
    // Announces 8 GiB: no peer sends a frame whose length takes more than four bytes.
    let huge = vec![0xa0, 0x80, 0x80, 0x80, 0x00, 0x01];
    let megabytes = vec![0x97, 0xeb, 0xe1, 0x00, 0x01];
    let only_http = "only for HTTP";
    let cases = [
        (Fault::Silent, Ok(Timeout), Ok(Timeout)),
        (Fault::NeverReads, Ok(Timeout), Ok(Timeout)),
        (Fault::Trickle, Ok(Timeout), Ok(Timeout)),
        (Fault::QueryHangs, Ok(QueryHangs), Ok(Timeout)),
        (Fault::Close, Ok(Closed), Ok(Closed)),
        (Fault::HalfReply, Ok(Closed), Ok(Closed)),
        (Fault::Bytes(vec![0xff; 300]), Ok(Malformed), Ok(Malformed)),
        (
            Fault::Bytes(b"\x05garba".to_vec()),
            Ok(Malformed),
            Ok(Malformed),
        ),
        (
            Fault::Bytes(b"<!DOCTYPE html><title>Welcome</title>".to_vec()),
            Ok(Timeout),
            Ok(Malformed),
        ),
        (Fault::Bytes(deep), Ok(Malformed), Ok(Malformed)),
        (Fault::Bytes(huge), Ok(Malformed), Ok(Malformed)),
        (Fault::Bytes(megabytes), Ok(TooLarge), Ok(Malformed)),
        (Fault::Endless, Ok(Malformed), Ok(TooLarge)),
        (Fault::QueryError("LOAD"), Ok(Overloaded), Ok(Overloaded)),
        (Fault::QueryError("TIMEOUT"), Ok(QueryHangs), Ok(QueryHangs)),
        (Fault::QueryError("CONNECT"), Ok(PeerError), Ok(PeerError)),
        (Fault::Value("[1 2 3]"), Ok(Malformed), Ok(Malformed)),
        (
            Fault::Http(500, "Unexpected error"),
            Err(only_http),
            Ok(HttpStatus),
        ),
        (Fault::Http(302, ""), Err(only_http), Ok(HttpStatus)),
        (
            Fault::Http(404, "404 Not found"),
            Err(only_http),
            Ok(HttpStatus),
        ),
        (
            Fault::Http(429, "slow down"),
            Err(only_http),
            Ok(Overloaded),
        ),
        (Fault::Http(503, "busy"), Err(only_http), Ok(Overloaded)),
        // As release 0.7.15 answers.
        (
            Fault::Http(400, "query requires an 'address' field."),
            Err(only_http),
            Ok(UnsupportedRelease),
        ),
        (
            Fault::Http(400, "{\"error\": \"no source\"}"),
            Err(only_http),
            Ok(HttpStatus),
        ),
        (
            Fault::Http(200, "<html>Welcome</html>"),
            Err(only_http),
            Ok(Malformed),
        ),
    ];
    let polls = cases.into_iter().flat_map(|(fault, tcp, http)| {
        let cases = [(Transport::Tcp, tcp), (Transport::Http, http)].into_iter();
        let with_fault = move |(transport, expected): (_, Result<_, _>)| {
            Some(polls_around(fault.clone(), transport, expected.ok()?))
        };
        cases.filter_map(with_fault)
    });
    // All at once, because some of them wait for the timeout.
    join_all(polls).await;
}

#[tokio::test]
async fn a_peer_that_sheds_queries_is_degraded_while_it_answers_its_status() {
    let fake = FakePeer::start(Script::default()).await;
    fake.set(|script| script.fault = Fault::QueryError("LOAD"));
    for transport in Transport::ALL {
        let mut watch = Watch::new(&fake, transport);
        let observation = watch.poll().await;
        let status = observation.endpoints[0].attempt.status.as_ref();
        assert!(status.is_some(), "{transport}");
        let record = verdict(&watch.peer, &observation);
        let conditions: Vec<_> = record.conditions.iter().map(|it| it.as_str()).collect();
        assert_eq!(
            (record.last_poll.up(), record.health, conditions),
            (Some(true), Health::Degraded, vec!["overloaded"]),
            "{transport}"
        );
    }
    fake.set(|script| script.fault = Fault::Http(503, "busy"));
    let mut watch = Watch::new(&fake, Transport::Http);
    let observation = watch.poll().await;
    let record = verdict(&watch.peer, &observation);
    assert_eq!(record.health, Health::Down, "nothing is answered");
}

/// Polls a good peer, then with a fault, then again without.
async fn polls_around(fault: Fault, transport: Transport, expected: FailureReason) {
    let fake = FakePeer::start(Script::default()).await;
    let mut watch = Watch::new(&fake, transport);
    assert_eq!(watch.reason().await, None, "{transport}, before {fault:?}");
    fake.set(|script| script.fault = fault.clone());
    assert_eq!(
        watch.reason().await,
        Some(Reason::Client(expected)),
        "{transport}, {fault:?}"
    );
    fake.set(|script| script.fault = Fault::None);
    assert_eq!(watch.reason().await, None, "{transport}, after {fault:?}");
}

#[tokio::test]
async fn a_closed_port_fails_as_refused_and_an_unknown_name_as_dns() {
    let closed = ClosedPort::new();
    let address = closed.address;
    for (url, expected) in [
        (format!("tcp://{address}"), FailureReason::Refused),
        (format!("http://{address}"), FailureReason::Refused),
        (
            "tcp://no-such-peer.invalid:1".to_owned(),
            FailureReason::Dns,
        ),
        (
            "http://no-such-peer.invalid:1".to_owned(),
            FailureReason::Dns,
        ),
    ] {
        // A resolver may take longer than this to find nothing; that is the same failure.
        let mut watch = Watch::with(&[&url], |_| {});
        let reason = watch.reason().await;
        assert_eq!(reason, Some(Reason::Client(expected)), "{url}");
    }
}

#[tokio::test]
async fn replies_are_matched_by_id_whatever_arrives_in_between() {
    let fake = FakePeer::start(Script::default()).await;
    fake.set(|script| script.fault = Fault::Noisy);
    let mut watch = Watch::new(&fake, Transport::Tcp);
    for _ in 0..3 {
        let observation = watch.poll().await;
        let attempt = &observation.endpoints[0].attempt;
        assert_eq!(observation.endpoints[0].failure, None);
        assert!(attempt.ignored >= 2, "{} messages ignored", attempt.ignored);
    }
    assert_eq!(
        fake.connections(),
        1,
        "unknown messages do not end the connection"
    );
}

#[tokio::test]
async fn late_answers_to_a_hanging_query_are_not_taken_for_new_ones() {
    let fake = FakePeer::start(Script::default()).await;
    let mut watch = Watch::new(&fake, Transport::Tcp);
    fake.set(|script| script.fault = Fault::QueryHangs);
    for _ in 0..3 {
        assert_eq!(
            watch.hanging_poll(&fake).await,
            Some(Reason::Client(FailureReason::QueryHangs))
        );
    }
    assert_eq!(
        fake.connections(),
        1,
        "the connection is kept while STATUS is answered"
    );
    fake.set(|script| script.fault = Fault::None);
    assert_eq!(watch.reason().await, None);
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn a_connection_with_too_many_unanswered_requests_is_replaced() {
    let fake = FakePeer::start(Script::default()).await;
    fake.set(|script| script.fault = Fault::QueryHangs);
    let mut watch = Watch::new(&fake, Transport::Tcp);
    for _ in 0..40 {
        watch.hanging_poll(&fake).await;
    }
    assert_eq!(
        fake.connections(),
        2,
        "a new connection after at most 32 unanswered requests"
    );
}

#[tokio::test]
async fn a_closed_connection_is_replaced_at_once_and_the_poll_succeeds() {
    for transport in Transport::ALL {
        let fake = FakePeer::start(Script::default()).await;
        let mut watch = Watch::new(&fake, transport);
        assert_eq!(watch.reason().await, None);
        fake.hang_up();
        fake.until_closed(1).await;
        let observation = watch.poll().await;
        let attempt = &observation.endpoints[0].attempt;
        assert_eq!(observation.endpoints[0].failure, None, "{transport}");
        assert_eq!(
            (attempt.reconnects, fake.connections()),
            (1, 2),
            "{transport}"
        );
    }
}

#[tokio::test]
async fn ping_is_sent_only_to_peers_known_to_answer_it() {
    let new = FakePeer::start(Script::default()).await;
    let mut watch = Watch::new(&new, Transport::Tcp);
    assert!(
        watch.poll().await.endpoints[0].attempt.clock.is_none(),
        "the first poll does not know yet"
    );
    let observation = watch.poll().await;
    let clock = observation.endpoints[0]
        .attempt
        .clock
        .as_ref()
        .expect("peers that send :fees answer PING");
    assert!(
        clock.value.skew.abs() <= clock.value.uncertainty + 0.002,
        "{clock:?}"
    );

    let old = FakePeer::start(Script {
        new_api: false,
        ..Script::default()
    })
    .await;
    let mut watch = Watch::new(&old, Transport::Tcp);
    for _ in 0..3 {
        let observation = watch.poll().await;
        assert_eq!(observation.endpoints[0].failure, None);
        assert!(observation.endpoints[0].attempt.clock.is_none());
    }
    assert_eq!(old.pings(), 0, "0.8.0 does not answer PING");
}

#[tokio::test]
async fn only_a_valid_answer_by_another_key_is_another_peer() {
    for (signer, claimed, expected, reason) in [
        (Some(1), 1, Some(true), None),
        (Some(1), 2, Some(false), Some(Reason::WrongPeer)),
        (None, 1, None, None),
    ] {
        let fake = FakePeer::start(Script {
            signer,
            key: public_key(claimed),
            ..Script::default()
        })
        .await;
        let mut watch = Watch::new(&fake, Transport::Tcp);
        let first = watch.poll().await;
        assert_eq!(first.endpoints[0].attempt.key_proof, None, "not known yet");
        let mut record = verdict(&watch.peer, &first);
        // The answer may come too late for the second poll, which does not wait for it.
        for _ in 0..3 {
            let poll = watch.poll().await;
            record.record_poll(&poll, Instant::now(), SystemTime::now());
            if signer.is_some() && record.identity.key_proof().to_bool().is_some() {
                break;
            }
        }
        let failure = record.endpoints[0].last_failure.as_ref();
        assert_eq!(
            (
                record.identity.key_proof().to_bool(),
                failure.map(|failure| failure.reason)
            ),
            (expected, reason),
            "{signer:?} {claimed}"
        );
        assert_eq!(fake.connections(), 1);
    }
}

#[tokio::test]
async fn clock_skew_is_measured_by_ping_and_by_the_date_header() {
    let clock_ahead = Duration::from_secs(5);
    let fake = FakePeer::start(Script {
        clock_ahead,
        ..Script::default()
    })
    .await;
    for transport in Transport::ALL {
        let mut watch = Watch::new(&fake, transport);
        watch.poll().await;
        let observation = watch.poll().await;
        let record = verdict(&watch.peer, &observation);
        let clock = record
            .clock(Instant::now())
            .expect("both transports report the time");
        assert!(
            (clock.skew - 5.0).abs() <= clock.uncertainty + 0.002,
            "{transport}: {clock:?}"
        );
        assert!(
            record.conditions.contains(&Condition::ClockSkew),
            "{transport}"
        );
        assert_eq!(record.health, Health::Degraded);
    }
}

#[tokio::test]
async fn an_unanswered_ping_neither_delays_nor_fails_a_poll() {
    let fake = FakePeer::start(Script::default()).await;
    let mut watch = Watch::new(&fake, Transport::Tcp);
    watch.poll().await;
    fake.set(|script| script.fault = Fault::NoPing);
    let observation = watch.poll().await;
    let attempt = &observation.endpoints[0].attempt;
    assert_eq!(
        (
            observation.endpoints[0].failure.as_ref(),
            attempt.clock.is_some()
        ),
        (None, false)
    );
    assert_eq!(fake.pings(), 1);
}

#[tokio::test]
async fn an_unusable_value_in_an_answer_affects_only_itself() {
    let fake = FakePeer::start(Script::default()).await;
    fake.set(|script| script.fault = Fault::Value("[nil [1 2 \"x\"] 132 nil :none nil]"));
    for transport in Transport::ALL {
        let mut watch = Watch::new(&fake, transport);
        let observation = watch.poll().await;
        let record = verdict(&watch.peer, &observation);
        let figures = record.poll_answer(Instant::now()).unwrap();
        assert_eq!(
            (record.health, figures.accounts),
            (Health::Up, Some(132)),
            "{transport}"
        );
        assert_eq!(
            (figures.timestamp_ms, figures.fees_copper),
            (Some(1), Some(2))
        );
        assert_eq!(
            (
                figures.state_hash,
                figures.state_block,
                figures.coin_supply_copper
            ),
            (None, None, None)
        );
    }
}

#[tokio::test]
async fn the_status_is_read_as_a_vector_and_as_a_map() {
    let fake = FakePeer::start(Script {
        map_status: true,
        ..Script::default()
    })
    .await;
    let mut watch = Watch::new(&fake, Transport::Tcp);
    let observation = watch.poll().await;
    let status = observation.endpoints[0]
        .attempt
        .status
        .as_ref()
        .unwrap()
        .value;
    assert_eq!(status.order.by_level(), [7; 4]);
}

#[tokio::test]
async fn a_peer_with_one_failing_endpoint_is_degraded() {
    let fake = FakePeer::start(Script::default()).await;
    let urls = ["http://127.0.0.1:1", &format!("tcp://{}", fake.tcp)];
    let mut watch = Watch::with(&urls, |_| {});
    let observation = watch.poll().await;
    let record = verdict(&watch.peer, &observation);
    assert_eq!(
        (record.last_poll.up(), record.health),
        (Some(true), Health::Degraded)
    );
    assert!(record.conditions.contains(&Condition::EndpointFailing));
    assert!(
        record
            .conditions
            .contains(&Condition::Failing(Reason::Client(FailureReason::Refused)))
    );
}

#[tokio::test]
async fn a_peer_without_a_status_route_is_judged_by_its_query() {
    let fake = FakePeer::start(Script {
        new_api: false,
        ..Script::default()
    })
    .await;
    let mut watch = Watch::with(&[&format!("http://{}", fake.http)], |peer| {
        peer.genesis = Some(Hash::new([1; 32]));
    });
    let observation = watch.poll().await;
    let record = verdict(&watch.peer, &observation);
    assert_eq!(
        (record.health, record.identity.genesis_match.to_bool()),
        (Health::Up, None),
        "without a status the genesis is unknown"
    );
}

#[tokio::test]
async fn a_proven_wrong_network_outweighs_an_endpoint_without_identity() {
    let fake = FakePeer::start(Script {
        new_api: false,
        ..Script::default()
    })
    .await;
    let urls = [
        format!("http://{}", fake.http),
        format!("tcp://{}", fake.tcp),
    ];
    let mut watch = Watch::with(&urls.each_ref().map(String::as_str), |peer| {
        peer.genesis = Some(Hash::new([1; 32]));
    });
    let observation = watch.poll().await;
    let record = verdict(&watch.peer, &observation);
    assert_eq!(
        (record.last_poll.up(), record.health),
        (Some(false), Health::Down)
    );
    assert_eq!(record.identity.genesis_match.to_bool(), Some(false));
}

#[tokio::test]
async fn retries_end_before_the_timeout_and_count_as_one_poll() {
    let closed = ClosedPort::new();
    let mut watch = Watch::with(&[&format!("tcp://{}", closed.address)], |peer| {
        peer.polling.timeout = Duration::from_secs(1);
        peer.polling.retries = 100;
    });
    let observation = watch.poll().await;
    let retries = observation.endpoints[0].retries;
    assert!(
        (1..=5).contains(&retries),
        "{retries} retries within a second"
    );
    let record = verdict(&watch.peer, &observation);
    assert_eq!((record.polls, record.endpoints[0].tally.attempts), (1, 1));
}

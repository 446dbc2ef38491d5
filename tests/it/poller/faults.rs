//! What a peer can do wrong, by either transport: the poll fails with its reason and in time, and the next one works.

use std::time::Duration;

use convex_client::{FailureReason, Transport};
use convex_peer_monitor::config::Peer;
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::Observation;
use convex_peer_monitor::fleet::{Condition, Health};
use convex_peer_monitor::poller::prober::Prober;
use tokio::time::Instant;

use crate::support::contract::{self, peer, verdict};
use crate::support::fake::{FakePeer, Fault, Script};

const TIMEOUT: Duration = Duration::from_millis(400);

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
        Self::of(&url)
    }

    fn of(url: &str) -> Self {
        let mut peer = peer(&[url]);
        peer.cadence.timeout = TIMEOUT;
        peer.cadence.retries = 0;
        let prober = contract::prober(&peer);
        Self { peer, prober }
    }

    async fn poll(&mut self) -> Observation {
        // The deadline is the transport's; twice as long means that something waits without one.
        let poll = tokio::time::timeout(TIMEOUT * 2, self.prober.poll());
        poll.await.expect("a poll ends by its deadline")
    }

    async fn reason(&mut self) -> Option<Reason> {
        let observation = self.poll().await;
        observation.endpoints[0]
            .failure
            .as_ref()
            .map(|failure| failure.reason)
    }
}

#[tokio::test]
async fn each_fault_has_its_reason_and_the_next_poll_works() {
    use FailureReason::{
        Closed, HttpStatus, Malformed, Overloaded, PeerError, QueryHangs, Timeout, TooLarge,
    };
    let deep = [&[0xce_u8, 0x10][..], &[0x80, 0x01].repeat(5000)].concat();
    // Announces 8 GiB; more than four bytes of length are no frame of any peer.
    let huge = vec![0xa0, 0x80, 0x80, 0x80, 0x00, 0x01];
    let megabytes = vec![0x97, 0xeb, 0xe1, 0x00, 0x01];
    let rest = "HTTP alone";
    for (fault, tcp, http) in [
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
            Err(rest),
            Ok(HttpStatus),
        ),
        (Fault::Http(302, ""), Err(rest), Ok(HttpStatus)),
        (Fault::Http(404, "404 Not found"), Err(rest), Ok(HttpStatus)),
        (Fault::Http(429, "slow down"), Err(rest), Ok(Overloaded)),
        (Fault::Http(503, "busy"), Err(rest), Ok(Overloaded)),
        (
            Fault::Http(200, "<html>Welcome</html>"),
            Err(rest),
            Ok(Malformed),
        ),
    ] {
        for (transport, expected) in [(Transport::Tcp, tcp), (Transport::Http, http)] {
            let Ok(expected) = expected else { continue };
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
    }
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_refused_and_a_name_that_is_not_there_is_dns() {
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    for (url, expected) in [
        (
            format!("tcp://{gone}"),
            Reason::Client(FailureReason::Refused),
        ),
        (
            format!("http://{gone}"),
            Reason::Client(FailureReason::Refused),
        ),
        (
            "tcp://no-such-peer.invalid:1".to_owned(),
            Reason::Client(FailureReason::Dns),
        ),
        (
            "http://no-such-peer.invalid:1".to_owned(),
            Reason::Client(FailureReason::Dns),
        ),
    ] {
        let mut watch = Watch::of(&url);
        // A resolver that knows nothing may take its time to say so: either way it is the name that fails.
        watch.peer.cadence.timeout = Duration::from_secs(10);
        watch.prober = contract::prober(&watch.peer);
        let observation = watch.prober.poll().await;
        let failure = observation.endpoints[0].failure.clone();
        assert_eq!(
            failure.map(|failure| failure.reason),
            Some(expected),
            "{url}"
        );
    }
}

#[tokio::test]
async fn replies_are_matched_by_id_whatever_comes_in_between() {
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
        "strange messages do not cost the connection"
    );
}

#[tokio::test]
async fn late_answers_of_a_hung_query_are_not_taken_for_new_ones() {
    let fake = FakePeer::start(Script::default()).await;
    let mut watch = Watch::new(&fake, Transport::Tcp);
    fake.set(|script| script.fault = Fault::QueryHangs);
    for _ in 0..3 {
        assert_eq!(
            watch.reason().await,
            Some(Reason::Client(FailureReason::QueryHangs))
        );
    }
    assert_eq!(
        fake.connections(),
        1,
        "a peer that answers STATUS keeps its connection"
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
    watch.peer.cadence.timeout = Duration::from_millis(20);
    watch.prober = contract::prober(&watch.peer);
    for _ in 0..40 {
        watch.prober.poll().await;
    }
    assert_eq!(
        fake.connections(),
        2,
        "32 unanswered requests, then a new connection"
    );
}

#[tokio::test]
async fn a_kept_connection_found_dead_is_replaced_at_once_and_is_no_failure() {
    for transport in Transport::ALL {
        let fake = FakePeer::start(Script::default()).await;
        let mut watch = Watch::new(&fake, transport);
        assert_eq!(watch.reason().await, None);
        fake.hang_up();
        tokio::time::sleep(Duration::from_millis(50)).await;
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
async fn ping_is_sent_only_to_a_peer_that_is_known_to_answer_it() {
    let new = FakePeer::start(Script::default()).await;
    let mut watch = Watch::new(&new, Transport::Tcp);
    assert!(
        watch.poll().await.endpoints[0].attempt.clock.is_none(),
        "nothing is known at the first poll"
    );
    let observation = watch.poll().await;
    let clock = observation.endpoints[0]
        .attempt
        .clock
        .as_ref()
        .expect("a peer with :fees answers PING");
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
    assert_eq!(old.pings(), 0, "0.8.0 would be silent");
}

#[tokio::test]
async fn a_clock_that_is_off_is_noticed_by_ping_and_by_date() {
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
            .expect("both transports tell the time");
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
async fn a_member_that_a_peer_cannot_answer_costs_only_itself() {
    let fake = FakePeer::start(Script::default()).await;
    fake.set(|script| script.fault = Fault::Value("[nil [1 2 \"x\"] 132 nil :none nil]"));
    for transport in Transport::ALL {
        let mut watch = Watch::new(&fake, transport);
        let observation = watch.poll().await;
        let record = verdict(&watch.peer, &observation);
        let figures = record.figures(Instant::now()).unwrap();
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
async fn both_forms_of_the_status_are_read() {
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
async fn one_endpoint_that_fails_degrades_a_peer_whose_other_one_answers() {
    let fake = FakePeer::start(Script::default()).await;
    let mut peer = peer(&["http://127.0.0.1:1", &format!("tcp://{}", fake.tcp)]);
    peer.cadence.timeout = TIMEOUT;
    peer.cadence.retries = 0;
    let record = verdict(&peer, &contract::prober(&peer).poll().await);
    assert_eq!((record.up, record.health), (Some(true), Health::Degraded));
    assert!(record.conditions.contains(&Condition::EndpointFailing));
    assert!(
        record
            .conditions
            .contains(&Condition::Failing(Reason::Client(FailureReason::Refused)))
    );
}

#[tokio::test]
async fn an_old_peer_is_judged_by_the_query_where_it_has_no_status_route() {
    let fake = FakePeer::start(Script {
        new_api: false,
        ..Script::default()
    })
    .await;
    let mut watch = Watch::new(&fake, Transport::Http);
    watch.peer.genesis = Some(cad3::Hash::new([1; 32]));
    watch.prober = contract::prober(&watch.peer);
    let observation = watch.poll().await;
    let record = verdict(&watch.peer, &observation);
    assert_eq!(
        (record.health, record.identity.genesis_match),
        (Health::Up, None),
        "not known is not proven"
    );
}

#[tokio::test]
async fn an_endpoint_that_cannot_tell_who_it_is_does_not_outvote_one_that_is_proven_wrong() {
    let fake = FakePeer::start(Script {
        new_api: false,
        ..Script::default()
    })
    .await;
    let mut peer = peer(&[
        &format!("http://{}", fake.http),
        &format!("tcp://{}", fake.tcp),
    ]);
    peer.genesis = Some(cad3::Hash::new([1; 32]));
    let record = verdict(&peer, &contract::prober(&peer).poll().await);
    assert_eq!((record.up, record.health), (Some(false), Health::Down));
    assert_eq!(record.identity.genesis_match, Some(false));
}

#[tokio::test]
async fn retries_stay_inside_the_deadline_and_count_once() {
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let mut watch = Watch::of(&format!("tcp://{gone}"));
    watch.peer.cadence.retries = 100;
    watch.prober = contract::prober(&watch.peer);
    let observation = watch.poll().await;
    let retries = observation.endpoints[0].retries;
    assert!(
        (1..=5).contains(&retries),
        "{retries} retries in {TIMEOUT:?} with growing pauses"
    );
    let record = verdict(&watch.peer, &observation);
    assert_eq!((record.polls, record.endpoints[0].tally.attempts), (1, 1));
}

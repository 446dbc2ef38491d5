//! A single query to a peer, over either transport.

use cad3::Cell;
use convex_client::{FailureReason, Query, QueryError};
use convex_peer_monitor::config::Peer;

use crate::support::contract::{peer, prober};
use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::{DEADLINE, let_hang};

fn query() -> Query {
    Query::read("(+ 1 2)").unwrap()
}

fn script(fault: Fault) -> Script {
    Script {
        fault,
        ..Script::default()
    }
}

/// Nothing listens on this port.
const CLOSED: &str = "http://127.0.0.1:1";

fn endpoints(fake: &FakePeer) -> [String; 2] {
    [
        format!("http://{}", fake.http),
        format!("tcp://{}", fake.tcp),
    ]
}

/// A peer with much time to answer.
fn patient(endpoints: &[&str]) -> Peer {
    let mut peer = peer(endpoints);
    peer.polling.timeout = DEADLINE;
    peer
}

#[track_caller]
fn reason(answer: Result<Cell, QueryError>) -> FailureReason {
    match answer {
        Err(QueryError::Failed(failure)) => failure.reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_query_uses_the_connection_of_the_polls() {
    let fake = FakePeer::start(script(Fault::Value("[1 2.5 \"x\"]"))).await;
    for endpoint in endpoints(&fake) {
        let before = fake.connections();
        let mut prober = prober(&peer(&[&endpoint]));
        let value = prober.ask(&query()).await.unwrap();
        assert_eq!(value.to_string(), "[1 2.5 \"x\"]", "{endpoint}");
        fake.set(|script| script.fault = Fault::None);
        let poll = prober.poll().await;
        assert_eq!(poll.endpoints[0].failure, None, "{endpoint}");
        fake.set(|script| script.fault = Fault::Value("[1 2.5 \"x\"]"));
        prober.ask(&query()).await.unwrap();
        assert_eq!(fake.connections() - before, 1, "{endpoint}");
    }
}

#[tokio::test]
async fn a_query_sends_no_status_request() {
    let fake = FakePeer::start(script(Fault::Value("7"))).await;
    let mut prober = prober(&peer(&[&endpoints(&fake)[0]]));
    prober.ask(&query()).await.unwrap();
    let heads = fake.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].starts_with("post /api/v1/query "), "{heads:?}");
}

#[tokio::test]
async fn a_query_is_sent_as_the_configured_account() {
    let fake = FakePeer::start(script(Fault::Value("7"))).await;
    for endpoint in endpoints(&fake) {
        let mut peer = peer(&[&endpoint]);
        peer.account = Some(1_000_000_000);
        let answer = prober(&peer).ask(&query()).await;
        let Err(QueryError::Refused(error)) = answer else {
            panic!("{endpoint}: {answer:?}");
        };
        assert_eq!(error.code, "NOBODY", "{endpoint}");
    }
}

#[tokio::test]
async fn an_error_in_the_form_differs_from_a_failure_of_the_peer() {
    let fake = FakePeer::start(script(Fault::QueryError("CAST"))).await;
    let [http, tcp] = endpoints(&fake);
    let mut prober = prober(&peer(&[&http, &tcp]));
    let Err(QueryError::Refused(error)) = prober.ask(&query()).await else {
        panic!("the query is answered with an error");
    };
    assert_eq!(error.code, "CAST");
    assert_eq!(fake.connections(), 1, "the other endpoint is not used");
    for (code, expected) in [
        ("TIMEOUT", FailureReason::QueryHangs),
        ("LOAD", FailureReason::Overloaded),
        ("CONNECT", FailureReason::PeerError),
    ] {
        fake.set(|script| script.fault = Fault::QueryError(code));
        assert_eq!(reason(prober.ask(&query()).await), expected);
    }
}

#[tokio::test]
async fn the_second_endpoint_is_queried_when_the_first_fails() {
    let fake = FakePeer::start(script(Fault::Value("7"))).await;
    let [_, tcp] = endpoints(&fake);
    let value = prober(&peer(&[CLOSED, &tcp])).ask(&query()).await;
    assert_eq!(value.unwrap(), Cell::integer(7));

    let silent = FakePeer::start(script(Fault::Silent)).await;
    let http = format!("http://{}", silent.http);
    let peer = patient(&[&http, &tcp]);
    let mut prober = prober(&peer);
    // The first of two endpoints gets half of the time.
    let value = let_hang(&silent, DEADLINE / 2, prober.ask(&query())).await;
    assert_eq!(value.unwrap(), Cell::integer(7));
}

#[tokio::test]
async fn when_no_endpoint_answers_the_failure_of_the_first_is_returned() {
    let silent = FakePeer::start(script(Fault::Silent)).await;
    let tcp = format!("tcp://{}", silent.tcp);
    for (endpoints, expected) in [
        ([CLOSED, &tcp], FailureReason::Refused),
        ([&tcp, CLOSED], FailureReason::Timeout),
    ] {
        let peer = patient(&endpoints);
        let mut prober = prober(&peer);
        let answer = let_hang(&silent, DEADLINE, prober.ask(&query())).await;
        assert_eq!(reason(answer), expected);
    }
}

#[tokio::test]
async fn a_late_answer_to_a_query_is_not_taken_for_the_next_one() {
    let fake = FakePeer::start(script(Fault::QueryHangs)).await;
    let tcp = format!("tcp://{}", fake.tcp);
    let peer = patient(&[&tcp]);
    let mut prober = prober(&peer);
    let answer = let_hang(&fake, DEADLINE, prober.ask(&query())).await;
    assert_eq!(reason(answer), FailureReason::Timeout);
    fake.set(|script| script.fault = Fault::Noisy);
    let figures = prober.ask(&query()).await.unwrap();
    assert_eq!(
        figures.count(),
        Some(6),
        "every reply comes twice: {figures}"
    );
    fake.set(|script| script.fault = Fault::Value("8"));
    assert_eq!(prober.ask(&query()).await.unwrap(), Cell::integer(8));
}

#[tokio::test]
async fn a_query_with_too_large_an_answer_is_not_repeated() {
    // Announces 32 MiB.
    let huge_frame = Fault::Bytes(vec![0x90, 0x80, 0x80, 0x00]);
    for (first, fault) in [("http", Fault::Endless), ("tcp", huge_frame)] {
        let fake = FakePeer::start(script(fault)).await;
        let mut order = endpoints(&fake);
        if first == "tcp" {
            order.reverse();
        }
        let answer = prober(&peer(&order.each_ref().map(String::as_str)))
            .ask(&query())
            .await;
        let error = answer.unwrap_err();
        assert!(error.exceeds_limit(), "{error}");
        assert_eq!(fake.connections(), 1, "{first}");
    }
}

//! One question to a peer, on either transport and through the prober.

use std::time::Duration;

use cad3::Cell;
use convex_client::{FailureReason, Query, QueryError};
use convex_peer_monitor::config::Peer;

use crate::support::contract::{peer, prober};
use crate::support::fake::{FakePeer, Fault, Script};

fn question() -> Query {
    Query::read("(+ 1 2)").unwrap()
}

fn script(fault: Fault) -> Script {
    Script {
        fault,
        ..Script::default()
    }
}

/// Nobody listens here.
const NOWHERE: &str = "http://127.0.0.1:1";

fn endpoints(fake: &FakePeer) -> [String; 2] {
    [
        format!("http://{}", fake.http),
        format!("tcp://{}", fake.tcp),
    ]
}

/// A peer that need not be waited for long.
fn hasty(endpoints: &[&str]) -> Peer {
    let mut peer = peer(endpoints);
    peer.cadence.timeout = Duration::from_millis(400);
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
async fn a_question_is_answered_on_the_connection_of_the_polls() {
    let fake = FakePeer::start(script(Fault::Value("[1 2.5 \"x\"]"))).await;
    for endpoint in endpoints(&fake) {
        let before = fake.connections();
        let mut prober = prober(&peer(&[&endpoint]));
        let value = prober.ask(&question()).await.unwrap();
        assert_eq!(value.to_string(), "[1 2.5 \"x\"]", "{endpoint}");
        fake.set(|script| script.fault = Fault::None);
        let poll = prober.poll().await;
        assert_eq!(poll.endpoints[0].failure, None, "{endpoint}");
        fake.set(|script| script.fault = Fault::Value("[1 2.5 \"x\"]"));
        prober.ask(&question()).await.unwrap();
        assert_eq!(fake.connections() - before, 1, "{endpoint}");
    }
}

#[tokio::test]
async fn a_question_alone_asks_no_status() {
    let fake = FakePeer::start(script(Fault::Value("7"))).await;
    let mut prober = prober(&peer(&[&endpoints(&fake)[0]]));
    prober.ask(&question()).await.unwrap();
    let heads = fake.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].starts_with("post /api/v1/query "), "{heads:?}");
}

#[tokio::test]
async fn a_question_is_asked_as_the_configured_account() {
    let fake = FakePeer::start(script(Fault::Value("7"))).await;
    for endpoint in endpoints(&fake) {
        let mut peer = peer(&[&endpoint]);
        peer.account = Some(1_000_000_000);
        let answer = prober(&peer).ask(&question()).await;
        let Err(QueryError::Refused(error)) = answer else {
            panic!("{endpoint}: {answer:?}");
        };
        assert_eq!(error.code, "NOBODY", "{endpoint}");
    }
}

#[tokio::test]
async fn an_error_of_the_form_is_told_from_one_of_the_peer() {
    let fake = FakePeer::start(script(Fault::QueryError("CAST"))).await;
    let [http, tcp] = endpoints(&fake);
    let mut prober = prober(&peer(&[&http, &tcp]));
    let Err(QueryError::Refused(error)) = prober.ask(&question()).await else {
        panic!("an error is no value");
    };
    assert_eq!(error.code, "CAST");
    assert_eq!(fake.connections(), 1, "the other endpoint is not asked");
    for (code, expected) in [
        ("TIMEOUT", FailureReason::QueryHangs),
        ("LOAD", FailureReason::Overloaded),
        ("CONNECT", FailureReason::PeerError),
    ] {
        fake.set(|script| script.fault = Fault::QueryError(code));
        assert_eq!(reason(prober.ask(&question()).await), expected);
    }
}

#[tokio::test]
async fn the_next_endpoint_is_asked_when_the_first_fails() {
    let fake = FakePeer::start(script(Fault::Value("7"))).await;
    let [_, tcp] = endpoints(&fake);
    let value = prober(&peer(&[NOWHERE, &tcp])).ask(&question()).await;
    assert_eq!(value.unwrap(), Cell::integer(7));

    let silent = FakePeer::start(script(Fault::Silent)).await;
    let http = format!("http://{}", silent.http);
    let value = prober(&hasty(&[&http, &tcp])).ask(&question()).await;
    assert_eq!(value.unwrap(), Cell::integer(7), "in its share of the time");
}

#[tokio::test]
async fn when_no_endpoint_answers_the_first_ones_failure_is_told() {
    let silent = FakePeer::start(script(Fault::Silent)).await;
    let tcp = format!("tcp://{}", silent.tcp);
    let mut prober = prober(&hasty(&[NOWHERE, &tcp]));
    assert_eq!(
        reason(prober.ask(&question()).await),
        FailureReason::Refused
    );
    let mut prober = self::prober(&hasty(&[&tcp, NOWHERE]));
    assert_eq!(
        reason(prober.ask(&question()).await),
        FailureReason::Timeout
    );
}

#[tokio::test]
async fn a_late_answer_to_a_question_is_not_taken_for_the_next_ones() {
    let fake = FakePeer::start(script(Fault::QueryHangs)).await;
    let tcp = format!("tcp://{}", fake.tcp);
    let mut prober = prober(&hasty(&[&tcp]));
    assert_eq!(
        reason(prober.ask(&question()).await),
        FailureReason::Timeout
    );
    fake.set(|script| script.fault = Fault::Noisy);
    let figures = prober.ask(&question()).await.unwrap();
    assert_eq!(
        figures.count(),
        Some(6),
        "every reply comes twice: {figures}"
    );
    fake.set(|script| script.fault = Fault::Value("8"));
    assert_eq!(prober.ask(&question()).await.unwrap(), Cell::integer(8));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_asked_for_again() {
    // 32 MiB of content are announced.
    let huge_frame = Fault::Bytes(vec![0x90, 0x80, 0x80, 0x00]);
    for (first, fault) in [("http", Fault::Endless), ("tcp", huge_frame)] {
        let fake = FakePeer::start(script(fault)).await;
        let mut order = endpoints(&fake);
        if first == "tcp" {
            order.reverse();
        }
        let answer = prober(&peer(&order.each_ref().map(String::as_str)))
            .ask(&question())
            .await;
        let error = answer.unwrap_err();
        assert!(error.is_too_much(), "{error}");
        assert_eq!(fake.connections(), 1, "{first}");
    }
}

//! The belief of a peer and cells by their hashes, over the connection of its polls.

use std::collections::HashMap;

use cad3::{Cell, Hash};
use convex_client::{Failure, FailureReason};

use crate::support::contract::{peer, prober};
use crate::support::fake::{Beliefs, FakePeer, Fault, Script};

async fn start(beliefs: Beliefs) -> FakePeer {
    FakePeer::start(Script {
        beliefs,
        ..Script::default()
    })
    .await
}

#[tokio::test]
async fn cells_are_read_over_the_connection_of_the_polls() {
    let (known, unknown) = (Cell::string("x"), Hash::of(b"unknown"));
    let cells = HashMap::from([(known.hash(), known.clone())]);
    let fake = start(Beliefs::new([known.hash()], cells)).await;
    let endpoints = [
        format!("http://{}", fake.http),
        format!("tcp://{}", fake.tcp),
    ];
    let mut prober = prober(&peer(&[&endpoints[0], &endpoints[1]]));
    let poll = prober.poll().await;
    let polled = poll.endpoints[1].attempt.status.as_ref().unwrap().value;
    let connections = fake.connections();
    let head = prober.belief_head().await.unwrap();
    assert_eq!((head.belief, head.status), (known.hash(), polled));
    let message = cad3::decode_message(&head.message, &cad3::Limits::default()).unwrap();
    let again = convex_client::Status::from_cell(&message.top).unwrap();
    assert_eq!(again, head.status, "the status is kept as it was received");
    let cells = prober.cells(&[unknown, known.hash()]).await.unwrap();
    assert_eq!(cells, [None, Some(known)]);
    assert_eq!(fake.connections(), connections);
}

#[tokio::test]
async fn a_status_without_a_belief_is_malformed() {
    let fake = start(Beliefs::default()).await;
    fake.set(|script| script.map_status = true);
    let mut prober = prober(&peer(&[&format!("tcp://{}", fake.tcp)]));
    let failure = prober.belief_head().await.unwrap_err();
    assert_eq!(
        (failure.reason, &*failure.message),
        (FailureReason::Malformed, "the status has no valid :belief")
    );
}

#[tokio::test]
async fn a_peer_without_a_binary_endpoint_has_no_cells() {
    let fake = start(Beliefs::default()).await;
    let mut prober = prober(&peer(&[&format!("http://{}", fake.http)]));
    let expected = Failure::new(FailureReason::Local, "the peer has no tcp:// endpoint");
    assert_eq!(prober.belief_head().await.unwrap_err(), expected);
    assert_eq!(prober.cells(&[]).await.unwrap_err(), expected);
    assert!(fake.heads().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn cells_that_do_not_arrive_are_a_timeout_of_the_peer() {
    let fake = start(Beliefs::default()).await;
    fake.set(|script| script.fault = Fault::CellsHang);
    let mut peer = peer(&[&format!("tcp://{}", fake.tcp)]);
    peer.polling.timeout = crate::support::DEADLINE;
    let mut prober = prober(&peer);
    let hash = [Hash::of(b"x")];
    let request = prober.cells(&hash);
    let answer = crate::support::let_hang(&fake, crate::support::DEADLINE, request).await;
    assert_eq!(answer.unwrap_err().reason, FailureReason::Timeout);
}

//! Results of polls that never took place.

use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{Attempt, OrderPoints, PollAnswer, Status, Timed, Transport};
use convex_peer_monitor::failure::{Failure, Reason};
use convex_peer_monitor::fleet::{EndpointObservation, Observation};
use tokio::time::Instant;

/// What the last attempt of a poll learned, and its duration or failure.
pub(crate) type PollResult = (Attempt, Result<Duration, Failure>);

/// Duration of every answer.
pub(crate) const TOOK: Duration = Duration::from_millis(2);

/// An answer that took [`TOOK`].
pub(crate) fn answered<T>(value: T) -> Timed<T> {
    Timed { value, took: TOOK }
}

/// A status of the peer with key `key` repeated, on a network that is always the same.
pub(crate) fn status(key: u8, order: OrderPoints) -> Status {
    Status {
        genesis: Hash::new([1; 32]),
        peer_key: Hash::new([key; 32]),
        order,
        state: None,
        protocol: None,
    }
}

/// Block, proposal, consensus and finality, in this order.
pub(crate) fn points([block, proposal, consensus, finality]: [i64; 4]) -> OrderPoints {
    OrderPoints {
        block,
        proposal,
        consensus,
        finality,
    }
}

/// A poll whose two requests were answered.
pub(crate) fn good(status: Status, answer: PollAnswer) -> PollResult {
    let attempt = Attempt {
        status: Some(answered(status)),
        query: Some(answered(Ok(answer))),
        ..Attempt::default()
    };
    (attempt, Ok(TOOK))
}

/// A poll that failed.
pub(crate) fn failed(reason: impl Into<Reason>) -> PollResult {
    let failure = Failure::new(reason.into(), "as scripted");
    (Attempt::default(), Err(failure))
}

/// A poll, now, of a peer with one endpoint.
pub(crate) fn of_one(transport: Transport, (attempt, outcome): PollResult) -> Observation {
    let now = SystemTime::now();
    Observation {
        asked: Instant::now(),
        endpoints: vec![EndpointObservation::new(
            transport,
            (now, now),
            attempt,
            outcome,
        )],
    }
}

//! The result of one poll.

use std::time::{Duration, SystemTime};

use convex_client::{Attempt, Transport};
use tokio::time::Instant;

use crate::failure::{Failure, Reason};

/// Result of one poll of a peer.
#[derive(Clone, Debug)]
pub struct Observation {
    /// When the peer was asked. Its answers show it as it was then or later, but maybe before the
    /// last of them arrived.
    pub asked: Instant,
    /// One per configured endpoint, in the same order.
    pub endpoints: Vec<EndpointObservation>,
}

/// Result of one poll of an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointObservation {
    /// Transport of the endpoint.
    pub transport: Transport,
    /// When the first attempt began.
    pub began: SystemTime,
    /// When the last attempt ended.
    pub ended: SystemTime,
    /// Attempts after the first one.
    pub retries: u32,
    /// Result of the last attempt, or of a failed one that says more about the peer; reconnects and
    /// ignored messages are summed over all attempts.
    pub attempt: Attempt,
    /// Time from the first byte of the request to the last byte of the answers; none after a
    /// failure.
    pub took: Option<Duration>,
    /// Why that attempt failed.
    pub failure: Option<Failure>,
}

impl EndpointObservation {
    /// An endpoint that was polled with one attempt, from `began` to `ended`.
    #[must_use]
    pub fn new(
        transport: Transport,
        (began, ended): (SystemTime, SystemTime),
        attempt: Attempt,
        outcome: Result<Duration, Failure>,
    ) -> Self {
        let (took, failure) = match outcome {
            Ok(took) => (Some(took), None),
            Err(failure) => (None, Some(failure)),
        };
        Self {
            transport,
            began,
            ended,
            retries: 0,
            attempt,
            took,
            failure,
        }
    }

    /// Returns why the poll failed.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        Some(self.failure.as_ref()?.reason)
    }

    /// Returns why the connection could not be replaced, if that was tried and failed.
    #[must_use]
    pub fn renewal_failure(&self) -> Option<Failure> {
        let failure = self.attempt.renewal.as_ref()?.as_ref().err()?;
        Some(failure.clone().into())
    }

    /// Whether the endpoint is known to belong to another network or another peer.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        matches!(
            self.reason(),
            Some(Reason::WrongNetwork | Reason::WrongPeer)
        )
    }
}

//! What one poll saw of a peer.

use std::time::{Duration, SystemTime};

use convex_client::{Attempt, Transport};

use crate::failure::{Failure, Reason};

/// What one poll saw of a peer.
#[derive(Clone, Debug)]
pub struct Observation {
    /// One a configured endpoint, in the same order.
    pub endpoints: Vec<Probed>,
}

/// What one poll saw of an endpoint.
#[derive(Clone, Debug)]
pub struct Probed {
    /// How it was asked.
    pub transport: Transport,
    /// When the poll of it began and ended.
    pub began: SystemTime,
    /// When the last try ended.
    pub ended: SystemTime,
    /// Tries beyond the first.
    pub retries: u32,
    /// What the last attempt learned; reconnects and ignored messages are summed over all attempts.
    pub attempt: Attempt,
    /// From the first byte of the request to the last byte of the needed answers; none after a failure.
    pub took: Option<Duration>,
    /// Why the last attempt failed.
    pub failure: Option<Failure>,
}

impl Probed {
    /// An endpoint that was polled once, from `began` to `ended`.
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

    /// Why the last attempt failed.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        Some(self.failure.as_ref()?.reason)
    }

    /// Whether the endpoint is proven to belong to another network or another peer.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        matches!(
            self.reason(),
            Some(Reason::WrongNetwork | Reason::WrongPeer)
        )
    }
}

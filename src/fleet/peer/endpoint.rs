//! What is known of one endpoint of a peer.

use std::time::{Duration, SystemTime};

use convex_client::{Endpoint, Phases, Transport};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::fleet::Probed;

use super::tally::Tally;

/// A measurement with the time it was obtained.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::fleet) struct Measured<T> {
    pub(in crate::fleet) value: T,
    pub(in crate::fleet) obtained: Instant,
    /// The endpoint that told it; none: not one alone.
    pub(in crate::fleet) via: Option<Transport>,
}

/// One configured endpoint of a peer.
#[derive(Clone, Debug)]
pub struct EndpointRecord {
    /// How it is asked.
    pub transport: Transport,
    /// The endpoint as configured.
    pub url: String,
    /// Counters since this peer is watched.
    pub tally: Tally,
    /// Failed polls since the last good one.
    pub consecutive_failures: u32,
    /// When the last poll began.
    pub last_attempt: Option<SystemTime>,
    /// When the last good poll ended.
    pub last_success: Option<SystemTime>,
    /// Why the last poll failed; none after a good one.
    pub last_failure: Option<Failure>,
    /// When the certificate that was last shown ends.
    pub certificate_ends: Option<SystemTime>,
    pub(in crate::fleet) latest: Option<Measured<Timings>>,
}

/// What the last good poll of an endpoint took.
#[derive(Clone, Debug, PartialEq)]
pub struct Timings {
    /// The whole poll.
    pub took: Duration,
    /// The parts of connecting, where a connection was made.
    pub phases: Phases,
    /// By request: `status`, `ping`, `query`.
    pub requests: [(&'static str, Option<Duration>); 3],
    /// Bytes of the answers.
    pub response_bytes: usize,
}

impl EndpointRecord {
    pub(in crate::fleet) fn new(endpoint: &Endpoint) -> Self {
        Self {
            transport: endpoint.transport(),
            url: endpoint.to_string(),
            tally: Tally::default(),
            consecutive_failures: 0,
            last_attempt: None,
            last_success: None,
            last_failure: None,
            certificate_ends: None,
            latest: None,
        }
    }

    /// Takes the outcome of one poll.
    pub(in crate::fleet) fn observe(&mut self, probed: &Probed, now: Instant) {
        let attempt = &probed.attempt;
        self.tally.count(probed);
        self.last_attempt = Some(probed.began);
        self.last_failure.clone_from(&probed.failure);
        self.certificate_ends = attempt.certificate_ends.or(self.certificate_ends);
        let Some(took) = probed.took else {
            self.consecutive_failures = self.consecutive_failures.saturating_add(1);
            return;
        };
        self.consecutive_failures = 0;
        self.last_success = Some(probed.ended);
        let value = Timings {
            took,
            phases: attempt.phases,
            requests: [
                (
                    "status",
                    attempt.status.as_ref().map(|answered| answered.took),
                ),
                (
                    "ping",
                    // The HTTP transport reads the clock from a header.
                    attempt
                        .clock
                        .as_ref()
                        .filter(|_| self.transport == Transport::Tcp)
                        .map(|answered| answered.took),
                ),
                (
                    "query",
                    attempt.query.as_ref().map(|answered| answered.took),
                ),
            ],
            response_bytes: attempt.response_bytes,
        };
        self.latest = Some(Measured {
            value,
            obtained: now,
            via: Some(self.transport),
        });
    }
}

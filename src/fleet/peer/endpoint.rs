//! Record of one endpoint of a peer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::{CertificateEnd, Endpoint, Phases, Transport};
use tokio::time::Instant;

use crate::failure::{Failure, Reason};
use crate::fleet::EndpointObservation;

use super::tally::Tally;

/// A value with the time at which it was measured.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::fleet) struct Measured<T> {
    pub(in crate::fleet) value: T,
    /// When the peer was asked for it, or its host read.
    pub(in crate::fleet) obtained: Instant,
    /// The endpoint that it comes from; none if not from a single one.
    pub(in crate::fleet) via: Option<Transport>,
}

/// One configured endpoint of a peer.
#[derive(Clone, Debug)]
pub struct EndpointRecord {
    /// Transport of the endpoint.
    pub transport: Transport,
    /// URL as configured.
    pub url: String,
    /// Counters since the peer was added.
    pub tally: Tally,
    /// Failed polls since the last good one.
    pub consecutive_failures: u32,
    /// When the first of these polls began.
    pub failing_since: Option<SystemTime>,
    /// When the last poll began.
    pub last_attempt: Option<SystemTime>,
    /// When the last good poll ended.
    pub last_success: Option<SystemTime>,
    /// Why the last poll failed; none after a good one.
    pub last_failure: Option<Failure>,
    /// Last polls, one after the other, that found a peer of another network.
    pub(in crate::fleet) other_network_polls: u32,
    /// Failures in a row of connections that were to replace an old one which still works.
    pub new_connection_failures: u32,
    /// When the first of them began; none if there are none.
    pub(in crate::fleet) new_connections_fail_since: Option<SystemTime>,
    /// Why the last of them failed; none if there are none.
    pub new_connection_failure: Option<Failure>,
    /// The certificate that ends first of the last chain that was shown.
    pub certificate: Option<Arc<CertificateEnd>>,
    pub(in crate::fleet) latest: Option<Measured<Timings>>,
}

/// Durations and sizes of the last good poll of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Timings {
    /// Duration of the whole poll.
    pub took: Duration,
    /// Phases of connecting, if a connection was made.
    pub phases: Phases,
    /// Durations by request: `status`, `ping`, `query`.
    pub requests: [(&'static str, Option<Duration>); 3],
    /// Size of the answers, in bytes.
    pub response_bytes: usize,
}

impl EndpointRecord {
    pub(in crate::fleet) fn new(endpoint: &Endpoint) -> Self {
        Self {
            transport: endpoint.transport(),
            url: endpoint.to_string(),
            tally: Tally::default(),
            consecutive_failures: 0,
            failing_since: None,
            last_attempt: None,
            last_success: None,
            last_failure: None,
            other_network_polls: 0,
            new_connection_failures: 0,
            new_connections_fail_since: None,
            new_connection_failure: None,
            certificate: None,
            latest: None,
        }
    }

    /// Records the result of one poll. `excused` says whether what failed in it may be due to the
    /// agent itself.
    pub(in crate::fleet) fn record(
        &mut self,
        observation: &EndpointObservation,
        excused: bool,
        now: Instant,
    ) {
        let attempt = &observation.attempt;
        self.record_new_connection(observation, excused);
        self.tally.record(observation);
        self.last_attempt = Some(observation.began);
        self.last_failure.clone_from(&observation.failure);
        self.other_network_polls = match observation.reason() {
            Some(Reason::WrongNetwork) => self.other_network_polls.saturating_add(1),
            _ => 0,
        };
        if let Some(certificate) = &attempt.certificate {
            self.certificate = Some(Arc::clone(certificate));
        }
        let Some(took) = observation.took else {
            self.consecutive_failures = self.consecutive_failures.saturating_add(1);
            self.failing_since.get_or_insert(observation.began);
            return;
        };
        self.consecutive_failures = 0;
        self.failing_since = None;
        self.last_success = Some(observation.ended);
        let value = Timings {
            took,
            phases: attempt.phases,
            requests: [
                ("status", attempt.status.as_ref().map(|status| status.took)),
                // Over HTTP the clock is read from a header, not with a request of its own.
                (
                    "ping",
                    attempt
                        .clock
                        .as_ref()
                        .filter(|_| self.transport == Transport::Tcp)
                        .map(|clock| clock.took),
                ),
                ("query", attempt.query.as_ref().map(|query| query.took)),
            ],
            response_bytes: attempt.response_bytes,
        };
        self.latest = Some(Measured {
            value,
            obtained: now,
            via: Some(self.transport),
        });
    }

    /// Counts a connection that could not be replaced.
    fn record_new_connection(&mut self, observation: &EndpointObservation, excused: bool) {
        let attempt = &observation.attempt;
        match observation.renewal_failure() {
            // It says nothing about the peer.
            Some(failure) if excused || failure.reason == Reason::MONITOR => {}
            Some(failure) => {
                self.new_connection_failures = self.new_connection_failures.saturating_add(1);
                self.new_connections_fail_since
                    .get_or_insert(observation.began);
                self.new_connection_failure = Some(failure);
            }
            None if attempt.phases.connect.is_some() && observation.failure.is_none() => {
                self.new_connection_failures = 0;
                self.new_connections_fail_since = None;
                self.new_connection_failure = None;
            }
            None => {}
        }
    }
}

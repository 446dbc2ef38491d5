//! Result of one attempt to get answers from an endpoint, on either transport.

use std::sync::Arc;
use std::time::Duration;

use cad3::{Cell, Hash};

use crate::certificate::CertificateEnd;
use crate::clock::ClockSample;
use crate::failure::{Failure, FailureReason};
use crate::message::{Api, ErrorReply, Reply, data_request, query_request, status_request};
use crate::poll_query::{POLL_QUERY, PollAnswer};
use crate::proof::KeyProof;
use crate::query::{Query, QueryError};
use crate::status::Status;

/// Everything learned in one attempt. Answers that arrived before a failure are kept.
///
/// `V` is the type of the query's value: [`PollAnswer`] for a poll.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt<V = PollAnswer> {
    /// Durations of the steps of connecting; all absent if no connection was made.
    pub phases: Phases,
    /// Result of replacing a connection that was too old; none if that was not tried. After a
    /// failure the old connection is used on.
    pub renewal: Option<Result<(), Failure>>,
    /// Number of existing connections that turned out to be dead and were replaced.
    pub reconnects: u32,
    /// Number of existing connections that this client replaced by itself: they were old, were idle
    /// for long, or had too many unanswered requests. Says nothing about the peer.
    pub replaced: u32,
    /// Number of ignored messages: pushed messages, and replies with an unknown id. Always 0 over
    /// HTTP.
    pub ignored: u32,
    /// The certificate of the endpoint's TLS chain that ends first, also if the handshake failed
    /// because of it.
    pub certificate: Option<Arc<CertificateEnd>>,
    /// Size of the answers in bytes.
    pub response_bytes: usize,
    /// Answer to the status request.
    pub status: Option<Timed<Status>>,
    /// Answer to the query.
    pub query: Option<Timed<Answer<V>>>,
    /// Protocol version, inferred from the answer to the query.
    pub api: Option<Api>,
    /// The peer's clock: from the answer to PING over TCP, from the `Date` header over HTTP.
    pub clock: Option<Timed<ClockSample>>,
    /// What came of the challenge on the connection of this attempt; none before an answer. Always
    /// none over HTTP.
    pub key_proof: Option<KeyProof>,
    /// Time for which an overloaded peer asks not to be contacted (`Retry-After`). If the header
    /// has a date, it is compared with the peer's own clock. The client does not wait: that is the
    /// caller's decision.
    pub retry_after: Option<Duration>,
}

/// Outcome of an attempt: the time from the first byte of the request to the last byte of the
/// required answers, or the failure.
pub type Outcome = Result<Duration, Failure>;

/// A value with the time it took to arrive.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed<T> {
    /// The value.
    pub value: T,
    /// Time from the first byte of the request to the last byte of the answer.
    pub took: Duration,
}

/// Answer to a query: its value, or an error, which also proves that the peer evaluates queries.
pub type Answer<V = PollAnswer> = Result<V, ErrorReply>;

/// The request of an attempt whose answer has a value.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    /// Evaluates a form.
    Form(&'a Cell),
    /// The status.
    Status,
    /// Cells by their hashes.
    Cells(&'a [Hash]),
}

impl Request<'_> {
    /// Returns the message of the binary protocol.
    pub(crate) fn message(&self, id: i64, account: Option<u64>) -> Cell {
        match self {
            Self::Form(form) => query_request(id, form, account),
            Self::Status => status_request(id),
            Self::Cells(hashes) => data_request(id, hashes),
        }
    }
}

/// The requests of one attempt, and how the query's value is read.
pub(crate) struct RequestSpec<'a, V> {
    /// The query as text, for REST. Empty if the request is another one.
    pub source: &'a str,
    /// The same for the binary protocol.
    pub request: Request<'a>,
    /// Whether to request the status, and the clock where supported, too.
    pub with_status: bool,
    /// Reads the query's value, or returns the reason why it is not an answer.
    pub read: fn(Cell) -> Result<V, Failure>,
}

impl RequestSpec<'static, PollAnswer> {
    /// Returns the requests of a poll.
    pub(crate) fn poll() -> Self {
        Self {
            source: POLL_QUERY.source(),
            request: Request::Form(POLL_QUERY.form()),
            with_status: true,
            read: |cell| PollAnswer::from_cell(&cell),
        }
    }
}

impl<'a> RequestSpec<'a, Cell> {
    /// Returns the request of a single query.
    pub(crate) fn query(query: &'a Query) -> Self {
        Self {
            source: query.source(),
            request: Request::Form(query.form()),
            with_status: false,
            read: Ok,
        }
    }
}

/// Durations of the steps of connecting. A step that did not happen, or cannot be distinguished
/// from the next one, is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Name resolution; absent for an address literal.
    pub resolve: Option<Duration>,
    /// The TCP handshake.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
}

impl<V> Default for Attempt<V> {
    /// Creates an attempt without any answers.
    fn default() -> Self {
        Self {
            phases: Phases::default(),
            renewal: None,
            reconnects: 0,
            replaced: 0,
            ignored: 0,
            certificate: None,
            response_bytes: 0,
            status: None,
            query: None,
            api: None,
            clock: None,
            key_proof: None,
            retry_after: None,
        }
    }
}

impl<V> Attempt<V> {
    /// Returns the value of a single request.
    pub(crate) fn into_value(self, outcome: Outcome) -> Result<V, QueryError> {
        match (self.query, outcome) {
            (Some(timed), _) => timed.value.map_err(QueryError::Refused),
            (None, Err(failure)) => Err(failure.into()),
            (None, Ok(_)) => Err(Failure::new(FailureReason::Timeout, "no answer arrived").into()),
        }
    }
}

impl<V> Attempt<V> {
    /// Records the reply to the status request.
    ///
    /// # Errors
    /// The peer reports an error, or the value is not a status.
    pub(crate) fn record_status(&mut self, reply: Reply, took: Duration) -> Result<(), Failure> {
        let cell = reply.outcome.map_err(|error| {
            Failure::new(
                FailureReason::PeerError,
                format!(
                    "the status request failed with :{}: {}",
                    error.code, error.message
                ),
            )
        })?;
        let value = Status::from_cell(&cell)?;
        self.status = Some(Timed { value, took });
        Ok(())
    }

    /// Records the reply to the query. An error of the query itself is an answer; an error which
    /// says that the query was not evaluated is a failure.
    ///
    /// # Errors
    /// The query was not evaluated, or the value is not an answer to it.
    pub(crate) fn record_query(
        &mut self,
        reply: Reply,
        took: Duration,
        read: fn(Cell) -> Result<V, Failure>,
    ) -> Result<(), Failure> {
        self.api = Some(reply.api);
        let value = match reply.outcome {
            Ok(cell) => Ok(read(cell)?),
            Err(error) => match not_evaluated(&error.code) {
                Some(reason) => {
                    return Err(Failure::new(
                        reason,
                        format!("the query failed with :{}: {}", error.code, error.message),
                    ));
                }
                None => Err(error),
            },
        };
        self.query = Some(Timed { value, took });
        Ok(())
    }
}

/// Returns the failure reason for an error code which says that the query was not evaluated
/// (PEER-PROTOCOL, section 4).
fn not_evaluated(code: &str) -> Option<FailureReason> {
    match code {
        "TIMEOUT" => Some(FailureReason::QueryHangs),
        "LOAD" => Some(FailureReason::Overloaded),
        "CONNECT" => Some(FailureReason::PeerError),
        _ => None,
    }
}

//! What one try to ask an endpoint brought, on any transport.

use std::time::{Duration, SystemTime};

use cad3::Cell;

use crate::poll_query::{self, PollAnswer};
use crate::query::{Query, QueryError};

use super::failure::{Failure, FailureReason};
use super::message::{Api, ErrorReply, Reply};
use super::status::Status;

/// One try: whatever was learned, and what went wrong if something did. Answers that came before a failure are kept.
/// `V` is what the query's value is read as: the figures of a poll, or the cell itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt<V = PollAnswer> {
    /// How long connecting took; all absent when the connection was kept from before.
    pub phases: Phases,
    /// Kept connections that were found dead and replaced.
    pub reconnects: u32,
    /// Messages that nobody waited for: pushed ones, and replies with an unknown id.
    pub ignored: u32,
    /// When the certificate that the endpoint showed ends; also of a handshake that failed because of it.
    pub certificate_ends: Option<SystemTime>,
    /// Bytes of the answers.
    pub response_bytes: usize,
    /// The STATUS answer.
    pub status: Option<Timed<Status>>,
    /// The query's answer.
    pub query: Option<Timed<Answer<V>>>,
    /// The interface that the query's answer shows.
    pub api: Option<Api>,
    /// The peer's clock, where it answers PING.
    pub clock: Option<Timed<ClockSample>>,
    /// How long an overloaded peer asks to be left alone (`Retry-After`), by its own clock where it gives a date.
    /// Whether to obey is the caller's decision.
    pub retry_after: Option<Duration>,
}

/// How an attempt ended: the time from the first byte of the request to the last byte of the needed answers, or why
/// there are none.
pub type Outcome = Result<Duration, Failure>;

/// A value with the time it took to be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed<T> {
    /// What was answered.
    pub value: T,
    /// From the first byte of its request to the last byte of its answer.
    pub took: Duration,
}

/// A query's answer: its value, or an error that proves that the query thread works.
pub type Answer<V = PollAnswer> = Result<V, ErrorReply>;

/// What one ask is after: what is asked, and how the query's value is read.
pub(super) struct RequestSpec<'a, V> {
    /// The query, as REST is asked.
    pub source: &'a str,
    /// The query, as the binary protocol is asked.
    pub form: &'a Cell,
    /// Whether the status, and what goes with it, is asked too.
    pub with_status: bool,
    /// Reads the value, or says why it is no answer.
    pub read: fn(Cell) -> Result<V, Failure>,
}

impl RequestSpec<'static, PollAnswer> {
    /// What a poll asks.
    pub(super) fn poll() -> Self {
        Self {
            source: &poll_query::SOURCE,
            form: &poll_query::FORM,
            with_status: true,
            read: |cell| PollAnswer::from_cell(&cell),
        }
    }
}

impl<'a> RequestSpec<'a, Cell> {
    /// A question alone.
    pub(super) fn value(question: &'a Query) -> Self {
        Self {
            source: question.source(),
            form: question.form(),
            with_status: false,
            read: Ok,
        }
    }
}

/// The steps of connecting. A step that did not happen, or cannot be told from its neighbour, is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Name to addresses; absent for an address literal.
    pub resolve: Option<Duration>,
    /// The TCP handshake.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
}

/// The peer's clock against ours, as Cristian's algorithm bounds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockSample {
    /// Peer minus monitor, seconds.
    pub skew: f64,
    /// Half the round trip, seconds: the skew is this exact.
    pub uncertainty: f64,
}

impl ClockSample {
    /// A sample from the peer's clock `peer_ms`, asked at the wall time `sent` and answered `round_trip` later.
    #[must_use]
    pub fn new(peer_ms: i64, sent: SystemTime, round_trip: Duration) -> Self {
        let uncertainty = round_trip.as_secs_f64() / 2.0;
        Self {
            skew: seconds_of_ms(peer_ms) - (seconds_since_epoch(sent) + uncertainty),
            uncertainty,
        }
    }

    /// A coarse sample from a clock that tells whole seconds: `date` was current when the answer was made, which arrived
    /// at the wall time `answered_at`, `round_trip` after its request.
    #[must_use]
    pub fn of_whole_second(
        date: SystemTime,
        answered_at: SystemTime,
        round_trip: Duration,
    ) -> Self {
        let half_trip = round_trip.as_secs_f64() / 2.0;
        let ours = seconds_since_epoch(answered_at) - half_trip;
        Self {
            skew: seconds_since_epoch(date) + 0.5 - ours,
            uncertainty: 0.5 + half_trip,
        }
    }
}

/// Milliseconds as seconds.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "a time in this era is far below 2^53 ms"
)]
pub fn seconds_of_ms(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Seconds since the epoch; negative before it.
#[must_use]
pub fn seconds_since_epoch(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

impl<V> Default for Attempt<V> {
    /// Nothing learned yet.
    fn default() -> Self {
        Self {
            phases: Phases::default(),
            reconnects: 0,
            ignored: 0,
            certificate_ends: None,
            response_bytes: 0,
            status: None,
            query: None,
            api: None,
            clock: None,
            retry_after: None,
        }
    }
}

impl Attempt<Cell> {
    /// The value of a query that was asked alone.
    pub(super) fn into_value(self, outcome: Outcome) -> Result<Cell, QueryError> {
        match (self.query, outcome) {
            (Some(timed), _) => timed.value.map_err(QueryError::Refused),
            (None, Err(failure)) => Err(failure.into()),
            (None, Ok(_)) => Err(Failure::new(FailureReason::Timeout, "no answer arrived").into()),
        }
    }
}

impl<V> Attempt<V> {
    /// Takes the reply to STATUS.
    ///
    /// # Errors
    /// The peer reports an error, or the value is no status.
    pub(super) fn take_status(&mut self, reply: Reply, took: Duration) -> Result<(), Failure> {
        let cell = reply.outcome.map_err(|error| {
            Failure::new(
                FailureReason::PeerError,
                format!(
                    "the status is refused with :{}: {}",
                    error.code, error.message
                ),
            )
        })?;
        let value = Status::from_cell(&cell)?;
        self.status = Some(Timed { value, took });
        Ok(())
    }

    /// Takes the reply to the query. An error of the query itself is an answer; one that says that the query thread
    /// was not reached is a failure.
    ///
    /// # Errors
    /// The query did not run, or the value is no answer to it.
    pub(super) fn take_query(
        &mut self,
        reply: Reply,
        took: Duration,
        read: fn(Cell) -> Result<V, Failure>,
    ) -> Result<(), Failure> {
        self.api = Some(reply.api);
        let value = match reply.outcome {
            Ok(cell) => Ok(read(cell)?),
            Err(error) => match reason_of_code(&error.code) {
                Some(reason) => {
                    return Err(Failure::new(
                        reason,
                        format!(
                            "the query is answered with :{}: {}",
                            error.code, error.message
                        ),
                    ));
                }
                None => Err(error),
            },
        };
        self.query = Some(Timed { value, took });
        Ok(())
    }
}

/// The codes by which a peer says that a query did not reach its query thread (PEER-PROTOCOL, section 4).
fn reason_of_code(code: &str) -> Option<FailureReason> {
    match code {
        "TIMEOUT" => Some(FailureReason::QueryHangs),
        "LOAD" => Some(FailureReason::Overloaded),
        "CONNECT" => Some(FailureReason::PeerError),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_tells_whole_seconds_is_exact_to_half_a_second() {
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        for answered in [1_000_100, 1_000_550, 1_001_090] {
            // A peer whose clock is right, asked 200 ms ago: it wrote the header half way.
            let date = at((answered - 100) / 1000 * 1000);
            let sample =
                ClockSample::of_whole_second(date, at(answered), Duration::from_millis(200));
            assert!(sample.skew.abs() <= sample.uncertainty, "{sample:?}");
            assert!((sample.uncertainty - 0.6).abs() < 1e-9, "{sample:?}");
        }
    }

    #[test]
    fn the_skew_is_measured_at_the_middle_of_the_round_trip() {
        let sent = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let sample = ClockSample::new(1_005_100, sent, Duration::from_millis(200));
        assert!((sample.skew - 5.0).abs() < 1e-9, "{sample:?}");
        assert!((sample.uncertainty - 0.1).abs() < 1e-9, "{sample:?}");
    }
}

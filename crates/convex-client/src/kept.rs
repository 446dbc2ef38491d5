//! A client that keeps its connection between attempts, the same for both transports. Decides when
//! the connection is replaced, and what follows from an answer that is overdue.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::attempt::{Attempt, Outcome, RequestSpec};
use crate::dial::{Dialler, Stream};
use crate::failure::{Failure, FailureReason};

/// How a protocol uses a connection.
pub(crate) trait Protocol: Sync {
    /// A connection with what the protocol knows about it.
    type Connection: Send;

    /// Longest time that a connection is idle before it is used again. Neither the peer nor the
    /// network may have closed it by then.
    const MAX_IDLE: Duration;

    /// Takes over a new connection.
    fn open(&self, stream: Stream) -> Self::Connection;

    /// Prepares a kept connection for the next attempt.
    fn resume<V>(&self, connection: &mut Self::Connection, attempt: &mut Attempt<V>) -> Resumed;

    /// Sends the requests and records the answers, by `deadline`. Sets `heard` when the first
    /// answer arrives. Replaces the connection with `dialler` if the peer closes it between two
    /// answers.
    fn exchange<V: Send>(
        &self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Self::Connection,
        attempt: &mut Attempt<V>,
        heard: &AtomicBool,
        dialler: &Dialler,
        deadline: Instant,
    ) -> impl Future<Output = Outcome> + Send;

    /// Whether nothing was received on the connection in the current attempt.
    fn is_silent(&self, connection: &Self::Connection) -> bool;

    /// Whether the next attempt can use the connection after this outcome.
    fn is_reusable(&self, connection: &Self::Connection, outcome: &Outcome) -> bool;

    /// Frees what is not needed until the next attempt.
    fn rest(&self, _: &mut Self::Connection) {}

    /// Requests the status alone, by `deadline`. Returns whether the peer answers.
    fn answers_status(
        &self,
        connection: Self::Connection,
        deadline: Instant,
    ) -> impl Future<Output = bool> + Send;
}

/// Whether a kept connection can be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resumed {
    /// It can.
    Usable,
    /// The peer, or the network, has closed it.
    Closed,
    /// It is open, but this client gives it up.
    GivenUp,
}

/// A client of one endpoint.
#[derive(Debug)]
pub(crate) struct KeptClient<P: Protocol> {
    pub(crate) protocol: P,
    dialler: Dialler,
    max_age: Duration,
    kept: Option<Kept<P::Connection>>,
}

#[derive(Debug)]
struct Kept<C> {
    connection: C,
    renew_at: Instant,
    last_used: Instant,
}

/// Result of replacing a connection because of its age.
enum Renewal<C> {
    /// By this one.
    Done(Kept<C>),
    /// The old one is used on, and the next attempt tries again.
    Failed,
    /// The old one is used on for another while.
    Postponed,
}

impl<P: Protocol> KeptClient<P> {
    /// Creates a client, which connects on first use.
    pub(crate) fn new(protocol: P, dialler: Dialler, max_age: Duration) -> Self {
        Self {
            protocol,
            dialler,
            max_age,
            kept: None,
        }
    }

    /// Makes one attempt by `deadline`: on the kept connection, or else on a new one.
    pub(crate) async fn attempt<V: Send>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        deadline: Instant,
    ) -> (Attempt<V>, Outcome) {
        let started = Instant::now();
        let mut attempt = Attempt::default();
        if let Some(mut kept) = self.take_kept(&mut attempt) {
            let outcome = self
                .exchange(spec, &mut kept.connection, &mut attempt, true, deadline)
                .await;
            let closed =
                matches!(&outcome, Err(failure) if failure.reason == FailureReason::Closed);
            // The peer may close an idle connection at any time, so try once more on a new one.
            if !(closed && self.protocol.is_silent(&kept.connection)) {
                let half_time = started + deadline.saturating_duration_since(started) / 2;
                let now = Instant::now();
                // With less time than that, a failure would say nothing.
                if outcome.is_ok() && spec.with_status && now >= kept.renew_at && now < half_time {
                    // Boxed, because it is rare.
                    let renewal = Box::pin(self.renew(spec, &mut attempt, deadline));
                    match renewal.await {
                        Renewal::Done(new) => kept = new,
                        Renewal::Failed => {}
                        Renewal::Postponed => kept.renew_at = now + jittered(self.max_age),
                    }
                }
                self.keep(kept, &outcome);
                return (attempt, outcome);
            }
            attempt.reconnects += 1;
        }
        let mut new = match self.connect(&mut attempt, deadline).await {
            Ok(connection) => connection,
            Err(failure) => return (attempt, Err(failure)),
        };
        let outcome = self
            .exchange(spec, &mut new.connection, &mut attempt, false, deadline)
            .await;
        self.keep(new, &outcome);
        (attempt, outcome)
    }

    /// Returns the connection of the previous attempt, if it is still open.
    fn take_kept<V>(&mut self, attempt: &mut Attempt<V>) -> Option<Kept<P::Connection>> {
        let mut kept = self.kept.take()?;
        if kept.last_used.elapsed() >= P::MAX_IDLE {
            // Replaced as planned: nothing has happened to it.
            attempt.replaced += 1;
            return None;
        }
        match self.protocol.resume(&mut kept.connection, attempt) {
            Resumed::Usable => return Some(kept),
            Resumed::Closed => attempt.reconnects += 1,
            Resumed::GivenUp => attempt.replaced += 1,
        }
        None
    }

    fn keep(&mut self, mut kept: Kept<P::Connection>, outcome: &Outcome) {
        if self.protocol.is_reusable(&kept.connection, outcome) {
            self.protocol.rest(&mut kept.connection);
            kept.last_used = Instant::now();
            self.kept = Some(kept);
        }
    }

    /// Opens a connection for something else than an attempt.
    pub(crate) async fn dial(&self, deadline: Instant) -> Result<Stream, Failure> {
        self.dialler.dial(deadline).await.stream
    }

    async fn connect<V>(
        &self,
        attempt: &mut Attempt<V>,
        deadline: Instant,
    ) -> Result<Kept<P::Connection>, Failure> {
        let dialled = self.dialler.dial(deadline).await;
        attempt.phases = dialled.phases;
        attempt.certificate = dialled.certificate.or(attempt.certificate.take());
        let connection = self.protocol.open(dialled.stream?);
        let now = Instant::now();
        Ok(Kept {
            connection,
            renew_at: now + jittered(self.max_age),
            last_used: now,
        })
    }

    /// Opens the next connection and sends the requests on it too, before the old one is closed.
    async fn renew<V: Send>(
        &self,
        spec: &RequestSpec<'_, V>,
        attempt: &mut Attempt<V>,
        deadline: Instant,
    ) -> Renewal<P::Connection> {
        let mut renewal = Attempt::default();
        let renewed = match self.connect(&mut renewal, deadline).await {
            Ok(mut new) => self
                .exchange(spec, &mut new.connection, &mut renewal, false, deadline)
                .await
                .map(|_| new),
            Err(failure) => Err(failure),
        };
        attempt.certificate = renewal.certificate.or(attempt.certificate.take());
        attempt.ignored += renewal.ignored;
        match renewed {
            Ok(new) => {
                attempt.phases = renewal.phases;
                attempt.renewal = Some(Ok(()));
                attempt.replaced += 1;
                Renewal::Done(new)
            }
            // Two polls at once may be more than the peer or its gateway allows.
            Err(failure) if failure.reason == FailureReason::Overloaded => Renewal::Postponed,
            Err(failure) => {
                attempt.renewal = Some(Err(failure));
                Renewal::Failed
            }
        }
    }

    /// Sends the requests. If nothing was answered when half of the time has passed, requests the
    /// status on another connection, which shows whether the peer is there at all.
    async fn exchange<V: Send>(
        &self,
        spec: &RequestSpec<'_, V>,
        connection: &mut P::Connection,
        attempt: &mut Attempt<V>,
        is_kept: bool,
        deadline: Instant,
    ) -> Outcome {
        let now = Instant::now();
        let overdue = now + deadline.saturating_duration_since(now) / 2;
        let heard = AtomicBool::new(false);
        let mut answers_elsewhere = None;
        let outcome = {
            let exchange =
                self.protocol
                    .exchange(spec, connection, attempt, &heard, &self.dialler, deadline);
            let question = async {
                sleep_until(overdue).await;
                spec.with_status
                    && !heard.load(Ordering::Relaxed)
                    && Box::pin(self.answers_elsewhere(deadline)).await
            };
            tokio::pin!(exchange, question);
            loop {
                tokio::select! {
                    outcome = &mut exchange => break outcome,
                    answers = &mut question, if answers_elsewhere.is_none() => {
                        answers_elsewhere = Some(answers);
                    }
                }
            }
        };
        match outcome {
            Err(failure)
                if failure.reason == FailureReason::Timeout && answers_elsewhere == Some(true) =>
            {
                Err(if is_kept {
                    // The connection may be dead, so this says nothing about queries.
                    Failure::new(
                        FailureReason::Timeout,
                        "nothing arrived on the kept connection; the peer answers the status \
                         request on a new one",
                    )
                } else {
                    Failure::new(
                        FailureReason::QueryHangs,
                        "the peer answers the status request but not the query",
                    )
                })
            }
            outcome => outcome,
        }
    }

    async fn answers_elsewhere(&self, deadline: Instant) -> bool {
        match self.dialler.dial(deadline).await.stream {
            Ok(stream) => {
                let connection = self.protocol.open(stream);
                self.protocol.answers_status(connection, deadline).await
            }
            Err(_) => false,
        }
    }
}

/// Returns up to a fifth less than `age`.
fn jittered(age: Duration) -> Duration {
    // The only source of random numbers in the standard library.
    let random = RandomState::new().build_hasher().finish() >> 32;
    let random = u32::try_from(random).unwrap_or_default();
    age.mul_f64(1.0 - f64::from(random) / f64::from(u32::MAX) / 5.0)
}

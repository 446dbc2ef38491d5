//! The binary transport: one persistent connection, requests in one write, replies matched by id.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use cad3::{Cell, Limits, encode_message};
use futures_util::{FutureExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::codec::FramedRead;

use crate::attempt::{Attempt, ClockSample, Outcome, Phases, RequestSpec, Timed};
use crate::query::{Query, QueryError};

use super::failure::{Failure, FailureReason};
use super::frame::{FrameDecoder, put_frame};
use super::message::{Api, Reply, ping_request, query_request, status_request};
use super::{Endpoint, resolve};

/// Requests that may stay unanswered on one connection before it is replaced: an id that timed out stays reserved, and
/// what a hung peer piles up for later stays bounded.
const MAX_OUTSTANDING: usize = 32;

/// Messages that nobody waits for which one poll puts up with: a few late replies are usual, a flood is not.
const MAX_IGNORED: u32 = 1000;

/// Room for a usual status and query reply.
const READ_BUFFER_BYTES: usize = 1024;

/// The client side of one `tcp://` endpoint.
#[derive(Debug)]
pub struct TcpClient {
    host: String,
    port: u16,
    account: Option<u64>,
    limits: Limits,
    connection: Option<Connection>,
    next_id: i64,
    answers_ping: bool,
}

#[derive(Debug)]
struct Connection {
    frames: FramedRead<TcpStream, FrameDecoder>,
    /// Ids that were sent and not answered, of earlier polls too.
    outstanding: Vec<i64>,
    /// Contents received since the current ask began, bytes.
    received: usize,
    ignored: u32,
}

/// The requests of one ask, by id.
struct Asked {
    sent: Instant,
    sent_at: SystemTime,
    query: i64,
    status: Option<i64>,
    ping: Option<i64>,
}

impl Asked {
    /// Whether all needed answers are there; a ping's is not needed.
    fn is_answered<V>(&self, attempt: &Attempt<V>) -> bool {
        attempt.query.is_some() && (self.status.is_none() || attempt.status.is_some())
    }
}

impl TcpClient {
    /// A client that connects when first asked.
    #[must_use]
    pub fn new(endpoint: &Endpoint, account: Option<u64>, max_response_bytes: usize) -> Self {
        Self {
            host: endpoint.host(),
            port: endpoint.port(),
            account,
            limits: Limits {
                max_bytes: max_response_bytes,
                ..Limits::default()
            },
            connection: None,
            next_id: 1,
            answers_ping: false,
        }
    }

    /// Asks status, ping (of a peer that is known to answer it) and the query in one write; done by `deadline`.
    pub async fn ask(&mut self, deadline: Instant) -> (Attempt, Outcome) {
        self.attempt(&RequestSpec::poll(), deadline).await
    }

    /// Asks one question on the same connection; done by `deadline`.
    ///
    /// # Errors
    /// The peer reports an error, or does not answer.
    pub async fn query(&mut self, query: &Query, deadline: Instant) -> Result<Cell, QueryError> {
        let spec = RequestSpec::value(query);
        let (attempt, outcome) = self.attempt(&spec, deadline).await;
        attempt.into_value(outcome)
    }

    async fn attempt<V>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        deadline: Instant,
    ) -> (Attempt<V>, Outcome) {
        let mut attempt = Attempt::default();
        let mut kept = self.kept_connection(&mut attempt);
        loop {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => match self.connect(deadline).await {
                    Ok((connection, phases)) => {
                        attempt.phases = phases;
                        connection
                    }
                    Err(failure) => return (attempt, Err(failure)),
                },
            };
            let is_kept = attempt.phases.connect.is_none();
            let outcome = self
                .converse(spec, &mut connection, &mut attempt, deadline)
                .await;
            attempt.response_bytes = connection.received;
            attempt.ignored += std::mem::take(&mut connection.ignored);
            if is_kept
                && connection.received == 0
                && matches!(&outcome, Err(failure) if failure.reason == FailureReason::Closed)
            {
                attempt.reconnects += 1;
                continue;
            }
            if is_reusable(&outcome, &connection) {
                connection.rest();
                self.connection = Some(connection);
            }
            return (attempt, outcome);
        }
    }

    /// The connection of the last ask, if it still lives. What arrived on it since then is read and dropped.
    fn kept_connection<V>(&mut self, attempt: &mut Attempt<V>) -> Option<Connection> {
        let mut connection = self.connection.take()?;
        connection
            .frames
            .read_buffer_mut()
            .reserve(READ_BUFFER_BYTES);
        connection.received = 0;
        while connection.received <= self.limits.max_bytes {
            match connection.frames.next().now_or_never() {
                Some(Some(Ok(content))) => {
                    connection.received += content.len();
                    connection.note_stale(&content, &self.limits);
                }
                // Nothing more to read, and alive as far as anyone can tell.
                None if connection.outstanding.len() + 3 <= MAX_OUTSTANDING => {
                    connection.received = 0;
                    return Some(connection);
                }
                None | Some(None | Some(Err(_))) => break,
            }
        }
        attempt.ignored += connection.ignored;
        attempt.reconnects += 1;
        None
    }

    async fn connect(&self, deadline: Instant) -> Result<(Connection, Phases), Failure> {
        let began = Instant::now();
        let addresses = timeout_at(deadline, resolve::resolve(&self.host, self.port))
            .await
            .map_err(|_| {
                Failure::new(
                    FailureReason::Dns,
                    format!("{} did not resolve in time", self.host),
                )
            })??;
        let resolved = Instant::now();
        let stream = self.dial(&addresses, deadline).await?;
        // Requests are small and complete: waiting for more to send would only add to the latency.
        stream
            .set_nodelay(true)
            .map_err(|error| Failure::from_io(&error))?;
        let phases = Phases {
            resolve: (!resolve::is_literal(&self.host)).then(|| resolved - began),
            connect: Some(resolved.elapsed()),
            tls: None,
        };
        let frames = FramedRead::with_capacity(
            stream,
            FrameDecoder::new(self.limits.max_bytes),
            READ_BUFFER_BYTES,
        );
        let connection = Connection {
            frames,
            outstanding: Vec::new(),
            received: 0,
            ignored: 0,
        };
        Ok((connection, phases))
    }

    /// Tries the addresses in order; each gets an equal share of the time that is left.
    async fn dial(
        &self,
        addresses: &[std::net::SocketAddr],
        deadline: Instant,
    ) -> Result<TcpStream, Failure> {
        let mut last = Failure::new(FailureReason::Dns, format!("{} has no address", self.host));
        for (i, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - i).unwrap_or(u32::MAX);
            last = match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => Failure::from_io(&error),
                Err(_) => Failure::new(
                    FailureReason::ConnectTimeout,
                    format!("{address} did not accept within {share:.1?}"),
                ),
            };
        }
        Err(last)
    }

    async fn converse<V>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        attempt: &mut Attempt<V>,
        deadline: Instant,
    ) -> Result<Duration, Failure> {
        let asked = self.send(spec, connection, deadline).await?;
        while !asked.is_answered(attempt) {
            let content = match timeout_at(deadline, connection.frames.next()).await {
                Ok(Some(content)) => content?,
                Ok(None) => {
                    return Err(Failure::new(
                        FailureReason::Closed,
                        "the peer closed the connection without an answer",
                    ));
                }
                Err(_) => return Err(overdue(attempt)),
            };
            connection.received += content.len();
            if connection.received > self.limits.max_bytes {
                return Err(Failure::new(
                    FailureReason::TooLarge,
                    format!(
                        "more than {} bytes of replies to one poll",
                        self.limits.max_bytes
                    ),
                ));
            }
            self.take(spec, connection, attempt, &asked, &content)?;
            if attempt.ignored > MAX_IGNORED {
                return Err(Failure::new(
                    FailureReason::Malformed,
                    format!("more than {MAX_IGNORED} messages that nobody waits for"),
                ));
            }
        }
        Ok(asked.sent.elapsed())
    }

    async fn send<V>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        deadline: Instant,
    ) -> Result<Asked, Failure> {
        let mut requests = Vec::with_capacity(512);
        let mut request = |client: &mut Self, message: &dyn Fn(i64) -> Cell| {
            let id = client.next_id;
            client.next_id += 1;
            put_frame(&mut requests, &encode_message(&message(id)));
            connection.outstanding.push(id);
            id
        };
        let status = spec.with_status.then(|| request(self, &status_request));
        let asks_ping = spec.with_status && self.answers_ping;
        let ping = asks_ping.then(|| request(self, &ping_request));
        let account = self.account;
        let query = request(self, &|id| query_request(id, spec.form, account));
        let asked = Asked {
            sent: Instant::now(),
            sent_at: SystemTime::now(),
            query,
            status,
            ping,
        };
        match timeout_at(deadline, connection.frames.get_mut().write_all(&requests)).await {
            Ok(Ok(())) => Ok(asked),
            Ok(Err(error)) => Err(Failure::from_io(&error)),
            Err(_) => Err(Failure::new(
                FailureReason::Timeout,
                "the peer does not read what is sent to it",
            )),
        }
    }

    /// Files one message: an awaited reply, or something nobody waits for.
    fn take<V>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        attempt: &mut Attempt<V>,
        asked: &Asked,
        content: &Bytes,
    ) -> Result<(), Failure> {
        let reply = Reply::decode(content, &self.limits).map_err(|error| {
            Failure::new(
                FailureReason::Malformed,
                format!("a reply does not decode: {error}"),
            )
        })?;
        let Some((id, reply)) = reply.and_then(|reply| Some((reply.id?, reply))) else {
            attempt.ignored += 1;
            return Ok(());
        };
        if !connection.answered(id) {
            attempt.ignored += 1;
            return Ok(());
        }
        let took = asked.sent.elapsed();
        if id == asked.query {
            self.answers_ping |= reply.api == Api::V0_8_3;
            attempt.take_query(reply, took, spec.read)
        } else if Some(id) == asked.status {
            attempt.take_status(reply, took)
        } else if Some(id) == asked.ping {
            if let Some(peer_ms) = reply.outcome.ok().and_then(|value| value.as_i64()) {
                let value = ClockSample::new(peer_ms, asked.sent_at, took);
                attempt.clock = Some(Timed { value, took });
            }
            Ok(())
        } else {
            // A late answer to an earlier poll.
            attempt.ignored += 1;
            Ok(())
        }
    }
}

impl Connection {
    /// Gives the room for replies back until the next ask.
    fn rest(&mut self) {
        let buffer = self.frames.read_buffer_mut();
        if buffer.is_empty() {
            *buffer = BytesMut::new();
        }
    }

    /// Whether `id` was waited for on this connection; it is no longer.
    fn answered(&mut self, id: i64) -> bool {
        let position = self.outstanding.iter().position(|waiting| *waiting == id);
        position
            .map(|position| self.outstanding.swap_remove(position))
            .is_some()
    }

    /// A message that arrived between two polls: a late reply frees its id.
    fn note_stale(&mut self, content: &Bytes, limits: &Limits) {
        self.ignored += 1;
        if let Ok(Some(Reply { id: Some(id), .. })) = Reply::decode(content, limits) {
            self.answered(id);
        }
    }
}

/// What is wrong when the deadline passes.
fn overdue<V>(attempt: &Attempt<V>) -> Failure {
    match (&attempt.status, &attempt.query) {
        (Some(_), None) => Failure::new(
            FailureReason::QueryHangs,
            "the status is answered, the query is not",
        ),
        (None, Some(_)) => Failure::new(
            FailureReason::Timeout,
            "the query is answered, the status is not",
        ),
        _ => Failure::new(FailureReason::Timeout, "connected, but no answer came"),
    }
}

/// Whether the next poll can use the connection: it is in order and something was heard on it. On a silent one the next
/// poll connects anew, which tells a peer that hangs from a path that is gone.
fn is_reusable(outcome: &Outcome, connection: &Connection) -> bool {
    match outcome {
        Ok(_) => true,
        Err(failure) => {
            connection.received > 0
                && matches!(
                    failure.reason,
                    FailureReason::Timeout
                        | FailureReason::QueryHangs
                        | FailureReason::PeerError
                        | FailureReason::Overloaded
                )
        }
    }
}

//! The TCP transport: the binary protocol on one persistent connection. Requests are sent in one
//! write, and replies are matched by id.

mod frame;

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use cad3::{Cell, Limits, encode_message};
use futures_util::{FutureExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::codec::FramedRead;

use crate::attempt::{Attempt, Outcome, Phases, RequestSpec, Timed};
use crate::clock::ClockSample;
use crate::endpoint::Endpoint;
use crate::failure::{Failure, FailureReason};
use crate::message::{Api, Reply, ping_request, query_request, status_request};
use crate::options::ClientOptions;
use crate::query::{Query, QueryError};
use crate::resolve;

pub use self::frame::{FrameDecoder, FrameError, put_frame};

/// Maximum number of unanswered requests on one connection before it is replaced. The id of a
/// request that timed out stays reserved, and this bounds the replies that a hanging peer may send
/// later.
const MAX_OUTSTANDING: usize = 32;

/// Maximum number of ignored messages in one attempt. A few late replies are normal; a flood is
/// not.
const MAX_IGNORED: u32 = 1000;

/// Capacity of the read buffer: enough for the usual replies to a poll.
const READ_BUFFER_BYTES: usize = 1024;

/// Client of one `tcp://` endpoint.
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
    /// Ids of unanswered requests, including those of earlier attempts.
    outstanding: Vec<i64>,
    /// Size of the contents received in the current attempt, in bytes.
    received: usize,
    /// Number of messages ignored between attempts.
    ignored: u32,
}

/// The requests of one attempt, by their ids.
struct SentRequests {
    /// Time at which they were sent.
    sent: Instant,
    /// The same by the local clock.
    sent_at: SystemTime,
    query: i64,
    status: Option<i64>,
    ping: Option<i64>,
}

impl SentRequests {
    /// Returns whether all required answers have arrived. The answer to PING is not required.
    fn is_answered<V>(&self, attempt: &Attempt<V>) -> bool {
        attempt.query.is_some() && (self.status.is_none() || attempt.status.is_some())
    }
}

impl TcpClient {
    /// Creates a client, which connects on first use.
    ///
    /// The transport of `endpoint` must be [`Transport::Tcp`](crate::Transport::Tcp).
    #[must_use]
    pub fn new(endpoint: &Endpoint, options: &ClientOptions) -> Self {
        Self {
            host: endpoint.host(),
            port: endpoint.port(),
            account: options.account,
            limits: Limits {
                max_bytes: options.max_response_bytes,
                ..Limits::default()
            },
            connection: None,
            next_id: 1,
            answers_ping: false,
        }
    }

    /// Requests the status and, if the peer is known to answer PING, its clock, and sends
    /// [`POLL_QUERY`](crate::POLL_QUERY), all in one write. Finishes by `deadline`.
    pub async fn poll(&mut self, deadline: Instant) -> (Attempt, Outcome) {
        self.attempt(&RequestSpec::poll(), deadline).await
    }

    /// Sends a query on the same connection and returns its value. Finishes by `deadline`.
    ///
    /// # Errors
    /// The peer reports an error, or no valid answer arrives by the deadline.
    pub async fn query(&mut self, query: &Query, deadline: Instant) -> Result<Cell, QueryError> {
        let spec = RequestSpec::query(query);
        let (attempt, outcome) = self.attempt(&spec, deadline).await;
        attempt.into_value(outcome)
    }

    pub(crate) async fn attempt<V>(
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
                .exchange(spec, &mut connection, &mut attempt, deadline)
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
                connection.release_buffer();
                self.connection = Some(connection);
            }
            return (attempt, outcome);
        }
    }

    /// Returns the connection of the previous attempt, if it is still open. Messages that arrived
    /// on it since then are read and ignored.
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
                    connection.ignore_stale(&content, &self.limits);
                }
                // Nothing more to read, and no sign that the connection is dead.
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
        let started = Instant::now();
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
        // Requests are small and complete, so waiting for more data to send would only add latency.
        stream
            .set_nodelay(true)
            .map_err(|error| Failure::from_io(&error))?;
        let phases = Phases {
            resolve: (!resolve::is_literal(&self.host)).then(|| resolved - started),
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

    /// Connects to the first address that accepts, in order. Each gets an equal share of the
    /// remaining time.
    async fn dial(
        &self,
        addresses: &[std::net::SocketAddr],
        deadline: Instant,
    ) -> Result<TcpStream, Failure> {
        let mut last_failure =
            Failure::new(FailureReason::Dns, format!("{} has no address", self.host));
        for (i, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - i).unwrap_or(u32::MAX);
            last_failure =
                match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(error)) => Failure::from_io(&error),
                    Err(_) => Failure::new(
                        FailureReason::ConnectTimeout,
                        format!("{address} did not accept within {share:.1?}"),
                    ),
                };
        }
        Err(last_failure)
    }

    /// Sends the requests and records the answers.
    async fn exchange<V>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        attempt: &mut Attempt<V>,
        deadline: Instant,
    ) -> Result<Duration, Failure> {
        let requests = self.send(spec, connection, deadline).await?;
        while !requests.is_answered(attempt) {
            let content = match timeout_at(deadline, connection.frames.next()).await {
                Ok(Some(content)) => content?,
                Ok(None) => {
                    return Err(Failure::new(
                        FailureReason::Closed,
                        "the peer closed the connection without an answer",
                    ));
                }
                Err(_) => return Err(deadline_passed(attempt)),
            };
            connection.received += content.len();
            if connection.received > self.limits.max_bytes {
                return Err(Failure::new(
                    FailureReason::TooLarge,
                    format!(
                        "replies of more than {} bytes in total",
                        self.limits.max_bytes
                    ),
                ));
            }
            self.handle_message(spec, connection, attempt, &requests, &content)?;
            if attempt.ignored > MAX_IGNORED {
                return Err(Failure::new(
                    FailureReason::Malformed,
                    format!("more than {MAX_IGNORED} messages that do not answer a request"),
                ));
            }
        }
        Ok(requests.sent.elapsed())
    }

    async fn send<V>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        deadline: Instant,
    ) -> Result<SentRequests, Failure> {
        let mut frames = Vec::with_capacity(512);
        let mut request = |client: &mut Self, message: &dyn Fn(i64) -> Cell| {
            let id = client.next_id;
            client.next_id += 1;
            put_frame(&mut frames, &encode_message(&message(id)));
            connection.outstanding.push(id);
            id
        };
        let status = spec.with_status.then(|| request(self, &status_request));
        let with_ping = spec.with_status && self.answers_ping;
        let ping = with_ping.then(|| request(self, &ping_request));
        let account = self.account;
        let query = request(self, &|id| query_request(id, spec.form, account));
        let requests = SentRequests {
            sent: Instant::now(),
            sent_at: SystemTime::now(),
            query,
            status,
            ping,
        };
        match timeout_at(deadline, connection.frames.get_mut().write_all(&frames)).await {
            Ok(Ok(())) => Ok(requests),
            Ok(Err(error)) => Err(Failure::from_io(&error)),
            Err(_) => Err(Failure::new(
                FailureReason::Timeout,
                "the peer does not read the requests",
            )),
        }
    }

    /// Records one message if it answers a request; otherwise counts it as ignored.
    fn handle_message<V>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        attempt: &mut Attempt<V>,
        requests: &SentRequests,
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
        if !connection.remove_outstanding(id) {
            attempt.ignored += 1;
            return Ok(());
        }
        let took = requests.sent.elapsed();
        if id == requests.query {
            self.answers_ping |= reply.api == Api::V0_8_3;
            attempt.record_query(reply, took, spec.read)
        } else if Some(id) == requests.status {
            attempt.record_status(reply, took)
        } else if Some(id) == requests.ping {
            if let Some(peer_ms) = reply.outcome.ok().and_then(|value| value.as_i64()) {
                let value = ClockSample::new(peer_ms, requests.sent_at, took);
                attempt.clock = Some(Timed { value, took });
            }
            Ok(())
        } else {
            // A late answer to an earlier attempt.
            attempt.ignored += 1;
            Ok(())
        }
    }
}

impl Connection {
    /// Frees the memory of the read buffer until the next attempt.
    fn release_buffer(&mut self) {
        let buffer = self.frames.read_buffer_mut();
        if buffer.is_empty() {
            *buffer = BytesMut::new();
        }
    }

    /// Removes `id` from the unanswered requests. Returns whether it was one.
    fn remove_outstanding(&mut self, id: i64) -> bool {
        let position = self.outstanding.iter().position(|other| *other == id);
        position
            .map(|position| self.outstanding.swap_remove(position))
            .is_some()
    }

    /// Counts a message that arrived between two attempts as ignored. A late reply frees its id.
    fn ignore_stale(&mut self, content: &Bytes, limits: &Limits) {
        self.ignored += 1;
        if let Ok(Some(Reply { id: Some(id), .. })) = Reply::decode(content, limits) {
            self.remove_outstanding(id);
        }
    }
}

/// Returns the failure for an attempt that reached its deadline.
fn deadline_passed<V>(attempt: &Attempt<V>) -> Failure {
    match (&attempt.status, &attempt.query) {
        (Some(_), None) => Failure::new(
            FailureReason::QueryHangs,
            "the peer answered the status request but not the query",
        ),
        (None, Some(_)) => Failure::new(
            FailureReason::Timeout,
            "the peer answered the query but not the status request",
        ),
        _ => Failure::new(FailureReason::Timeout, "connected, but no answer arrived"),
    }
}

/// Returns whether the next attempt can use the connection: it is valid, and something was received
/// on it. After silence the next attempt connects again, which distinguishes a hanging peer from a
/// broken network path.
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

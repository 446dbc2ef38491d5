//! The TCP transport: the binary protocol on one persistent connection. Requests are sent in one
//! write, and replies are matched by id.

mod cells;
mod frame;
mod submit;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use cad3::{Cell, Hash, Limits, decode_message, encode_message};
use futures_util::{FutureExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};
use tokio_util::codec::FramedRead;

use crate::attempt::{Attempt, Outcome, RequestSpec, Timed};
use crate::clock::ClockSample;
use crate::decoding::decode;
use crate::dial::{Dialler, Spoken, Stream};
use crate::endpoint::Endpoint;
use crate::failure::{Failure, FailureReason};
use crate::kept::{KeptClient, Protocol, Resumed};
use crate::message::{Api, Reply, ping_request, status_request};
use crate::options::ClientOptions;
use crate::proof::{Challenge, KeyProof, is_challenge};
use crate::query::{Query, QueryError};

pub use self::cells::TcpCells;
pub use self::frame::{FrameDecoder, FrameError, put_frame};

/// Maximum number of unanswered requests on one connection before it is replaced. The id of a
/// request that timed out stays reserved, and this bounds the replies that a hanging peer may send
/// later.
const MAX_OUTSTANDING: usize = 32;

/// Maximum number of requests in one attempt: status, ping, challenge and query.
const MAX_REQUESTS: usize = 4;

/// Number of unanswered PINGs on one connection after which no more are sent on it. Not every peer
/// that is known to answer PING still does: another release may run behind the same address.
const MAX_UNANSWERED_PINGS: usize = 3;

/// Maximum number of ignored messages in one attempt. A few late replies are normal; a flood is
/// not.
const MAX_IGNORED: u32 = 1000;

/// Capacity of the read buffer: enough for the usual replies to a poll.
const READ_BUFFER_BYTES: usize = 1024;

/// Client of one `tcp://` endpoint.
#[derive(Debug)]
pub struct TcpClient(KeptClient<Binary>);

/// The binary protocol.
#[derive(Debug)]
struct Binary {
    account: Option<u64>,
    limits: Limits,
    next_id: AtomicI64,
    /// The peer is known to answer PING.
    answers_ping: AtomicBool,
    /// The network that the peer last said it belongs to.
    genesis: Mutex<Option<Hash>>,
}

#[derive(Debug)]
struct Connection {
    frames: FramedRead<Stream, FrameDecoder>,
    /// Ids of unanswered requests, including those of earlier attempts.
    outstanding: Vec<i64>,
    /// Those of them that are PINGs.
    pings: Vec<i64>,
    /// The challenge that the peer was sent on this connection, with its id; none before.
    challenge: Option<(i64, Challenge)>,
    /// What came of it; none before an answer.
    proof: Option<KeyProof>,
    /// The key that the peer last said it has.
    claimed_key: Option<Hash>,
    /// The peer may send a challenge in return, which needs no answer.
    may_be_challenged: bool,
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
        let max_bytes = options.max_response_bytes;
        let protocol = Binary {
            account: options.account,
            limits: Limits {
                max_bytes,
                ..Limits::default()
            },
            next_id: AtomicI64::new(1),
            answers_ping: AtomicBool::new(false),
            genesis: Mutex::default(),
        };
        let dialler = Dialler::new(endpoint.host(), endpoint.port(), max_bytes);
        Self(KeptClient::new(
            protocol,
            dialler,
            options.connection_max_age,
        ))
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

    pub(crate) async fn attempt<V: Send>(
        &mut self,
        spec: &RequestSpec<'_, V>,
        deadline: Instant,
    ) -> (Attempt<V>, Outcome) {
        self.0.attempt(spec, deadline).await
    }
}

impl Protocol for Binary {
    type Connection = Connection;

    /// Peers close no connection. Networks forget connections, but not while they are probed more
    /// often than this.
    const MAX_IDLE: Duration = Duration::from_secs(240);

    fn open(&self, stream: Stream) -> Connection {
        let decoder = FrameDecoder::new(self.limits.max_bytes);
        Connection {
            frames: FramedRead::with_capacity(stream, decoder, READ_BUFFER_BYTES),
            outstanding: Vec::new(),
            pings: Vec::new(),
            challenge: None,
            proof: None,
            claimed_key: None,
            may_be_challenged: false,
            received: 0,
            ignored: 0,
        }
    }

    /// Reads and ignores the messages that arrived since the last attempt.
    fn resume<V>(&self, connection: &mut Connection, attempt: &mut Attempt<V>) -> Resumed {
        connection
            .frames
            .read_buffer_mut()
            .reserve(READ_BUFFER_BYTES);
        connection.received = 0;
        let mut resumed = Resumed::GivenUp;
        while connection.received <= self.limits.max_bytes {
            match connection.frames.next().now_or_never() {
                Some(Some(Ok(content))) => {
                    connection.received += content.len();
                    connection.ignore_stale(&content, &self.limits);
                }
                // Nothing more to read, and no sign that the connection is dead.
                None if connection.outstanding.len() + MAX_REQUESTS <= MAX_OUTSTANDING => {
                    connection.received = 0;
                    connection.frames.get_mut().renew_budget();
                    return Resumed::Usable;
                }
                None | Some(Some(Err(FrameError::Protocol(_)))) => break,
                Some(None | Some(Err(FrameError::Io(_)))) => {
                    resumed = Resumed::Closed;
                    break;
                }
            }
        }
        attempt.ignored += connection.ignored;
        resumed
    }

    async fn exchange<V: Send>(
        &self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        attempt: &mut Attempt<V>,
        heard: &AtomicBool,
        _: &Dialler,
        deadline: Instant,
    ) -> Outcome {
        let outcome = self
            .send_and_receive(spec, connection, attempt, heard, deadline)
            .await;
        attempt.response_bytes = connection.received;
        attempt.ignored += std::mem::take(&mut connection.ignored);
        attempt.key_proof.clone_from(&connection.proof);
        outcome.map_err(|failure| {
            let stream = connection.frames.get_ref();
            match stream.spoken_instead(Spoken::Other) {
                Some(spoken) => Failure::new(
                    FailureReason::Malformed,
                    format!("{}, not the binary protocol", spoken.in_words()),
                ),
                None => failure,
            }
        })
    }

    fn is_silent(&self, connection: &Connection) -> bool {
        connection.received == 0
    }

    /// Something must have been received. After silence the next attempt connects again, which
    /// distinguishes a hanging peer from a broken network path.
    fn is_reusable(&self, connection: &Connection, outcome: &Outcome) -> bool {
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

    fn rest(&self, connection: &mut Connection) {
        connection.release_buffer();
    }

    async fn answers_status(&self, mut connection: Connection, deadline: Instant) -> bool {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut frame = Vec::new();
        put_frame(&mut frame, &encode_message(&status_request(id)));
        let answer = async {
            connection.frames.get_mut().write_all(&frame).await.ok()?;
            connection.frames.next().await?.ok()
        };
        let answer = timeout_at(deadline, answer).await.ok().flatten();
        answer.is_some_and(|content| matches!(Reply::decode(&content, &self.limits), Ok(Some(_))))
    }
}

impl Binary {
    /// Sends the requests and records the answers.
    async fn send_and_receive<V>(
        &self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        attempt: &mut Attempt<V>,
        heard: &AtomicBool,
        deadline: Instant,
    ) -> Result<Duration, Failure> {
        let requests = self.send(spec, connection, deadline).await?;
        let mut overloaded = None;
        while !requests.is_answered(attempt) {
            let content = match timeout_at(deadline, connection.frames.next()).await {
                Ok(Some(content)) => content?,
                Ok(None) => {
                    return Err(Failure::new(
                        FailureReason::Closed,
                        "the peer closed the connection without an answer",
                    ));
                }
                Err(_) => return Err(overloaded.unwrap_or_else(|| deadline_passed(attempt))),
            };
            connection.received += content.len();
            let took = requests.sent.elapsed();
            let message = decode(&content, &self.limits).await?.map_err(|error| {
                Failure::new(
                    FailureReason::Malformed,
                    format!("a reply does not decode: {error}"),
                )
            })?;
            if connection.is_challenged_back(&message.top) {
                continue;
            }
            let answer = (Reply::from_cell(&message.top), took);
            match self.handle_message(spec, connection, attempt, &requests, answer) {
                // It sheds queries. That it answers its status shows that it is there.
                Err(failure) if failure.reason == FailureReason::Overloaded => {
                    overloaded = Some(failure);
                }
                handled => handled?,
            }
            if let Some(failure) =
                overloaded.take_if(|_| requests.status.is_none() || attempt.status.is_some())
            {
                return Err(failure);
            }
            heard.fetch_or(
                attempt.status.is_some() || attempt.query.is_some(),
                Ordering::Relaxed,
            );
            if attempt.ignored > MAX_IGNORED {
                return Err(Failure::new(
                    FailureReason::Malformed,
                    format!("more than {MAX_IGNORED} messages that do not answer a request"),
                ));
            }
        }
        Ok(requests.sent.elapsed())
    }

    fn genesis(&self) -> Option<Hash> {
        *self.genesis.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_genesis(&self, genesis: Hash) {
        *self.genesis.lock().unwrap_or_else(PoisonError::into_inner) = Some(genesis);
    }

    async fn send<V>(
        &self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        deadline: Instant,
    ) -> Result<SentRequests, Failure> {
        let mut frames = Vec::with_capacity(512);
        let Connection {
            outstanding,
            pings,
            challenge,
            may_be_challenged,
            ..
        } = &mut *connection;
        let mut request = |message: &dyn Fn(i64) -> Cell| {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            put_frame(&mut frames, &encode_message(&message(id)));
            outstanding.push(id);
            id
        };
        let status = spec.with_status.then(|| request(&status_request));
        let with_ping = spec.with_status
            && self.answers_ping.load(Ordering::Relaxed)
            && pings.len() < MAX_UNANSWERED_PINGS;
        let ping = with_ping.then(|| request(&ping_request));
        pings.extend(ping);
        // What answers PING answers challenges too.
        if with_ping
            && challenge.is_none()
            && let Some(new) = self.genesis().and_then(Challenge::new)
        {
            *challenge = Some((request(&|id| new.request(id)), new));
            *may_be_challenged = true;
        }
        let query = request(&|id| spec.request.message(id, self.account));
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
        &self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        attempt: &mut Attempt<V>,
        requests: &SentRequests,
        (reply, took): (Option<Reply>, Duration),
    ) -> Result<(), Failure> {
        let Some((id, reply)) = reply.and_then(|reply| Some((reply.id?, reply))) else {
            attempt.ignored += 1;
            return Ok(());
        };
        if !connection.remove_outstanding(id) {
            attempt.ignored += 1;
            return Ok(());
        }
        if id == requests.query {
            self.answers_ping
                .fetch_or(reply.api == Api::V0_8_3, Ordering::Relaxed);
            attempt.record_query(reply, took, spec.read)
        } else if Some(id) == requests.status {
            attempt.record_status(reply, took)?;
            if let Some(status) = attempt.status.as_ref().map(|status| &status.value) {
                self.set_genesis(status.genesis);
                connection.set_claimed_key(status.peer_key);
            }
            Ok(())
        } else if connection.is_challenge(id) {
            connection.check_proof(reply);
            Ok(())
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
        self.pings.retain(|ping| *ping != id);
        let position = self.outstanding.iter().position(|other| *other == id);
        position
            .map(|position| self.outstanding.swap_remove(position))
            .is_some()
    }

    /// Counts a message that arrived between two attempts as ignored, unless it belongs to the
    /// challenge. A late reply frees its id.
    fn ignore_stale(&mut self, content: &Bytes, limits: &Limits) {
        let message = decode_message(content, limits).map(|message| message.top);
        let message = message.unwrap_or(Cell::Nil);
        if self.is_challenged_back(&message) {
            return;
        }
        let reply = Reply::from_cell(&message);
        let Some((id, reply)) = reply.and_then(|reply| Some((reply.id?, reply))) else {
            self.ignored += 1;
            return;
        };
        let is_answer = self.remove_outstanding(id);
        if is_answer && self.is_challenge(id) {
            self.check_proof(reply);
        } else {
            self.ignored += 1;
        }
    }

    /// Records the key that the peer says it has. If it said another one before, which is possible
    /// where a proxy passes requests on to several peers, what it proved then counts no more.
    fn set_claimed_key(&mut self, key: Hash) {
        if self
            .claimed_key
            .replace(key)
            .is_some_and(|before| before != key)
        {
            self.challenge = None;
            self.proof = None;
        }
    }

    /// Whether `id` is that of the challenge.
    fn is_challenge(&self, id: i64) -> bool {
        self.challenge.as_ref().is_some_and(|(sent, _)| *sent == id)
    }

    /// Checks the answer to the challenge.
    fn check_proof(&mut self, reply: Reply) {
        if let Some((_, challenge)) = &self.challenge {
            self.proof = Some(challenge.check(reply));
        }
    }

    /// Whether a message is the challenge that a peer sends in return, once.
    fn is_challenged_back(&mut self, message: &Cell) -> bool {
        let is_expected = self.may_be_challenged && is_challenge(message);
        self.may_be_challenged &= !is_expected;
        is_expected
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

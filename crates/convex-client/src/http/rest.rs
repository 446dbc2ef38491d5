//! The REST interface on a kept connection: the query, then the status if the peer has it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cad3::Limits;
use http::header::HeaderMap;
use http::{StatusCode, Uri};
use tokio::time::{Instant, timeout_at};

use crate::attempt::{Attempt, Outcome, RequestSpec, Timed};
use crate::decoding::decode;
use crate::dial::{Dialler, Spoken, Stream};
use crate::failure::{Failure, FailureReason};
use crate::kept::{Protocol, Resumed};
use crate::message::Reply;
use crate::status::Status;

use super::failure::{self, excerpt};
use super::requests::{self, Requests, Response};

/// Pause after which a peer without a status route is asked for its status again, because it may
/// have been upgraded.
const STATUS_RECHECK_PAUSE: Duration = Duration::from_secs(600);

/// The REST interface.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) query_uri: Uri,
    pub(super) status_uri: Uri,
    pub(super) mcp_uri: Uri,
    pub(super) index_uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) account: Option<u64>,
    pub(super) limits: Limits,
    /// The peer has no status route; the status is not requested before this time.
    pub(super) no_status_until: Mutex<Option<Instant>>,
}

/// A connection that no HTTP client holds at the moment.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    /// Whether all requests were answered and the peer does not close the connection.
    is_idle: bool,
    /// Whether nothing was received in the current attempt.
    is_silent: bool,
}

impl Connection {
    /// Sends requests on this connection.
    async fn send<T>(
        &mut self,
        exchange: impl AsyncFnOnce(&mut Requests) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.is_idle = false;
        let (result, is_idle) = requests::on(&mut self.stream, exchange).await;
        self.is_idle = is_idle;
        result
    }
}

impl Protocol for Rest {
    type Connection = Connection;

    /// Peers close connections that are idle for about 30 s (PEER-PROTOCOL, section 1).
    const MAX_IDLE: Duration = Duration::from_secs(20);

    fn open(&self, stream: Stream) -> Connection {
        Connection {
            stream,
            is_idle: true,
            is_silent: true,
        }
    }

    fn resume<V>(&self, connection: &mut Connection, _: &mut Attempt<V>) -> Resumed {
        if !connection.stream.is_open_and_idle() {
            return Resumed::Closed;
        }
        connection.stream.renew_budget();
        Resumed::Usable
    }

    async fn exchange<V: Send>(
        &self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        attempt: &mut Attempt<V>,
        heard: &AtomicBool,
        dialler: &Dialler,
        deadline: Instant,
    ) -> Outcome {
        connection.is_silent = true;
        let mut overloaded = None;
        let exchange = async {
            let query = self.query(spec, connection, attempt, heard).await;
            connection.is_silent = !connection.stream.has_received();
            let mut took = match query {
                // It sheds queries. That it answers its status shows that it is there.
                Err(failure) if failure.reason == FailureReason::Overloaded => {
                    overloaded = Some(failure.clone());
                    if spec.with_status && attempt.retry_after.is_none() && self.may_have_status() {
                        let response = self.status(connection, dialler, deadline).await;
                        if let Ok(response) = received(response, attempt) {
                            self.record_status(&response, attempt).await.ok();
                        }
                    }
                    return Err(failure);
                }
                query => query?,
            };
            if spec.with_status && self.may_have_status() {
                let response = self.status(connection, dialler, deadline).await;
                let response = received(response, attempt)?;
                took += response.took;
                self.record_status(&response, attempt).await?;
            }
            Ok(took)
        };
        let outcome = timeout_at(deadline, exchange).await;
        let outcome = outcome.unwrap_or_else(|_| {
            Err(overloaded.unwrap_or_else(|| failure::deadline_passed(attempt)))
        });
        outcome.map_err(
            |failure| match connection.stream.spoken_instead(Spoken::Http) {
                Some(spoken) if matches!(connection.stream, Stream::Plain(_)) => Failure::new(
                    FailureReason::Malformed,
                    format!("{}, not plain HTTP", spoken.in_words()),
                ),
                _ => failure,
            },
        )
    }

    fn is_silent(&self, connection: &Connection) -> bool {
        connection.is_silent
    }

    fn is_reusable(&self, connection: &Connection, outcome: &Outcome) -> bool {
        outcome.is_ok() && connection.is_idle
    }

    async fn answers_status(&self, mut connection: Connection, deadline: Instant) -> bool {
        let response = timeout_at(deadline, self.request_status(&mut connection)).await;
        matches!(
            response,
            Ok(Ok(response)) if response.status == StatusCode::OK || has_no_status_route(response.status)
        )
    }
}

/// Whether this is how a release without a status route answers: 0.8.0 does with any of these.
fn has_no_status_route(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
    )
}

impl Rest {
    /// Sends the query and records the answer.
    async fn query<V>(
        &self,
        spec: &RequestSpec<'_, V>,
        connection: &mut Connection,
        attempt: &mut Attempt<V>,
        heard: &AtomicBool,
    ) -> Result<Duration, Failure> {
        let mut body = serde_json::json!({ "source": spec.source });
        if let Some(account) = self.account {
            body["address"] = format!("#{account}").into();
        }
        let limit = self.limits.max_bytes;
        let exchange = async |requests: &mut Requests| {
            requests
                .post(&self.query_uri, &self.headers, body.to_string(), limit)
                .await
        };
        let response = received(connection.send(exchange).await, attempt)?;
        heard.store(true, Ordering::Relaxed);
        let reply = self.query_reply(&response).await?;
        attempt.clock.clone_from(&response.clock);
        attempt.record_query(reply, response.took, spec.read)?;
        Ok(response.took)
    }

    /// Requests the status, on a new connection if the peer closes this one after an answer.
    async fn status(
        &self,
        connection: &mut Connection,
        dialler: &Dialler,
        deadline: Instant,
    ) -> Result<Response, Failure> {
        if connection.is_idle {
            match self.request_status(connection).await {
                Err(failure) if failure.reason == FailureReason::Closed => {}
                response => return response,
            }
        }
        connection.stream = dialler.dial(deadline).await.stream?;
        self.request_status(connection).await
    }

    async fn request_status(&self, connection: &mut Connection) -> Result<Response, Failure> {
        let limit = self.limits.max_bytes;
        let exchange = async |requests: &mut Requests| {
            requests.get(&self.status_uri, &self.headers, limit).await
        };
        connection.send(exchange).await
    }

    fn may_have_status(&self) -> bool {
        let until = self.no_status_until.lock();
        let until = *until.unwrap_or_else(PoisonError::into_inner);
        until.is_none_or(|until| Instant::now() >= until)
    }

    fn set_no_status_until(&self, until: Option<Instant>) {
        let mut known = self.no_status_until.lock();
        **known.as_mut().unwrap_or_else(|poisoned| poisoned.get_mut()) = until;
    }

    /// Returns the Result in the response to a query. Peers send errors as Results with many HTTP
    /// statuses, 200 included.
    async fn query_reply(&self, response: &Response) -> Result<Reply, Failure> {
        let decoded = decode(&response.body, &self.limits).await?;
        match decoded.map(|message| Reply::from_cell(&message.top)) {
            Ok(Some(reply)) => Ok(reply),
            _ if !response.status.is_success() => {
                Err(failure::from_query_status(response.status, &response.body))
            }
            Ok(None) => Err(Failure::new(
                FailureReason::Malformed,
                "the reply to the query is not a Result",
            )),
            Err(error) => Err(Failure::new(
                FailureReason::Malformed,
                format!(
                    "the reply to the query does not decode: {error}; it starts with {}",
                    excerpt(&response.body)
                ),
            )),
        }
    }

    async fn record_status<V>(
        &self,
        response: &Response,
        attempt: &mut Attempt<V>,
    ) -> Result<(), Failure> {
        match response.status {
            StatusCode::OK => {}
            status if has_no_status_route(status) => {
                self.set_no_status_until(Some(Instant::now() + STATUS_RECHECK_PAUSE));
                return Ok(());
            }
            _ => return Err(failure::from_status(response.status, &response.body)),
        }
        self.set_no_status_until(None);
        let decoded = decode(&response.body, &self.limits).await?;
        let message = decoded.map_err(|error| {
            Failure::new(
                FailureReason::Malformed,
                format!(
                    "the status does not decode: {error}; it starts with {}",
                    excerpt(&response.body)
                ),
            )
        })?;
        if let Some(reply) = Reply::from_cell(&message.top) {
            return attempt.record_status(reply, response.took);
        }
        // 0.8.6 sends the map without a Result around it.
        let value = Status::from_cell(&message.top)?;
        attempt.status = Some(Timed {
            value,
            took: response.took,
        });
        Ok(())
    }
}

/// Records what every response has.
fn received<V>(
    response: Result<Response, Failure>,
    attempt: &mut Attempt<V>,
) -> Result<Response, Failure> {
    let response = response?;
    attempt.response_bytes += response.body.len();
    // The status request must not hide what the query was answered.
    attempt.retry_after = response.retry_after.or(attempt.retry_after);
    Ok(response)
}

//! One poll: queries all endpoints of a peer concurrently under one deadline. Judges nothing but
//! the pinned identity.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::{Cell, Hash};
use convex_client::belief::BeliefHead;
use convex_client::{
    Attempt, ClientOptions, Endpoint, FailureReason, HttpClient, KeyProof, Outcome, Query,
    QueryError, StatePair, Status, TcpClient, Timed, TlsSettings, Transport,
};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::config;
use crate::failure::{Failure, Reason};
use crate::fleet::{EndpointObservation, Observation};
use crate::retry::RetryPauses;

/// `Retry-After` is respected for at most this many poll intervals, or for [`MAX_RETRY_AFTER`] if
/// that is longer.
const MAX_RETRY_AFTER_INTERVALS: u32 = 10;

/// See [`MAX_RETRY_AFTER_INTERVALS`]. Without a limit, one header could stop the monitoring for
/// days.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Polls one peer and keeps its connections between polls.
#[derive(Debug)]
pub struct Prober {
    peer: Arc<config::Peer>,
    endpoints: Vec<EndpointClient>,
}

/// The client of one endpoint, and its pause after `Retry-After`.
#[derive(Debug)]
struct EndpointClient {
    client: Client,
    /// Time until which `Retry-After` asks for no requests.
    paused_until: Option<Instant>,
    max_pause: Duration,
}

#[derive(Debug)]
enum Client {
    Http(Box<HttpClient>),
    Tcp(Box<TcpClient>),
}

impl Prober {
    /// Creates a prober, which connects at its first poll.
    #[must_use]
    pub fn new(peer: Arc<config::Peer>, max_response_bytes: usize, tls: &TlsSettings) -> Self {
        let options = ClientOptions {
            account: peer.account,
            max_response_bytes,
            connection_max_age: peer.polling.connection_max_age,
        };
        let client = |endpoint: &Endpoint| EndpointClient {
            client: match endpoint.transport() {
                Transport::Http => Client::Http(Box::new(HttpClient::new(
                    endpoint,
                    &options,
                    &peer.http.client_options(),
                    tls,
                ))),
                Transport::Tcp => Client::Tcp(Box::new(TcpClient::new(endpoint, &options))),
            },
            paused_until: None,
            max_pause: MAX_RETRY_AFTER.max(
                peer.polling
                    .interval
                    .saturating_mul(MAX_RETRY_AFTER_INTERVALS),
            ),
        };
        let endpoints = peer.endpoints.iter().map(client).collect();
        Self { peer, endpoints }
    }

    /// Polls once, within the peer's timeout.
    pub async fn poll(&mut self) -> Observation {
        let asked = Instant::now();
        let deadline = asked + self.peer.polling.timeout;
        let peer = &self.peer;
        let probes = self
            .endpoints
            .iter_mut()
            .map(|endpoint| endpoint.probe(peer, deadline));
        Observation {
            asked,
            endpoints: join_all(probes).await,
        }
    }

    /// Sends a query to one endpoint after the other until one answers. Each gets an equal share of
    /// the time left of the peer's timeout. Counts nothing and does not check the identity.
    ///
    /// # Errors
    /// The peer reports an error, its answer is too large, or no endpoint answers, with the failure
    /// of the first endpoint.
    pub async fn ask(&mut self, query: &Query) -> Result<Cell, QueryError> {
        let deadline = Instant::now() + self.peer.polling.timeout;
        let mut remaining = self.endpoints.len();
        let mut first = None;
        for endpoint in &mut self.endpoints {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(remaining).unwrap_or(u32::MAX);
            remaining -= 1;
            match endpoint.query(query, Instant::now() + share).await {
                Err(QueryError::Failed(failure)) if failure.reason != FailureReason::TooLarge => {
                    first.get_or_insert(failure);
                }
                answer => return answer,
            }
        }
        Err(first.unwrap_or_else(no_endpoint).into())
    }
}

impl Prober {
    /// Reads only the state of the peer, from one endpoint after the other until one answers, the
    /// binary protocol first: it takes the least. Each gets an equal share of the time until
    /// `deadline`. Counts nothing and does not check the identity.
    ///
    /// # Errors
    /// No endpoint answers, with the failure of the first one, or the peer reports an error.
    pub async fn sample_state(
        &mut self,
        deadline: Instant,
    ) -> Result<Timed<StatePair>, QueryError> {
        let mut endpoints: Vec<&mut EndpointClient> = self.endpoints.iter_mut().collect();
        endpoints.sort_by_key(|endpoint| matches!(endpoint.client, Client::Http(_)));
        let mut remaining = endpoints.len();
        let mut first = None;
        for endpoint in endpoints {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(remaining).unwrap_or(u32::MAX);
            remaining -= 1;
            let (attempt, outcome) = endpoint.sample_state(Instant::now() + share).await;
            match (attempt.query, outcome) {
                (
                    Some(Timed {
                        value: Ok(value),
                        took,
                    }),
                    _,
                ) => return Ok(Timed { value, took }),
                (
                    Some(Timed {
                        value: Err(error), ..
                    }),
                    _,
                ) => return Err(QueryError::Refused(error)),
                (None, Err(failure)) => drop(first.get_or_insert(failure)),
                (None, Ok(_)) => {}
            }
        }
        Err(first.unwrap_or_else(no_endpoint).into())
    }
}

impl Prober {
    /// Requests the status over the binary protocol, with the hash of the belief, within the peer's
    /// timeout. Counts nothing and does not check the identity.
    ///
    /// # Errors
    /// The peer does not answer, or has no `tcp://` endpoint.
    pub async fn belief_head(&mut self) -> Result<BeliefHead, convex_client::Failure> {
        let deadline = Instant::now() + self.peer.polling.timeout;
        self.tcp()?.belief_head(deadline).await
    }

    /// Requests cells by their hashes over the binary protocol, within the peer's timeout, and
    /// returns those that the peer has, in the order of the hashes. Counts nothing and does not
    /// check the identity.
    ///
    /// # Errors
    /// The peer does not answer, or has no `tcp://` endpoint.
    pub async fn cells(
        &mut self,
        hashes: &[Hash],
    ) -> Result<Vec<Option<Cell>>, convex_client::Failure> {
        let deadline = Instant::now() + self.peer.polling.timeout;
        self.tcp()?.fetch_cells(hashes, deadline).await
    }

    /// Asks the peer for its release over HTTP, by `deadline`. Returns nothing if it was not asked:
    /// it has no such endpoint, or asked for a pause. Counts nothing.
    pub async fn release(
        &mut self,
        deadline: Instant,
    ) -> Option<Result<Option<String>, convex_client::Failure>> {
        for endpoint in &self.endpoints {
            if let Client::Http(client) = &endpoint.client
                && endpoint.pause_left().is_none()
            {
                return Some(client.release(deadline).await);
            }
        }
        None
    }

    fn tcp(&mut self) -> Result<&mut TcpClient, convex_client::Failure> {
        let mut clients = self.endpoints.iter_mut();
        let tcp = clients.find_map(|endpoint| match &mut endpoint.client {
            Client::Tcp(client) => Some(&mut **client),
            Client::Http(_) => None,
        });
        tcp.ok_or_else(|| {
            let message = "the peer has no tcp:// endpoint";
            convex_client::Failure::new(FailureReason::Local, message)
        })
    }
}

impl EndpointClient {
    /// Polls the endpoint, and retries after a failure while the deadline allows.
    async fn probe(&mut self, peer: &config::Peer, deadline: Instant) -> EndpointObservation {
        let started = SystemTime::now();
        let mut pauses = RetryPauses::for_poll();
        let mut retries = 0;
        let mut reconnects = 0;
        let mut replaced = 0;
        let mut ignored = 0;
        let mut most_specific: Option<(Attempt, Failure)> = None;
        loop {
            let (attempt, outcome) = self.attempt(deadline).await;
            reconnects += attempt.reconnects;
            replaced += attempt.replaced;
            ignored += attempt.ignored;
            let status = attempt.status.as_ref();
            let wrong = status.and_then(|status| {
                wrong_identity(peer, &status.value)
                    .or_else(|| wrong_proof(&status.value, attempt.key_proof.as_ref()))
            });
            let outcome = match wrong {
                Some(failure) => Err(failure),
                None => outcome.map_err(Failure::from),
            };
            let may_retry = self.pause_left().is_none()
                && outcome
                    .as_ref()
                    .is_err_and(|failure| failure.reason.is_retryable());
            let pause = pauses.next_pause();
            if may_retry && retries < peer.polling.retries && Instant::now() + pause < deadline {
                retries += 1;
                if let Err(failure) = outcome {
                    most_specific = Some(more_specific((attempt, failure), most_specific));
                }
                sleep(pause).await;
                continue;
            }
            // A retry may have had too little time to learn as much as an earlier attempt.
            let (attempt, outcome) = match outcome {
                Ok(took) => (attempt, Ok(took)),
                Err(failure) => {
                    let (attempt, failure) = more_specific((attempt, failure), most_specific);
                    (attempt, Err(failure))
                }
            };
            let transport = match self.client {
                Client::Http(_) => Transport::Http,
                Client::Tcp(_) => Transport::Tcp,
            };
            let attempt = Attempt {
                reconnects,
                replaced,
                ignored,
                ..attempt
            };
            let times = (started, SystemTime::now());
            return EndpointObservation {
                retries,
                ..EndpointObservation::new(transport, times, attempt, outcome)
            };
        }
    }

    /// Makes one attempt. Sends nothing while `Retry-After` asks for a pause.
    async fn attempt(&mut self, deadline: Instant) -> (Attempt, Outcome) {
        if let Some(left) = self.pause_left() {
            return (Attempt::default(), Err(paused(left)));
        }
        let (attempt, outcome) = match &mut self.client {
            Client::Http(client) => client.poll(deadline).await,
            Client::Tcp(client) => client.poll(deadline).await,
        };
        self.pause(attempt.retry_after);
        (attempt, outcome)
    }

    /// Samples the state. Sends nothing while `Retry-After` asks for a pause.
    async fn sample_state(&mut self, deadline: Instant) -> (Attempt<StatePair>, Outcome) {
        if let Some(left) = self.pause_left() {
            return (Attempt::default(), Err(paused(left)));
        }
        let (attempt, outcome) = match &mut self.client {
            Client::Http(client) => client.sample_state(deadline).await,
            Client::Tcp(client) => client.sample_state(deadline).await,
        };
        self.pause(attempt.retry_after);
        (attempt, outcome)
    }

    /// Obeys a `Retry-After`.
    fn pause(&mut self, retry_after: Option<Duration>) {
        if let Some(pause) = retry_after {
            self.paused_until = Some(Instant::now() + pause.min(self.max_pause));
        }
    }

    async fn query(&mut self, query: &Query, deadline: Instant) -> Result<Cell, QueryError> {
        if let Some(left) = self.pause_left() {
            return Err(paused(left).into());
        }
        match &mut self.client {
            Client::Http(client) => {
                let answer = client.query(query, deadline).await;
                let retry_after = client.query_retry_after();
                self.pause(retry_after);
                answer
            }
            Client::Tcp(client) => client.query(query, deadline).await,
        }
    }

    /// Returns how much longer `Retry-After` asks for no requests.
    fn pause_left(&self) -> Option<Duration> {
        let left = self.paused_until?.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left)
    }
}

fn no_endpoint() -> convex_client::Failure {
    convex_client::Failure::new(FailureReason::Local, "the peer has no endpoint")
}

/// Returns the later of two failed attempts, unless the earlier one says more about the peer.
fn more_specific(
    later: (Attempt, Failure),
    earlier: Option<(Attempt, Failure)>,
) -> (Attempt, Failure) {
    match earlier {
        Some(earlier) if earlier.1.reason.is_more_specific_than(later.1.reason) => earlier,
        _ => later,
    }
}

/// Returns the failure of an endpoint to which nothing is sent because of its `Retry-After`.
fn paused(left: Duration) -> convex_client::Failure {
    let seconds = left.as_secs() + 1;
    convex_client::Failure::new(
        FailureReason::Overloaded,
        format!("nothing sent: the peer's Retry-After lasts for another {seconds} s"),
    )
}

/// Returns the failure of a peer that proved to hold another key than its status says.
fn wrong_proof(status: &Status, proof: Option<&KeyProof>) -> Option<Failure> {
    let Some(KeyProof::Signed(signer)) = proof else {
        return None;
    };
    let claimed = status.peer_key;
    (*signer != claimed).then(|| {
        let message =
            format!("it claims peer key {claimed}, but answers a challenge with {signer}");
        Failure::new(Reason::WrongPeer, message)
    })
}

/// Returns the failure of a peer whose genesis hash or key differs from the pinned one.
#[must_use]
pub fn wrong_identity(peer: &config::Peer, status: &Status) -> Option<Failure> {
    if let Some(genesis) = peer.genesis.filter(|pinned| *pinned != status.genesis) {
        let message = format!(
            "genesis {} does not match the pinned {genesis}",
            status.genesis
        );
        return Some(Failure::new(Reason::WrongNetwork, message));
    }
    let key = peer.key.filter(|pinned| *pinned != status.peer_key)?;
    let message = format!(
        "peer key {} does not match the pinned {key}",
        status.peer_key
    );
    Some(Failure::new(Reason::WrongPeer, message))
}

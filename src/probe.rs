//! One poll: all endpoints of a peer asked at the same time under one deadline. Measures; judges only pinned identity.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::cad3::Cell;
use crate::cadence::RetryPauses;
use crate::config;
use crate::peer::{
    Endpoint, Exchange, Failure, HttpClient, HttpClients, Question, Reason, Status, TcpClient,
    Transport, Unanswered,
};

/// What one poll saw of a peer.
#[derive(Clone, Debug)]
pub struct Observation {
    /// One a configured endpoint, in the same order.
    pub endpoints: Vec<Probed>,
}

/// What one poll saw of an endpoint.
#[derive(Clone, Debug)]
pub struct Probed {
    /// How it was asked.
    pub transport: Transport,
    /// When the poll of it began and ended.
    pub began: SystemTime,
    /// When the last try ended.
    pub ended: SystemTime,
    /// Tries beyond the first.
    pub retries: u32,
    /// The last try; what had to be replaced or ignored is added up over all tries.
    pub exchange: Exchange,
}

/// What a peer's own task does for others between two polls, so that nobody else connects to the peer.
#[derive(Debug)]
pub enum Errand {
    /// Asks a question.
    Ask {
        /// What is asked.
        question: Question,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<Cell, Unanswered>>,
    },
    /// Polls at once.
    Poll {
        /// Where what it saw goes, once it was taken.
        answer: oneshot::Sender<Observation>,
    },
}

/// Polls one peer; keeps its connections in between.
#[derive(Debug)]
pub struct Prober {
    peer: Arc<config::Peer>,
    clients: Vec<Client>,
}

#[derive(Debug)]
enum Client {
    Http(Box<HttpClient>),
    Tcp(Box<TcpClient>),
}

impl Prober {
    /// A prober that connects at its first poll.
    #[must_use]
    pub fn new(
        peer: Arc<config::Peer>,
        max_response_bytes: usize,
        http_clients: &Arc<HttpClients>,
    ) -> Self {
        let client = |endpoint: &Endpoint| match endpoint.transport() {
            Transport::Http => Client::Http(Box::new(HttpClient::new(
                endpoint,
                &peer.http,
                peer.account,
                peer.cadence.interval,
                max_response_bytes,
                http_clients,
            ))),
            Transport::Tcp => Client::Tcp(Box::new(TcpClient::new(
                endpoint,
                peer.account,
                max_response_bytes,
            ))),
        };
        let clients = peer.endpoints.iter().map(client).collect();
        Self { peer, clients }
    }

    /// Polls once. Done within the peer's timeout.
    pub async fn poll(&mut self) -> Observation {
        let deadline = Instant::now() + self.peer.cadence.timeout;
        let peer = &self.peer;
        let probes = self
            .clients
            .iter_mut()
            .map(|client| probe(client, peer, deadline));
        Observation {
            endpoints: join_all(probes).await,
        }
    }

    /// Asks a question of the endpoints in their order until one answers; each gets an equal share of the peer's timeout
    /// that is left. Counts nothing and judges no identity.
    ///
    /// # Errors
    /// The peer reports an error, its answer is too large, or no endpoint answers: then the first one's failure.
    pub async fn ask(&mut self, question: &Question) -> Result<Cell, Unanswered> {
        let deadline = Instant::now() + self.peer.cadence.timeout;
        let mut waiting = self.clients.len();
        let mut first = None;
        for client in &mut self.clients {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = Instant::now() + left / u32::try_from(waiting).unwrap_or(u32::MAX);
            waiting -= 1;
            let answer = match client {
                Client::Http(client) => client.query(question, share).await,
                Client::Tcp(client) => client.query(question, share).await,
            };
            match answer {
                Err(Unanswered::Failed(failure)) if failure.reason != Reason::TooLarge => {
                    first.get_or_insert(failure);
                }
                answer => return answer,
            }
        }
        let no_endpoint = || Failure::new(Reason::Monitor, "the peer has no endpoint");
        Err(first.unwrap_or_else(no_endpoint).into())
    }
}

impl Client {
    /// Whether the peer has asked to be left alone for a while.
    fn rests(&self) -> bool {
        match self {
            Self::Http(client) => client.rest().is_some(),
            Self::Tcp(_) => false,
        }
    }
}

/// Asks one endpoint for a poll, again after a failure while the deadline allows.
async fn probe(client: &mut Client, peer: &config::Peer, deadline: Instant) -> Probed {
    let began = SystemTime::now();
    let mut pauses = RetryPauses::new();
    let mut retries = 0;
    let mut reconnects = 0;
    let mut ignored = 0;
    loop {
        let (transport, mut exchange) = match client {
            Client::Http(client) => (Transport::Http, client.ask(deadline).await),
            Client::Tcp(client) => (Transport::Tcp, client.ask(deadline).await),
        };
        reconnects += exchange.reconnects;
        ignored += exchange.ignored;
        if let Some(failure) = exchange
            .status
            .as_ref()
            .and_then(|status| wrong_identity(peer, &status.value))
        {
            exchange.failure = Some(failure);
            exchange.took = None;
        }
        let again = !client.rests()
            && exchange
                .failure
                .as_ref()
                .is_some_and(|failure| failure.reason.worth_a_retry());
        let pause = pauses.next_pause();
        if again && retries < peer.cadence.retries && Instant::now() + pause < deadline {
            retries += 1;
            sleep(pause).await;
            continue;
        }
        return Probed {
            transport,
            began,
            ended: SystemTime::now(),
            retries,
            exchange: Exchange {
                reconnects,
                ignored,
                ..exchange
            },
        };
    }
}

/// Whether a status disproves what is pinned: a peer of another network, or another peer.
fn wrong_identity(peer: &config::Peer, status: &Status) -> Option<Failure> {
    if let Some(genesis) = peer.genesis.filter(|pinned| *pinned != status.genesis) {
        let message = format!("genesis {} answers, {genesis} is pinned", status.genesis);
        return Some(Failure::new(Reason::WrongNetwork, message));
    }
    let key = peer.key.filter(|pinned| *pinned != status.peer_key)?;
    let message = format!("peer key {} answers, {key} is pinned", status.peer_key);
    Some(Failure::new(Reason::WrongPeer, message))
}

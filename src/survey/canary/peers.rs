//! How the canary reaches peers: queries like the surveys, and transactions on connections of its
//! own, because a result takes longer than a poll may wait.

use std::time::SystemTime;

use cad3::Cell;
use convex_client::transaction::{SignedTransaction, SubmitError, TransactionResult};
use convex_client::{
    ClientOptions, Endpoint, Failure, FailureReason, Query, QueryError, TcpClient, Transport,
};
use tokio::time::Instant;

use crate::config::Peer;
use crate::poller::PeerCommands;

/// Largest reply to a transaction, bytes. It has the value nil, or an error.
const MAX_RESPONSE_BYTES: usize = 64 << 10;

/// How the canary reaches peers.
pub trait CanaryPeers: Send + Sync {
    /// Sends a query to the peer `name`.
    ///
    /// # Errors
    /// The peer reports an error or does not answer.
    fn query(
        &self,
        name: &str,
        query: Query,
    ) -> impl Future<Output = Result<Cell, QueryError>> + Send;

    /// Sends a transaction through a peer and waits for its result until `deadline`.
    ///
    /// # Errors
    /// The peer cannot be reached, refuses the transaction, or does not answer.
    fn submit(
        &self,
        peer: &Peer,
        transaction: &SignedTransaction,
        deadline: Instant,
    ) -> impl Future<Output = Result<TransactionResult, SubmitError>> + Send;

    /// Returns the time of the agent's clock.
    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl CanaryPeers for PeerCommands {
    fn query(
        &self,
        name: &str,
        query: Query,
    ) -> impl Future<Output = Result<Cell, QueryError>> + Send {
        Self::query(self, name, query)
    }

    async fn submit(
        &self,
        peer: &Peer,
        transaction: &SignedTransaction,
        deadline: Instant,
    ) -> Result<TransactionResult, SubmitError> {
        let is_tcp = |endpoint: &&Endpoint| endpoint.transport() == Transport::Tcp;
        let Some(endpoint) = peer.endpoints.iter().find(is_tcp) else {
            let failure = Failure::new(FailureReason::Local, "the peer has no tcp:// endpoint");
            return Err(SubmitError::NotSent(failure));
        };
        let options = ClientOptions {
            max_response_bytes: MAX_RESPONSE_BYTES,
            ..ClientOptions::default()
        };
        TcpClient::new(endpoint, &options)
            .submit(transaction, deadline)
            .await
    }
}

//! Cells of a peer by their hashes, over the kept connection (PEER-PROTOCOL, section 3.3).

use cad3::{Cell, Hash};
use tokio::time::Instant;

use crate::attempt::{Request, RequestSpec};
use crate::belief::{BeliefHead, CellSource};
use crate::failure::{Failure, FailureReason};
use crate::message::{MAX_REQUESTED_CELLS, read_cells};
use crate::query::QueryError;

use super::TcpClient;

/// Number of cells in one request, fewer than peers allow: the largest cells of a belief, nodes of
/// an Index and vectors of transactions, have up to 2.6 kB, and a reply of so many of them still
/// fits the default of
/// [`ClientOptions::max_response_bytes`](crate::ClientOptions::max_response_bytes).
const CELLS_PER_REQUEST: usize = 100;

const _: () = assert!(CELLS_PER_REQUEST <= MAX_REQUESTED_CELLS);

impl TcpClient {
    /// Requests cells by their hashes and returns those that the peer has, in the order of the
    /// hashes. They are not checked against their hashes. Sends one request for each 100 of them,
    /// all of which finish by `deadline`.
    ///
    /// # Errors
    /// No valid answer arrives by the deadline.
    pub async fn fetch_cells(
        &mut self,
        hashes: &[Hash],
        deadline: Instant,
    ) -> Result<Vec<Option<Cell>>, Failure> {
        let mut cells = Vec::with_capacity(hashes.len());
        for batch in hashes.chunks(CELLS_PER_REQUEST) {
            let value = self.request(Request::Cells(batch), deadline).await?;
            cells.extend(read_cells(&value, batch.len())?);
        }
        Ok(cells)
    }

    /// Requests the status and returns it with the hash of the peer's belief, by `deadline`.
    ///
    /// # Errors
    /// No valid answer arrives by the deadline.
    pub async fn belief_head(&mut self, deadline: Instant) -> Result<BeliefHead, Failure> {
        BeliefHead::from_cell(&self.request(Request::Status, deadline).await?)
    }

    /// Returns this client as a source of cells that answers by `deadline`.
    pub const fn cells(&mut self, deadline: Instant) -> TcpCells<'_> {
        TcpCells {
            client: self,
            deadline,
        }
    }

    async fn request(&mut self, request: Request<'_>, deadline: Instant) -> Result<Cell, Failure> {
        let spec = RequestSpec {
            source: "",
            request,
            with_status: false,
            read: Ok,
        };
        let (attempt, outcome) = self.attempt(&spec, deadline).await;
        attempt.into_value(outcome).map_err(|error| match error {
            QueryError::Failed(failure) => failure,
            QueryError::Refused(error) => Failure::new(
                FailureReason::PeerError,
                format!("the request failed with :{}: {}", error.code, error.message),
            ),
        })
    }
}

/// The cells of one peer, over the connection of a [`TcpClient`].
#[derive(Debug)]
pub struct TcpCells<'a> {
    client: &'a mut TcpClient,
    deadline: Instant,
}

impl CellSource for TcpCells<'_> {
    async fn head(&mut self) -> Result<BeliefHead, Failure> {
        self.client.belief_head(self.deadline).await
    }

    async fn cells(&mut self, hashes: &[Hash]) -> Result<Vec<Option<Cell>>, Failure> {
        self.client.fetch_cells(hashes, self.deadline).await
    }
}

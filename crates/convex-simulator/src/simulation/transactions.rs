//! Transactions, sent without sockets.

use std::time::Duration;

use convex_client::FailureReason;
use convex_client::transaction::{
    SignedTransaction, SubmitError, TransactionResult, transaction_request,
};

use super::{Simulation, late, read_reply, response};
use crate::account::number_of_account;
use crate::reply::Response;
use crate::submit::executed_result;

/// How often it is looked whether a transaction is executed.
const RESULT_INTERVAL: Duration = Duration::from_millis(10);

impl Simulation {
    /// Sends a transaction to `peer` as [`TcpClient::submit`](convex_client::TcpClient::submit)
    /// does.
    ///
    /// # Errors
    /// The peer refuses the transaction, or a fault prevents its result within the timeout.
    ///
    /// # Panics
    /// There is no such peer.
    pub fn submit(
        &mut self,
        peer: usize,
        at: Duration,
        timeout: Duration,
        transaction: &SignedTransaction,
    ) -> Result<TransactionResult, SubmitError> {
        let request = transaction_request(1, transaction);
        let response = response(&self.view(peer, at), timeout, &request);
        let (response, took) = response.map_err(|failure| match failure.reason {
            FailureReason::Refused => SubmitError::NotSent(failure),
            _ => SubmitError::NoAnswer(failure),
        })?;
        let submission = match response {
            Response::Submitted(submission) => submission,
            Response::Immediate(cell) => {
                let reply = read_reply(&cell).map_err(SubmitError::NoAnswer)?;
                return TransactionResult::from_reply(reply, took);
            }
            _ => return Err(SubmitError::NoAnswer(late())),
        };
        let ticket = self
            .world
            .submit(peer - 1, *submission.transaction, at + took);
        let mut waited = took;
        while submission.answered && waited <= timeout {
            if let Some(executed) = self.world.executed(ticket, peer - 1, at + waited) {
                let result = executed_result(submission.id, &executed);
                let reply = read_reply(&result).map_err(SubmitError::NoAnswer)?;
                return TransactionResult::from_reply(reply, waited);
            }
            waited += RESULT_INTERVAL;
        }
        Err(SubmitError::NoAnswer(late()))
    }

    /// Returns the number of the `i`-th of `Options::accounts`, counted from 0.
    #[must_use]
    pub const fn account(&self, i: usize) -> u64 {
        number_of_account(self.peers, i)
    }
}

#[cfg(test)]
mod tests;

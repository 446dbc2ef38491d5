//! How a transaction is sent, and what a peer answers.

use std::time::Duration;

use cad3::Cell;

use super::{SignedTransaction, TransactionFailure};
use crate::failure::Failure;
use crate::message::{ErrorReply, Reply};

/// Returns the request to execute a transaction, `[:TX id signed-transaction]`.
#[must_use]
pub fn transaction_request(id: i64, transaction: &SignedTransaction) -> Cell {
    Cell::vector([
        Cell::keyword("TX"),
        Cell::integer(id),
        transaction.cell().clone(),
    ])
}

/// Where a transaction stands on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLocation {
    /// Index of the block.
    pub block: i64,
    /// Position of the transaction in the block.
    pub position: i64,
}

/// A transaction that was executed without an error, in a block that is final.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionResult {
    /// The value of its command.
    pub value: Cell,
    /// Where it stands, if the peer says so.
    pub location: Option<BlockLocation>,
    /// What it cost in copper (a billion are one Convex Coin), if the peer says so.
    pub fees: Option<u64>,
    /// The juice that its command used, without that for its bytes, if the peer says so.
    pub juice: Option<u64>,
    /// The time from sending until the result arrived.
    pub took: Duration,
}

/// Why there is no [`TransactionResult`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// The peer, or the network, answers with an error.
    #[error("the transaction failed with :{}: {}", error.code, error.message)]
    Refused {
        /// The error.
        error: ErrorReply,
        /// Where the transaction stands, if it is in a block: then it may have cost its fees.
        location: Option<BlockLocation>,
        /// What it cost in copper, if the peer says so.
        fees: Option<u64>,
        /// The time from sending until the answer arrived.
        took: Duration,
    },
    /// Nothing was sent: the peer could not be reached.
    #[error("the transaction was not sent: {0}")]
    NotSent(Failure),
    /// It was sent, at least in part, and no valid answer arrived. It may be executed yet.
    #[error("the transaction was sent: {0}")]
    NoAnswer(Failure),
}

impl SubmitError {
    /// Returns the reason; none if the peer could not be asked, or closed the connection, which
    /// says nothing about transactions.
    #[must_use]
    pub fn reason(&self) -> Option<TransactionFailure> {
        match self {
            Self::Refused { error, .. } => Some(TransactionFailure::of_error(error)),
            Self::NotSent(_) => None,
            Self::NoAnswer(failure) => TransactionFailure::of_failure(failure),
        }
    }

    /// Returns whether the peer may have read the transaction. If so, it may be executed now or
    /// later, whatever the peer answers: one that was executed before is refused with `:SEQUENCE`,
    /// and one that fails in its block has used its sequence number. Read the account to know.
    #[must_use]
    pub const fn was_sent(&self) -> bool {
        !matches!(self, Self::NotSent(_))
    }
}

impl TransactionResult {
    /// Reads the reply to a transaction.
    ///
    /// # Errors
    /// The reply is an error.
    pub fn from_reply(reply: Reply, took: Duration) -> Result<Self, SubmitError> {
        let info = &reply.info;
        let location = info.get("loc").and_then(|location| {
            let location = location.as_elements()?;
            Some(BlockLocation {
                block: location.get(0)?.as_i64()?,
                position: location.get(1)?.as_i64()?,
            })
        });
        let number = |name| u64::try_from(info.get(name)?.as_i64()?).ok();
        let fees = number("fees");
        match reply.outcome {
            Ok(value) => Ok(Self {
                value,
                location,
                fees,
                juice: number("juice"),
                took,
            }),
            Err(error) => Err(SubmitError::Refused {
                error,
                location,
                fees,
                took,
            }),
        }
    }
}

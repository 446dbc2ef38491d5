//! Queries: forms that a peer evaluates without changing its state.

use cad3::Cell;
use cad3::reader::{self, ReadError};

use crate::failure::{Failure, FailureReason};
use crate::message::ErrorReply;

/// A form for a peer to evaluate. It is parsed once and can be sent any number of times.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    source: String,
    form: Cell,
}

impl Query {
    /// Parses query text.
    ///
    /// # Errors
    /// The text is not exactly one form. The error names line and column.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        Ok(Self {
            source: text.to_owned(),
            form: reader::read(text)?,
        })
    }

    /// Returns the query as text, which REST sends.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the query as a cell, which the binary protocol sends.
    #[must_use]
    pub fn form(&self) -> &Cell {
        &self.form
    }
}

/// Reason why a query has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The peer evaluated the query and reports an error. Another endpoint would report the same.
    #[error("the query failed with :{}: {}", .0.code, .0.message)]
    Refused(ErrorReply),
    /// No valid answer arrived.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl QueryError {
    /// Returns whether a smaller query may succeed: the peer's limit of juice or size was exceeded,
    /// or the client's limit of the size of a reply.
    #[must_use]
    pub fn exceeds_limit(&self) -> bool {
        match self {
            // PEER-PROTOCOL, sections 4 and 9.
            Self::Refused(error) => matches!(error.code.as_str(), "JUICE" | "LIMIT"),
            Self::Failed(failure) => failure.reason == FailureReason::TooLarge,
        }
    }
}

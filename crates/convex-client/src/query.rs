//! A question to a peer: any form, as the text that REST reads and the cell that the binary protocol carries.

use cad3::Cell;
use cad3::reader::{self, ReadError};

use super::failure::Failure;
use super::message::ErrorReply;

/// One form to evaluate. Made once and asked often.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    source: String,
    form: Cell,
}

impl Query {
    /// A question from query text.
    ///
    /// # Errors
    /// The text is not exactly one form; the error says where.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        Ok(Self {
            source: text.to_owned(),
            form: reader::read(text)?,
        })
    }

    /// The text, as REST is asked.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The cell, as the binary protocol is asked.
    #[must_use]
    pub fn form(&self) -> &Cell {
        &self.form
    }
}

/// Why a question has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The peer evaluated it and reports an error: another endpoint would say the same.
    #[error("the query is answered with :{}: {}", .0.code, .0.message)]
    Refused(ErrorReply),
    /// No answer was had, or none that can be used.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl QueryError {
    /// Whether asking for less could help: the peer's limit of juice or size was met, or our own of size.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        match self {
            // PEER-PROTOCOL, sections 4 and 9.
            Self::Refused(error) => matches!(error.code.as_str(), "JUICE" | "LIMIT"),
            Self::Failed(failure) => failure.reason == super::FailureReason::TooLarge,
        }
    }
}

//! Why a transaction failed: a closed set.

use std::fmt;

use crate::failure::{Failure, FailureReason};
use crate::message::ErrorReply;

/// Reason why a transaction was not executed, as far as the sender knows. The set is closed, and
/// each reason has a stable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub enum TransactionFailure {
    /// The peer is not in the registry on chain.
    Unregistered,
    /// The peer has too little stake of its own to make blocks.
    Understaked,
    /// No result arrived by the deadline.
    Timeout,
    /// The sequence number is used, or is not the next.
    Sequence,
    /// The account cannot pay.
    Funds,
    /// The peer, or the network, refused the transaction for another reason.
    Rejected,
    /// The peer is overloaded.
    Overloaded,
}

impl TransactionFailure {
    /// All reasons, in the order of declaration.
    pub const ALL: &'static [Self] = &[
        Self::Unregistered,
        Self::Understaked,
        Self::Timeout,
        Self::Sequence,
        Self::Funds,
        Self::Rejected,
        Self::Overloaded,
    ];

    /// Returns the stable name, in snake case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unregistered => "unregistered",
            Self::Understaked => "understaked",
            Self::Timeout => "timeout",
            Self::Sequence => "sequence",
            Self::Funds => "funds",
            Self::Rejected => "rejected",
            Self::Overloaded => "overloaded",
        }
    }

    /// Returns the meaning, in one sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Unregistered => "The peer is not in the registry on chain.",
            Self::Understaked => "The peer has too little stake of its own to make blocks.",
            Self::Timeout => "No result arrived by the deadline.",
            Self::Sequence => "The sequence number is used, or is not the next.",
            Self::Funds => "The account cannot pay.",
            Self::Rejected => "The peer or the network refused the transaction.",
            Self::Overloaded => "The peer is overloaded.",
        }
    }

    /// Returns the reason of an error that a peer reports.
    ///
    /// Peers report a peer that is not registered and one that has too little stake with the same
    /// code, so their messages distinguish them (`TransactionHandler.checkPeerState`).
    #[must_use]
    pub fn of_error(error: &ErrorReply) -> Self {
        match error.code.as_str() {
            "SEQUENCE" => Self::Sequence,
            // An account that cannot pay its fees gets :JUICE, and :MEMORY for its memory.
            "FUNDS" | "JUICE" | "MEMORY" => Self::Funds,
            "LOAD" => Self::Overloaded,
            "TIMEOUT" => Self::Timeout,
            "STATE" if error.message.contains("not registered") => Self::Unregistered,
            "STATE" if error.message.contains("not sufficiently staked") => Self::Understaked,
            _ => Self::Rejected,
        }
    }

    /// Returns the reason of a failure of the connection; none if it says nothing about
    /// transactions, because the peer could not be asked.
    #[must_use]
    pub const fn of_failure(failure: &Failure) -> Option<Self> {
        match failure.reason {
            FailureReason::Timeout | FailureReason::QueryHangs => Some(Self::Timeout),
            FailureReason::Overloaded => Some(Self::Overloaded),
            FailureReason::Malformed | FailureReason::TooLarge | FailureReason::PeerError => {
                Some(Self::Rejected)
            }
            _ => None,
        }
    }
}

impl fmt::Display for TransactionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

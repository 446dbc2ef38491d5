//! Why a poll of an endpoint failed: the client's reasons, and those that only the agent has.

use std::fmt;

use convex_client::{FailureReason, Transport, sanitize};
use utoipa::openapi::{RefOr, Schema};

use crate::label_enum;

/// Why a poll failed: the values of the `reason` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Reported by the client. [`FailureReason::Local`] is a problem of the agent itself:
    /// [`Self::MONITOR`].
    Client(FailureReason),
    /// The peer belongs to a different network from the pinned one.
    WrongNetwork,
    /// The peer key differs from the pinned one.
    WrongPeer,
}

impl Reason {
    /// A problem of the agent itself, never counted against a peer.
    pub const MONITOR: Self = Self::Client(FailureReason::Local);

    /// All reasons.
    pub const ALL: [Self; FailureReason::ALL.len() + 2] = {
        let mut all = [Self::WrongNetwork; FailureReason::ALL.len() + 2];
        let mut i = 0;
        while i < FailureReason::ALL.len() {
            all[i] = Self::Client(FailureReason::ALL[i]);
            i += 1;
        }
        all[i + 1] = Self::WrongPeer;
        all
    };

    /// Returns the label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MONITOR => "monitor",
            Self::Client(reason) => reason.as_str(),
            Self::WrongNetwork => "wrong_network",
            Self::WrongPeer => "wrong_peer",
        }
    }

    /// Returns the meaning, in one sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Client(FailureReason::TooLarge) => {
                "The reply is larger than `limits.max_response_bytes`."
            }
            Self::MONITOR => "A problem of the agent itself, never counted against a peer.",
            Self::Client(reason) => reason.meaning(),
            Self::WrongNetwork => "The peer belongs to a different network from the pinned one.",
            Self::WrongPeer => {
                "The peer key differs from the pinned one, or the peer proved to hold another key than it claims."
            }
        }
    }

    /// Whether this reason can occur on `transport`.
    #[must_use]
    pub const fn possible_on(self, transport: Transport) -> bool {
        match self {
            Self::Client(reason) => reason.possible_on(transport),
            Self::WrongNetwork | Self::WrongPeer => true,
        }
    }

    /// Whether this reason says more about the peer than `other`.
    #[must_use]
    pub const fn is_more_specific_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::Client(reason), Self::Client(other)) => reason.is_more_specific_than(other),
            (Self::WrongNetwork | Self::WrongPeer, Self::Client(_)) => true,
            (_, Self::WrongNetwork | Self::WrongPeer) => false,
        }
    }

    /// Whether another attempt in the same poll could succeed.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Client(reason) => reason.is_retryable(),
            Self::WrongNetwork | Self::WrongPeer => false,
        }
    }
}

impl From<FailureReason> for Reason {
    fn from(reason: FailureReason) -> Self {
        Self::Client(reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl utoipa::PartialSchema for Reason {
    fn schema() -> RefOr<Schema> {
        label_enum::schema(
            Self::ALL
                .iter()
                .map(|reason| (reason.as_str(), reason.meaning())),
        )
    }
}

impl utoipa::ToSchema for Reason {}

/// A failed attempt: the reason for machines, the message for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    /// The reason, one of a closed set.
    pub reason: Reason,
    /// The details, in lower case and on one line.
    pub message: String,
}

impl Failure {
    /// Creates a failure. Replaces control characters in `message`, which can contain text from a
    /// peer.
    pub fn new(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: sanitize(message.into()),
        }
    }
}

impl From<convex_client::Failure> for Failure {
    fn from(failure: convex_client::Failure) -> Self {
        Self {
            reason: failure.reason.into(),
            message: failure.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_are_unique() {
        let labels: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(labels.len(), Reason::ALL.len());
    }
}

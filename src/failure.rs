//! Why a poll of an endpoint failed: the client's reasons, and those that only the agent has.

use std::fmt;

use convex_client::{FailureReason, Transport, sanitize};
use utoipa::openapi::{RefOr, Schema};

use crate::label_enum;

/// A value of the `reason` label. The set is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// What the client reports. [`FailureReason::Local`] is the agent's own problem: [`Self::MONITOR`].
    Client(FailureReason),
    /// The peer belongs to another network than the pinned one.
    WrongNetwork,
    /// Another peer key than the pinned one answers.
    WrongPeer,
}

impl Reason {
    /// The agent's own problem, never counted against a peer.
    pub const MONITOR: Self = Self::Client(FailureReason::Local);

    /// Every reason.
    pub const ALL: [Self; FailureReason::ALL.len() + 2] = {
        let mut all = [Self::WrongNetwork; _];
        let mut i = 0;
        while i < FailureReason::ALL.len() {
            all[i] = Self::Client(FailureReason::ALL[i]);
            i += 1;
        }
        all[i + 1] = Self::WrongPeer;
        all
    };

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MONITOR => "monitor",
            Self::Client(reason) => reason.as_str(),
            Self::WrongNetwork => "wrong_network",
            Self::WrongPeer => "wrong_peer",
        }
    }

    /// What it means, in one sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Client(FailureReason::TooLarge) => {
                "The reply is larger than `limits.max_response_bytes`."
            }
            Self::MONITOR => "The agent's own problem, never counted against a peer.",
            Self::Client(reason) => reason.meaning(),
            Self::WrongNetwork => "The peer belongs to another network than the pinned one.",
            Self::WrongPeer => "Another peer key than the pinned one answers.",
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

    /// Whether another attempt in the same poll could end differently.
    #[must_use]
    pub const fn worth_a_retry(self) -> bool {
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

/// One failed attempt: the reason for machines, the message for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    /// The closed reason.
    pub reason: Reason,
    /// What exactly was seen, in lower case and on one line.
    pub message: String,
}

impl Failure {
    /// A failure; control characters in `message`, which may come from a stranger, are replaced.
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

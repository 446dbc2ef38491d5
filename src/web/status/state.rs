//! The state of a part of the page, for people who do not know the terms of the agent.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The state of a peer, of a network, or of all together. Ordered from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works.
    Operational,
    /// It is being worked on, as planned.
    Maintenance,
    /// The monitor cannot tell.
    Unknown,
    /// It works in part, or not as well as it should.
    Degraded,
    /// It does not work.
    Down,
}

impl State {
    /// Returns the state as a label, and the name of its style.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operational => "operational",
            Self::Maintenance => "maintenance",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }

    /// Returns the state in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Operational => "Operational",
            Self::Maintenance => "Under maintenance",
            Self::Unknown => "Not monitored at the moment",
            Self::Degraded => "Degraded",
            Self::Down => "Down",
        }
    }
}

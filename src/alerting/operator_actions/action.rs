//! One thing that an operator said, who said it, why, and for how long it counts.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::matchers::Matchers;

/// One hour.
const HOUR: Duration = Duration::from_secs(3600);

/// Something that an operator said about alerts or peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorAction {
    /// Identifies it at the agent that was told; unique across restarts.
    pub id: u64,
    /// What it does.
    pub kind: ActionKind,
    /// What it is about: all labels of the alert, those that silenced alerts have, or a peer or a
    /// network in maintenance.
    pub matchers: Matchers,
    /// Who says so. A text; only a password proves who it was.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// When it begins.
    pub starts_at: SystemTime,
    /// When it ends by itself.
    pub ends_at: SystemTime,
    /// The other agent that was told; none for this one.
    pub vantage: Option<String>,
}

/// What an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Somebody works on a firing alert: it is not repeated.
    Acknowledgement,
    /// Nothing is sent about alerts with these labels.
    Silence,
    /// A peer, or all peers of a network, are in maintenance.
    Maintenance,
}

impl ActionKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Acknowledgement, Self::Silence, Self::Maintenance];

    /// Returns its name in the API and in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledgement => "acknowledgement",
            Self::Silence => "silence",
            Self::Maintenance => "maintenance",
        }
    }

    /// Returns the longest time that it can last.
    #[must_use]
    pub const fn max_length(self) -> Duration {
        match self {
            // Operators who work on it for longer acknowledge it again.
            Self::Acknowledgement => HOUR.saturating_mul(4),
            Self::Silence | Self::Maintenance => HOUR.saturating_mul(30 * 24),
        }
    }

    /// Returns how many there can be at a time.
    pub(super) const fn max_count(self) -> usize {
        match self {
            // The alerts of a network of 500 peers, acknowledged one by one.
            Self::Acknowledgement => 1_000,
            Self::Silence | Self::Maintenance => 200,
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

//! Why an alert ended although nothing shows that its cause is gone.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an alert ended although nothing shows that its cause is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// A maintenance window of the peer has begun.
    Maintenance,
    /// The peer continues under this name, and so does the alert.
    Renamed(String),
    /// The subject is no longer configured as the operator's own.
    Removed,
}

impl fmt::Display for EndedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Maintenance => f.write_str("maintenance"),
            Self::Renamed(to) => write!(f, "renamed to {to}"),
            Self::Removed => f.write_str("removed from the configuration"),
        }
    }
}

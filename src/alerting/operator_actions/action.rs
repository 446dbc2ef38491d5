//! Who said something about alerts, why, and for how long it counts.

use std::time::SystemTime;

/// Who said something about alerts, why, and for how long it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorAction {
    /// Who says so. Text of a person; no proof of who it was.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Since when it counts.
    pub starts_at: SystemTime,
    /// When it ends by itself.
    pub ends_at: SystemTime,
    /// The other agent that was told; none for this one.
    pub vantage: Option<String>,
}

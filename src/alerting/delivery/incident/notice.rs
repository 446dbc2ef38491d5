//! A message about an incident that waits for its receiver.

use serde::{Deserialize, Serialize};

use super::super::queue::Queued;
use super::content::Content;

/// What a message does to its incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::alerting::delivery) enum Action {
    /// Begins the incident.
    Open,
    /// Replaces what the first message says.
    Update,
    /// Says that something got worse: a new message, because an edit notifies nobody.
    Worse,
    /// Says again what nobody has acknowledged.
    Repeat,
    /// Says that somebody works on it.
    Acknowledge,
    /// Says that it is over.
    End,
}

/// A message about an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::alerting::delivery) struct Notice {
    /// Identifies the message; the same each time it is sent.
    pub(in crate::alerting::delivery) id: String,
    /// The key of its incident.
    pub(in crate::alerting::delivery) incident: String,
    pub(in crate::alerting::delivery) action: Action,
    pub(in crate::alerting::delivery) content: Content,
}

impl Queued for Notice {
    fn id(&self) -> &str {
        &self.id
    }

    fn alerts(&self) -> usize {
        self.content.alerts.len()
    }
}

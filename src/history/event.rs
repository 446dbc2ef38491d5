//! What happens to peers, networks and the agent: what is told once, when it happens.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A value of one of the closed sets, as its label. What a later version has written is kept as it is.
pub type Label = Cow<'static, str>;

/// One happening. As JSON it is flat: `id`, `at_ms`, `kind`, and what belongs to the kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Larger than that of every earlier event, also of those before a restart; below 2^53. Numbers are left out.
    pub id: u64,
    /// When it was noticed, milliseconds since the epoch.
    pub at_ms: u64,
    /// The peer that it is about, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The network that it is about, or that of the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: EventKind,
}

impl Event {
    /// When it was noticed.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        let since = Duration::from_millis(self.at_ms);
        SystemTime::UNIX_EPOCH
            .checked_add(since)
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// A peer's health is another one.
    HealthChanged {
        /// The health before.
        #[schema(value_type = String)]
        from: Label,
        /// The health now.
        #[schema(value_type = String)]
        to: Label,
        /// What its endpoints failed with, or what excuses it; empty when nothing fails.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// Something came in force against a peer.
    ConditionBegan {
        /// The condition.
        #[schema(value_type = String)]
        condition: Label,
    },
    /// It is over.
    ConditionEnded {
        /// The condition.
        #[schema(value_type = String)]
        condition: Label,
    },
    /// The peer's process was started anew, as its connections tell.
    RestartInferred,
    /// Another key than before answers.
    KeyChanged {
        /// The key before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The key now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// The peer's state is another one than the majority's.
    ForkBegan {
        /// The lowest known block of the difference. The majority has it too, so that it is far below 2^53.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first_block: Option<i64>,
    },
    /// An equal state was seen again.
    ForkEnded,
    /// The network's order does something else. A network that is idle and one that advances are both well: between these
    /// two nothing is told.
    OrderChanged {
        /// What it did.
        #[schema(value_type = String)]
        from: Label,
        /// What it does.
        #[schema(value_type = String)]
        to: Label,
    },
    /// No group of peers holds more than half of the weight any longer.
    SplitBegan,
    /// One does again.
    SplitEnded,
    /// Another configuration is in force.
    ConfigReloaded {
        /// Its configured peers.
        peers: usize,
    },
    /// A new configuration was refused.
    ConfigRefused {
        /// What was wrong with it, cut after 1,000 characters.
        errors: String,
    },
    /// The agent has started.
    AgentStarted {
        /// Its version.
        #[schema(value_type = String)]
        version: Label,
    },
    /// The agent was asked to stop.
    AgentStopped,
}

/// What is kept of the errors of a configuration, characters.
const ERRORS_KEPT: usize = 1_000;

impl EventKind {
    /// A configuration was refused with these errors.
    #[must_use]
    pub fn refused(errors: &str) -> Self {
        let mut kept: String = errors.chars().take(ERRORS_KEPT).collect();
        if kept.len() < errors.len() {
            kept.push('…');
        }
        Self::ConfigRefused { errors: kept }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HealthChanged { from, to, why } if why.is_empty() => {
                write!(f, "{to}, was {from}")
            }
            Self::HealthChanged { from, to, why } => write!(f, "{to}, was {from}: {why}"),
            Self::ConditionBegan { condition } => write!(f, "{condition}"),
            Self::ConditionEnded { condition } => write!(f, "no longer {condition}"),
            Self::RestartInferred => f.write_str("restarted"),
            Self::KeyChanged { from, to } => {
                let key = |key: &Option<String>| key.as_ref().map_or("none", |key| key).to_owned();
                write!(f, "key {} answers, was {}", key(to), key(from))
            }
            Self::ForkBegan {
                first_block: Some(block),
            } => write!(f, "diverged from the majority's state at block {block}"),
            Self::ForkBegan { first_block: None } => {
                f.write_str("diverged from the majority's state")
            }
            Self::ForkEnded => f.write_str("in the majority's state again"),
            Self::OrderChanged { from, to } => write!(f, "the order is {to}, was {from}"),
            Self::SplitBegan => f.write_str("split: no state holds more than half of the weight"),
            Self::SplitEnded => f.write_str("no longer split"),
            Self::ConfigReloaded { peers } => {
                write!(f, "the configuration is reloaded, {peers} peers")
            }
            Self::ConfigRefused { errors } => {
                write!(f, "the new configuration is refused: {errors}")
            }
            Self::AgentStarted { version } => write!(f, "the agent {version} has started"),
            Self::AgentStopped => f.write_str("the agent stops"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object_and_is_read_back() {
        let event = Event {
            id: 7,
            at_ms: 1_000,
            peer: Some("one".to_owned()),
            network: Some("main".to_owned()),
            what: EventKind::HealthChanged {
                from: "up".into(),
                to: "down".into(),
                why: "tcp: refused: as told".to_owned(),
            },
        };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(
            text,
            r#"{"id":7,"at_ms":1000,"peer":"one","network":"main","kind":"health_changed","from":"up","to":"down","why":"tcp: refused: as told"}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        assert_eq!(
            event.what.to_string(),
            "down, was up: tcp: refused: as told"
        );
    }
}

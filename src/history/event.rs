//! Events: changes of peers, networks and the agent.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::fleet::peer_json::ExactInteger;

use super::time::unix_millis;

/// The label of an enum value. Labels written by a later version are kept unchanged.
pub type Label = Cow<'static, str>;

/// An event. Its JSON is flat: `id`, `at_ms`, `kind`, and the fields of the kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Increases with each event, across restarts too; below 2^53. There are gaps.
    pub id: u64,
    /// When it was noticed, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The peer, if the event is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The network that the event is about, or the peer's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The kind, with its fields.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// Returns when the event was noticed.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        let since_epoch = Duration::from_millis(self.at_ms);
        SystemTime::UNIX_EPOCH
            .checked_add(since_epoch)
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// The kind of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// The health of a peer changed.
    HealthChanged {
        /// The health before.
        #[schema(value_type = String)]
        from: Label,
        /// The health now.
        #[schema(value_type = String)]
        to: Label,
        /// Why endpoints failed, or what excuses the failure; empty if nothing failed.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// A condition of a peer became active.
    ConditionBegan {
        /// The condition.
        #[schema(value_type = String)]
        condition: Label,
    },
    /// A condition of a peer is no longer active.
    ConditionEnded {
        /// The condition.
        #[schema(value_type = String)]
        condition: Label,
    },
    /// The peer's process was restarted, inferred from its connections.
    RestartInferred,
    /// The peer answers with a different key.
    KeyChanged {
        /// The key before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The key now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// Peers with more than half of the registered stake have another state than the peer.
    ForkBegan {
        /// The lowest block known to differ. Others have this block too, so it is far below 2^53.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first_block: Option<i64>,
    },
    /// The peer's state equals that of another peer again, and nobody contradicts.
    ForkEnded,
    /// The peer's finality went back, which it never should. An event at once and each time, while
    /// the condition `receding` waits for the peer to recover.
    FinalityReceded {
        /// Number of final blocks before.
        from: ExactInteger,
        /// Number of final blocks now.
        to: ExactInteger,
    },
    /// The peer's stake, own and delegated together, changed by more than 5 % since it was first
    /// seen or last reported: rewards alone are not an event each.
    StakeChanged {
        /// The stake before, in copper.
        from: ExactInteger,
        /// The stake now, in copper.
        to: ExactInteger,
    },
    /// The number of peers that are registered on the network changed.
    RegisteredPeersChanged {
        /// The number before.
        from: ExactInteger,
        /// The number now.
        to: ExactInteger,
    },
    /// The state of the network's order changed. Changes between `idle` and `advancing`, which are
    /// both healthy, are not events.
    OrderChanged {
        /// The state before.
        #[schema(value_type = String)]
        from: Label,
        /// The state now.
        #[schema(value_type = String)]
        to: Label,
    },
    /// Peers of the network have different states at one block, whoever is in the majority.
    StatesDifferBegan {
        /// The newest such block.
        block: ExactInteger,
        /// The states at it.
        states: Vec<StateOfPeer>,
    },
    /// No two peers of the network show different states at one block any more.
    StatesDifferEnded,
    /// Peers with half of the registered stake or more have other states than others, and no state
    /// has more than half.
    SplitBegan,
    /// The network is no longer split.
    SplitEnded,
    /// All polled peers of the network show one genesis hash that is not the network's.
    ResetBegan {
        /// The genesis hash of the network.
        expected: String,
        /// The genesis hash that the peers show.
        shown: String,
    },
    /// A peer shows the genesis hash of the network again, or the new one became the network's.
    ResetEnded,
    /// Two rounds of the canary in a row failed at the peer: it does not execute transactions.
    WritesFailingBegan {
        /// Why the last one failed.
        #[schema(value_type = String)]
        reason: Label,
    },
    /// A transaction of the canary through the peer was executed again.
    WritesFailingEnded,
    /// An operator acknowledged an alert, silenced alerts or put peers into maintenance.
    ActionBegan {
        /// `acknowledgement`, `silence` or `maintenance`.
        #[schema(value_type = String)]
        action: Label,
        /// The labels of the alerts or peers.
        labels: String,
        /// Who did so.
        created_by: String,
        /// Why.
        comment: String,
        /// When it begins, in milliseconds since the epoch; absent in older events.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        starts_at_ms: Option<u64>,
        /// When it ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends_at_ms: Option<u64>,
    },
    /// What an operator did has ended.
    ActionEnded {
        /// `acknowledgement`, `silence` or `maintenance`.
        #[schema(value_type = String)]
        action: Label,
        /// The labels of the alerts or peers.
        labels: String,
        /// Why it ended.
        why: String,
    },
    /// An alert started to fire at this agent.
    AlertBegan {
        /// Its name.
        #[schema(value_type = String)]
        alertname: Label,
        /// `critical`, `warning` or `info`.
        #[schema(value_type = String)]
        severity: Label,
        /// The service of the network that it is about, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// A title.
        summary: String,
        /// The state of its subject when it started to fire.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        description: String,
    },
    /// An alert no longer fires.
    AlertEnded {
        /// Its name.
        #[schema(value_type = String)]
        alertname: Label,
        /// `critical`, `warning` or `info`.
        #[schema(value_type = String)]
        severity: Label,
        /// The service of the network that it is about, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// A title.
        summary: String,
        /// When it started to fire, seconds since the epoch.
        #[schema(value_type = f64)]
        starts_at: Moment,
        /// Why it ended; empty if its cause is gone.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// Evidence of a condition of the peer was written to the state directory.
    EvidenceKept {
        /// The condition.
        #[schema(value_type = String)]
        condition: Label,
        /// Id of the evidence.
        evidence: String,
    },
    /// An operator wrote or removed the text that the status page shows about an incident.
    IncidentNoted {
        /// The incident.
        #[schema(maximum = 9_007_199_254_740_992_i64)]
        incident: u64,
        /// The text; absent if it was removed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Who did so.
        created_by: String,
    },
    /// A new configuration became active.
    ConfigReloaded {
        /// Number of configured peers.
        peers: usize,
    },
    /// A new configuration was rejected.
    ConfigRefused {
        /// The errors, truncated after 1,000 characters.
        errors: String,
    },
    /// The agent has started.
    AgentStarted {
        /// The agent's version.
        #[schema(value_type = String)]
        version: Label,
    },
    /// The agent is stopping.
    AgentStopped,
}

/// A moment in the fields of an event, to the millisecond; seconds since the epoch in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64")]
pub struct Moment(Duration);

impl Moment {
    /// Returns the moment as a time.
    #[must_use]
    pub fn time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH
            .checked_add(self.0)
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

impl From<SystemTime> for Moment {
    fn from(at: SystemTime) -> Self {
        Self(Duration::from_millis(unix_millis(at)))
    }
}

impl From<f64> for Moment {
    fn from(seconds: f64) -> Self {
        let since_epoch = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let millis = since_epoch.as_micros().saturating_add(500) / 1_000;
        Self(Duration::from_millis(
            u64::try_from(millis).unwrap_or(u64::MAX),
        ))
    }
}

impl From<Moment> for f64 {
    fn from(moment: Moment) -> Self {
        moment.0.as_secs_f64()
    }
}

/// One of several states at a block, and a peer that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StateOfPeer {
    /// The first half of the state's hash.
    pub hash: String,
    /// Name of a peer that has this state.
    pub peer: String,
}

/// Longest text of the errors of a configuration, in characters.
const MAX_ERRORS_CHARS: usize = 1_000;

impl EventKind {
    /// The names of all kinds, in the order of the documentation.
    pub const NAMES: [&'static str; 29] = [
        "health_changed",
        "condition_began",
        "condition_ended",
        "restart_inferred",
        "key_changed",
        "fork_began",
        "fork_ended",
        "finality_receded",
        "stake_changed",
        "evidence_kept",
        "writes_failing_began",
        "writes_failing_ended",
        "order_changed",
        "registered_peers_changed",
        "states_differ_began",
        "states_differ_ended",
        "split_began",
        "split_ended",
        "reset_began",
        "reset_ended",
        "alert_began",
        "alert_ended",
        "action_began",
        "action_ended",
        "incident_noted",
        "config_reloaded",
        "config_refused",
        "agent_started",
        "agent_stopped",
    ];

    /// Returns the name of the kind, as in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::HealthChanged { .. } => "health_changed",
            Self::ConditionBegan { .. } => "condition_began",
            Self::ConditionEnded { .. } => "condition_ended",
            Self::RestartInferred => "restart_inferred",
            Self::KeyChanged { .. } => "key_changed",
            Self::ForkBegan { .. } => "fork_began",
            Self::ForkEnded => "fork_ended",
            Self::FinalityReceded { .. } => "finality_receded",
            Self::StakeChanged { .. } => "stake_changed",
            Self::EvidenceKept { .. } => "evidence_kept",
            Self::WritesFailingBegan { .. } => "writes_failing_began",
            Self::WritesFailingEnded => "writes_failing_ended",
            Self::OrderChanged { .. } => "order_changed",
            Self::RegisteredPeersChanged { .. } => "registered_peers_changed",
            Self::StatesDifferBegan { .. } => "states_differ_began",
            Self::StatesDifferEnded => "states_differ_ended",
            Self::SplitBegan => "split_began",
            Self::SplitEnded => "split_ended",
            Self::ResetBegan { .. } => "reset_began",
            Self::ResetEnded => "reset_ended",
            Self::AlertBegan { .. } => "alert_began",
            Self::AlertEnded { .. } => "alert_ended",
            Self::ActionBegan { .. } => "action_began",
            Self::ActionEnded { .. } => "action_ended",
            Self::IncidentNoted { .. } => "incident_noted",
            Self::ConfigReloaded { .. } => "config_reloaded",
            Self::ConfigRefused { .. } => "config_refused",
            Self::AgentStarted { .. } => "agent_started",
            Self::AgentStopped => "agent_stopped",
        }
    }

    /// Returns the event of a configuration rejected with these errors.
    #[must_use]
    pub fn config_refused(errors: &str) -> Self {
        let mut truncated: String = errors.chars().take(MAX_ERRORS_CHARS).collect();
        if truncated.len() < errors.len() {
            truncated.push('…');
        }
        Self::ConfigRefused { errors: truncated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_encoded_as_a_flat_object_and_decoded_again() {
        let event = Event {
            id: 7,
            at_ms: 1_000,
            peer: Some("one".to_owned()),
            network: Some("main".to_owned()),
            kind: EventKind::HealthChanged {
                from: "up".into(),
                to: "down".into(),
                why: "tcp: refused: as scripted".to_owned(),
            },
        };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(
            text,
            r#"{"id":7,"at_ms":1000,"peer":"one","network":"main","kind":"health_changed","from":"up","to":"down","why":"tcp: refused: as scripted"}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        assert_eq!(
            event.kind.to_string(),
            "down, was up: tcp: refused: as scripted"
        );
    }

    #[test]
    fn the_start_of_an_alert_that_has_ended_is_kept_to_the_millisecond() {
        let since_epoch = Duration::from_millis(1_795_572_680_517);
        let kind = EventKind::AlertEnded {
            alertname: "ConvexPeerDown".into(),
            severity: "critical".into(),
            service: None,
            summary: "one of main is down".to_owned(),
            starts_at: (SystemTime::UNIX_EPOCH + since_epoch).into(),
            why: "maintenance".to_owned(),
        };
        let text = serde_json::to_string(&kind).unwrap();
        assert!(text.contains(r#""starts_at":1795572680.517,"#), "{text}");
        assert_eq!(serde_json::from_str::<EventKind>(&text).unwrap(), kind);
        assert_eq!(
            kind.to_string(),
            "the alert ConvexPeerDown has ended: one of main is down (maintenance)"
        );
    }

    #[test]
    fn the_names_are_those_of_the_description_of_the_api() {
        let schema = serde_json::to_value(<EventKind as utoipa::PartialSchema>::schema()).unwrap();
        let mut described = std::collections::BTreeSet::new();
        let mut left = vec![&schema];
        while let Some(value) = left.pop() {
            if let Some(names) = value["properties"]["kind"]["enum"].as_array() {
                described.extend(names.iter().filter_map(|name| name.as_str()));
            }
            left.extend(value.as_object().into_iter().flat_map(|it| it.values()));
            left.extend(value.as_array().into_iter().flatten());
        }
        assert_eq!(described, EventKind::NAMES.into());
    }
}

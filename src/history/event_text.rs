//! What events say in words.

use std::fmt;

use convex_client::chain::economics::cvm;

use super::event::{EventKind, StateOfPeer};

impl fmt::Display for EventKind {
    #[expect(clippy::too_many_lines, reason = "one arm for each kind")]
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
                write!(f, "key changed from {} to {}", key(from), key(to))
            }
            Self::ForkBegan {
                first_block: Some(block),
            } => write!(f, "diverged from the majority's state at block {block}"),
            Self::ForkBegan { first_block: None } => {
                f.write_str("diverged from the majority's state")
            }
            Self::ForkEnded => f.write_str("back in the majority's state"),
            Self::FinalityReceded { from, to } => {
                write!(f, "finality went back from {} to {} blocks", from.0, to.0)
            }
            Self::StakeChanged { from, to } => {
                let (from, to) = (cvm(from.0), cvm(to.0));
                write!(f, "the stake is {to} CVM, was {from} CVM")
            }
            Self::RegisteredPeersChanged { from, to } => {
                write!(f, "{} peers are registered, were {}", to.0, from.0)
            }
            Self::StatesDifferBegan { block, states } => {
                write!(f, "peers have different states at block {}", block.0)?;
                let mut separator = ": ";
                for StateOfPeer { hash, peer } in states {
                    write!(f, "{separator}0x{}… ({peer})", &hash[..hash.len().min(8)])?;
                    separator = ", ";
                }
                Ok(())
            }
            Self::StatesDifferEnded => {
                f.write_str("no two peers show different states at one block any more")
            }
            Self::OrderChanged { from, to } => write!(f, "the order is {to}, was {from}"),
            Self::SplitBegan => f.write_str("split: no state holds more than half of the stake"),
            Self::SplitEnded => f.write_str("no longer split"),
            Self::ResetBegan { expected, shown } => {
                write!(
                    f,
                    "reset: all peers show genesis {shown}, expected {expected}"
                )
            }
            Self::ResetEnded => f.write_str("no longer reset: peers show the network's genesis"),
            Self::WritesFailingBegan { reason } => {
                write!(f, "transactions are not executed: {reason}")
            }
            Self::WritesFailingEnded => f.write_str("transactions are executed again"),
            Self::ActionBegan {
                action,
                labels,
                created_by,
                comment,
                ..
            } => write!(f, "{action} of {labels} by {created_by}: {comment}"),
            Self::ActionEnded {
                action,
                labels,
                why,
            } => write!(f, "the {action} of {labels} has ended: {why}"),
            Self::AlertBegan {
                alertname, summary, ..
            } => write!(f, "the alert {alertname} fires: {summary}"),
            Self::AlertEnded {
                alertname,
                summary,
                why,
                ..
            } => {
                write!(f, "the alert {alertname} has ended: {summary}")?;
                if why.is_empty() {
                    return Ok(());
                }
                write!(f, " ({why})")
            }
            Self::EvidenceKept {
                condition,
                evidence,
            } => write!(f, "evidence of {condition} was kept: {evidence}"),
            Self::IncidentNoted {
                incident,
                text: Some(text),
                created_by,
            } => write!(
                f,
                "public note on incident {incident} by {created_by}: {text}"
            ),
            Self::IncidentNoted {
                incident,
                text: None,
                created_by,
            } => write!(
                f,
                "{created_by} removed the public note on incident {incident}"
            ),
            Self::ConfigReloaded { peers } => {
                write!(f, "the configuration was reloaded, {peers} peers")
            }
            Self::ConfigRefused { errors } => {
                write!(f, "the new configuration was rejected: {errors}")
            }
            Self::AgentStarted { version } => write!(f, "the agent {version} has started"),
            Self::AgentStopped => f.write_str("the agent is stopping"),
        }
    }
}

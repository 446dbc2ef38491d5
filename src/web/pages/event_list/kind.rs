//! How pages show the kinds of events: their names, texts and colours.

use std::time::Duration;

use crate::fleet::{Condition, OrderState};
use crate::history::EventKind;
use crate::web::pages::format::short_duration;
use crate::web::pages::labels;

/// The kinds by what they are about, with the texts that pages show.
pub(super) const GROUPS: [(&str, &[(&str, &str)]); 5] = [
    (
        "Alerts",
        &[
            ("alert_began", "alert began"),
            ("alert_ended", "alert ended"),
        ],
    ),
    (
        "Peers",
        &[
            ("health_changed", "health"),
            ("condition_began", "problem began"),
            ("condition_ended", "problem ended"),
            ("restart_inferred", "restart"),
            ("key_changed", "key changed"),
            ("fork_began", "state diverged"),
            ("fork_ended", "state agrees again"),
            ("finality_receded", "finality went back"),
            ("stake_changed", "stake"),
            ("evidence_kept", "evidence"),
            ("writes_failing_began", "transactions fail"),
            ("writes_failing_ended", "transactions work again"),
        ],
    ),
    (
        "Networks",
        &[
            ("order_changed", "network"),
            ("registered_peers_changed", "registered peers"),
            ("states_differ_began", "states differ"),
            ("states_differ_ended", "states agree again"),
            ("split_began", "split"),
            ("split_ended", "split ended"),
            ("reset_began", "reset"),
            ("reset_ended", "reset ended"),
        ],
    ),
    (
        "Operators",
        &[
            ("action_began", "action began"),
            ("action_ended", "action ended"),
            ("incident_noted", "public note"),
        ],
    ),
    (
        "Agent",
        &[
            ("config_reloaded", "configuration reloaded"),
            ("config_refused", "configuration rejected"),
            ("agent_started", "agent started"),
            ("agent_stopped", "agent stopped"),
        ],
    ),
];

/// Whether an event is a change for the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web::pages) enum Change {
    Worse,
    Better,
    Neither,
}

impl Change {
    pub(super) const ALL: [Self; 3] = [Self::Worse, Self::Better, Self::Neither];

    /// Returns its value in an address.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Neither => "neither",
        }
    }

    pub(in crate::web::pages) fn of(kind: &EventKind) -> Self {
        match kind {
            EventKind::HealthChanged { from, to, .. } => {
                let rank = |health: &str| match health {
                    "up" => 0,
                    "degraded" => 1,
                    _ => 2,
                };
                match (&**from, &**to) {
                    (_, "up") => Self::Better,
                    // Nothing was known, so nothing got better.
                    ("unknown", _) => Self::Worse,
                    ("down", "unknown") => Self::Neither,
                    (from, to) if rank(to) < rank(from) => Self::Better,
                    _ => Self::Worse,
                }
            }
            EventKind::OrderChanged { to, .. } => match &**to {
                "advancing" | "idle" => Self::Better,
                _ => Self::Worse,
            },
            EventKind::ConditionBegan { .. }
            | EventKind::KeyChanged { .. }
            | EventKind::ForkBegan { .. }
            | EventKind::FinalityReceded { .. }
            | EventKind::WritesFailingBegan { .. }
            | EventKind::StatesDifferBegan { .. }
            | EventKind::SplitBegan
            | EventKind::ResetBegan { .. }
            | EventKind::AlertBegan { .. }
            | EventKind::ConfigRefused { .. } => Self::Worse,
            EventKind::ConditionEnded { .. }
            | EventKind::ForkEnded
            | EventKind::WritesFailingEnded
            | EventKind::StatesDifferEnded
            | EventKind::SplitEnded
            | EventKind::ResetEnded
            | EventKind::AlertEnded { .. } => Self::Better,
            EventKind::RestartInferred
            | EventKind::StakeChanged { .. }
            | EventKind::RegisteredPeersChanged { .. }
            | EventKind::EvidenceKept { .. }
            | EventKind::ActionBegan { .. }
            | EventKind::ActionEnded { .. }
            | EventKind::IncidentNoted { .. }
            | EventKind::ConfigReloaded { .. }
            | EventKind::AgentStarted { .. }
            | EventKind::AgentStopped => Self::Neither,
        }
    }
}

/// Returns the text of a kind.
pub(super) fn kind_text(name: &str) -> &'static str {
    let mut kinds = GROUPS.iter().flat_map(|(_, kinds)| kinds.iter());
    let found = kinds.find(|(kind, _)| *kind == name);
    found.map_or("event", |(_, text)| text)
}

/// Returns the CSS class of an event.
pub(in crate::web::pages) fn class(kind: &EventKind) -> &'static str {
    let is_severe = match kind {
        EventKind::HealthChanged { to, .. } => to == "down",
        EventKind::OrderChanged { to, .. } => to != "unknown",
        EventKind::AlertBegan { severity, .. } => severity == "critical",
        EventKind::ForkBegan { .. }
        | EventKind::FinalityReceded { .. }
        | EventKind::SplitBegan
        | EventKind::ResetBegan { .. } => true,
        _ => false,
    };
    match Change::of(kind) {
        Change::Worse if is_severe => "down",
        Change::Worse => "degraded",
        Change::Better => "up",
        Change::Neither => "unknown",
    }
}

/// Describes an event in one line.
pub(in crate::web::pages) fn describe(kind: &EventKind, at: std::time::SystemTime) -> String {
    let text = match kind {
        EventKind::HealthChanged { from, to, why } if !why.is_empty() => {
            format!("{to}, was {from}: {}", endpoints_in_words(why))
        }
        EventKind::ConditionBegan { condition } => condition_text(condition),
        EventKind::ConditionEnded { condition } => {
            format!("no longer: {}", condition_text(condition))
        }
        EventKind::OrderChanged { from, to } => {
            format!("{}, was {}", order_text(to), order_text(from))
        }
        EventKind::AlertBegan { summary, .. } => summary.clone(),
        EventKind::AlertEnded {
            summary,
            starts_at,
            why,
            ..
        } => {
            let lasted: Duration = at.duration_since(starts_at.time()).unwrap_or_default();
            let lasted = short_duration(lasted);
            if why.is_empty() {
                format!("ended after {lasted}: {summary}")
            } else {
                format!("ended after {lasted}, {why}: {summary}")
            }
        }
        EventKind::EvidenceKept { condition, .. } => {
            format!("evidence kept ({})", condition_text(condition))
        }
        other => other.to_string(),
    };
    // The errors of a configuration have a line each.
    text.trim_end().replace('\n', "; ")
}

/// Returns the text of a condition; that of a later version is its label.
pub(super) fn condition_text(label: &str) -> String {
    Condition::named(label).map_or_else(
        || label.replace('_', " "),
        |condition| labels::condition(condition).to_owned(),
    )
}

/// Replaces the reasons in `http: REASON: message; tcp: REASON: message` by their texts.
fn endpoints_in_words(why: &str) -> String {
    let in_words = |part: &str| {
        let (transport, failure) = part.split_once(": ")?;
        Some(format!("{transport}: {}", reason_in_words(failure)?))
    };
    let parts = why.split("; ");
    let parts = parts.map(|part| in_words(part).unwrap_or_else(|| part.to_owned()));
    parts.collect::<Vec<_>>().join("; ")
}

/// Replaces the reason in `REASON: message` by its text; none if it begins with no reason.
pub(in crate::web::pages) fn reason_in_words(failure: &str) -> Option<String> {
    let (reason, message) = failure.split_once(": ").unwrap_or((failure, ""));
    let known = Condition::named(reason).filter(|it| matches!(it, Condition::Failing(_)))?;
    let text = labels::condition(known);
    Some(if message.is_empty() {
        text.to_owned()
    } else {
        format!("{text}: {message}")
    })
}

fn order_text(label: &str) -> String {
    let states = [
        OrderState::Unknown,
        OrderState::Receding,
        OrderState::Stalled,
        OrderState::Advancing,
        OrderState::Idle,
    ];
    let found = states.into_iter().find(|state| state.as_str() == label);
    found.map_or_else(
        || label.to_owned(),
        |state| labels::order_state(state).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn every_kind_has_a_text() {
        let mut texts: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, kinds)| kinds.iter().map(|(kind, _)| *kind))
            .collect();
        let mut names = EventKind::NAMES.to_vec();
        texts.sort_unstable();
        names.sort_unstable();
        assert_eq!(texts, names);
    }

    #[test]
    fn a_change_of_health_is_for_the_better_or_the_worse() {
        for (from, to, change, expected) in [
            ("up", "down", Change::Worse, "down"),
            ("up", "degraded", Change::Worse, "degraded"),
            ("up", "unknown", Change::Worse, "degraded"),
            ("unknown", "down", Change::Worse, "down"),
            ("unknown", "degraded", Change::Worse, "degraded"),
            ("down", "unknown", Change::Neither, "unknown"),
            ("down", "degraded", Change::Better, "up"),
            ("unknown", "up", Change::Better, "up"),
        ] {
            let kind = EventKind::HealthChanged {
                from: from.into(),
                to: to.into(),
                why: String::new(),
            };
            assert_eq!(
                (Change::of(&kind), class(&kind)),
                (change, expected),
                "{from} {to}"
            );
        }
    }

    #[test]
    fn events_are_described_in_the_words_of_the_pages() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let condition = |label: &'static str| EventKind::ConditionEnded {
            condition: label.into(),
        };
        let down = |why: &str| EventKind::HealthChanged {
            from: "up".into(),
            to: "down".into(),
            why: why.to_owned(),
        };
        for (kind, expected) in [
            (down(""), "down, was up"),
            (
                down("http: http_status: 500; 502; tcp: timeout: in 1s"),
                "down, was up: http: HTTP error: 500; 502; tcp: no answer in time: in 1s",
            ),
            (
                down("the monitor has no network"),
                "down, was up: the monitor has no network",
            ),
            (condition("clock_skew"), "no longer: clock is off"),
            (condition("of_later_version"), "no longer: of later version"),
            (
                EventKind::OrderChanged {
                    from: "advancing".into(),
                    to: "stalled".into(),
                },
                "stalled, was finalising normally",
            ),
            (
                EventKind::AlertEnded {
                    alertname: "ConvexPeerDown".into(),
                    severity: "critical".into(),
                    service: None,
                    summary: "a of main is down".to_owned(),
                    starts_at: (at - Duration::from_secs(300)).into(),
                    why: "maintenance".to_owned(),
                },
                "ended after 5 min, maintenance: a of main is down",
            ),
            (
                EventKind::config_refused("one\ntwo\n"),
                "the new configuration was rejected: one; two",
            ),
        ] {
            assert_eq!(describe(&kind, at), expected);
        }
    }
}

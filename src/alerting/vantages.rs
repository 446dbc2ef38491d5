//! When the opinions of other agents are a cause of alerts, or refute one.

use std::time::Duration;

use humantime::format_duration;

use crate::fleet::{
    Absence, FiringAlert, Health, NetworkOpinion, NetworkSnapshot, PeerRecord, Place,
};

use super::input::RuleInput;
use super::subject::AlertSubject;
use super::tracker::Alert;

/// Whether a peer is down, and not only on the path from this agent.
pub(super) fn is_down(record: &PeerRecord, input: RuleInput<'_>) -> bool {
    record.health == Health::Down && !is_path_broken(record, input)
}

/// Whether a peer is down for some agents while others reach it, and that is not explained by
/// trouble of one agent with the whole network.
pub(super) fn disagree_on_peer(
    record: &PeerRecord,
    network: &NetworkSnapshot,
    input: RuleInput<'_>,
) -> bool {
    is_path_broken(record, input) && !disagree_on_network(network, input)
}

fn is_path_broken(record: &PeerRecord, input: RuleInput<'_>) -> bool {
    let conclusion = input.snapshot.conclusion_on_peer(record);
    conclusion.is_some_and(|it| it.place == Place::Path)
}

/// Whether a network has stalled, and no other agent refutes it.
pub(super) fn is_stalled(network: &NetworkSnapshot, input: RuleInput<'_>) -> bool {
    input.snapshot.conclusion_on_network(network).stall == Absence::Stands
}

/// Whether a network can lose no further peer, and no other agent refutes it.
pub(super) fn is_quorum_at_risk(network: &NetworkSnapshot, input: RuleInput<'_>) -> bool {
    input.snapshot.conclusion_on_network(network).quorum == Absence::Stands
}

/// Whether what one agent finds absent from a network is refuted by another one. All of them say
/// so, because the one that is cut off may reach no receiver either.
pub(super) fn disagree_on_network(network: &NetworkSnapshot, input: RuleInput<'_>) -> bool {
    let conclusion = input.snapshot.conclusion_on_network(network);
    conclusion.is_own_trouble() || conclusion.is_anothers_trouble
}

/// Whether no agent knows any peer of a network, or all agents reach too little of it to tell
/// whether something is absent.
pub(super) fn is_blind(network: &NetworkSnapshot, input: RuleInput<'_>) -> bool {
    let is_unknown = |record: &PeerRecord| {
        let mut opinions = input.snapshot.opinions_on_peer(record);
        record.health == Health::Unknown
            && opinions.all(|(_, it)| it.is_none_or(|it| it.1.health == Health::Unknown))
    };
    input.network_peers(network).all(is_unknown)
        || input.snapshot.conclusion_on_network(network).is_blind()
}

/// Returns an alert as other agents know it; none if it is about this agent.
pub(super) fn firing_alert(alert: &Alert) -> Option<FiringAlert> {
    as_firing(
        &alert.subject,
        alert.rule.name,
        alert.rule.severity.as_str(),
    )
}

/// As [`firing_alert`], of its parts.
pub(super) fn as_firing(
    subject: &AlertSubject,
    alertname: &str,
    severity: &str,
) -> Option<FiringAlert> {
    let mut labels = subject.labels("");
    let mut label = |name| labels.remove(name);
    Some(FiringAlert {
        alertname: alertname.to_owned(),
        severity: severity.to_owned(),
        peer: label("peer"),
        network: label("network")?,
        service: label("service"),
    })
}

/// Says what each other agent sees of a peer, and what follows from it.
pub(super) fn describe_peer(record: &PeerRecord, input: RuleInput<'_>) -> Vec<String> {
    let snapshot = input.snapshot;
    let others = snapshot.opinions_on_peer(record);
    let mut views: Vec<String> = others
        .map(|(vantage, opinion)| match opinion {
            None => format!("{vantage} has no opinion."),
            Some((received, opinion)) => {
                let last_good = opinion.good_poll_age_seconds.map(|age| {
                    let seconds = snapshot.age_of(received, age).as_secs();
                    let age = format_duration(Duration::from_secs(seconds));
                    format!(" (last good poll {age} ago)")
                });
                let (health, last_good) = (opinion.health.as_str(), last_good.unwrap_or_default());
                format!("{vantage} finds it {health}{last_good}.")
            }
        })
        .collect();
    let conclusion = snapshot.conclusion_on_peer(record);
    views.extend(conclusion.map(|it| it.meaning().to_owned()));
    views
}

/// Says how much of a network each agent reaches, and what follows from it; nothing if there are no
/// other agents.
pub(super) fn describe_network(network: &NetworkSnapshot, input: RuleInput<'_>) -> Vec<String> {
    let snapshot = input.snapshot;
    let share = |ratio: Option<f64>| {
        ratio.map_or_else(
            || "unknown".to_owned(),
            |ratio| format!("{:.1} %", ratio * 100.0),
        )
    };
    let others: Vec<String> = snapshot
        .opinions_on_network(network)
        .map(|(vantage, opinion)| {
            let reached = opinion.and_then(|(_, opinion)| opinion.reached_stake_ratio);
            format!("{vantage} {}", share(reached))
        })
        .collect();
    if others.is_empty() {
        return Vec::new();
    }
    let own = share(NetworkOpinion::new(network, snapshot).reached_stake_ratio);
    let reached = format!("Reached stake: this agent {own}, {}.", others.join(", "));
    let meaning = snapshot.conclusion_on_network(network).meaning();
    std::iter::once(reached)
        .chain(meaning.map(str::to_owned))
        .collect()
}

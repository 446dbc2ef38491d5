//! The description of an alert: the facts about its subject when it fired, in the order in which an
//! operator needs them. The summary of the rule says what is wrong with which subject; the
//! description says since when, then the figures and errors that prove it, who sees it, what still
//! works and what is at risk, and the first thing to do.

mod canary;
mod figures;
mod monitor;
mod network;
mod peer;
mod service;

use std::time::{Duration, SystemTime};

use super::input::{AlertCause, RuleInput};
use super::rules::Rule;
use super::vantages;

/// Describes the subject of an alert of `rule` that has had a cause since `caused`. `vantage` is
/// the agent's name.
pub(super) fn describe(
    rule: &Rule,
    caused: SystemTime,
    input: RuleInput<'_>,
    cause: AlertCause<'_>,
    vantage: &str,
) -> String {
    let since = match cause {
        AlertCause::Peer(record) => {
            let network = network::of_peer(record, input);
            canary::peer_trouble_began(record, network, rule.name)
                .or_else(|| peer::trouble_began(record, rule.name))
        }
        AlertCause::Network(network) => canary::trouble_began(network, rule.name)
            .or_else(|| network::trouble_began(network, rule.name)),
        AlertCause::Service(..) | AlertCause::Monitor => None,
    };
    let since = since.unwrap_or(caused);
    let mut sentences = vec![format!(
        "Since {}, for {}.",
        utc(since),
        elapsed(
            input
                .snapshot
                .wall
                .duration_since(since)
                .unwrap_or_default()
        )
    )];
    let seen_from = format!("Seen from {vantage}.");
    match cause {
        AlertCause::Peer(record) => {
            let network = network::of_peer(record, input);
            sentences.extend(canary::peer_facts(record, network, rule.name));
            sentences.extend(peer::facts(record, input));
            sentences.push(seen_from);
            sentences.extend(vantages::describe_peer(record, input));
            sentences.extend(network::at_risk(&record.peer.network, input));
        }
        AlertCause::Network(network) => {
            sentences.extend(canary::facts(network, rule.name, input.snapshot.now));
            sentences.extend(network::facts(network, input));
            sentences.push(seen_from);
            sentences.extend(vantages::describe_network(network, input));
            sentences.extend(network::at_risk(&network.name, input));
        }
        AlertCause::Service(network, level) => {
            sentences.push(service::facts(network, level));
            sentences.push(seen_from);
            sentences.extend(network::at_risk(&network.name, input));
        }
        AlertCause::Monitor => sentences.extend(monitor::facts(input)),
    }
    sentences.extend(rule.first_step().map(|step| format!("First: {step}")));
    sentences.join(" ")
}

/// Formats a time for people, to the second.
fn utc(at: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

/// Formats how long something lasts or takes, in whole seconds.
fn elapsed(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

fn list_or_none(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests;

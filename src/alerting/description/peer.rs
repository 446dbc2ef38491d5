//! Description of a peer.

use std::time::SystemTime;

use convex_client::FailureReason;
use convex_client::chain::economics::cvm;

use crate::alerting::input::RuleInput;
use crate::alerting::rules::alert_for_condition;
use crate::failure::Reason;
use crate::fleet::{Condition, EndpointRecord, NetworkSnapshot, PeerRecord};

use super::figures::{describe_clock, describe_end, describe_lag, describe_upgrade};
use super::{list_or_none, utc};

/// Returns when the trouble began that the alert called `name` reports, as far as it is known: the
/// last good poll of a peer that is down, or the start of the conditions of the alert.
pub(super) fn trouble_began(record: &PeerRecord, name: &str) -> Option<SystemTime> {
    if name == "ConvexPeerDown" {
        let endpoints = record.endpoints.iter();
        return endpoints.filter_map(|endpoint| endpoint.last_success).max();
    }
    let conditions = record.condition_since.iter();
    conditions
        .filter(|(condition, _)| alert_for_condition(**condition) == name)
        .map(|(_, since)| *since)
        .min()
}

/// Returns sentences about a peer: health, conditions, endpoints, and the figures that belong to
/// its conditions.
pub(super) fn facts(record: &PeerRecord, input: RuleInput<'_>) -> Vec<String> {
    let conditions: Vec<String> = record
        .conditions
        .iter()
        .map(|condition| match record.condition_since.get(condition) {
            Some(since) => format!("{} (since {})", condition.as_str(), utc(*since)),
            None => condition.as_str().to_owned(),
        })
        .collect();
    let conditions: Vec<&str> = conditions.iter().map(String::as_str).collect();
    let mut facts = vec![format!(
        "Health: {}; active conditions: {}.",
        record.health.as_str(),
        list_or_none(&conditions)
    )];
    facts.extend(record.endpoints.iter().map(endpoint));
    let mut networks = input.snapshot.networks.iter();
    let network = networks.find(|network| network.name == record.peer.network);
    let figures = record.conditions.iter();
    facts.extend(figures.filter_map(|condition| figure(*condition, record, network, input)));
    facts.extend(network.and_then(|network| supported_protocol(record, network, input)));
    facts
}

/// Says at which address an endpoint is, and why it fails.
fn endpoint(endpoint: &EndpointRecord) -> String {
    let failures = [
        ("", &endpoint.last_failure),
        ("new connections: ", &endpoint.new_connection_failure),
    ];
    let failures: Vec<String> = failures
        .iter()
        .filter_map(|(what, failure)| Some(format!("{what}{}", failure.as_ref()?)))
        .collect();
    let url = &endpoint.url;
    match &failures[..] {
        [] if endpoint.last_success.is_some() => format!("{url} answers."),
        [] => format!("{url} was not polled yet."),
        failures => format!("{url}: {}.", failures.join("; ")),
    }
}

/// Returns the figure or the hashes that prove a condition, if it has any.
fn figure(
    condition: Condition,
    record: &PeerRecord,
    network: Option<&NetworkSnapshot>,
    input: RuleInput<'_>,
) -> Option<String> {
    let now = input.snapshot.now;
    match condition {
        Condition::Lagging => record.lag(now).map(describe_lag),
        Condition::ClockSkew => record.clock(now).map(describe_clock),
        Condition::Forked => {
            let block = record.forked_at()?;
            Some(format!(
                "Its history differs from that of the majority from block {block} on."
            ))
        }
        Condition::Diverged => {
            let block = record.comparison.first_block()?;
            Some(format!(
                "Its state differs from that of the majority at the latest from block {block} on."
            ))
        }
        Condition::Isolated => {
            let hearing = network?.verdict.consensus.hearing.iter();
            let mut own = hearing.filter(|hearing| hearing.name == record.peer.name);
            let heard = own.next()?.heard_stake? * 100.0;
            Some(format!("It hears {heard:.1} % of the stake of the others."))
        }
        Condition::OwnStakeLow => {
            let margin = cvm(record.stake.as_ref()?.registered.eviction_margin());
            let side = if margin < 0.0 { "below" } else { "above" };
            let margin = margin.abs();
            Some(format!("Its own stake is {margin} CVM {side} the minimum."))
        }
        Condition::CertificateExpiring
        | Condition::Failing(Reason::Client(FailureReason::TlsExpired)) => {
            let endpoints = record.endpoints.iter();
            let certificates = endpoints.filter_map(|endpoint| endpoint.certificate.as_ref());
            let ends = certificates.map(|certificate| certificate.ends).min()?;
            Some(describe_end(ends, input.snapshot.wall))
        }
        Condition::IdentityChanged => {
            let key = record.identity.key?;
            Some(format!("Its key is now {key}."))
        }
        Condition::QueryError => {
            let error = record.query_error.as_ref()?;
            Some(format!(
                "It answers the query with {}: {}.",
                error.code.escape_debug(),
                error.message.escape_debug()
            ))
        }
        _ => None,
    }
}

/// Says which versions of the protocol a peer supports, and when it needs more; none if it supports
/// all that is scheduled.
fn supported_protocol(
    record: &PeerRecord,
    network: &NetworkSnapshot,
    input: RuleInput<'_>,
) -> Option<String> {
    let protocol = network.verdict.protocol.as_ref()?;
    let supported = record.supported_protocol(input.snapshot.now)?;
    let release = format!("Its release supports the protocol up to version {supported}");
    if protocol.version > supported {
        let version = protocol.version;
        return Some(format!("{release}; the network has version {version}."));
    }
    let mut pending = protocol.pending.iter();
    let needed = pending.find(|upgrade| upgrade.version > supported)?;
    let upgrade = describe_upgrade(needed, input.snapshot.wall);
    Some(format!("{release}; {upgrade}."))
}

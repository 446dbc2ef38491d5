//! Which findings about a peer a failed self-check may have caused. Pure.

use crate::failure::Reason;
use crate::fleet::Condition::{self, Failing};
use crate::fleet::{EndpointRecord, Health, PeerRecord};
use crate::self_check::{
    Check, CheckResult, Checks, Excuse, FailedEndpoint, NetworkPath, find_excuse,
};

/// Whether the agent itself or its clock does not keep time, so that whatever it has not heard may
/// only be late.
pub(super) fn keeps_no_time(checks: &Checks) -> bool {
    [Check::EventLoop, Check::Clock]
        .iter()
        .any(|check| checks.0.get(check) == Some(&CheckResult::Failed))
}

/// Returns what would be known of a peer without everything that a failed check may have caused;
/// none if no failed check could have caused anything.
pub(super) fn without_doubtful(record: &PeerRecord, checks: &Checks) -> Option<PeerRecord> {
    if checks
        .0
        .values()
        .all(|result| *result != CheckResult::Failed)
    {
        return None;
    }
    let doubtful_outage = record.health == Health::Down && is_explained(record, checks, reason_of);
    let is_doubtful = |condition: &Condition| is_doubtful(record, *condition, checks);
    if !doubtful_outage && !record.conditions.iter().any(is_doubtful) {
        return None;
    }
    let mut certain = record.clone();
    certain
        .conditions
        .retain(|condition| !is_doubtful(condition));
    certain.health = match record.health {
        Health::Down if doubtful_outage => Health::Unknown,
        Health::Degraded if certain.conditions.is_empty() => Health::Up,
        health => health,
    };
    Some(certain)
}

/// Whether failed checks may be why a condition was found.
fn is_doubtful(record: &PeerRecord, condition: Condition, checks: &Checks) -> bool {
    match condition {
        Failing(reason) => is_explained(record, checks, |endpoint| {
            reason_of(endpoint).filter(|found| *found == reason)
        }),
        Condition::EndpointFailing => is_explained(record, checks, reason_of),
        Condition::NewConnectionsFail => is_explained(record, checks, |endpoint| {
            Some(endpoint.new_connection_failure.as_ref()?.reason)
        }),
        // These compare times.
        Condition::CertificateExpiring
        | Condition::ClockSkew
        | Condition::Lagging
        | Condition::Stalled
        | Condition::StateBehind => keeps_no_time(checks),
        // All others are read from answers of the peer or of others.
        _ => false,
    }
}

/// Whether failed checks explain every failure that `reason` selects, and there is one.
fn is_explained(
    record: &PeerRecord,
    checks: &Checks,
    reason: impl Fn(&EndpointRecord) -> Option<Reason>,
) -> bool {
    let endpoints = record.peer.endpoints.iter().zip(&record.endpoints);
    let failed = endpoints.filter_map(|(endpoint, found)| {
        Some(FailedEndpoint {
            reason: reason(found)?,
            path: NetworkPath::to_endpoint(&record.peer, endpoint),
        })
    });
    let failed: Vec<FailedEndpoint> = failed.collect();
    matches!(
        find_excuse(&failed, checks, false),
        Some(Excuse::FailedCheck(_))
    )
}

fn reason_of(endpoint: &EndpointRecord) -> Option<Reason> {
    Some(endpoint.last_failure.as_ref()?.reason)
}

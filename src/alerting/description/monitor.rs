//! Description of the agent itself.

use crate::alerting::input::RuleInput;
use crate::fleet::ClockDispute;

use super::list_or_none;

/// Returns sentences about the agent.
pub(super) fn facts(input: RuleInput<'_>) -> Vec<String> {
    let checks = input.snapshot.checks.healthy();
    let failing_checks: Vec<&str> = checks
        .filter(|(_, healthy)| !healthy)
        .map(|(check, _)| check.as_str())
        .collect();
    let receivers = input.monitor.failing_receivers.iter();
    let failing_receivers: Vec<&str> = receivers.map(String::as_str).collect();
    let reload = if input.monitor.reload_successful {
        "successful"
    } else {
        "rejected"
    };
    let mut facts = vec![format!(
        "Failing self-checks: {}; failing receivers: {}; last configuration reload: {reload}.",
        list_or_none(&failing_checks),
        list_or_none(&failing_receivers),
    )];
    facts.extend(input.snapshot.clock_dispute.as_ref().map(clock));
    facts
}

/// Says how the clock of this host and those of most peers disagree.
fn clock(dispute: &ClockDispute) -> String {
    let (seconds, direction) = match dispute.offset {
        offset if offset < 0.0 => (-offset, "behind"),
        offset => (offset, "ahead of"),
    };
    let verdict = if dispute.is_own_wrong {
        "It is wrong."
    } else {
        "This host says that its clock is synchronised, so those of the peers may be wrong."
    };
    format!("The clock of this host is {seconds:.1} s {direction} those of most peers. {verdict}")
}

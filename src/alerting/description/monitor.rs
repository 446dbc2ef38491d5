//! What is known of the agent itself.

use crate::alerting::input::RuleInput;

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
    vec![format!(
        "Failing self-checks: {}; failing receivers: {}; last configuration reload: {reload}.",
        list_or_none(&failing_checks),
        list_or_none(&failing_receivers),
    )]
}

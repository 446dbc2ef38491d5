//! When upgrades of the protocol are a cause of alerts.

use std::time::Duration;

use convex_client::chain::economics::CONSENSUS_THRESHOLD;

use crate::fleet::{Condition, NetworkSnapshot, PeerRecord, PendingUpgrade, Readiness};

use super::input::RuleInput;
use super::rules::has;

/// How long before an upgrade its alerts become urgent.
const LAST_DAY: Duration = Duration::from_secs(86_400);

/// Whether the release of `record` cannot execute an upgrade that is pending.
pub(super) fn leaves_peer_behind(
    record: &PeerRecord,
    network: &NetworkSnapshot,
    input: RuleInput<'_>,
) -> bool {
    pending(network).any(|upgrade| is_unable(record, upgrade, input))
}

/// Whether the release of `record` cannot execute an upgrade that takes effect within a day, or
/// that has taken effect, or the peer has withdrawn its stake because of one.
pub(super) fn leaves_peer_behind_today(
    record: &PeerRecord,
    network: &NetworkSnapshot,
    input: RuleInput<'_>,
) -> bool {
    has(record, Condition::UpgradeRequired)
        || has(record, Condition::StakeWithdrawn)
        || due_today(network, input).any(|upgrade| is_unable(record, upgrade, input))
}

/// Whether it is not known that a pending upgrade leaves the network enough weight for consensus:
/// of one that takes effect within a day by what is known to be ready, of others by what is not
/// known to be unable.
pub(super) fn may_stop_network(network: &NetworkSnapshot, input: RuleInput<'_>) -> bool {
    let is_enough = |weight: Option<f64>| weight.is_none_or(|it| it > CONSENSUS_THRESHOLD);
    let too_few_ready = |upgrade: &PendingUpgrade| !is_enough(upgrade.weight(Readiness::Ready));
    pending(network).any(PendingUpgrade::is_at_risk) || due_today(network, input).any(too_few_ready)
}

/// Whether an upgrade that takes effect within a day leaves the network too little weight for
/// consensus.
pub(super) fn stops_network_today(network: &NetworkSnapshot, input: RuleInput<'_>) -> bool {
    due_today(network, input).any(PendingUpgrade::is_at_risk)
}

fn pending(network: &NetworkSnapshot) -> impl Iterator<Item = &PendingUpgrade> {
    let protocol = network.verdict.protocol.iter();
    protocol.flat_map(|protocol| &protocol.pending)
}

fn due_today<'a>(
    network: &'a NetworkSnapshot,
    input: RuleInput<'_>,
) -> impl Iterator<Item = &'a PendingUpgrade> {
    let wall = input.snapshot.wall;
    pending(network).filter(move |upgrade| upgrade.is_due_within(LAST_DAY, wall))
}

fn is_unable(record: &PeerRecord, upgrade: &PendingUpgrade, input: RuleInput<'_>) -> bool {
    let supported = record.supported_protocol(input.snapshot.now);
    supported.is_some_and(|supported| supported < upgrade.version)
}

//! Description of a service.

use crate::alerting::burn::spent_in_hour;
use crate::fleet::{NetworkSnapshot, ServiceLevel};

use super::elapsed;

/// Says how much of its error budget a service of this network has spent.
pub(super) fn facts(network: &NetworkSnapshot, level: &ServiceLevel) -> String {
    let bad = elapsed(level.hour.bad);
    let spent = 100.0 * spent_in_hour(network.slo, level);
    format!(
        "Within the last hour too few peers of the service were up for {bad}, which is {spent:.1} % \
         of its error budget, and it goes on. No outage of a peer lasted long enough for a page of \
         its own."
    )
}

//! When a service spends its error budget so fast that it is a cause of an alert, and which pages
//! explain that.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Slo;
use crate::fleet::{NetworkSnapshot, ServiceLevel};

use super::input::RuleInput;
use super::subject::AlertSubject;
use super::tracker::Alert;

/// Part of the error budget that may be spent within an hour.
const MAX_SPENT_IN_HOUR: f64 = 0.05;

/// How much of the hour has to be known.
const MIN_KNOWN: Duration = Duration::from_secs(1800);

/// An outage of a peer that was paged explains the burn of its services for this long.
const EXPLAINED_FOR: Duration = Duration::from_secs(3600);

/// The pages about an outage of a peer.
const OUTAGES: [&str; 3] = [
    "ConvexPeerDown",
    "ConvexPeerWrongNetwork",
    "ConvexQueriesHang",
];

/// Whether a service has spent more of its budget within the last hour than it may, and was bad
/// within the last five minutes too. A shard does not know which outages of other shards' peers
/// were paged, so that it judges no service.
pub(super) fn burns(network: &NetworkSnapshot, level: &ServiceLevel, input: RuleInput<'_>) -> bool {
    let (_, shards) = input.monitor.shard.numbers();
    shards == 1
        && level.hour.known >= MIN_KNOWN
        && !level.five_minutes.bad.is_zero()
        && spent_in_hour(network.slo, level) > MAX_SPENT_IN_HOUR
}

/// Returns the part of the error budget that was spent within the last hour.
pub(super) fn spent_in_hour(slo: Slo, level: &ServiceLevel) -> f64 {
    let budget = slo.window.mul_f64(1.0 - slo.objective_ratio());
    level.hour.bad.as_secs_f64() / budget.as_secs_f64()
}

/// The peers about whose outage a page fired within the last hour.
#[derive(Clone, Debug, Default)]
pub(super) struct PagedPeers(BTreeMap<AlertSubject, Instant>);

impl PagedPeers {
    /// Takes all alerts as they are now.
    pub(super) fn take<'a>(&mut self, alerts: impl Iterator<Item = &'a Alert>, now: Instant) {
        let outages =
            alerts.filter(|alert| alert.ends_at.is_none() && OUTAGES.contains(&alert.rule.name));
        for alert in outages {
            self.0.insert(alert.subject.clone(), now);
        }
        self.0
            .retain(|_, last| now.saturating_duration_since(*last) < EXPLAINED_FOR);
    }

    /// Whether an outage of a peer of this service was paged.
    pub(super) fn explain(
        &self,
        network: &NetworkSnapshot,
        service: &str,
        input: RuleInput<'_>,
    ) -> bool {
        let mut peers = input.service_peers(network, service);
        peers.any(|record| {
            self.0.contains_key(&AlertSubject::Peer {
                peer: record.peer.name.clone(),
                network: network.name.clone(),
            })
        })
    }

    /// Moves what is known of a peer to its new name.
    pub(super) fn rename(&mut self, from: &AlertSubject, to: &AlertSubject) {
        if let Some(last) = self.0.remove(from) {
            self.0.insert(to.clone(), last);
        }
    }
}

//! Records for how long each network worked. Stored as summaries of a peer without a name, which no
//! configuration has.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::fleet::{Fleet, NetworkVerdict};

use super::db::PeerKey;
use super::recorder::History;
use super::summary::Summary;
use super::time::unix_minute;

/// Longest time that one verdict covers. What happened during a longer pause is unknown.
const MAX_COVERED: Duration = Duration::from_secs(10);

/// When the networks were last observed.
#[derive(Debug, Default)]
pub(super) struct NetworkUptime(Option<Instant>);

impl NetworkUptime {
    /// Records the time since the last call as the verdicts are now.
    pub(super) fn record(
        &mut self,
        verdicts: &[(String, Arc<NetworkVerdict>)],
        fleet: &Fleet,
        history: &History,
        now: Instant,
    ) {
        let previous = self.0.replace(now);
        let Some(covered) = previous.map(|previous| now - previous) else {
            return;
        };
        if covered > MAX_COVERED {
            return;
        }
        let wall = SystemTime::now();
        history.add_unowned(verdicts.iter().filter_map(|(network, verdict)| {
            let in_maintenance = fleet.is_network_in_maintenance(network, wall);
            let summary = summary(verdict, in_maintenance, covered)?;
            Some((key(network), unix_minute(wall), summary))
        }));
    }
}

/// Returns the key of a network in the database.
pub(super) fn key(network: &str) -> PeerKey {
    (network.into(), "".into())
}

/// Returns what is recorded of a network; none if nothing is known about it.
fn summary(verdict: &NetworkVerdict, in_maintenance: bool, covered: Duration) -> Option<Summary> {
    let ms = u64::try_from(covered.as_millis()).unwrap_or(u64::MAX);
    let mut summary = Summary::default();
    match verdict.is_working()? {
        _ if in_maintenance => (summary.maintenance, summary.maintenance_ms) = (1, ms),
        true => (summary.good, summary.good_ms) = (1, ms),
        false => (summary.failed, summary.failed_ms) = (1, ms),
    }
    Some(summary)
}

#[cfg(test)]
mod tests {
    use crate::fleet::{Evidence, OrderState};

    use super::*;

    #[test]
    fn a_network_is_up_while_it_works_and_neither_while_nothing_is_known() {
        use OrderState::{Advancing, Idle, Receding, Stalled, Unknown};
        let second = Duration::from_secs(1);
        for (order, split, in_maintenance, expected) in [
            (Unknown, Evidence::None, false, None),
            (Unknown, Evidence::None, true, None),
            (Advancing, Evidence::Disproven, false, Some([1000, 0, 0])),
            (Idle, Evidence::None, false, Some([1000, 0, 0])),
            (Stalled, Evidence::None, false, Some([0, 1000, 0])),
            (Receding, Evidence::None, false, Some([0, 1000, 0])),
            (Advancing, Evidence::Proven, false, Some([0, 1000, 0])),
            (Stalled, Evidence::None, true, Some([0, 0, 1000])),
        ] {
            let verdict = NetworkVerdict {
                order,
                split,
                ..NetworkVerdict::default()
            };
            let recorded = summary(&verdict, in_maintenance, second)
                .map(|it| [it.good_ms, it.failed_ms, it.maintenance_ms]);
            assert_eq!(recorded, expected, "{order:?} {split:?} {in_maintenance}");
        }
    }
}

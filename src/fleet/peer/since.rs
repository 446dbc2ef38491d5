//! Since when the trouble has lasted that an active condition reports.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::fleet::wall_time::wall_time;

use super::PeerRecord;
use super::condition::Condition;

impl PeerRecord {
    /// Updates since when each active condition has had its cause.
    pub(in crate::fleet) fn update_condition_since(&mut self, now: Instant, wall: SystemTime) {
        if self.condition_since.keys().eq(&self.conditions) {
            return;
        }
        let known = std::mem::take(&mut self.condition_since);
        let began = |condition: &Condition| {
            let began = known.get(condition).copied();
            let began = began.unwrap_or_else(|| self.trouble_began(*condition, now, wall));
            (*condition, began)
        };
        self.condition_since = self.conditions.iter().map(began).collect();
    }

    /// Returns when the trouble began that `condition`, which has just become active, reports: as
    /// far back as the polls show it.
    fn trouble_began(&self, condition: Condition, now: Instant, wall: SystemTime) -> SystemTime {
        let order = &self.order_watch;
        let since = match condition {
            Condition::Failing(reason) => {
                let endpoints = self.endpoints.iter();
                let failing = endpoints.filter(|endpoint| {
                    let failure = endpoint.last_failure.as_ref();
                    failure.is_some_and(|failure| failure.reason == reason)
                });
                return failing
                    .filter_map(|endpoint| endpoint.failing_since)
                    .min()
                    .unwrap_or(wall);
            }
            Condition::EndpointFailing => {
                let endpoints = self.endpoints.iter();
                let since = endpoints.filter_map(|endpoint| endpoint.failing_since);
                return since.min().unwrap_or(wall);
            }
            Condition::NewConnectionsFail => {
                let endpoints = self.endpoints.iter();
                let since = endpoints.filter_map(|endpoint| endpoint.new_connections_fail_since);
                return since.min().unwrap_or(wall);
            }
            Condition::Lagging => self
                .lag
                .as_ref()
                .and_then(|lag| lag.obtained.checked_sub(lag.value.time)),
            Condition::Stalled => order.stuck_since,
            Condition::Receding | Condition::FinalityLost => order.below_since,
            Condition::StateBehind => order.unexecuted.map(|(_, since)| since),
            Condition::UpgradeRequired
            | Condition::StakeWithdrawn
            | Condition::Forked
            | Condition::Isolated
            | Condition::Unheard
            | Condition::DuplicateKey
            | Condition::Diverged
            | Condition::StatesDiffer
            | Condition::Unregistered
            | Condition::TransportsDisagree
            | Condition::AdvertisedUrl
            | Condition::IdentityChanged
            | Condition::ClockSkew
            | Condition::CertificateExpiring
            | Condition::OwnStakeLow
            | Condition::ControllerBalanceLow
            | Condition::WeightDecayed
            | Condition::Flapping
            | Condition::QueryError => None,
        };
        let since = since.and_then(|since| wall_time(since, now, wall));
        since.unwrap_or(wall)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use convex_client::{Attempt, Endpoint, FailureReason, Transport};

    use crate::config::Peer;
    use crate::failure::{Failure, Reason};
    use crate::fleet::{EndpointObservation, Observation};

    use super::*;

    #[test]
    fn a_condition_dates_from_the_first_failure_and_keeps_that_time_while_it_lasts() {
        let endpoint = Endpoint::parse("tcp://peer.example").unwrap();
        let mut record = PeerRecord::new(Arc::new(Peer::from_endpoint(endpoint)));
        let (start, epoch) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let refused = Reason::Client(FailureReason::Refused);
        let mut poll = |seconds, fails: bool| {
            let after = Duration::from_secs(seconds);
            let wall = epoch + after;
            let outcome = if fails {
                Err(Failure::new(refused, "as scripted"))
            } else {
                Ok(Duration::ZERO)
            };
            let observed =
                EndpointObservation::new(Transport::Tcp, (wall, wall), Attempt::default(), outcome);
            let endpoints = vec![observed];
            let asked = start + after;
            record.record_poll(&Observation { asked, endpoints }, asked, wall);
            let since = record.condition_since.get(&Condition::Failing(refused));
            since.map(|since| since.duration_since(epoch).unwrap().as_secs())
        };
        let found = [
            (10, true),
            (20, true),
            (30, true),
            (40, false),
            (50, true),
            (60, true),
        ]
        .map(|(seconds, fails)| poll(seconds, fails));
        assert_eq!(found, [None, Some(10), Some(10), None, None, Some(50)]);
    }
}

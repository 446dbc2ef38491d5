//! Which conditions are in force of a peer, by what its record holds.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use convex_client::chain::economics::cvm;
use tokio::time::Instant;

use crate::failure::Reason;
use crate::fleet::peer::condition::Condition;
use crate::fleet::peer::order::OrderState;

use super::{FLAPPING_CHANGES, PeerRecord};

/// Within this time [`FLAPPING_CHANGES`] changes of the verdict are flapping.
const FLAPPING_WITHIN: Duration = Duration::from_secs(3600);

impl PeerRecord {
    pub(in crate::fleet) fn conditions_at(
        &self,
        now: Instant,
        wall: SystemTime,
    ) -> BTreeSet<Condition> {
        let mut found = BTreeSet::new();
        for endpoint in &self.endpoints {
            if let Some(failure) = endpoint
                .last_failure
                .as_ref()
                .filter(|_| self.excuse.is_none())
            {
                let proven = matches!(failure.reason, Reason::WrongNetwork | Reason::WrongPeer);
                let failing = Condition::Failing(failure.reason);
                // An excuse takes back no verdict.
                let excused = self.failures_excused && !self.conditions.contains(&failing);
                let often = endpoint.consecutive_failures >= self.peer.cadence.down_after;
                if proven || (often && !excused) {
                    found.insert(failing);
                    if self.up == Some(true) {
                        found.insert(Condition::EndpointFailing);
                    }
                }
            }
            let ends_soon = |ends: SystemTime| {
                ends.duration_since(wall).unwrap_or_default() < self.peer.verdicts.certificate
            };
            if endpoint.certificate_ends.is_some_and(ends_soon) {
                found.insert(Condition::CertificateExpiring);
            }
        }
        if self.identity.transports_agree == Some(false) {
            found.insert(Condition::TransportsDisagree);
        }
        if self.identity.advertised_match == Some(false) {
            found.insert(Condition::AdvertisedUrl);
        }
        if self.peer.key.is_none() && self.identity.changed_lately(wall) {
            found.insert(Condition::IdentityChanged);
        }
        if self.query_error.is_some() {
            found.insert(Condition::QueryError);
        }
        let limits = &self.peer.verdicts;
        match self.order_state(now) {
            OrderState::Stalled => drop(found.insert(Condition::Stalled)),
            OrderState::Receding => drop(found.insert(Condition::Receding)),
            OrderState::Unknown | OrderState::Advancing | OrderState::Idle => {}
        }
        if self.order(now).is_some() && self.order_watch.state_behind(now, limits.stall_after) {
            found.insert(Condition::StateBehind);
        }
        if self.lag(now).is_some()
            && self
                .lagging_since
                .is_some_and(|since| now - since >= limits.lag_for)
        {
            found.insert(Condition::Lagging);
        }
        let last_changes = (self.changes.len() == FLAPPING_CHANGES).then(|| self.changes[0]);
        if last_changes.is_some_and(|first| now - first < FLAPPING_WITHIN) {
            found.insert(Condition::Flapping);
        }
        if self.diverged == Some(true) {
            found.insert(Condition::Diverged);
        }
        if let Some(stake) = &self.stake {
            if cvm(stake.registered.eviction_margin()) < limits.own_stake_margin_cvm {
                found.insert(Condition::OwnStakeLow);
            }
            let balance = stake.controller_balance.map(cvm);
            if balance.is_some_and(|balance| balance < limits.controller_balance_cvm) {
                found.insert(Condition::ControllerBalanceLow);
            }
            if self
                .peer
                .expect_block_every
                .is_some_and(|every| stake.is_overdue(every))
            {
                found.insert(Condition::WeightDecayed);
            }
        }
        if let Some(clock) = self.clock(now)
            && clock.skew.abs() - clock.uncertainty > limits.clock_skew.as_secs_f64()
        {
            found.insert(Condition::ClockSkew);
        }
        // The monitor's own trouble is nothing that is in force against a peer.
        found.remove(&Condition::Failing(Reason::MONITOR));
        found
    }
}

//! Evaluates which conditions of a peer are active.

use std::collections::BTreeSet;
use std::time::SystemTime;

use convex_client::FailureReason;
use convex_client::chain::economics::cvm;
use tokio::time::Instant;

use crate::failure::Reason;
use crate::fleet::network::consensus::Standing;
use crate::fleet::{Comparison, Evidence, Registration};

use super::PeerRecord;
use super::condition::Condition;
use super::genesis::MIN_OTHER_GENESIS_POLLS;
use super::order::OrderState;

impl PeerRecord {
    /// Returns the conditions that follow, at `now`, from the polls and comparisons so far.
    pub(in crate::fleet) fn active_conditions(
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
                let failing = Condition::Failing(failure.reason);
                // An excuse does not end a condition that is already active.
                let excused = self.failures_excused && !self.conditions.contains(&failing);
                let repeated = endpoint.consecutive_failures >= self.peer.polling.down_after;
                let counts = match failure.reason {
                    Reason::WrongPeer => true,
                    Reason::WrongNetwork => endpoint.other_network_polls >= MIN_OTHER_GENESIS_POLLS,
                    Reason::Client(_) => repeated && !excused,
                };
                if counts {
                    found.insert(failing);
                    // An overloaded endpoint may be the one that answers.
                    let is_other = failure.reason != Reason::Client(FailureReason::Overloaded)
                        || self.endpoints.iter().any(|it| it.last_failure.is_none());
                    if self.last_poll.is_good() && is_other {
                        found.insert(Condition::EndpointFailing);
                    }
                }
            }
            if endpoint.last_failure.is_none()
                && endpoint.new_connection_failures >= self.peer.polling.down_after
            {
                found.insert(Condition::NewConnectionsFail);
            }
            let longest = self.peer.verdicts.certificate;
            let certificate = endpoint.certificate.as_ref();
            if certificate.is_some_and(|it| it.ends_soon(wall, longest)) {
                found.insert(Condition::CertificateExpiring);
            }
        }
        if self.identity.transports_agree == Evidence::Disproven {
            found.insert(Condition::TransportsDisagree);
        }
        if self.identity.advertised_match == Evidence::Disproven {
            found.insert(Condition::AdvertisedUrl);
        }
        if self.peer.key.is_none() && self.identity.key_changed_recently(wall) {
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
        if let Some((_, asked)) = self.order_asked(now) {
            if self.order_watch.state_behind(asked, limits.stall_after) {
                found.insert(Condition::StateBehind);
            }
            if self.order_watch.finality_lost(asked, limits.restart_grace) {
                found.insert(Condition::FinalityLost);
            }
        }
        self.add_place_in_network(&mut found, now);
        if self.flapping.is_active(now) {
            found.insert(Condition::Flapping);
        }
        if self.registration == Registration::Missing
            && (self.registered_key == self.own_key() || self.peer.validator)
        {
            found.insert(Condition::Unregistered);
        }
        if let Some(stake) = &self.stake {
            if self.upgrade.has_withdrawn {
                found.insert(Condition::StakeWithdrawn);
            } else if cvm(stake.registered.eviction_margin()) < limits.own_stake_margin_cvm {
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
        if self.clock_is_off(now) && !self.clock_doubted {
            found.insert(Condition::ClockSkew);
        }
        // A problem of the agent itself is not a condition of the peer.
        found.remove(&Condition::Failing(Reason::MONITOR));
        found
    }

    /// Adds the conditions that follow from comparing the peer with the others of its network.
    fn add_place_in_network(&self, found: &mut BTreeSet<Condition>, now: Instant) {
        match self.comparison {
            Comparison::Diverged { .. } => drop(found.insert(Condition::Diverged)),
            Comparison::Differs => drop(found.insert(Condition::StatesDiffer)),
            Comparison::Agrees | Comparison::NotCompared => {}
        }
        let Standing {
            forked_at,
            is_isolated,
            is_unheard,
            shares_key,
        } = self.standing;
        if shares_key {
            found.insert(Condition::DuplicateKey);
        }
        if is_unheard {
            found.insert(Condition::Unheard);
        }
        // Who lacks an upgrade is frozen, and who is on another history or hears nothing of this
        // one cannot follow it.
        if self.upgrade.is_required {
            found.insert(Condition::UpgradeRequired);
            found.remove(&Condition::Stalled);
            found.remove(&Condition::StateBehind);
        } else if forked_at.is_some() {
            found.insert(Condition::Forked);
        } else if is_isolated {
            found.insert(Condition::Isolated);
        } else if let Some(lag) = self.lag(now) {
            let limits = &self.peer.verdicts;
            let is_far_behind = self.behind_for().is_some_and(|time| time >= limits.lag_for);
            if is_far_behind || lag.time > limits.lag_time {
                found.insert(Condition::Lagging);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use convex_client::Endpoint;
    use convex_client::chain::RegisteredPeer;

    use crate::config::Peer;
    use crate::fleet::{Lag, Stake};

    use super::*;

    fn record() -> PeerRecord {
        let endpoint = Endpoint::parse("tcp://peer.example").unwrap();
        PeerRecord::new(Arc::new(Peer::from_endpoint(endpoint)))
    }

    /// A peer that lags at `now`.
    fn lagging(now: Instant) -> PeerRecord {
        let mut record = record();
        let lag = Lag {
            blocks: 1_000,
            time: Duration::from_secs(3_600),
        };
        record.record_lag(Some(lag), now);
        record
    }

    #[test]
    fn a_forked_peer_is_not_also_isolated_and_neither_of_them_lags() {
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let mut record = lagging(now);
        let mut conditions = |forked_at, is_isolated, is_unheard| {
            record.standing = Standing {
                forked_at,
                is_isolated,
                is_unheard,
                shares_key: false,
            };
            let found = record.active_conditions(now, wall);
            found.iter().map(|it| it.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(conditions(None, false, false), ["lagging"]);
        assert_eq!(conditions(None, true, false), ["isolated"]);
        assert_eq!(conditions(Some(7), true, false), ["forked"]);
        assert_eq!(conditions(None, false, true), ["unheard", "lagging"]);
        assert_eq!(conditions(None, true, true), ["isolated", "unheard"]);
    }

    #[test]
    fn a_peer_that_lacks_an_upgrade_is_not_also_forked_isolated_or_lagging() {
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let mut record = lagging(now);
        record.upgrade.is_required = true;
        for (forked_at, is_isolated) in [(None, false), (None, true), (Some(7), true)] {
            record.standing = Standing {
                forked_at,
                is_isolated,
                is_unheard: false,
                shares_key: false,
            };
            let found = record.active_conditions(now, wall);
            assert_eq!(found, [Condition::UpgradeRequired].into());
        }
    }

    #[test]
    fn withdrawn_stake_is_not_also_low() {
        let mut record = record();
        let registered = RegisteredPeer {
            controller: None,
            own_copper: 0,
            delegated_copper: 0,
            shares: 0,
            last_block_ms: Some(0),
            url: None,
        };
        record.stake = Some(Stake {
            registered,
            state_time_ms: 0,
            decay: 1.0,
            weight: Some(0.0),
            controller_balance: None,
        });
        for (has_withdrawn, expected) in [
            (false, Condition::OwnStakeLow),
            (true, Condition::StakeWithdrawn),
        ] {
            record.upgrade.has_withdrawn = has_withdrawn;
            let found = record.active_conditions(Instant::now(), SystemTime::UNIX_EPOCH);
            assert_eq!(found, [expected].into());
        }
    }
}

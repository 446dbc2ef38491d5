//! The verdict on a network from all its watched peers.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::fleet::OrderState;

use super::member::Member;
use super::registry::WEIGHT_UNITS;
use super::stake::Quorum;
use super::watch::NetworkWatch;

/// Verdict on a network from all its watched peers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkVerdict {
    /// State of the network's order.
    pub order: OrderState,
    /// When a finality point was last seen to grow.
    pub finality_advanced: Option<SystemTime>,
    /// The highest state block that the majority has reached.
    pub head: Option<i64>,
    /// Number of different states among the peers that answer; 1 if all agree.
    pub groups: usize,
    /// Whether peers disagree and no group has more than half of the weight.
    pub split: bool,
    /// Number of peers registered on chain.
    pub registered: Option<i64>,
    /// Stake by the standing of its peers, once the registry is known.
    pub quorum: Option<Quorum>,
    /// Coin staked on the registered peers, in copper.
    pub stake_copper: Option<i64>,
    /// When the registry was read.
    pub registry_read: Option<SystemTime>,
    /// Whether the last query of the registry failed; none before the first.
    pub query_error: Option<bool>,
}

impl NetworkWatch {
    /// Returns the verdict at `now`.
    pub(in crate::fleet) fn verdict(&self, now: Instant) -> NetworkVerdict {
        let registry = self.registry.as_ref().map(|(registry, _)| registry);
        NetworkVerdict {
            order: self.order_state(),
            finality_advanced: self.finality_advanced,
            head: self.head.block(),
            groups: self.groups,
            split: self.split,
            registered: (self.registered > 0).then_some(self.registered),
            quorum: registry
                .and_then(|registry| Quorum::from_registry(registry, &self.stake_classes(now))),
            stake_copper: registry.map(|registry| registry.total_stake_copper),
            registry_read: self.registry.as_ref().map(|(_, read)| *read),
            query_error: self.query_error,
        }
    }

    /// Like the state of a peer's order. The network is stalled or receding if peers with a third
    /// of the registered weight are, enough to stop consensus, or if all watched peers are.
    fn order_state(&self) -> OrderState {
        // Known as long as the status is, even if the peer answers its query with an error.
        let known = || {
            self.members
                .values()
                .filter(|member| member.order != OrderState::Unknown)
        };
        let sum = |members: &mut dyn Iterator<Item = &Member>| {
            members
                .map(|member| u128::from(member.weight))
                .sum::<u128>()
        };
        let weight_in =
            |state: OrderState| sum(&mut known().filter(|member| member.order == state));
        let watched = sum(&mut known());
        // Without weights each peer weighs 1.
        let registered = if self.weights.is_empty() {
            u128::try_from(self.registered).unwrap_or(0)
        } else {
            WEIGHT_UNITS.into()
        };
        let total = watched.max(registered);
        let is_network_wide = |state| {
            let weight = weight_in(state);
            weight > 0 && (weight * 3 >= total || weight >= watched)
        };
        match () {
            () if watched == 0 => OrderState::Unknown,
            () if is_network_wide(OrderState::Receding) => OrderState::Receding,
            () if is_network_wide(OrderState::Stalled) => OrderState::Stalled,
            () if weight_in(OrderState::Advancing) > 0 => OrderState::Advancing,
            () => OrderState::Idle,
        }
    }
}

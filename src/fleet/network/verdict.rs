//! The verdict on a network from all its watched peers.

use std::sync::Arc;
use std::time::SystemTime;

use cad3::Hash;
use tokio::time::Instant;

use crate::fleet::slot::SlotId;
use crate::fleet::{Evidence, OrderState};

use super::head::{Head, Lag};
use super::member::Member;
use super::registry::{WEIGHT_UNITS, WeighedRegistry};
use super::stake::{Quorum, Stake};
use super::watch::NetworkWatch;

/// Verdict on a network from all its watched peers.
#[derive(Clone, Debug, Default)]
pub struct NetworkVerdict {
    /// Everything that was recorded before this time is included; none before the first verdict.
    pub complete_until: Option<Instant>,
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
    /// Whether the last query of the registry failed.
    pub query_error: Evidence,
}

/// A verdict, and what new polls are compared with until the next one.
#[derive(Clone, Debug, Default)]
pub(in crate::fleet) struct Judgement {
    pub(in crate::fleet) verdict: Arc<NetworkVerdict>,
    /// Whether all peers were polled at least once.
    pub(in crate::fleet) all_polled: bool,
    answering: Answering,
    head: Arc<Head>,
    registry: Option<Arc<WeighedRegistry>>,
}

/// The peers of a network that answer.
#[derive(Clone, Copy, Debug, Default)]
enum Answering {
    #[default]
    None,
    /// Only this peer.
    Only(SlotId),
    Several,
}

impl Judgement {
    /// Returns how far the peer `id`, whose state is at `block`, is behind the head; none if no
    /// other peer of the network answers.
    pub(in crate::fleet) fn lag(&self, id: SlotId, block: i64, now: Instant) -> Option<Lag> {
        let others_answer = match self.answering {
            Answering::None => false,
            Answering::Only(only) => only != id,
            Answering::Several => true,
        };
        self.head.lag(block, now).filter(|_| others_answer)
    }

    /// Returns the registry's entry of the peer with `key`.
    pub(in crate::fleet) fn stake_of(&self, key: &Hash) -> Option<Stake> {
        self.registry.as_ref()?.stake_of(key)
    }
}

impl NetworkWatch {
    /// Returns the judgement at `now`, which includes everything recorded before.
    pub(in crate::fleet) fn judgement(&self, now: Instant) -> Judgement {
        let members = self.members.iter();
        let mut answering = members.filter(|(_, member)| member.is_answering(now));
        Judgement {
            verdict: Arc::new(self.verdict(now)),
            all_polled: self.members.values().all(|member| !member.awaited),
            answering: match (answering.next(), answering.next()) {
                (None, _) => Answering::None,
                (Some((id, _)), None) => Answering::Only(*id),
                (Some(_), Some(_)) => Answering::Several,
            },
            head: Arc::clone(&self.head),
            registry: self.registry.clone(),
        }
    }

    pub(super) fn verdict(&self, now: Instant) -> NetworkVerdict {
        let registry = self.registry.as_ref().map(|it| it.registry());
        NetworkVerdict {
            complete_until: Some(now),
            order: self.order_state(),
            finality_advanced: self.finality_advanced,
            head: self.head.block(),
            groups: self.groups,
            split: self.split,
            registered: (self.registered > 0).then_some(self.registered),
            quorum: registry
                .and_then(|registry| Quorum::from_registry(registry, &self.stake_classes(now))),
            stake_copper: registry
                .and_then(|registry| registry.coverage.totals())
                .map(|totals| totals.stake_copper),
            registry_read: self.registry.as_ref().map(|registry| registry.read),
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
        let has_weights = |registry: &Arc<WeighedRegistry>| !registry.weights.is_empty();
        let registered = if self.registry.as_ref().is_some_and(has_weights) {
            WEIGHT_UNITS.into()
        } else {
            u128::try_from(self.registered).unwrap_or(0)
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

//! The verdict on a network from all its watched peers.

use std::sync::Arc;
use std::time::SystemTime;

use cad3::Hash;
use tokio::time::Instant;

use crate::fleet::consensus::ConsensusWatch;
use crate::fleet::slot::SlotId;
use crate::fleet::{ConsensusVerdict, Evidence, OrderState};

use super::consensus::split_of_histories;
use super::genesis::NetworkReset;
use super::head::{Head, HeadBasis, Lag};
use super::member::{Comparison, Member};
use super::registry::{RegisteredStake, WHOLE, WeighedRegistry};
use super::ring::HashPrefix;
use super::stake::{Quorum, Stake};
use super::upgrades::ProtocolVerdict;
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
    /// The head: the index of the highest block that is final for enough stake. None while the
    /// stake is unknown.
    pub head: Option<i64>,
    /// When the head was last seen to advance; none if it stands where it was first found.
    pub head_advanced: Option<Instant>,
    /// Whose stake the head rests on.
    pub head_basis: Option<HeadBasis>,
    /// How much was compared recently.
    pub compared: Compared,
    /// Whether blocks are made and several peers answer, but nothing was compared for long.
    pub nothing_compared: bool,
    /// The newest block at which peers have different states.
    pub difference: Option<StateDifference>,
    /// Whether the network is split: peers with more than half of the registered stake were
    /// compared, they have different states, and no state has more than half. Or there are several
    /// histories, and none has more than half.
    pub split: Evidence,
    /// Whether all polled peers show one genesis hash that is not the network's; disproven while
    /// one of them shows the network's.
    pub is_reset: Evidence,
    /// What the peers of a reset network show.
    pub reset: Option<NetworkReset>,
    /// Number of peers registered on chain.
    pub registered: Option<i64>,
    /// The registered peers with the most stake, the first one with most; at most 1,000. Empty
    /// before the registry was read.
    pub registered_peers: Arc<[RegisteredStake]>,
    /// Stake by the standing of its peers, once the registry is known.
    pub quorum: Option<Quorum>,
    /// Coin staked on the registered peers, in copper.
    pub stake_copper: Option<i64>,
    /// When the registry was read.
    pub registry_read: Option<SystemTime>,
    /// Whether the last query of the registry failed.
    pub query_error: Evidence,
    /// The protocol and its upgrades; none while no state is trusted.
    pub protocol: Option<ProtocolVerdict>,
    /// What orders and beliefs say.
    pub consensus: Arc<ConsensusVerdict>,
}

/// Which peers of a network showed a block recently that another one showed too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Compared {
    /// Number of peers that answer.
    pub answering: usize,
    /// How many of them were compared.
    pub peers: usize,
    /// Their share of the registered stake; none while that is unknown.
    pub stake: Option<f64>,
    /// When a peer was last compared.
    pub last: Option<Instant>,
}

/// A block at which peers have different states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDifference {
    /// Index of the block.
    pub block: i64,
    /// The beginning of each state's hash, and the name of a peer that has it.
    pub states: Vec<(HashPrefix, String)>,
    /// Largest number of different states at one block.
    pub groups: usize,
}

impl NetworkVerdict {
    /// Returns the number of different states; none if nothing was compared recently.
    #[must_use]
    pub fn state_groups(&self) -> Option<usize> {
        match &self.difference {
            Some(difference) => Some(difference.groups),
            None => (self.compared.peers > 0).then_some(1),
        }
    }

    /// Whether transactions become final and all peers execute the same ones; none if that is
    /// unknown.
    #[must_use]
    pub fn is_working(&self) -> Option<bool> {
        if self.split == Evidence::Proven || self.is_reset == Evidence::Proven {
            return Some(false);
        }
        match self.order {
            OrderState::Stalled | OrderState::Receding => Some(false),
            OrderState::Advancing | OrderState::Idle => Some(true),
            OrderState::Unknown => None,
        }
    }
}

/// A verdict, and what new polls are compared with until the next one.
#[derive(Clone, Debug, Default)]
pub(in crate::fleet) struct Judgement {
    pub(in crate::fleet) verdict: Arc<NetworkVerdict>,
    /// Whether all peers were polled at least once.
    pub(in crate::fleet) all_polled: bool,
    /// Whether peers have different states and nobody knows which is right.
    pub(in crate::fleet) disputed: bool,
    /// Whether such a dispute is so young that it is not held against anybody yet.
    pub(in crate::fleet) settling: bool,
    /// The genesis hash that the peers of a network without a pinned one show.
    pub(in crate::fleet) learned_genesis: Option<Hash>,
    answering: Answering,
    head: Arc<Head>,
    registry: Option<Arc<WeighedRegistry>>,
    /// What orders and beliefs have shown.
    pub(in crate::fleet) consensus: Arc<ConsensusWatch>,
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
    /// Returns how far the peer `id`, at which `block` was final when it was asked, was behind the
    /// head then; none if no other peer of the network answers.
    pub(in crate::fleet) fn lag(&self, id: SlotId, block: i64, asked: Instant) -> Option<Lag> {
        let others_answer = match self.answering {
            Answering::None => false,
            Answering::Only(only) => only != id,
            Answering::Several => true,
        };
        self.head.lag(block, asked).filter(|_| others_answer)
    }

    /// Returns the registry's entry of the peer with `key`.
    pub(in crate::fleet) fn stake_of(&self, key: &Hash) -> Option<Stake> {
        self.registry.as_ref()?.stake_of(key)
    }
}

impl NetworkWatch {
    /// Returns the judgement at `now`, which includes everything recorded before. `name_of` names
    /// the peers.
    pub(in crate::fleet) fn judgement(
        &self,
        now: Instant,
        name_of: impl Fn(SlotId) -> String,
    ) -> Judgement {
        let members = self.members.iter();
        let mut answering = members.filter(|(_, member)| member.is_answering(now));
        Judgement {
            verdict: Arc::new(self.verdict(now, name_of)),
            all_polled: self.members.values().all(|member| !member.awaited),
            disputed: self
                .members
                .values()
                .any(|member| member.dispute_settles().is_some()),
            settling: self.members.values().any(|member| {
                let settles = member.dispute_settles();
                settles.is_some_and(|settles| settles > now)
            }),
            learned_genesis: self.genesis.learned(),
            answering: match (answering.next(), answering.next()) {
                (None, _) => Answering::None,
                (Some((id, _)), None) => Answering::Only(*id),
                (Some(_), Some(_)) => Answering::Several,
            },
            head: Arc::clone(&self.progress.head),
            registry: self.registry.clone(),
            consensus: Arc::clone(&self.consensus.watch),
        }
    }

    pub(super) fn verdict(
        &self,
        now: Instant,
        name_of: impl Fn(SlotId) -> String,
    ) -> NetworkVerdict {
        let registry = self.registry.as_ref().map(|it| it.registry());
        let (is_reset, reset) = self.genesis.verdict();
        NetworkVerdict {
            complete_until: Some(now),
            order: self.order_state(now),
            finality_advanced: self.finality_advanced,
            head: self.progress.head.block(),
            head_advanced: self.progress.head.advanced(),
            head_basis: self.progress.basis,
            compared: self.compared(now),
            nothing_compared: self.compares_nothing(now),
            difference: self.difference.as_ref().map(|found| StateDifference {
                block: found.block,
                states: found
                    .states
                    .iter()
                    .map(|(state, id)| (*state, name_of(*id)))
                    .collect(),
                groups: found.groups,
            }),
            split: split_of_histories(&self.consensus.verdict).or(self.split(now)),
            is_reset,
            reset,
            registered: (self.registered > 0).then_some(self.registered),
            registered_peers: self
                .registry
                .as_ref()
                .map_or_else(Arc::default, |registry| Arc::clone(&registry.by_stake)),
            quorum: registry
                .and_then(|registry| Quorum::from_registry(registry, &self.stake_classes(now))),
            stake_copper: registry
                .and_then(|registry| registry.coverage.totals())
                .map(|totals| totals.stake_copper),
            registry_read: self.registry.as_ref().map(|registry| registry.read),
            query_error: self.query_error,
            protocol: self.protocol_verdict(),
            consensus: Arc::clone(&self.consensus.verdict),
        }
    }

    /// Members that were compared so recently that the comparison is still evidence.
    fn compared_members(&self, now: Instant) -> impl Iterator<Item = &Member> {
        self.members.values().filter(move |member| {
            let age = member
                .compared
                .map(|compared| now.saturating_duration_since(compared));
            member.is_answering(now) && age.is_some_and(|age| age < member.fresh_for)
        })
    }

    fn compared(&self, now: Instant) -> Compared {
        let peers = self.compared_members(now).count();
        let mut stake = sum_of_stake(self.compared_members(now));
        // The stake of each peer is rounded down.
        if stake + peers as u128 > u128::from(WHOLE) {
            stake = u128::from(WHOLE);
        }
        Compared {
            answering: self
                .members
                .values()
                .filter(|member| member.is_answering(now))
                .count(),
            peers,
            stake: self.registered_stake().map(|_| fraction(stake)),
            last: self
                .members
                .values()
                .filter_map(|member| member.compared)
                .max(),
        }
    }

    /// Whether no state can have more than half of the registered stake: peers with half of it or
    /// more have other states than others.
    fn split(&self, now: Instant) -> Evidence {
        let half = u128::from(WHOLE) / 2;
        let members = || self.compared_members(now);
        let agreeing = members().filter(|member| member.comparison == Comparison::Agrees);
        if sum_of_stake(agreeing) > half {
            return Evidence::Disproven;
        }
        let differs = |member: &&Member| {
            matches!(
                member.comparison,
                Comparison::Differs | Comparison::Diverged { .. }
            )
        };
        // Of two equal halves each has a little less than half in whole units.
        let apart = sum_of_stake(members().filter(differs));
        if apart + members().count() as u128 >= half {
            return Evidence::Proven;
        }
        Evidence::None
    }
}

fn sum_of_stake<'a>(members: impl Iterator<Item = &'a Member>) -> u128 {
    members.map(|member| u128::from(member.stake)).sum()
}

/// Converts billionths of the registered stake, to a millionth: the part of each peer was rounded
/// down.
fn fraction(units: u128) -> f64 {
    let millionths = (units + 500) / 1_000;
    u32::try_from(millionths).map_or(1.0, |millionths| f64::from(millionths.min(1_000_000)) / 1e6)
}

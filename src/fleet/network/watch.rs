//! Compares the watched peers of one network: which of them agree, where the head is, and who lags.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::fleet::slot::{Slot, SlotId, SlotState, Unjudged};
use crate::fleet::{Evidence, OrderState};

use super::agreement::{Agreement, WeightedRing};
use super::head::Head;
use super::member::{Divergence, Member};
use super::record::UnjudgedNetwork;
use super::registry::WeighedRegistry;
use super::ring::BlockStateCounts;

/// A peer with more than one part in this many of the watched weight moves the head alone; else a
/// second peer has to have reached the block. So a single liar cannot make the others lag, not even
/// while no other peer answers.
const HEAD_WEIGHT_DIVISOR: u128 = 3;

/// The watched peers of one network, and the results of comparing them.
#[derive(Debug, Default)]
pub(in crate::fleet) struct NetworkWatch {
    pub(super) members: BTreeMap<SlotId, Member>,
    /// Counts of the states of answering members.
    pub(super) counts: BlockStateCounts,
    pub(super) head: Arc<Head>,
    pub(super) split: bool,
    pub(super) groups: usize,
    /// Number of peers registered on chain.
    pub(super) registered: i64,
    /// The registry as last read from a peer of the majority.
    pub(super) registry: Option<Arc<WeighedRegistry>>,
    /// Whether the last query of the registry failed.
    pub(super) query_error: Evidence,
    pub(super) finality_advanced: Option<SystemTime>,
}

impl NetworkWatch {
    /// Makes the peers in `slots` the members.
    pub(in crate::fleet) fn set_members(&mut self, slots: &[Arc<Slot>]) {
        if slots.len() == self.members.len()
            && slots.iter().all(|slot| self.members.contains_key(&slot.id))
        {
            return;
        }
        let kept: HashSet<SlotId> = slots.iter().map(|slot| slot.id).collect();
        let counts = &mut self.counts;
        self.members.retain(|id, member| {
            let is_kept = kept.contains(id);
            if !is_kept {
                member.set_counted(false, counts);
            }
            is_kept
        });
        for slot in slots {
            let new = || Member::new(slot.represents.get().into(), slot.record().divergence);
            self.members.entry(slot.id).or_insert_with(new);
        }
    }

    /// Takes the polls of a member since the last comparison. Returns whether a poll found a
    /// state.
    pub(in crate::fleet) fn take_peer(
        &mut self,
        id: SlotId,
        state: &mut SlotState,
        now: Instant,
        wall: SystemTime,
    ) -> bool {
        let Some(member) = self.members.get_mut(&id) else {
            return false;
        };
        let Unjudged { polled, states } = std::mem::take(&mut state.unjudged);
        let record = &state.record;
        // Excuses are revoked between polls.
        member.health = record.health;
        if !polled {
            return false;
        }
        let found_state = !states.is_empty();
        for state in states {
            member.add_state(state, &mut self.counts);
        }
        member.awaited = false;
        // With a pinned key its stake is known before it ever answers: with another key it is not
        // this peer.
        member.pinned = record.peer.key.is_some();
        member.key = record.own_key();
        member.latest = record.heard;
        member.registered = record.registered_peers();
        let finality = record.order(now).map(|order| order.finality);
        let order = if record.last_poll.is_good() {
            record.order_state(now)
        } else {
            OrderState::Unknown
        };
        self.record_order(id, order, finality, wall);
        found_state
    }

    /// Records the state of a peer's order and, if known, its finality point.
    pub(super) fn record_order(
        &mut self,
        id: SlotId,
        state: OrderState,
        finality: Option<i64>,
        wall: SystemTime,
    ) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        member.order = state;
        let Some(finality) = finality else { return };
        // A peer without weight says nothing about the network.
        if finality > member.finality && member.finality > 0 && member.weight > 0 {
            self.finality_advanced = Some(wall);
        }
        member.finality = finality;
    }

    /// Takes the other records of the network since the last comparison.
    pub(in crate::fleet) fn take_network(&mut self, unjudged: UnjudgedNetwork) {
        if let Some((registry, read)) = unjudged.registry {
            self.record_registry(registry, read);
        }
        if let Some(failed) = unjudged.query_error {
            self.query_error = failed.into();
        }
        self.finality_advanced = self.finality_advanced.max(unjudged.finality_advanced);
    }

    /// Compares the states of all answering peers, and advances the head.
    pub(in crate::fleet) fn compare(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            member.set_counted(member.is_answering(now), &mut self.counts);
        }
        self.update_weights(now);
        let awaited = self.members.values().filter(|member| member.awaited);
        let awaited_weight = awaited.map(|member| u128::from(member.weight)).sum();
        let rings: Vec<WeightedRing<'_>> = self
            .members
            .values()
            .filter(|member| member.is_answering(now))
            .map(|member| WeightedRing {
                ring: member.ring(),
                weight: member.weight,
            })
            .collect();
        let agreement = Agreement::compare(&rings, &self.counts, awaited_weight);
        let answering = self.members.values_mut();
        let answering = answering.filter(|member| member.is_answering(now));
        for (member, verdict) in answering.zip(agreement.verdicts) {
            member.record_fork_verdict(verdict);
        }
        self.split = agreement.split;
        self.groups = agreement.groups;
        self.advance_head(now);
        if self.registry.is_none() {
            self.registered = self.reported_registered(now).unwrap_or(self.registered);
        }
    }

    fn advance_head(&mut self, now: Instant) {
        if let Some(block) = self.majority_block(now)
            && self.head.block().is_none_or(|head| block > head)
        {
            Arc::make_mut(&mut self.head).advance(block, now);
        }
    }

    /// Returns the number of registered peers as the newest state has it that another peer
    /// confirms, or that of the only watched peer.
    fn reported_registered(&self, now: Instant) -> Option<i64> {
        let trusted = self.members.values().filter(|member| {
            self.members.len() == 1 || member.divergence(self.split) == Divergence::Agrees
        });
        let answering = trusted.filter(|member| member.is_answering(now));
        let newest = answering.max_by_key(|member| Some(member.latest?.block));
        newest?.registered
    }

    /// Returns the highest block that the majority has reached: two of its peers, or one with
    /// enough weight. There is none while peers that were not polled yet could be the majority.
    pub(super) fn majority_block(&self, now: Instant) -> Option<i64> {
        let watched = self.members.values();
        let watched: u128 = watched.map(|member| u128::from(member.weight)).sum();
        let mut blocks: Vec<(i64, u64)> = self
            .members
            .values()
            .filter(|member| {
                member.is_answering(now) && member.is_in_majority() && member.weight > 0
            })
            .filter_map(|member| Some((member.latest?.block, member.weight)))
            .collect();
        let answering: u128 = blocks.iter().map(|(_, weight)| u128::from(*weight)).sum();
        let all_polled = self.members.values().all(|member| !member.awaited);
        if !all_polled && answering * 2 <= watched {
            return None;
        }
        blocks.sort_unstable_by_key(|(block, _)| std::cmp::Reverse(*block));
        match blocks[..] {
            [(block, weight), ..] if u128::from(weight) * HEAD_WEIGHT_DIVISOR > watched => {
                Some(block)
            }
            [_, (second, _), ..] => Some(second),
            _ => None,
        }
    }

    /// Returns the divergence of a member.
    pub(in crate::fleet) fn divergence(&self, id: SlotId) -> Divergence {
        let member = self.members.get(&id);
        member.map_or(Divergence::Unknown, |member| member.divergence(self.split))
    }

    /// Returns when the next answer stops to count.
    pub(in crate::fleet) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        let answers = self.members.values().filter_map(|member| member.latest);
        let answers = answers.map(|latest| latest.until);
        answers.filter(|until| *until > now).min()
    }

    /// Keys that the configuration gives to a peer.
    pub(super) fn pinned_keys(&self) -> HashSet<cad3::Hash> {
        let members = self.members.values().filter(|member| member.pinned);
        members.filter_map(|member| member.key).collect()
    }
}

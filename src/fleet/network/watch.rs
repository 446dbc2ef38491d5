//! Compares the watched peers of one network: which of them agree, where the head is, and who lags.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::chain::Registry;
use tokio::time::Instant;

use crate::fleet::{Health, OrderState, PeerRecord};

use super::agreement::{Agreement, WeightedRing};
use super::head::Head;
use super::member::{Member, NetworkComparison, PolledState};
use super::ring::BlockStateCounts;

/// Minimum time between two comparisons of all peers in a large network.
const COMPARE_INTERVAL: Duration = Duration::from_secs(1);

/// Comparisons take at most one part in this many of the time: with thousands of peers in two
/// halves one takes a while.
const COMPARE_TIME_DIVISOR: u32 = 10;

/// Networks with at most this many peers are compared after every answer.
const SMALL_NETWORK: usize = 64;

/// A peer with more than one part in this many of the watched weight moves the head alone; else a
/// second peer has to have reached the block. So a single liar cannot make the others lag, not even
/// while no other peer answers.
const HEAD_WEIGHT_DIVISOR: u128 = 3;

/// The watched peers of one network, and the results of comparing them.
#[derive(Clone, Debug, Default)]
pub(in crate::fleet) struct NetworkWatch {
    pub(super) members: BTreeMap<String, Member>,
    /// Counts of the states of answering members.
    counts: BlockStateCounts,
    pub(super) head: Head,
    pub(super) split: bool,
    pub(super) groups: usize,
    /// Until when the last comparison counts in a large network.
    compared_until: Option<Instant>,
    /// Number of peers registered on chain.
    pub(super) registered: i64,
    /// The registry as last read from a peer of the majority, and when.
    pub(super) registry: Option<(Arc<Registry>, SystemTime)>,
    /// Fractions of the registered weight by key; empty if the registry is incomplete.
    pub(super) weights: HashMap<Hash, f64>,
    /// Whether the last query of the registry failed.
    pub(super) query_error: Option<bool>,
    pub(super) finality_advanced: Option<SystemTime>,
}

impl NetworkWatch {
    /// Adds a peer that was not polled yet. In a sample it represents several peers, including
    /// itself.
    pub(in crate::fleet) fn add(&mut self, name: &str, represents: u32) {
        self.remove(name);
        let member = self.members.entry(name.to_owned()).or_default();
        member.awaited = true;
        member.represents = represents.into();
        member.weight = member.represents;
    }

    /// Removes a peer.
    pub(in crate::fleet) fn remove(&mut self, name: &str) {
        if let Some(mut member) = self.members.remove(name) {
            member.set_counted(false, &mut self.counts);
        }
    }

    /// Returns when a finality point was last seen to grow.
    pub(in crate::fleet) const fn finality_advanced(&self) -> Option<SystemTime> {
        self.finality_advanced
    }

    /// Restores when a finality point was seen to grow before the agent started.
    pub(in crate::fleet) const fn restore_finality_advanced(&mut self, advanced: SystemTime) {
        self.finality_advanced = Some(advanced);
    }

    /// Restores a divergence of a peer from before the agent started, since `block`.
    pub(in crate::fleet) fn restore_divergence(&mut self, name: &str, block: i64) {
        let member = self.members.entry(name.to_owned()).or_default();
        member.diverged_at = Some(block);
    }

    /// Whether all peers were polled at least once.
    pub(in crate::fleet) fn all_polled(&self) -> bool {
        self.members.values().all(|member| !member.awaited)
    }

    /// Returns the highest state block that the majority has reached.
    pub(in crate::fleet) fn head(&self) -> Option<i64> {
        self.head.block()
    }

    /// Records the poll of a peer at `now`; returns how the peer compares with the network if the
    /// poll was good.
    pub(in crate::fleet) fn record_poll(
        &mut self,
        record: &PeerRecord,
        now: Instant,
        wall: SystemTime,
    ) -> Option<NetworkComparison> {
        let name = &record.peer.name;
        let finality = record.order(now).map(|order| order.finality);
        self.record_order(name, record.order_state(now), finality, wall);
        if let Some(member) = self.members.get_mut(name) {
            member.awaited = false;
            // With a pinned key its stake is known before it ever answers: with another key it is
            // not this peer.
            member.pinned = record.peer.key.is_some();
            member.key = record.peer.key.or(member.key);
        }
        match record.polled_state(now) {
            Some(state) => Some(self.record_state(name, state, now)),
            None if record.up == Some(true) => None,
            None => {
                self.record_unusable(name);
                None
            }
        }
    }

    /// Records the state of a peer; returns how the peer compares with the network.
    pub(super) fn record_state(
        &mut self,
        name: &str,
        state: PolledState,
        now: Instant,
    ) -> NetworkComparison {
        let member = self.members.entry(name.to_owned()).or_default();
        member.record_state(&state, now, &mut self.counts);
        let is_small = self.members.len() <= SMALL_NETWORK;
        if is_small || self.compared_until.is_none_or(|until| now >= until) {
            self.compare(now);
            self.head.advance(self.majority_block(now), now);
        }
        let comparison = self.compare_peer(name, state.block, now);
        // Until the registry is read, the number comes from peers whose state another one confirms,
        // or from the only watched peer.
        let is_trusted = comparison.diverged == Some(false) || self.members.len() == 1;
        if let Some(registered) = state
            .registered
            .filter(|_| is_trusted && self.registry.is_none())
        {
            self.registered = registered;
        }
        comparison
    }

    /// Records that a peer is down or known to be another one: it does not count.
    fn record_unusable(&mut self, name: &str) {
        if let Some(member) = self.members.get_mut(name) {
            member.latest = None;
            member.order = OrderState::Unknown;
        }
    }

    /// Records the health of a peer after its verdict was updated.
    pub(in crate::fleet) fn record_health(&mut self, name: &str, health: Health) {
        self.members.entry(name.to_owned()).or_default().health = health;
    }

    /// Records the state of a peer's order and, if known, its finality point.
    pub(super) fn record_order(
        &mut self,
        name: &str,
        state: OrderState,
        finality: Option<i64>,
        wall: SystemTime,
    ) {
        let member = self.members.entry(name.to_owned()).or_default();
        member.order = state;
        let Some(finality) = finality else { return };
        // A peer without weight says nothing about the network.
        if finality > member.finality && member.finality > 0 && member.weight > 0 {
            self.finality_advanced = Some(wall);
        }
        member.finality = finality;
    }

    /// Compares the states of all answering peers.
    pub(super) fn compare(&mut self, now: Instant) {
        let began = Instant::now();
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
        self.compared_until =
            Some(now + COMPARE_INTERVAL.max(began.elapsed() * COMPARE_TIME_DIVISOR));
    }

    /// Returns the highest block that the majority has reached: two of its peers, or one with
    /// enough weight.
    pub(super) fn majority_block(&self, now: Instant) -> Option<i64> {
        let watched = self.members.values();
        let watched: u128 = watched.map(|member| u128::from(member.weight)).sum();
        let mut blocks: Vec<(i64, u64)> = self
            .members
            .values()
            .filter(|member| {
                member.is_answering(now) && member.is_in_majority() && member.weight > 0
            })
            .filter_map(|member| Some((member.latest?.0, member.weight)))
            .collect();
        blocks.sort_unstable_by_key(|(block, _)| std::cmp::Reverse(*block));
        match blocks[..] {
            [(block, weight), ..] if u128::from(weight) * HEAD_WEIGHT_DIVISOR > watched => {
                Some(block)
            }
            [_, (second, _), ..] => Some(second),
            _ => None,
        }
    }

    fn compare_peer(&self, name: &str, block: i64, now: Instant) -> NetworkComparison {
        let member = &self.members[name];
        let others_answer = self
            .members
            .iter()
            .any(|(other, member)| other != name && member.is_answering(now));
        NetworkComparison {
            lag: self.head.lag(block, now).filter(|_| others_answer),
            diverged: member.diverged(self.split),
            first_divergent_block: member.diverged_at,
        }
    }
}

//! Compares the watched peers of one network: which of them have the same states, where the head
//! is, and who lags.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::failure::Reason;
use crate::fleet::slot::{Slot, SlotId, SlotState, Unjudged};
use crate::fleet::{Condition, Evidence, OrderState};

use super::agreement::{Agreement, RingVerdict, WeightedRing};
use super::consensus::Consensus;
use super::genesis::GenesisWatch;
use super::later;
use super::member::{Comparison, Member, MemberVerdict, Ordered};
use super::progress::Progress;
use super::recent::RecentStates;
use super::record::UnjudgedNetwork;
use super::registration::RegistrationWatch;
use super::registry::WeighedRegistry;
use super::ring::{BlockStateCounts, HashPrefix, Shown};
use super::upgrades::Upgrades;

/// Number of blocks of which the network's final state is remembered, to find out whether it is
/// replaced.
const MAX_FINAL_STATES: usize = 1024;

/// After how many intervals without any comparison that is reported.
const MAX_UNCOMPARED_INTERVALS: u32 = 10;

/// In a network with more answering peers than this, [`MAX_OFTEN_LOOKED_THROUGH`], all that was
/// shown recently is looked through only this often while nobody disagrees.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// See [`LOOK_INTERVAL`].
const MAX_OFTEN_LOOKED_THROUGH: usize = 64;

/// The watched peers of one network, and the results of comparing them.
#[derive(Debug, Default)]
pub(in crate::fleet) struct NetworkWatch {
    pub(super) members: BTreeMap<SlotId, Member>,
    /// Counts of the states of answering members.
    pub(super) counts: BlockStateCounts,
    /// The states that more than a third of the stake had at final blocks.
    final_states: BTreeMap<i64, HashPrefix>,
    pub(super) progress: Progress,
    pub(super) difference: Option<StateDifference>,
    /// When all that was shown recently was last looked through.
    looked: Option<Instant>,
    /// Since when several peers with a vote have been answering.
    comparable_since: Option<Instant>,
    /// Number of peers registered on chain.
    pub(super) registered: i64,
    /// Whether the members' stake has to be looked up again.
    pub(super) stake_outdated: bool,
    /// The registry as last read from a peer of the majority.
    pub(super) registry: Option<Arc<WeighedRegistry>>,
    /// Whether the last query of the registry failed.
    pub(super) query_error: Evidence,
    pub(super) finality_advanced: Option<SystemTime>,
    pub(super) consensus: Consensus,
    pub(super) upgrades: Upgrades,
    pub(super) genesis: GenesisWatch,
}

/// A block at which peers have different states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StateDifference {
    pub(super) block: i64,
    /// Each state, with a peer that has it.
    pub(super) states: Vec<(HashPrefix, SlotId)>,
    /// Largest number of different states at one block.
    pub(super) groups: usize,
}

impl NetworkWatch {
    /// Makes the peers in `slots` the members.
    pub(in crate::fleet) fn set_members(&mut self, slots: &[Arc<Slot>]) {
        if slots.len() == self.members.len()
            && slots.iter().all(|slot| self.members.contains_key(&slot.id))
        {
            return;
        }
        self.stake_outdated = true;
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
            let new = || {
                let record = slot.record();
                Member::new(record.comparison, record.standing)
            };
            self.members.entry(slot.id).or_insert_with(new);
        }
    }

    /// Takes what a member showed since the last comparison.
    pub(in crate::fleet) fn take_peer(
        &mut self,
        id: SlotId,
        state: &mut SlotState,
        now: Instant,
        wall: SystemTime,
    ) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let Unjudged { polled, states } = std::mem::take(&mut state.unjudged);
        let record = &state.record;
        // Excuses are revoked between polls.
        member.health = record.health;
        let fails_for = |reason| record.conditions.contains(&Condition::Failing(reason));
        member.is_replaced = fails_for(Reason::WrongPeer);
        member.is_elsewhere = fails_for(Reason::WrongNetwork);
        if member.name != record.peer.name {
            member.name.clone_from(&record.peer.name);
        }
        for shown in &states {
            self.add_state(id, *shown);
        }
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        if member.is_elsewhere {
            member.forget_comparisons(&mut self.counts);
        }
        if !polled {
            return;
        }
        member.awaited = false;
        // With a pinned key its stake is known before it ever answers: with another key it is not
        // this peer.
        let (key, pinned) = (record.own_key(), record.peer.key.is_some());
        let configured = !record.peer.discovered;
        self.stake_outdated |= (key, pinned) != (member.key, member.pinned);
        self.stake_outdated |= configured != member.configured;
        (member.pinned, member.configured) = (pinned, configured);
        member.clock_behind = record.clock_behind(now);
        if key != member.key {
            member.registration = RegistrationWatch::default();
            // The registry may have been read before the peer was first polled.
            let registry = self.registry.as_ref().zip(key);
            if registry.is_some_and(|(registry, key)| registry.has(&key)) {
                member.registration.record_registered();
            }
        }
        member.key = key;
        (member.genesis, member.pinned_genesis) = (record.genesis_shown, record.peer.genesis);
        member.latest = record.heard;
        member.interval = record.peer.polling.interval;
        member.fresh_for = record.fresh_for();
        member.registered = record.registered_peers();
        member.protocol = record.protocol(now).cloned();
        member.supported = record.supported_protocol(now);
        member.unexecuted = record.unexecuted(now);
        member.stall_after = record.peer.verdicts.stall_after;
        member.is_stuck = record.is_stuck(now);
        member.order = if record.last_poll.is_good() {
            record.order_state(now)
        } else {
            OrderState::Unknown
        };
        let before = member.ordered.map(|ordered| ordered.finality);
        member.ordered = record.order_asked(now).map(|(order, asked)| Ordered {
            block: order.block - 1,
            finality: order.finality - 1,
            asked,
        });
        if record.last_poll.is_good() {
            member.record_reached(record.highest_final_block());
        }
        let finality = member.ordered.map(|ordered| ordered.finality);
        // A peer without a vote says nothing about the network.
        if before.is_some() && finality > before && Self::has_vote(member) {
            self.finality_advanced = Some(wall);
        }
    }

    /// Adds a state that a member showed.
    pub(super) fn add_state(&mut self, id: SlotId, shown: Shown) {
        if let Some(member) = self.members.get_mut(&id) {
            let earlier = self.final_states.get(&shown.state.0);
            if member.replaces(shown.state, earlier) {
                member.replaced = Some(shown.at);
            }
            member.add_state(shown, &mut self.counts);
        }
    }

    /// Takes the other records of the network since the last comparison.
    pub(in crate::fleet) fn take_network(&mut self, unjudged: UnjudgedNetwork) {
        if let Some(reading) = unjudged.registry {
            self.record_registry(reading);
        }
        if let Some(failed) = unjudged.query_error {
            self.query_error = failed.into();
        }
        self.finality_advanced = self.finality_advanced.max(unjudged.finality_advanced);
        if let Some(genesis) = unjudged.genesis {
            self.genesis.restore(genesis);
        }
        self.consensus
            .take(unjudged.rounds, &unjudged.registered_in);
    }

    /// Compares the states of all answering peers, and finds the head. `now` and `wall` are the
    /// same moment.
    pub(in crate::fleet) fn compare(&mut self, now: Instant, wall: SystemTime) {
        for member in self.members.values_mut() {
            member.set_counted(member.is_answering(now), &mut self.counts);
        }
        if std::mem::take(&mut self.stake_outdated) {
            self.update_stake();
            self.update_consensus_stakes();
        }
        self.compare_states(now);
        self.compare_orders(now);
        self.update_progress(now);
        self.compare_upgrades(now, wall);
        self.judge_genesis(now);
        if self.registry.is_none() {
            self.registered = self.reported_registered(now).unwrap_or(self.registered);
        }
    }

    fn compare_states(&mut self, now: Instant) {
        let registered = self.registered_stake();
        let answering: Vec<(SlotId, &Member)> = self
            .members
            .iter()
            .filter(|(_, member)| member.is_answering(now))
            .map(|(id, member)| (*id, member))
            .collect();
        let rings: Vec<WeightedRing<'_>> = answering
            .iter()
            .map(|(_, member)| WeightedRing {
                ring: member.ring(),
                weight: if Self::has_vote(member) {
                    member.stake.max(1)
                } else {
                    0
                },
            })
            .collect();
        let Agreement {
            mut verdicts,
            difference,
        } = Agreement::compare(&rings, &self.counts, registered);
        if let Some((difference, registered)) = difference.as_ref().zip(registered) {
            later::settle(&mut verdicts, &rings, difference.block, registered);
        }
        self.difference = difference.map(|difference| StateDifference {
            block: difference.block,
            states: difference
                .states
                .into_iter()
                .map(|(state, peer)| (state, answering[peer].0))
                .collect(),
            groups: difference.groups,
        });
        let is_recent = |at: Instant| now.saturating_duration_since(at) < LOOK_INTERVAL;
        let skips = answering.len() > MAX_OFTEN_LOOKED_THROUGH
            && self.counts.all_agree()
            && self.looked.is_some_and(is_recent);
        let evidence = if skips {
            let kept = answering.iter().map(|(_, member)| member.showing(now));
            kept.collect()
        } else {
            self.looked = Some(now);
            let witnesses: Vec<_> = answering
                .iter()
                .map(|(_, member)| member.witness(now, Self::has_vote(member)))
                .collect();
            let recent = RecentStates::new(&witnesses, !self.counts.all_agree());
            let finals = registered.map(|registered| recent.widely_shown(registered));
            self.final_states.extend(finals.into_iter().flatten());
            let showings = witnesses.iter().enumerate();
            showings
                .map(|(peer, witness)| recent.showing(peer, witness))
                .collect::<Vec<_>>()
        };
        while self.final_states.len() > MAX_FINAL_STATES {
            self.final_states.pop_first();
        }
        let voters = answering
            .iter()
            .filter(|(_, member)| Self::has_vote(member));
        let comparable = voters.count() > 1;
        let awaits_stake = self.registry.is_none() && self.query_error == Evidence::None;
        let mut found = verdicts.into_iter().zip(evidence);
        for member in self.members.values_mut() {
            let (verdict, agreed) = if member.is_answering(now) {
                let (verdict, showing) = found.next().unwrap_or_default();
                member.compared = member.compared.max(showing.compared);
                (verdict, showing.agreed.is_some())
            } else {
                (RingVerdict::Undisputed, false)
            };
            member.record_verdict(verdict, agreed, awaits_stake, now);
        }
        self.comparable_since = comparable.then(|| self.comparable_since.unwrap_or(now));
    }

    /// Whether the network advances, but no two peers showed the same block for
    /// [`MAX_UNCOMPARED_INTERVALS`].
    pub(super) fn compares_nothing(&self, now: Instant) -> bool {
        let members = || self.members.values();
        let longest = members().map(|member| member.interval).max();
        let limit = longest.unwrap_or_default() * MAX_UNCOMPARED_INTERVALS;
        let last = members().filter_map(|member| member.compared).max();
        let is_long_ago = |since: Instant| now.saturating_duration_since(since) > limit;
        self.comparable_since
            .is_some_and(|since| is_long_ago(since) && last.is_none_or(is_long_ago))
            && self.order_state(now) == OrderState::Advancing
    }

    /// Returns the number of registered peers as the newest state has it that another peer
    /// confirms, or that of the only watched peer.
    fn reported_registered(&self, now: Instant) -> Option<i64> {
        let trusted = self
            .members
            .values()
            .filter(|member| self.members.len() == 1 || member.comparison == Comparison::Agrees);
        let answering = trusted.filter(|member| member.is_answering(now));
        let newest = answering.max_by_key(|member| Some(member.latest?.block));
        newest?.registered
    }

    /// Returns what comparing the peers says about one of them.
    pub(in crate::fleet) fn verdict_on(&self, id: SlotId) -> MemberVerdict {
        let Some(member) = self.members.get(&id) else {
            return MemberVerdict::default();
        };
        MemberVerdict {
            comparison: member.comparison,
            compared: member.compared,
            registration: member.registration.registration(),
            standing: member.standing,
            upgrade: member.upgrade,
        }
    }

    /// Returns when evidence next becomes outdated, or a time runs out.
    pub(in crate::fleet) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        let answers = self.members.values().filter_map(|member| member.latest);
        let answers = answers.map(|latest| latest.until);
        // An agreement rests on what was shown before, so it ends before the answers do.
        let agreements = self.members.values().filter_map(|member| {
            let agrees = member.comparison == Comparison::Agrees;
            Some(member.compared.filter(|_| agrees)? + member.fresh_for)
        });
        let members = self.members.values();
        let disputes = members.filter_map(Member::dispute_settles);
        let expiries = answers.chain(agreements).chain(disputes);
        let expiries = expiries.chain(self.consensus.next_expiry());
        expiries.filter(|until| *until > now).min()
    }
}

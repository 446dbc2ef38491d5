//! What the watched peers of one network say together: who is in step, how far the head is, who lags.

pub(super) mod agreement;
pub(super) mod head;
pub(super) mod member;
pub(super) mod ring;
pub(super) mod stake;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::chain::stake::Registry;
use tokio::time::Instant;

use crate::fleet::network::agreement::{Agreement, WeightedRing};
use crate::fleet::network::head::Head;
use crate::fleet::network::member::{Member, ShownState, Standing};
use crate::fleet::network::ring::Sightings;
use crate::fleet::network::stake::{Quorum, Stake, StakeClass};
use crate::fleet::peer::PeerRecord;
use crate::fleet::peer::health::Health;
use crate::fleet::peer::order::OrderState;

/// The least time between two comparisons of all rings in a large network.
const JUDGE_EVERY: Duration = Duration::from_secs(1);

/// Comparing takes at most one part of so many of the time: a network of thousands in halves takes a while.
const JUDGE_PART: u32 = 10;

/// Up to so many peers are compared at every answer.
const SMALL: usize = 64;

/// The part of the watched weight (one in so many) above which one peer's word alone moves the head; else a second peer
/// has to have shown at least as much. A single liar cannot make the others lag, not even while it is heard alone.
const HEAD_WEIGHT: u128 = 3;

/// The peers of one network and what they have shown.
#[derive(Clone, Debug, Default)]
pub(in crate::fleet) struct NetworkWatch {
    members: BTreeMap<String, Member>,
    /// What those have shown that are heard.
    sightings: Sightings,
    head: Head,
    split: bool,
    groups: usize,
    /// Until when the last comparison of all stands.
    judged_until: Option<Instant>,
    /// Peers registered on chain, as the majority's states say.
    registered: i64,
    /// The registry, as one peer of the majority told it last, and when.
    registry: Option<(Arc<Registry>, SystemTime)>,
    /// Parts of all weight by key, of the registry.
    weights: HashMap<Hash, f64>,
    /// Whether the last question about the chain was not answered.
    query_error: Option<bool>,
    finality_advanced: Option<SystemTime>,
}

/// What the watched peers of one network say together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkVerdict {
    /// What the network's order does.
    pub order: OrderState,
    /// When a finality point was last seen to grow.
    pub finality_advanced: Option<SystemTime>,
    /// The highest state block that the majority has reached.
    pub head: Option<i64>,
    /// Distinct states among the peers that are heard; 1 when all agree.
    pub groups: usize,
    /// Whether no group of peers holds more than half of the weight.
    pub split: bool,
    /// Peers registered on chain.
    pub registered: Option<i64>,
    /// Stake by standing, once the registry is known.
    pub quorum: Option<Quorum>,
    /// Coin behind the registered peers, copper.
    pub stake_copper: Option<i64>,
    /// When the registry was told.
    pub stake_told: Option<SystemTime>,
    /// Whether the last question about the chain was not answered; none before the first.
    pub query_error: Option<bool>,
}

impl NetworkWatch {
    /// Awaits the first poll of a peer, which stands for so many in a sample, itself included.
    pub(in crate::fleet) fn expect(&mut self, name: &str, stands_for: u32) {
        self.remove(name);
        let member = self.members.entry(name.to_owned()).or_default();
        member.awaited = true;
        member.stands_for = stands_for.into();
        member.weight = member.stands_for;
    }

    /// Forgets the peer.
    pub(in crate::fleet) fn remove(&mut self, name: &str) {
        if let Some(mut member) = self.members.remove(name) {
            member.count(false, &mut self.sightings);
        }
    }

    /// When a finality point was last seen to grow.
    pub(in crate::fleet) const fn finality_advanced(&self) -> Option<SystemTime> {
        self.finality_advanced
    }

    /// When one was before the agent started.
    pub(in crate::fleet) const fn recall_finality(&mut self, advanced: SystemTime) {
        self.finality_advanced = Some(advanced);
    }

    /// The peer was diverged before the agent started, since `block`.
    pub(in crate::fleet) fn recall_divergence(&mut self, name: &str, block: i64) {
        let member = self.members.entry(name.to_owned()).or_default();
        member.diverged = Some(block);
    }

    /// Whether all peers were polled once.
    pub(in crate::fleet) fn awaits_nobody(&self) -> bool {
        self.members.values().all(|member| !member.awaited)
    }

    /// The highest state block that the majority has reached.
    pub(in crate::fleet) fn head(&self) -> Option<i64> {
        self.head.block()
    }

    /// Takes what a peer's poll at `now` has brought, and says how the peer stands if the poll was good.
    pub(in crate::fleet) fn answered(
        &mut self,
        record: &PeerRecord,
        now: Instant,
        wall: SystemTime,
    ) -> Option<Standing> {
        let name = &record.peer.name;
        let finality = record.order(now).map(|order| order.finality);
        self.order(name, record.order_state(now), finality, wall);
        if let Some(member) = self.members.get_mut(name) {
            member.awaited = false;
            // Whoever answers with another key is not this peer, so its stake is known before it ever answers.
            member.pinned = record.peer.key.is_some();
            member.key = record.peer.key.or(member.key);
        }
        match record.shown(now) {
            Some(shown) => Some(self.shown(name, shown, now)),
            None if record.up == Some(true) => None,
            None => {
                self.silent(name);
                None
            }
        }
    }

    /// Takes a peer's answer and says how it stands.
    fn shown(&mut self, name: &str, shown: ShownState, now: Instant) -> Standing {
        let member = self.members.entry(name.to_owned()).or_default();
        member.show(&shown, now, &mut self.sightings);
        let small = self.members.len() <= SMALL;
        if small || self.judged_until.is_none_or(|until| now >= until) {
            self.judge(now);
            self.head.see(self.reached(now), now);
        }
        let standing = self.standing(name, shown.block, now);
        // Until the registry is told, a peer is believed with whom another one agrees, or that is watched alone.
        let believed = standing.diverged == Some(false) || self.members.len() == 1;
        if let Some(registered) = shown
            .registered
            .filter(|_| believed && self.registry.is_none())
        {
            self.registered = registered;
        }
        standing
    }

    /// The peer cannot be counted: it is down, or proven to be somebody else.
    fn silent(&mut self, name: &str) {
        if let Some(member) = self.members.get_mut(name) {
            member.latest = None;
            member.order = OrderState::Unknown;
        }
    }

    /// Takes how a peer was judged in the end.
    pub(in crate::fleet) fn judged(&mut self, name: &str, health: Health) {
        self.members.entry(name.to_owned()).or_default().health = health;
    }

    /// Takes the registry as a peer of the majority tells it.
    pub(in crate::fleet) fn learn(&mut self, registry: Registry, told: SystemTime, now: Instant) {
        let first = self.registry.is_none();
        // Of a part of the registry nothing follows: anybody can register more peers than are read.
        let weights = registry
            .complete
            .then(|| registry.weights(registry.state_time_ms));
        self.weights = weights.unwrap_or_default().into_iter().collect();
        self.registered = i64::try_from(registry.registered).unwrap_or(i64::MAX);
        self.registry = Some((Arc::new(registry), told));
        self.query_error = Some(false);
        if first {
            // Until now each peer weighed the same, whoever it is: what such peers made of the head is judged anew.
            self.judge(now);
            let reached = self.reached(now);
            self.head = Head::default();
            self.head.see(reached, now);
        }
    }

    /// Notes that nobody answered a question about the chain.
    pub(in crate::fleet) fn not_told(&mut self) {
        self.query_error = Some(true);
    }

    /// What the registry says of the peer called `name`.
    pub(in crate::fleet) fn stake_of(&self, name: &str) -> Option<Stake> {
        let (registry, _) = self.registry.as_ref()?;
        Stake::of(
            registry,
            &self.weights,
            self.members.get(name)?.key.as_ref()?,
        )
    }

    /// How the registered peers stand that are watched.
    fn standings(&self, now: Instant) -> HashMap<Hash, StakeClass> {
        let standing = |member: &Member| match member.health {
            Health::Down => StakeClass::Down,
            _ if !member.is_heard(now) => StakeClass::Unobserved,
            _ if member.diverged.is_some() => StakeClass::Minority,
            _ => StakeClass::Majority,
        };
        let pinned = self.pinned();
        let mut found = HashMap::new();
        for member in self.members.values() {
            let Some(key) = member.own_key(&pinned) else {
                continue;
            };
            // Of several entries for one peer the best speaks: it answers one of them.
            let standing = standing(member);
            let known = found.entry(key).or_insert(standing);
            *known = standing.min(*known);
        }
        found
    }

    /// Keys that the configuration gives to a peer.
    fn pinned(&self) -> HashSet<Hash> {
        let members = self.members.values().filter(|member| member.pinned);
        members.filter_map(|member| member.key).collect()
    }

    /// Takes what a peer's order does, and its finality point where known.
    fn order(&mut self, name: &str, state: OrderState, finality: Option<i64>, wall: SystemTime) {
        let member = self.members.entry(name.to_owned()).or_default();
        member.order = state;
        let Some(finality) = finality else { return };
        // A peer without weight tells nothing of the network.
        if finality > member.finality && member.finality > 0 && member.weight > 0 {
            self.finality_advanced = Some(wall);
        }
        member.finality = finality;
    }

    /// What all of them say at `now`.
    pub(in crate::fleet) fn verdict(&self, now: Instant) -> NetworkVerdict {
        let registry = self.registry.as_ref().map(|(registry, _)| registry);
        NetworkVerdict {
            order: self.order_state(),
            finality_advanced: self.finality_advanced,
            head: self.head.block(),
            groups: self.groups,
            split: self.split,
            registered: (self.registered > 0).then_some(self.registered),
            quorum: registry.and_then(|registry| Quorum::of(registry, &self.standings(now))),
            stake_copper: registry.map(|registry| registry.total_stake_copper),
            stake_told: self.registry.as_ref().map(|(_, told)| *told),
            query_error: self.query_error,
        }
    }

    /// As for peers. A peer's trouble is the network's when those who have it hold a third of the registered weight,
    /// enough to stop consensus, or when all watched peers have it.
    fn order_state(&self) -> OrderState {
        // Known as long as the status is, also of a peer whose query is answered with an error.
        let heard = || {
            self.members
                .values()
                .filter(|member| member.order != OrderState::Unknown)
        };
        let weight = |members: &mut dyn Iterator<Item = &Member>| {
            members
                .map(|member| u128::from(member.weight))
                .sum::<u128>()
        };
        let hold = |state: OrderState| weight(&mut heard().filter(|member| member.order == state));
        let watched = weight(&mut heard());
        // In billionths of the registered weight, or in peers where each weighs 1.
        let registered = if self.weights.is_empty() {
            u128::try_from(self.registered).unwrap_or(0)
        } else {
            1_000_000_000
        };
        let total = watched.max(registered);
        let of_network = |state| {
            let weight = hold(state);
            weight > 0 && (weight * 3 >= total || weight >= watched)
        };
        match () {
            () if watched == 0 => OrderState::Unknown,
            () if of_network(OrderState::Receding) => OrderState::Receding,
            () if of_network(OrderState::Stalled) => OrderState::Stalled,
            () if hold(OrderState::Advancing) > 0 => OrderState::Advancing,
            () => OrderState::Idle,
        }
    }

    /// Gives each member its part of the registered weight; without stake figures, or where none of those that are heard
    /// has any, each weighs 1, and one of a sample what it stands for. A key that several claim gives each of them only its share.
    fn weigh(&mut self, now: Instant) {
        let mut claims: HashMap<Hash, u64> = HashMap::new();
        let pinned = self.pinned();
        let own_key = |member: &Member| member.own_key(&pinned);
        for key in self.members.values().filter_map(own_key) {
            *claims.entry(key).or_default() += 1;
        }
        let weights = &self.weights;
        let weight = |member: &Member| {
            let key = own_key(member)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a part of 1 in billionths"
            )]
            let billionths = (weights.get(&key)? * 1e9).round() as u64;
            Some(billionths / claims[&key])
        };
        let any = self
            .members
            .values()
            .any(|member| member.is_heard(now) && weight(member).is_some_and(|weight| weight > 0));
        let found: Vec<u64> = self
            .members
            .values()
            .map(|member| weight(member).unwrap_or(0))
            .collect();
        for (member, weight) in self.members.values_mut().zip(found) {
            member.weight = if any { weight } else { member.stands_for };
        }
    }

    fn judge(&mut self, now: Instant) {
        let began = Instant::now();
        for member in self.members.values_mut() {
            member.count(member.is_heard(now), &mut self.sightings);
        }
        self.weigh(now);
        let awaited = self.members.values().filter(|member| member.awaited);
        let awaited = awaited.map(|member| u128::from(member.weight)).sum();
        let voices: Vec<WeightedRing<'_>> = self
            .members
            .values()
            .filter(|member| member.is_heard(now))
            .map(|member| WeightedRing {
                ring: member.ring(),
                weight: member.weight,
            })
            .collect();
        let agreement = Agreement::of(&voices, &self.sightings, awaited);
        let heard = self.members.values_mut();
        let heard = heard.filter(|member| member.is_heard(now));
        for (member, stand) in heard.zip(agreement.stands) {
            member.take(stand);
        }
        self.split = agreement.split;
        self.groups = agreement.groups;
        self.judged_until = Some(now + JUDGE_EVERY.max(began.elapsed() * JUDGE_PART));
    }

    /// The highest block that the majority has reached: shown by two of its peers, or by one that holds enough weight.
    fn reached(&self, now: Instant) -> Option<i64> {
        let watched = self.members.values();
        let watched: u128 = watched.map(|member| u128::from(member.weight)).sum();
        let mut blocks: Vec<(i64, u64)> = self
            .members
            .values()
            .filter(|member| member.is_heard(now) && member.is_of_majority() && member.weight > 0)
            .filter_map(|member| Some((member.latest?.0, member.weight)))
            .collect();
        blocks.sort_unstable_by_key(|(block, _)| std::cmp::Reverse(*block));
        match blocks[..] {
            [(block, weight), ..] if u128::from(weight) * HEAD_WEIGHT > watched => Some(block),
            [_, (second, _), ..] => Some(second),
            _ => None,
        }
    }

    fn standing(&self, name: &str, block: i64, now: Instant) -> Standing {
        let member = &self.members[name];
        let others = self
            .members
            .iter()
            .any(|(other, member)| other != name && member.is_heard(now));
        Standing {
            lag: self.head.lag(block, now).filter(|_| others),
            diverged: member.verdict(self.split),
            first_block: member.diverged,
        }
    }
}

#[cfg(test)]
mod tests;

//! What the registry of peers says about the watched ones: their weights, stake and standing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use cad3::Hash;
use convex_client::chain::Registry;
use tokio::time::Instant;

use crate::fleet::Health;

use super::head::Head;
use super::member::Member;
use super::stake::{Stake, StakeClass};
use super::watch::NetworkWatch;

/// The whole registered weight in the unit of [`Member::weight`]: billionths.
pub(super) const WEIGHT_UNITS: u32 = 1_000_000_000;

impl NetworkWatch {
    /// Records the registry as read from a peer of the majority at `read`.
    pub(in crate::fleet) fn record_registry(
        &mut self,
        registry: Registry,
        read: SystemTime,
        now: Instant,
    ) {
        let is_first = self.registry.is_none();
        // An incomplete registry has no weights: anyone can register more peers than are read.
        let weights = registry
            .complete
            .then(|| registry.weights(registry.state_time_ms));
        self.weights = weights.unwrap_or_default().into_iter().collect();
        self.registered = i64::try_from(registry.registered).unwrap_or(i64::MAX);
        self.registry = Some((Arc::new(registry), read));
        self.query_error = Some(false);
        if is_first {
            // Until now all peers weighed the same. The head that followed from that is discarded.
            self.compare(now);
            let reached = self.majority_block(now);
            self.head = Head::default();
            self.head.advance(reached, now);
        }
    }

    /// Records that no peer answered a query of the registry.
    pub(in crate::fleet) fn record_registry_failure(&mut self) {
        self.query_error = Some(true);
    }

    /// Returns the registry's entry of a peer.
    pub(in crate::fleet) fn stake_of(&self, name: &str) -> Option<Stake> {
        let (registry, _) = self.registry.as_ref()?;
        Stake::from_registry(
            registry,
            &self.weights,
            self.members.get(name)?.key.as_ref()?,
        )
    }

    /// Returns the standing of the registered peers that are watched, by key.
    pub(super) fn stake_classes(&self, now: Instant) -> HashMap<Hash, StakeClass> {
        let class = |member: &Member| match member.health {
            Health::Down => StakeClass::Down,
            _ if !member.is_answering(now) => StakeClass::Unobserved,
            _ if member.diverged_at.is_some() => StakeClass::Minority,
            _ => StakeClass::Majority,
        };
        let pinned = self.pinned_keys();
        let mut found = HashMap::new();
        for member in self.members.values() {
            let Some(key) = member.own_key(&pinned) else {
                continue;
            };
            // If a peer is configured more than once, the best class counts: it answers on one of
            // them.
            let class = class(member);
            let best = found.entry(key).or_insert(class);
            *best = class.min(*best);
        }
        found
    }

    /// Keys that the configuration gives to a peer.
    fn pinned_keys(&self) -> HashSet<Hash> {
        let members = self.members.values().filter(|member| member.pinned);
        members.filter_map(|member| member.key).collect()
    }

    /// Gives each member its part of the registered weight. Without weights, or if no answering
    /// member has any, each member weighs 1, one of a sample as many as it represents. Members that
    /// claim the same key share its weight.
    pub(super) fn update_weights(&mut self, now: Instant) {
        let mut claims: HashMap<Hash, u64> = HashMap::new();
        let pinned = self.pinned_keys();
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
                reason = "a fraction of 1 in billionths"
            )]
            let units = (weights.get(&key)? * f64::from(WEIGHT_UNITS)).round() as u64;
            Some(units / claims[&key])
        };
        let any_answering = self.members.values().any(|member| {
            member.is_answering(now) && weight(member).is_some_and(|weight| weight > 0)
        });
        let registered: Vec<u64> = self
            .members
            .values()
            .map(|member| weight(member).unwrap_or(0))
            .collect();
        for (member, weight) in self.members.values_mut().zip(registered) {
            member.weight = if any_answering {
                weight
            } else {
                member.represents
            };
        }
    }
}

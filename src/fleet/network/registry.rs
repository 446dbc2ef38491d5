//! What the registry of peers says about the watched ones: their weights, stake and standing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use cad3::Hash;
use convex_client::chain::Registry;
use tokio::time::Instant;

use crate::fleet::Health;

use super::member::Member;
use super::stake::{Stake, StakeClass};
use super::watch::NetworkWatch;

/// The whole registered weight in the unit of [`Member::weight`]: billionths.
pub(super) const WEIGHT_UNITS: u32 = 1_000_000_000;

/// A registry, and the weights that follow from it.
#[derive(Debug)]
pub(in crate::fleet) struct WeighedRegistry {
    registry: Registry,
    /// Fractions of the registered weight by key. Empty if the total is unknown: anyone can register
    /// more peers than are read.
    pub(super) weights: HashMap<Hash, f64>,
    /// When it was read.
    pub(super) read: SystemTime,
}

impl WeighedRegistry {
    fn new(registry: Registry, read: SystemTime) -> Self {
        Self {
            weights: registry.weights().into_iter().collect(),
            registry,
            read,
        }
    }

    /// Returns the entry of the peer with `key`.
    pub(super) fn stake_of(&self, key: &Hash) -> Option<Stake> {
        Stake::from_registry(&self.registry, &self.weights, key)
    }

    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl NetworkWatch {
    /// Records the registry as read from a peer of the majority at `read`.
    pub(super) fn record_registry(&mut self, registry: Registry, read: SystemTime) {
        if self.registry.is_none() {
            // Until now all peers weighed the same. The head that followed from that is discarded.
            self.head = Arc::default();
        }
        self.registered = i64::try_from(registry.registered).unwrap_or(i64::MAX);
        self.registry = Some(Arc::new(WeighedRegistry::new(registry, read)));
    }

    /// Returns the standing of the registered peers that are watched, by key.
    pub(super) fn stake_classes(&self, now: Instant) -> HashMap<Hash, StakeClass> {
        let class = |member: &Member| match member.health {
            Health::Down => StakeClass::Down,
            _ if !member.is_answering(now) => StakeClass::Unobserved,
            _ if member.divergence(self.split).is_diverged() => StakeClass::Minority,
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
        let registry = self.registry.as_ref();
        let weight = |member: &Member| {
            let key = own_key(member)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a fraction of 1 in billionths"
            )]
            let units = (registry?.weights.get(&key)? * f64::from(WEIGHT_UNITS)).round() as u64;
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

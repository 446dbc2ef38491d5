//! What the registry of peers says about the watched ones: their weights, stake and standing.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use cad3::Hash;
use convex_client::chain::{RegisteredPeer, Registry};
use tokio::time::Instant;

use crate::fleet::Health;

use super::member::{Comparison, Member};
use super::record::RegistryReading;
use super::stake::{Stake, StakeClass};
use super::watch::NetworkWatch;

/// The whole registered stake and the whole registered weight, in the unit of [`Member::stake`] and
/// [`Member::weight`].
pub(super) const WHOLE: u32 = 1_000_000_000;

/// Largest number of registered peers that are listed with their stake: anyone can register more.
const MAX_LISTED: usize = 1_000;

/// A registered peer with its stake.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisteredStake {
    /// Key of the peer.
    pub key: Hash,
    /// Its share of the registered stake, 0 to 1; none while the whole is unknown.
    pub share: Option<f64>,
    /// Its entry in the registry.
    pub stake: Stake,
}

/// A registry, and the stake and weights that follow from it.
#[derive(Debug)]
pub(in crate::fleet) struct WeighedRegistry {
    registry: Registry,
    /// The peers with the most stake, the first one with most, at most [`MAX_LISTED`].
    pub(super) by_stake: Arc<[RegisteredStake]>,
    /// Fractions of the registered weight by key. Empty if the total is unknown: anyone can
    /// register more peers than are read.
    weights: HashMap<Hash, f64>,
    /// When it was read.
    pub(super) read: SystemTime,
}

impl WeighedRegistry {
    fn new(registry: Registry, read: SystemTime) -> Self {
        let weights = registry.weights().into_iter().collect();
        Self {
            by_stake: by_stake(&registry, &weights),
            weights,
            registry,
            read,
        }
    }

    /// Returns the whole registered stake in copper, if it is known and there is some.
    fn total_stake(&self) -> Option<i64> {
        let totals = self.registry.coverage.totals()?;
        Some(totals.stake_copper).filter(|stake| *stake > 0)
    }

    /// Returns the fractions of the registered stake and weight that the peer with `key` has, in
    /// billionths.
    fn units_of(&self, key: &Hash) -> (u64, u64) {
        let fractions = self.registry.peers.get(key).zip(self.total_stake());
        let stake = fractions.map_or(0, |(peer, total)| {
            let stake = i128::from(peer.own_copper) + i128::from(peer.delegated_copper);
            stake.max(0) * i128::from(WHOLE) / i128::from(total)
        });
        let weight = self.weights.get(key).copied().unwrap_or(0.0) * f64::from(WHOLE);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a fraction of 1 in billionths"
        )]
        let weight = weight.round() as u64;
        (u64::try_from(stake).unwrap_or(0).min(WHOLE.into()), weight)
    }

    /// Whether the peer with `key` was registered.
    pub(super) fn has(&self, key: &Hash) -> bool {
        self.registry.peers.contains_key(key)
    }

    /// Whether other peers accept votes of the peer with `key`.
    fn has_effective_stake(&self, key: &Hash) -> bool {
        let peer = self.registry.peers.get(key);
        peer.is_some_and(RegisteredPeer::has_effective_stake)
    }

    /// Returns the entry of the peer with `key`.
    pub(super) fn stake_of(&self, key: &Hash) -> Option<Stake> {
        Stake::from_registry(&self.registry, &self.weights, key)
    }

    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// Returns the peers of a registry with the most stake, the first one with most.
fn by_stake(registry: &Registry, weights: &HashMap<Hash, f64>) -> Arc<[RegisteredStake]> {
    let shares = registry.stakes();
    let mut peers: Vec<(&Hash, &RegisteredPeer)> = registry.peers.iter().collect();
    peers.sort_by_key(|(_, peer)| Reverse(peer.stake_copper()));
    let heaviest = peers.into_iter().take(MAX_LISTED);
    heaviest
        .filter_map(|(key, _)| {
            Some(RegisteredStake {
                key: *key,
                share: shares.get(key).copied(),
                stake: Stake::from_registry(registry, weights, key)?,
            })
        })
        .collect()
}

impl NetworkWatch {
    /// Records the registry as read from a peer of the majority at `read`.
    pub(super) fn record_registry(&mut self, reading: RegistryReading) {
        let RegistryReading {
            registry,
            reader,
            only_reader,
            read,
        } = reading;
        self.note_withdrawals(&registry);
        self.registered = i64::try_from(registry.registered).unwrap_or(i64::MAX);
        // A state before the head may lack peers that have been registered since.
        let is_current = Some(registry.state_block) >= self.progress.head.block();
        let pinned = self.pinned_keys();
        for member in self.members.values_mut() {
            let Some(key) = member.own_key(&pinned) else {
                continue;
            };
            let is_registered = registry.peers.contains_key(&key);
            let is_absent = registry.coverage.is_complete() || registry.absent.contains(&key);
            if is_registered || (is_absent && is_current) {
                let watch = &mut member.registration;
                watch.record(is_registered, &reader, only_reader);
            }
        }
        self.registry = Some(Arc::new(WeighedRegistry::new(registry, read)));
        self.stake_outdated = true;
    }

    /// Returns the registry if it tells the whole stake.
    pub(super) fn staked_registry(&self) -> Option<&Arc<WeighedRegistry>> {
        self.registry
            .as_ref()
            .filter(|registry| registry.total_stake().is_some())
    }

    /// Returns the whole registered stake, if it is known.
    pub(super) fn registered_stake(&self) -> Option<u128> {
        self.staked_registry().map(|_| WHOLE.into())
    }

    /// Returns the standing of the registered peers that are watched, by key.
    pub(super) fn stake_classes(&self, now: Instant) -> HashMap<Hash, StakeClass> {
        let class = |member: &Member| match member.health {
            // Where the peer itself is, nobody has seen.
            Health::Down if member.is_replaced => StakeClass::Unobserved,
            Health::Down => StakeClass::Down,
            _ if member.standing.is_apart() || member.upgrade.is_required => StakeClass::Minority,
            _ if !member.is_answering(now) => StakeClass::Unobserved,
            _ => match member.comparison {
                Comparison::Diverged { .. } => StakeClass::Minority,
                Comparison::Differs => StakeClass::Unobserved,
                Comparison::Agrees | Comparison::NotCompared => StakeClass::Majority,
            },
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
        self.classify_unwatched(&mut found, now);
        found
    }

    /// Gives each member its part of the registered stake and weight: nothing while the whole is
    /// unknown. Members that claim the same key share what it has.
    pub(super) fn update_stake(&mut self) {
        let mut claims: HashMap<Hash, u64> = HashMap::new();
        let pinned = self.pinned_keys();
        let own_key = |member: &Member| member.own_key(&pinned);
        for key in self.members.values().filter_map(own_key) {
            *claims.entry(key).or_default() += 1;
        }
        let registry = self.staked_registry().cloned();
        for member in self.members.values_mut() {
            let units = registry.as_ref().zip(member.own_key(&pinned));
            let (stake, weight) = units.map_or((0, 0), |(registry, key)| {
                let (stake, weight) = registry.units_of(&key);
                (stake / claims[&key], weight / claims[&key])
            });
            (member.stake, member.weight) = (stake, weight);
            member.has_effective_stake = registry
                .as_ref()
                .zip(member.own_key(&pinned))
                .is_some_and(|(registry, key)| registry.has_effective_stake(&key));
        }
    }

    /// Whether the disagreement of a member counts: the operator configured it, or it has so much
    /// stake that other peers accept its votes. Strangers who register with less raise nothing.
    pub(super) const fn has_vote(member: &Member) -> bool {
        member.has_effective_stake || member.configured
    }

    /// Keys that the configuration gives to a peer.
    pub(super) fn pinned_keys(&self) -> HashSet<Hash> {
        let members = self.members.values().filter(|member| member.pinned);
        members.filter_map(|member| member.key).collect()
    }
}

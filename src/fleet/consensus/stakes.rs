//! Who has how much of the registered stake, and whose orders are judged. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use cad3::Hash;
use convex_client::belief::MAX_ORDERS;
use convex_client::chain::{RegisteredPeer, Registry};

/// The registered stake by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stakes {
    /// The whole registered stake in copper; none while it is unknown.
    total: Option<u128>,
    /// Stake in copper of the peers with so much own stake that others accept their orders.
    effective: BTreeMap<Hash, u128>,
    /// Stake of the other ones.
    ineffective: BTreeMap<Hash, u128>,
    /// The keys of the peers with the most effective stake, the heaviest first.
    heaviest: Vec<Hash>,
    /// The keys whose orders are judged.
    judged: BTreeSet<Hash>,
}

impl Stakes {
    /// Takes the stake from a registry, if there is one. Judged are the peers with the most stake,
    /// as many as one belief is read for, and those that the operator `configured`.
    pub(super) fn new(registry: Option<&Registry>, configured: &BTreeSet<Hash>) -> Self {
        let totals = registry.and_then(|registry| registry.coverage.totals());
        let total = totals.and_then(|totals| u128::try_from(totals.stake_copper).ok());
        let total = total.filter(|total| *total > 0);
        let (mut effective, mut ineffective) = (BTreeMap::new(), BTreeMap::new());
        for (key, peer) in registry.iter().flat_map(|registry| &registry.peers) {
            let stake = u128::try_from(RegisteredPeer::stake_copper(peer)).unwrap_or_default();
            let peers = if peer.has_effective_stake() {
                &mut effective
            } else {
                &mut ineffective
            };
            peers.insert(*key, stake);
        }
        let heaviest = heaviest(&effective);
        Self {
            total,
            judged: heaviest.iter().chain(configured).copied().collect(),
            heaviest,
            effective,
            ineffective,
        }
    }

    /// Returns the keys of the peers with the most stake, the heaviest first, at most
    /// [`MAX_ORDERS`]. Peers that others do not listen to are not among them.
    pub(super) fn heaviest(&self) -> &[Hash] {
        &self.heaviest
    }

    /// Returns the keys whose orders are judged.
    pub(super) const fn judged(&self) -> &BTreeSet<Hash> {
        &self.judged
    }

    /// Returns the stake of the peer with `key` in copper; 0 if it is not registered.
    pub(super) fn of(&self, key: &Hash) -> u128 {
        let stake = self.effective.get(key).or(self.ineffective.get(key));
        stake.copied().unwrap_or_default()
    }

    /// Whether other peers accept orders of the peer with `key`.
    pub(super) fn is_effective(&self, key: &Hash) -> bool {
        self.effective.contains_key(key)
    }

    /// Whether the peer with `key` is registered, as far as that is known.
    pub(super) fn has(&self, key: &Hash) -> bool {
        self.is_effective(key) || self.ineffective.contains_key(key)
    }

    /// Returns the number of peers whose orders others accept.
    pub(super) fn effective_peers(&self) -> usize {
        self.effective.len()
    }

    /// Returns the whole registered stake in copper; none while it is unknown.
    pub(super) const fn total(&self) -> Option<u128> {
        self.total
    }

    /// Returns the stake of all others than the peer with `key`; none while it is unknown or 0.
    pub(super) fn of_others(&self, key: &Hash) -> Option<u128> {
        let others = self.total?.saturating_sub(self.of(key));
        Some(others).filter(|others| *others > 0)
    }

    /// Returns the share of the registered stake that `copper` is, 0 to 1; none while it is
    /// unknown.
    pub(super) fn share(&self, copper: u128) -> Option<f64> {
        Some(ratio(copper, self.total?))
    }

    /// Whether `copper` is more than half of the registered stake.
    pub(super) fn is_majority(&self, copper: u128) -> bool {
        self.total
            .is_some_and(|total| exceeds(copper, total, (1, 2)))
    }

    /// Returns the stake of these peers together.
    pub(super) fn sum<'a>(&self, keys: impl IntoIterator<Item = &'a Hash>) -> u128 {
        keys.into_iter().map(|key| self.of(key)).sum()
    }
}

fn heaviest(effective: &BTreeMap<Hash, u128>) -> Vec<Hash> {
    let mut keys: Vec<(&Hash, &u128)> = effective.iter().collect();
    keys.sort_by_key(|(_, stake)| Reverse(*stake));
    keys.truncate(MAX_ORDERS);
    keys.into_iter().map(|(key, _)| *key).collect()
}

/// Whether an amount is more than a fraction, such as (1, 3), of a whole. Rewards change the stake
/// with every block, so it is known to about a millionth: what is so close to the fraction does not
/// exceed it. Otherwise the smallest reward would decide which of two halves is right.
pub(super) const fn exceeds(
    part: u128,
    whole: u128,
    (numerator, denominator): (u128, u128),
) -> bool {
    part.saturating_sub(whole / 1_000_000) * denominator > whole * numerator
}

/// Returns the ratio of two amounts, 0 to 1, exact to a billionth.
pub(super) fn ratio(part: u128, whole: u128) -> f64 {
    let billionths = part.saturating_mul(1_000_000_000) / whole.max(1);
    let billionths = u32::try_from(billionths).unwrap_or(1_000_000_000);
    f64::from(billionths.min(1_000_000_000)) / 1e9
}

//! The on-chain registry of peers: stake, controllers and weight in consensus.

mod page;
mod reader;
mod row;

use std::collections::{BTreeMap, BTreeSet};

use cad3::Hash;

use super::economics;

pub use reader::{MAX_PEERS, RegistryError, RegistryReader};
pub use row::MAX_URL_BYTES;

/// The registry of peers in one state. Read it with a [`RegistryReader`].
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    /// Time of the state, in milliseconds since the epoch.
    pub state_time_ms: i64,
    /// Index of the last block of the state; −1 before the first.
    pub state_block: i64,
    /// Number of registered peers.
    pub registered: u64,
    /// How much of the registry is in `peers`, and the totals over all registered peers.
    pub coverage: Coverage,
    /// Peers by their keys.
    pub peers: BTreeMap<Hash, RegisteredPeer>,
    /// Watched keys that were looked up and are not registered, unless the registry is complete.
    pub absent: BTreeSet<Hash>,
    /// Balances of the peers' controllers by address, in copper. Balances that could not be read
    /// are absent.
    pub controllers: BTreeMap<u64, i64>,
}

/// How much of a registry was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coverage {
    /// Every registered peer, all from one state.
    Complete(Totals),
    /// Totals over all registered peers from one state, and the watched peers from this state or a
    /// later one.
    Totals(Totals),
    /// Only the watched peers: the totals are unknown.
    Watched,
}

/// Totals over all registered peers, also those that cannot vote.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Totals {
    /// Stake, own and delegated, with rewards, in copper.
    pub stake_copper: i64,
    /// Weight in consensus at the time of the state, in shares.
    pub weight: f64,
}

impl Coverage {
    /// Returns the totals over all registered peers, if they are known.
    #[must_use]
    pub const fn totals(self) -> Option<Totals> {
        match self {
            Self::Complete(totals) | Self::Totals(totals) => Some(totals),
            Self::Watched => None,
        }
    }

    /// Returns whether every registered peer was read.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        matches!(self, Self::Complete(_))
    }
}

/// A peer in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredPeer {
    /// Address of the account that controls the peer.
    pub controller: Option<u64>,
    /// Own stake with its share of the rewards, in copper: the value of `(get-peer-stake KEY)`.
    pub own_copper: i64,
    /// Stake delegated by others with its share of the rewards, in copper.
    pub delegated_copper: i64,
    /// Shares of stake, own and delegated, which determine the weight. Rewards add none.
    pub shares: i64,
    /// Time of the peer's last block in the order, in milliseconds since the epoch. Absent before
    /// the first block.
    pub last_block_ms: Option<i64>,
    /// URL that the peer advertises: unchecked text of at most [`MAX_URL_BYTES`], to be parsed as
    /// an
    /// [`AdvertisedAddress`](super::AdvertisedAddress). Absent also if it is longer.
    pub url: Option<String>,
}

impl RegisteredPeer {
    /// Returns the share of the stake that counts in a state of this time, 0.001 to 1. The time is
    /// in milliseconds since the epoch.
    #[must_use]
    pub fn decay(&self, state_time_ms: i64) -> f64 {
        economics::decay(self.last_block_ms, state_time_ms)
    }

    /// Returns the weight in consensus in a state of this time, in shares. The time is in
    /// milliseconds since the epoch.
    #[must_use]
    pub fn weight(&self, state_time_ms: i64) -> f64 {
        economics::weight(self.shares, self.decay(state_time_ms))
    }

    /// Returns the stake, own and delegated, with rewards, in copper.
    #[must_use]
    pub const fn stake_copper(&self) -> i64 {
        self.own_copper.saturating_add(self.delegated_copper)
    }

    /// Returns the own stake above
    /// [`MINIMUM_OWN_STAKE_COPPER`](economics::MINIMUM_OWN_STAKE_COPPER), in copper. If negative,
    /// anyone may evict the peer.
    #[must_use]
    pub fn eviction_margin(&self) -> i64 {
        economics::eviction_margin(self.own_copper)
    }

    /// Returns whether other peers accept blocks and votes of this peer. If not, its weight still
    /// counts in the total, like that of a peer that never agrees.
    #[must_use]
    pub fn has_effective_stake(&self) -> bool {
        self.eviction_margin() >= 0
    }
}

impl Registry {
    /// Creates a complete registry of `peers` in a state of this time, in milliseconds since the
    /// epoch.
    #[must_use]
    pub fn complete(
        state_time_ms: i64,
        peers: impl IntoIterator<Item = (Hash, RegisteredPeer)>,
    ) -> Self {
        let peers: BTreeMap<Hash, RegisteredPeer> = peers.into_iter().collect();
        let totals = Totals {
            stake_copper: peers.values().map(RegisteredPeer::stake_copper).sum(),
            weight: peers.values().map(|peer| peer.weight(state_time_ms)).sum(),
        };
        Self {
            state_time_ms,
            state_block: -1,
            registered: peers.len() as u64,
            coverage: Coverage::Complete(totals),
            peers,
            absent: BTreeSet::new(),
            controllers: BTreeMap::new(),
        }
    }

    /// Returns the weight of each peer in `peers` as a fraction of the total weight, at the time of
    /// the state: blocks that were made later are not known. Empty if the total is unknown or zero.
    #[must_use]
    pub fn weights(&self) -> BTreeMap<Hash, f64> {
        let total = self.coverage.totals().map(|totals| totals.weight);
        self.fractions(total, |peer| peer.weight(self.state_time_ms))
    }

    /// Returns the stake of each peer in `peers` as a fraction of the total stake. Empty if the
    /// total is unknown or zero.
    #[must_use]
    pub fn stakes(&self) -> BTreeMap<Hash, f64> {
        let total = self
            .coverage
            .totals()
            .map(|totals| economics::float(totals.stake_copper));
        self.fractions(total, |peer| economics::float(peer.stake_copper()))
    }

    /// Returns whether `key` is registered; none if it is neither in a complete registry nor among
    /// the keys that were looked up.
    #[must_use]
    pub fn is_registered(&self, key: &Hash) -> Option<bool> {
        if self.peers.contains_key(key) {
            return Some(true);
        }
        (self.coverage.is_complete() || self.absent.contains(key)).then_some(false)
    }

    fn fractions(
        &self,
        total: Option<f64>,
        part: impl Fn(&RegisteredPeer) -> f64,
    ) -> BTreeMap<Hash, f64> {
        let Some(total) = total.filter(|total| *total > 0.0) else {
            return BTreeMap::new();
        };
        // A watched peer can be read from a later state than the total.
        let fraction =
            |(key, peer): (&Hash, &RegisteredPeer)| (*key, (part(peer) / total).min(1.0));
        self.peers.iter().map(fraction).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_559_818_830;

    fn peer(shares: i64, last_block_ms: Option<i64>) -> RegisteredPeer {
        RegisteredPeer {
            controller: None,
            own_copper: shares,
            delegated_copper: 0,
            shares,
            last_block_ms,
            url: None,
        }
    }

    fn registry(peers: impl IntoIterator<Item = RegisteredPeer>) -> Registry {
        Registry::complete(NOW, (1..).map(|i| Hash::new([i; 32])).zip(peers))
    }

    #[test]
    fn weights_add_up_to_one() {
        let silent_for_8_minutes = Some(NOW - 8 * 60_000);
        let registry = registry([
            peer(3_000, Some(NOW)),
            peer(1_000, silent_for_8_minutes),
            peer(5_000, None),
            peer(0, Some(NOW)),
        ]);
        let weights: Vec<f64> = registry.weights().into_values().collect();
        let total = 3_000.0 + 1_000.0 / std::f64::consts::E + 5.0;
        let expected = [3_000.0, 1_000.0 / std::f64::consts::E, 5.0, 0.0].map(|w| w / total);
        for (weight, expected) in weights.iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-12, "{weights:?}");
        }
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let later = Registry::complete(NOW + 24 * 3_600_000, registry.peers).weights();
        assert!(
            (later[&Hash::new([3; 32])] - 5.0 / 9.0).abs() < 1e-12,
            "all are at the minimum: {later:?}"
        );
    }

    #[test]
    fn without_stake_there_are_no_weights() {
        assert!(registry([]).weights().is_empty());
        assert!(registry([peer(0, Some(NOW))]).weights().is_empty());
    }

    #[test]
    fn fractions_of_the_watched_peers_are_of_the_totals_over_all() {
        let mut registry = registry([peer(3_000, Some(NOW)), peer(1_000, None)]);
        let totals = Totals {
            stake_copper: 40_000,
            weight: 6_000.0,
        };
        registry.coverage = Coverage::Totals(totals);
        let known = Hash::new([2; 32]);
        assert_eq!(registry.stakes()[&known].to_bits(), 0.025f64.to_bits());
        assert!((registry.weights()[&Hash::new([1; 32])] - 0.5).abs() < 1e-12);
        registry.coverage = Coverage::Watched;
        assert!(registry.stakes().is_empty() && registry.weights().is_empty());
    }

    #[test]
    fn a_key_is_unregistered_only_if_it_was_looked_up_or_everything_was_read() {
        let mut registry = registry([peer(1, None)]);
        let [known, other] = [1, 2].map(|i| Hash::new([i; 32]));
        let is_registered =
            |registry: &Registry| [known, other].map(|key| registry.is_registered(&key));
        assert_eq!(is_registered(&registry), [Some(true), Some(false)]);
        registry.coverage = Coverage::Watched;
        assert_eq!(is_registered(&registry), [Some(true), None]);
        registry.absent.insert(other);
        assert_eq!(is_registered(&registry), [Some(true), Some(false)]);
    }

    #[test]
    fn stake_is_effective_from_a_thousand_own_coins() {
        let mut low = peer(999_999_999_999, Some(NOW));
        low.delegated_copper = 5_000_000_000_000;
        assert_eq!(
            (low.eviction_margin(), low.has_effective_stake()),
            (-1, false)
        );
        low.own_copper += 1;
        assert_eq!(
            (low.eviction_margin(), low.has_effective_stake()),
            (0, true)
        );
    }
}

//! The on-chain registry of peers: stake, controllers and weight in consensus.

mod reader;
mod row;

use std::collections::BTreeMap;

use cad3::Hash;

use super::economics;

pub use reader::{MAX_PEERS, RegistryError, RegistryReader};
pub use row::MAX_URL_BYTES;

/// The registry of peers in one state. Read it with a [`RegistryReader`].
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    /// Time of the state, in milliseconds since the epoch. If the registry was read in several
    /// pages, the time of the last state.
    pub state_time_ms: i64,
    /// Number of registered peers.
    pub registered: u64,
    /// Whether `peers` has all registered peers. If not, weights and totals cover only those in
    /// `peers`.
    pub complete: bool,
    /// Peers by their keys; the first [`MAX_PEERS`] in the order of the keys.
    pub peers: BTreeMap<Hash, RegisteredPeer>,
    /// Stake of these peers including rewards, in copper.
    pub total_stake_copper: i64,
    /// Balances of the peers' controllers by address, in copper. Balances that could not be read
    /// are absent.
    pub controllers: BTreeMap<u64, i64>,
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
    /// Returns the share of each peer in the total weight in a state of this time, which may be
    /// later than the registry. The time is in milliseconds since the epoch. The sum is 1; without
    /// any weight the result is empty.
    #[must_use]
    pub fn weights(&self, state_time_ms: i64) -> BTreeMap<Hash, f64> {
        let weight = |peer: &RegisteredPeer| peer.weight(state_time_ms);
        let total: f64 = self.peers.values().map(weight).sum();
        if total <= 0.0 {
            return BTreeMap::new();
        }
        let share = |(key, peer): (&Hash, &RegisteredPeer)| (*key, weight(peer) / total);
        self.peers.iter().map(share).collect()
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
        let peers: BTreeMap<Hash, RegisteredPeer> =
            (1..).map(|i| Hash::new([i; 32])).zip(peers).collect();
        Registry {
            state_time_ms: NOW,
            registered: peers.len() as u64,
            complete: true,
            total_stake_copper: 0,
            peers,
            controllers: BTreeMap::new(),
        }
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
        let weights: Vec<f64> = registry.weights(NOW).into_values().collect();
        let total = 3_000.0 + 1_000.0 / std::f64::consts::E + 5.0;
        let expected = [3_000.0, 1_000.0 / std::f64::consts::E, 5.0, 0.0].map(|w| w / total);
        for (weight, expected) in weights.iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-12, "{weights:?}");
        }
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let later = registry.weights(NOW + 24 * 3_600_000);
        assert!(
            (later[&Hash::new([3; 32])] - 5.0 / 9.0).abs() < 1e-12,
            "all are at the minimum: {later:?}"
        );
    }

    #[test]
    fn without_stake_there_are_no_weights() {
        assert!(registry([]).weights(NOW).is_empty());
        assert!(registry([peer(0, Some(NOW))]).weights(NOW).is_empty());
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

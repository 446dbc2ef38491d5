//! The registry of peers as one state has it: who holds which stake, who controls whom, what each weighs.

mod reading;
mod row;

use std::collections::BTreeMap;

use cad3::Hash;

use super::economics;

pub use reading::{MAX_PEERS, Reading, RegistryError};
pub use row::MAX_URL_BYTES;

/// What the chain says of the peers of its network.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    /// Time of the state, milliseconds since the epoch; of the newest one where several had to be read.
    pub state_time_ms: i64,
    /// How many peers are registered.
    pub registered: u64,
    /// Whether all of them are in `peers`; when not, weights and totals are of those that are.
    pub complete: bool,
    /// The peers by their key; the first [`MAX_PEERS`] in the order of their keys.
    pub peers: BTreeMap<Hash, RegisteredPeer>,
    /// Coin that stands behind these peers, rewards included, copper.
    pub total_stake_copper: i64,
    /// Balances of the peers' controllers by address, copper. What could not be read is absent.
    pub controllers: BTreeMap<u64, i64>,
}

/// What the chain says of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredPeer {
    /// Address of the account that controls it.
    pub controller: Option<u64>,
    /// Its own stake with its part of the rewards, copper: what `(get-peer-stake KEY)` gives.
    pub own_copper: i64,
    /// Stake that others delegated to it with their part of the rewards, copper.
    pub delegated_copper: i64,
    /// Shares of stake, own and delegated. They carry the weight; rewards add none.
    pub shares: i64,
    /// Time of its last block in the order, milliseconds since the epoch; absent before its first.
    pub last_block_ms: Option<i64>,
    /// The URL that it advertises: text by a stranger, at most [`MAX_URL_BYTES`] long, nothing else known of it. Absent
    /// also when it is longer.
    pub url: Option<String>,
}

impl RegisteredPeer {
    /// The part of its stake that counts in a state of this time, 0.001 to 1.
    #[must_use]
    pub fn decay(&self, state_time_ms: i64) -> f64 {
        economics::decay(self.last_block_ms, state_time_ms)
    }

    /// Its weight in consensus, in shares.
    #[must_use]
    pub fn weight(&self, state_time_ms: i64) -> f64 {
        economics::weight(self.shares, self.decay(state_time_ms))
    }

    /// Own stake above what keeps it from being evicted, copper; negative when anybody may.
    #[must_use]
    pub fn eviction_margin(&self) -> i64 {
        economics::eviction_margin(self.own_copper)
    }

    /// Whether other peers take its blocks and its votes. Its weight stays in the total even when they do not, so it then
    /// counts as one that never agrees.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.eviction_margin() >= 0
    }
}

impl Registry {
    /// Each peer's part of all weight in a state of this time, which may be newer than the registry: the sum is 1. Empty
    /// when nobody has weight.
    #[must_use]
    pub fn weights(&self, state_time_ms: i64) -> BTreeMap<Hash, f64> {
        let weight = |peer: &RegisteredPeer| peer.weight(state_time_ms);
        let total: f64 = self.peers.values().map(weight).sum();
        if total <= 0.0 {
            return BTreeMap::new();
        }
        let part = |(key, peer): (&Hash, &RegisteredPeer)| (*key, weight(peer) / total);
        self.peers.iter().map(part).collect()
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
    fn weights_are_parts_of_the_whole() {
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
    fn nobody_weighs_anything_where_there_is_no_stake() {
        assert!(registry([]).weights(NOW).is_empty());
        assert!(registry([peer(0, Some(NOW))]).weights(NOW).is_empty());
    }

    #[test]
    fn a_peer_is_heard_from_a_thousand_coins_of_its_own() {
        let mut low = peer(999_999_999_999, Some(NOW));
        low.delegated_copper = 5_000_000_000_000;
        assert_eq!((low.eviction_margin(), low.is_heard()), (-1, false));
        low.own_copper += 1;
        assert_eq!((low.eviction_margin(), low.is_heard()), (0, true));
    }
}

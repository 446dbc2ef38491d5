//! What the registry of peers says of the watched ones, and whether the network keeps its quorum. Pure.

use std::collections::HashMap;
use std::time::Duration;

use cad3::Hash;
use convex_client::chain::economics::CONSENSUS_THRESHOLD;
use convex_client::chain::stake::{RegisteredPeer, Registry};

use crate::label_enum::label_enum;

label_enum! {
    /// How a registered peer stands, as far as the watched ones show.
    pub enum StakeClass {
        Majority = "majority", "Answers, and its state is the majority's as far as is known.";
        Minority = "minority", "Answers with another state than the majority's.";
        Down = "down", "Does not answer, or holds too little stake of its own for others to listen to it.";
        Unobserved = "unobserved", "Not watched, or not known.";
    }
}

/// The network's stake by standing.
#[derive(Clone, Debug, PartialEq)]
pub struct Quorum {
    /// Parts of all weight in the order of [`StakeClass::ALL`]; they sum to 1.
    pub ratios: [f64; StakeClass::ALL.len()],
    /// What is left above the threshold when all that is proven absent is taken off: 1 − minority − down − 0.67.
    pub margin: f64,
    /// How many peers of the majority, the heaviest first, can be lost before the margin is negative.
    pub losable: usize,
}

impl Quorum {
    /// Weighs the registry by how its peers stand; those not in `standings` are unobserved. None without weight, and
    /// when only a part of the registry is known: anybody can register more peers than are read.
    #[must_use]
    pub fn of(registry: &Registry, standings: &HashMap<Hash, StakeClass>) -> Option<Self> {
        let weights = registry.weights(registry.state_time_ms);
        if weights.is_empty() || !registry.complete {
            return None;
        }
        let mut ratios = [0.0; StakeClass::ALL.len()];
        let mut majority = Vec::new();
        for (key, weight) in weights {
            let seen = standings.get(&key).copied();
            let standing = match seen.unwrap_or(StakeClass::Unobserved) {
                _ if !registry.peers[&key].is_heard() => StakeClass::Down,
                standing => standing,
            };
            ratios[standing as usize] += weight;
            if standing == StakeClass::Majority {
                majority.push(weight);
            }
        }
        let [_, minority, down, _] = ratios;
        let margin = 1.0 - minority - down - CONSENSUS_THRESHOLD;
        majority.sort_unstable_by(|a, b| b.total_cmp(a));
        let mut left = margin;
        let losable = majority.iter().take_while(|weight| {
            left -= **weight;
            left >= 0.0
        });
        Some(Self {
            ratios,
            margin,
            losable: losable.count(),
        })
    }
}

/// What the chain says of one watched peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Stake {
    /// Its entry in the registry.
    pub registered: RegisteredPeer,
    /// Time of the state that tells it, milliseconds since the epoch.
    pub state_time_ms: i64,
    /// The part of its stake that counts, 0.001 to 1.
    pub decay: f64,
    /// Its part of all weight; none when only a part of the registry is known.
    pub weight: Option<f64>,
    /// Its controller's balance, copper.
    pub controller_balance: Option<i64>,
}

impl Stake {
    /// The entry of the peer with `key`, if it is registered.
    #[must_use]
    pub fn of(registry: &Registry, weights: &HashMap<Hash, f64>, key: &Hash) -> Option<Self> {
        let registered = registry.peers.get(key)?.clone();
        Some(Self {
            state_time_ms: registry.state_time_ms,
            decay: registered.decay(registry.state_time_ms),
            weight: weights.get(key).copied(),
            controller_balance: registered
                .controller
                .and_then(|controller| registry.controllers.get(&controller).copied()),
            registered,
        })
    }

    /// Whether the peer has made no block for longer than it should while the network did. Measured in the network's time,
    /// as the decay is: on an idle network nobody is overdue.
    #[must_use]
    pub fn is_overdue(&self, every: Duration) -> bool {
        let Some(last) = self.registered.last_block_ms else {
            return true;
        };
        let silent_ms = self.state_time_ms.saturating_sub(last);
        u64::try_from(silent_ms).is_ok_and(|silent_ms| Duration::from_millis(silent_ms) > every)
    }
}

#[cfg(test)]
mod tests {
    use StakeClass::{Down, Majority, Minority, Unobserved};
    use convex_client::chain::economics::MINIMUM_OWN_STAKE_COPPER;

    use super::*;

    /// A registry of peers with these shares, all just heard.
    fn registry(shares: &[i64]) -> Registry {
        let peer = |shares: &i64| RegisteredPeer {
            controller: None,
            own_copper: *shares * MINIMUM_OWN_STAKE_COPPER,
            delegated_copper: 0,
            shares: *shares,
            last_block_ms: Some(0),
            url: None,
        };
        Registry {
            state_time_ms: 0,
            registered: shares.len() as u64,
            complete: true,
            peers: (1..)
                .map(|i| Hash::new([i; 32]))
                .zip(shares.iter().map(peer))
                .collect(),
            total_stake_copper: shares.iter().sum(),
            controllers: <_>::default(),
        }
    }

    fn quorum(shares: &[i64], standings: &[StakeClass]) -> Quorum {
        let standings = (1..)
            .map(|i| Hash::new([i; 32]))
            .zip(standings.iter().copied())
            .collect();
        Quorum::of(&registry(shares), &standings).expect("there is weight")
    }

    #[test]
    fn only_what_is_proven_absent_counts_against_the_quorum() {
        for (standings, margin, losable) in [
            ([Majority, Majority, Majority, Majority], 0.33, 1),
            ([Majority, Majority, Majority, Down], 0.08, 0),
            ([Majority, Majority, Minority, Down], -0.17, 0),
            ([Majority, Unobserved, Unobserved, Unobserved], 0.33, 1),
        ] {
            let quorum = quorum(&[100; 4], &standings);
            assert!(
                (quorum.margin - margin).abs() < 1e-9,
                "{standings:?}: {quorum:?}"
            );
            assert_eq!(quorum.losable, losable, "{standings:?}");
            assert!((quorum.ratios.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_monitor_that_watches_two_of_twenty_raises_nothing() {
        let quorum = quorum(&[5; 20], &[Majority, Down]);
        assert!((quorum.margin - 0.28).abs() < 1e-9, "{quorum:?}");
        assert!((quorum.ratios[3] - 0.9).abs() < 1e-9, "{quorum:?}");
    }

    #[test]
    fn a_peer_with_too_little_stake_of_its_own_counts_as_absent_and_a_part_of_a_registry_as_nothing()
     {
        let mut registry = registry(&[1, 1]);
        let standings: HashMap<_, _> = [1, 2].map(|i| (Hash::new([i; 32]), Majority)).into();
        registry
            .peers
            .get_mut(&Hash::new([2; 32]))
            .expect("registered")
            .own_copper -= 1;
        let quorum = Quorum::of(&registry, &standings).expect("there is weight");
        assert!(
            (quorum.margin - (0.5 - CONSENSUS_THRESHOLD)).abs() < 1e-9,
            "{quorum:?}"
        );
        registry.complete = false;
        assert_eq!(Quorum::of(&registry, &standings), None);
    }

    #[test]
    fn the_heaviest_peers_are_lost_first() {
        assert_eq!(
            quorum(&[40, 10, 10, 10, 10, 10, 10], &[Majority; 7]).losable,
            0
        );
        assert_eq!(quorum(&[10; 10], &[Majority; 10]).losable, 3);
    }

    #[test]
    fn without_stake_there_is_no_quorum_to_judge() {
        assert_eq!(Quorum::of(&registry(&[0, 0]), &HashMap::new()), None);
    }

    #[test]
    fn a_peer_is_overdue_in_the_networks_time() {
        let every = Duration::from_secs(600);
        let mut registry = registry(&[1]);
        let key = Hash::new([1; 32]);
        let mut overdue = |state_time_ms, last_block_ms| {
            registry.state_time_ms = state_time_ms;
            registry
                .peers
                .get_mut(&key)
                .expect("registered")
                .last_block_ms = last_block_ms;
            Stake::of(&registry, &HashMap::new(), &key)
                .expect("registered")
                .is_overdue(every)
        };
        assert!(
            !overdue(600_000, Some(0)),
            "however long an idle network stands still"
        );
        assert!(overdue(600_001, Some(0)));
        assert!(!overdue(0, Some(1)), "a block that is newer than the state");
        assert!(overdue(0, None), "it never made one");
    }
}

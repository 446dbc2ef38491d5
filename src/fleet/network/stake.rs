//! Stake of the watched peers, and whether the network keeps its quorum without those that are
//! down. Pure.

use std::collections::HashMap;
use std::time::Duration;

use cad3::Hash;
use convex_client::chain::economics::CONSENSUS_THRESHOLD;
use convex_client::chain::{RegisteredPeer, Registry};

use crate::label_enum::label_enum;

/// Quorum margin below which a network is at risk: a tenth of the weight is proven absent
/// (0.33 − 0.1).
const MARGIN_AT_RISK: f64 = 0.23;

label_enum! {
    /// Standing of a registered peer, as far as it is watched.
    pub enum StakeClass {
        Majority = "majority", "Answers, and its state does not differ from the majority's.";
        Minority = "minority", "Answers with a state that differs from the majority's, or does not vote with it.";
        Down = "down", "Does not answer, or has too little own stake for other peers to accept it.";
        Unobserved = "unobserved", "Not watched, or unknown.";
    }
}

/// The network's weight by the standing of its peers.
#[derive(Clone, Debug, PartialEq)]
pub struct Quorum {
    /// Fractions of the weight in the order of [`StakeClass::ALL`]; they sum to 1.
    pub ratios: [f64; StakeClass::ALL.len()],
    /// Weight above the consensus threshold without the peers known to be missing: 1 − minority −
    /// down − 0.67.
    pub margin: f64,
    /// How many peers can be lost before the margin becomes negative.
    pub losable: Losable,
}

/// How many of the heaviest peers that are not proven absent can be lost before the margin becomes
/// negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losable {
    /// If all unobserved stake is lost already.
    pub worst: usize,
    /// If all unobserved stake is there.
    pub best: usize,
}

impl Quorum {
    /// Whether so much weight is missing, beside the share `planned` that is down in maintenance,
    /// that the network can lose no further peer.
    #[must_use]
    pub const fn is_at_risk(&self, planned: f64) -> bool {
        self.margin + planned < MARGIN_AT_RISK && self.losable.best == 0
    }

    /// Sums the weights of the registry by standing; peers that are not in `classes` are
    /// unobserved. None without a total weight.
    #[must_use]
    pub fn from_registry(registry: &Registry, classes: &HashMap<Hash, StakeClass>) -> Option<Self> {
        registry.coverage.totals().filter(|it| it.weight > 0.0)?;
        let weights = registry.weights();
        let mut ratios = [0.0; StakeClass::ALL.len()];
        let (mut majority, mut present) = (Vec::new(), Vec::new());
        for (key, weight) in weights {
            let observed = classes.get(&key).copied();
            let class = match observed.unwrap_or(StakeClass::Unobserved) {
                _ if !registry.peers[&key].has_effective_stake() => StakeClass::Down,
                class => class,
            };
            ratios[class as usize] += weight;
            match class {
                StakeClass::Majority => {
                    majority.push(weight);
                    present.push(weight);
                }
                StakeClass::Unobserved => present.push(weight),
                StakeClass::Minority | StakeClass::Down => {}
            }
        }
        // Those that were not read, where only the total is known.
        let read: f64 = ratios.iter().sum();
        ratios[StakeClass::Unobserved as usize] += (1.0 - read).max(0.0);
        let [_, minority, down, unobserved] = ratios;
        let margin = 1.0 - minority - down - CONSENSUS_THRESHOLD;
        Some(Self {
            ratios,
            margin,
            losable: Losable {
                worst: losable(majority, margin - unobserved),
                best: losable(present, margin),
            },
        })
    }
}

/// Returns how many of the heaviest peers with these weights can be lost before the margin becomes
/// negative.
fn losable(mut weights: Vec<f64>, mut margin: f64) -> usize {
    weights.sort_unstable_by(|a, b| b.total_cmp(a));
    let lost = weights.iter().take_while(|weight| {
        margin -= **weight;
        margin >= 0.0
    });
    lost.count()
}

/// The registry entry of a watched peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Stake {
    /// The entry.
    pub registered: RegisteredPeer,
    /// Time of the state that it was read from, in milliseconds since the epoch.
    pub state_time_ms: i64,
    /// Fraction of its stake that counts, 0.001 to 1.
    pub decay: f64,
    /// Its fraction of the network's weight; none if the total is unknown.
    pub weight: Option<f64>,
    /// Balance of its controller, in copper.
    pub controller_balance: Option<i64>,
}

impl Stake {
    /// Returns the entry of the peer with `key`, if it is registered.
    #[must_use]
    pub fn from_registry(
        registry: &Registry,
        weights: &HashMap<Hash, f64>,
        key: &Hash,
    ) -> Option<Self> {
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

    /// Whether the peer made no block for longer than `every` while the network did. Measured in
    /// the time of the network, like the decay: on an idle network no peer is overdue.
    #[must_use]
    pub fn is_overdue(&self, every: Duration) -> bool {
        let Some(last) = self.registered.last_block_ms else {
            return true;
        };
        let elapsed_ms = self.state_time_ms.saturating_sub(last);
        u64::try_from(elapsed_ms).is_ok_and(|elapsed_ms| Duration::from_millis(elapsed_ms) > every)
    }
}

#[cfg(test)]
mod tests {
    use StakeClass::{Down, Majority, Minority, Unobserved};
    use convex_client::chain::economics::MINIMUM_OWN_STAKE_COPPER;
    use convex_client::chain::{Coverage, Totals};

    use super::*;

    /// A registry of peers with these shares, all of which have just made a block.
    fn registry(shares: &[i64]) -> Registry {
        let peer = |shares: &i64| RegisteredPeer {
            controller: None,
            own_copper: *shares * MINIMUM_OWN_STAKE_COPPER,
            delegated_copper: 0,
            shares: *shares,
            last_block_ms: Some(0),
            url: None,
        };
        let keys = (1..).map(|i| Hash::new([i; 32]));
        Registry::complete(0, keys.zip(shares.iter().map(peer)))
    }

    fn quorum(shares: &[i64], classes: &[StakeClass]) -> Quorum {
        let classes = (1..)
            .map(|i| Hash::new([i; 32]))
            .zip(classes.iter().copied())
            .collect();
        Quorum::from_registry(&registry(shares), &classes).expect("there is weight")
    }

    #[test]
    fn only_peers_known_to_be_missing_reduce_the_margin() {
        for (classes, margin, worst, best) in [
            ([Majority, Majority, Majority, Majority], 0.33, 1, 1),
            ([Majority, Majority, Majority, Down], 0.08, 0, 0),
            ([Majority, Majority, Minority, Down], -0.17, 0, 0),
            ([Majority, Unobserved, Unobserved, Unobserved], 0.33, 0, 1),
            ([Majority, Majority, Majority, Unobserved], 0.33, 0, 1),
        ] {
            let quorum = quorum(&[100; 4], &classes);
            assert!(
                (quorum.margin - margin).abs() < 1e-9,
                "{classes:?}: {quorum:?}"
            );
            assert_eq!(quorum.losable, Losable { worst, best }, "{classes:?}");
            assert!((quorum.ratios.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn unwatched_peers_do_not_reduce_the_margin() {
        let quorum = quorum(&[5; 20], &[Majority, Down]);
        assert!((quorum.margin - 0.28).abs() < 1e-9, "{quorum:?}");
        assert!((quorum.ratios[3] - 0.9).abs() < 1e-9, "{quorum:?}");
    }

    #[test]
    fn too_little_own_stake_counts_as_down() {
        let mut registry = registry(&[1, 1]);
        let classes: HashMap<_, _> = [1, 2].map(|i| (Hash::new([i; 32]), Majority)).into();
        registry
            .peers
            .get_mut(&Hash::new([2; 32]))
            .expect("registered")
            .own_copper -= 1;
        let quorum = Quorum::from_registry(&registry, &classes).expect("there is weight");
        assert!(
            (quorum.margin - (0.5 - CONSENSUS_THRESHOLD)).abs() < 1e-9,
            "{quorum:?}"
        );
    }

    #[test]
    fn peers_that_were_not_read_are_unobserved_and_without_totals_there_is_no_quorum() {
        let mut registry = registry(&[100, 100]);
        let classes = [(Hash::new([1; 32]), Down)].into();
        registry.coverage = Coverage::Totals(Totals {
            stake_copper: 0,
            weight: 1_000.0,
        });
        let quorum = Quorum::from_registry(&registry, &classes).expect("there is a total");
        assert!((quorum.margin - 0.23).abs() < 1e-9, "{quorum:?}");
        assert!((quorum.ratios[3] - 0.9).abs() < 1e-9, "{quorum:?}");
        registry.coverage = Coverage::Watched;
        assert_eq!(Quorum::from_registry(&registry, &classes), None);
    }

    #[test]
    fn losable_peers_are_counted_from_the_heaviest() {
        let best = |shares: &[i64], classes: &[StakeClass]| quorum(shares, classes).losable.best;
        assert_eq!(best(&[40, 10, 10, 10, 10, 10, 10], &[Majority; 7]), 0);
        assert_eq!(best(&[10; 10], &[Majority; 10]), 3);
        assert_eq!(
            best(&[10; 8], &[Down]),
            1,
            "one of eight is watched and dies"
        );
    }

    #[test]
    fn a_registry_without_stake_has_no_quorum() {
        assert_eq!(
            Quorum::from_registry(&registry(&[0, 0]), &HashMap::new()),
            None
        );
    }

    #[test]
    fn a_peer_is_overdue_in_the_time_of_its_network() {
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
            Stake::from_registry(&registry, &HashMap::new(), &key)
                .expect("registered")
                .is_overdue(every)
        };
        assert!(!overdue(600_000, Some(0)), "an idle network does not age");
        assert!(overdue(600_001, Some(0)));
        assert!(!overdue(0, Some(1)), "its block is newer than the state");
        assert!(overdue(0, None), "it never made a block");
    }
}

//! Which peers are this agent's when a fleet is split over several: a stable choice by the hash of the peer's name. And which
//! peers of the others it polls too, as a network is judged by all its peers.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sha3::{Digest, Sha3_256};

use crate::config::{Config, Peer};

/// The most peers of other shards that are polled for the sake of one network. As many as are read of a registry: where stakes
/// are known, none that weighs is left out.
const SAMPLE: usize = 1000;

/// A peer of another shard is polled at least so often, unless its own interval is longer.
const SAMPLED_AT_LEAST: Duration = Duration::from_secs(60);

/// Shard `index` of `count`, from 1. The default is the whole fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 1, count: 1 }
    }
}

/// A text that names no shard.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no shard; expected I/N with 1 ≤ I ≤ N ≤ 1000, such as 1/4")]
pub struct ShardError(String);

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let shard = || {
            let (index, count) = text.split_once('/')?;
            let shard = Self {
                index: index.parse().ok()?,
                count: count.parse().ok()?,
            };
            (1 <= shard.index && shard.index <= shard.count && shard.count <= 1000).then_some(shard)
        };
        shard().ok_or_else(|| ShardError(text.to_owned()))
    }
}

impl Shard {
    /// Index and count, from 1.
    #[must_use]
    pub const fn numbers(self) -> (u32, u32) {
        (self.index, self.count)
    }

    /// Leaves this shard's peers in `config`, and of the others a sample of each network.
    pub fn keep(self, config: &mut Config) {
        if self.count == 1 {
            return;
        }
        let peers = std::mem::take(&mut config.peers);
        (config.peers, config.others) = peers.into_iter().partition(|peer| self.has(&peer.name));
        config.sample = self.sample(&config.others);
    }

    /// Of each network the peers that it is judged by besides this shard's own: all, or those that the hash chooses.
    fn sample(self, others: &[Arc<Peer>]) -> Vec<Arc<Peer>> {
        let mut networks: BTreeMap<&str, Vec<&Peer>> = BTreeMap::new();
        for peer in others {
            networks.entry(&peer.network).or_default().push(peer);
        }
        let mut sample = Vec::new();
        for mut peers in networks.into_values() {
            let stands_for = (peers.len() + SAMPLE / 2) / SAMPLE;
            let stands_for = u32::try_from(stands_for).ok().and_then(NonZeroU32::new);
            let stands_for = stands_for.unwrap_or(NonZeroU32::MIN);
            if peers.len() > SAMPLE {
                peers.sort_by_cached_key(|peer| bid(self.index, &peer.name));
                peers.truncate(SAMPLE);
            }
            let peers = peers.into_iter().cloned();
            sample.extend(peers.map(|peer| Arc::new(self.glimpsed(peer, stands_for))));
        }
        sample
    }

    /// `peer` of another shard as this one polls it: less often, so that all shards together that do not have it ask it no
    /// more than the one that has.
    #[must_use]
    pub fn glimpsed(self, mut peer: Peer, stands_for: NonZeroU32) -> Peer {
        let cadence = &mut peer.cadence;
        let longest = cadence.interval.max(SAMPLED_AT_LEAST);
        cadence.interval = (cadence.interval * (self.count - 1).max(1)).min(longest);
        cadence.max_interval = cadence.max_interval.max(cadence.interval);
        peer.sampled = Some(stands_for);
        peer
    }

    /// Whether the peer called `name` is of this shard. Each shard bids for each name, the highest bid has it: when a
    /// shard is added it takes its part from all others, and no other peer moves.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        let own = bid(self.index, name);
        (1..=self.count).all(|other| other == self.index || bid(other, name) < own)
    }
}

/// What shard number `shard` bids for `name`.
fn bid(shard: u32, name: &str) -> [u8; 32] {
    let mut hasher = Sha3_256::new();
    hasher.update(shard.to_be_bytes());
    hasher.update(name.as_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config;

    fn owner(name: &str, count: u32) -> u32 {
        let owners: Vec<u32> = (1..=count)
            .filter(|index| {
                Shard {
                    index: *index,
                    count,
                }
                .has(name)
            })
            .collect();
        assert_eq!(owners.len(), 1, "{name} of {count}");
        owners[0]
    }

    fn config(peers: usize, more: &str) -> Config {
        let peer = |i| format!("- {{ name: p{i}, network: n, endpoints: [tcp://h{i}]{more} }}\n");
        let peers: String = (0..peers).map(peer).collect();
        let text = format!("networks: [{{ name: n }}]\npeers:\n{peers}");
        config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap()
    }

    fn names(peers: &[Arc<Peer>]) -> BTreeSet<&str> {
        peers.iter().map(|peer| peer.name.as_str()).collect()
    }

    proptest! {
        #[test]
        fn every_name_has_one_shard_and_an_added_shard_moves_none_between_the_old_ones(
            name in ".*",
            count in 1_u32..40,
        ) {
            let (before, after) = (owner(&name, count), owner(&name, count + 1));
            prop_assert!(before == after || after == count + 1);
        }
    }

    #[test]
    fn an_added_shard_takes_its_part() {
        let moved = |name: &String| owner(name, 4) != owner(name, 5);
        let names = (0..400).map(|i| format!("peer-{i}"));
        let moved = names.filter(moved).count();
        assert!((40..130).contains(&moved), "{moved} of 400");
    }

    #[test]
    fn a_shard_polls_its_own_peers_and_those_of_others_less_often() {
        let whole = config(30, ", interval: 10s, timeout: 1s");
        for (count, seconds) in [(2, 10), (4, 30), (9, 60)] {
            let mut shard = whole.clone();
            Shard { index: 2, count }.keep(&mut shard);
            assert!(names(&shard.peers).is_disjoint(&names(&shard.others)));
            assert_eq!(shard.peers.len() + shard.others.len(), 30);
            assert_eq!(names(&shard.sample), names(&shard.others));
            for peer in &shard.sample {
                assert_eq!(peer.cadence.interval.as_secs(), seconds, "of {count}");
                assert_eq!(peer.cadence.max_interval.as_secs(), seconds, "of {count}");
                assert_eq!(peer.sampled.map(NonZeroU32::get), Some(1));
            }
            assert!(shard.peers.iter().all(|peer| whole.peers.contains(peer)));
        }
        let mut one = whole.clone();
        Shard::default().keep(&mut one);
        assert_eq!(one, whole);
    }

    #[test]
    fn of_a_large_network_each_shard_polls_another_part_that_stands_for_the_whole() {
        let whole = config(4500, "");
        let [one, two] = [1, 2].map(|index| {
            let mut shard = whole.clone();
            Shard { index, count: 3 }.keep(&mut shard);
            shard
        });
        for shard in [&one, &two] {
            assert_eq!(shard.sample.len(), SAMPLE);
            assert!(names(&shard.sample).is_subset(&names(&shard.others)));
            let stands_for = shard.sample[0].sampled.map(NonZeroU32::get);
            assert_eq!(stands_for, Some(3), "of {}", shard.others.len());
        }
        assert_ne!(names(&one.sample), names(&two.sample));
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        for text in ["", "1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "1/1001"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}

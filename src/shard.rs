//! Which peers are this agent's when a fleet is split over several: a stable choice by the hash of the peer's name.

use std::str::FromStr;

use sha3::{Digest, Sha3_256};

use crate::config::Config;

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

    /// Leaves only this shard's peers in `config`.
    pub fn keep(self, config: &mut Config) {
        config.peers.retain(|peer| self.has(&peer.name));
    }

    /// Whether the peer called `name` is of this shard. Each shard bids for each name, the highest bid has it: when a
    /// shard is added it takes its part from all others, and no other peer moves.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        let bid = |shard: u32| {
            let mut hasher = Sha3_256::new();
            hasher.update(shard.to_be_bytes());
            hasher.update(name.as_bytes());
            hasher.finalize()
        };
        let own = bid(self.index);
        (1..=self.count).all(|other| other == self.index || bid(other) < own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn every_peer_has_one_shard_and_an_added_shard_moves_no_peer_between_the_old_ones() {
        let names: Vec<String> = (0..400).map(|i| format!("peer-{i}")).collect();
        let mut moved = 0;
        for name in &names {
            let (before, after) = (owner(name, 4), owner(name, 5));
            if before != after {
                assert_eq!(after, 5, "{name}");
                moved += 1;
            }
        }
        assert!(
            (40..130).contains(&moved),
            "{moved} of 400 moved to the fifth shard"
        );
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        for text in ["", "1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "1/1001"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}

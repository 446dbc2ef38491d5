//! Remembers which peers have which history, from round to round. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use cad3::Hash;
use convex_client::belief::{Comparison, Difference};
use tokio::time::Instant;

use super::facts::{Counted, OrderFacts, RoundFacts, compared_orders};
use super::grouping::{Differences, FirstDifference, Grouping, Relation, in_sequence, is_suspect};
use super::round::OrderComparison;
use super::stakes::Stakes;
use super::verdict::{Fork, ForkedBlock, Histories, History};

/// A difference below consensus is a fork if two walks at least this far apart show it. A little
/// less than a minute, so that walks a minute apart are enough.
const CONFIRMED_AFTER: Duration = Duration::from_secs(58);

/// A difference below consensus that was not seen again for this long is forgotten.
const SUSPECTED_FOR: Duration = Duration::from_secs(1800);

/// The histories of a network.
#[derive(Clone, Debug, Default)]
pub(super) struct HistoryWatch {
    groups: Vec<Group>,
    /// Peers whose orders could not be compared, and until when that counts.
    not_compared: BTreeMap<Hash, Instant>,
    /// Differences below consensus, by the keys of two peers.
    suspects: BTreeMap<[Hash; 2], Suspect>,
}

/// The peers with one history.
#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    /// The peers, and until when what was read of each counts.
    peers: BTreeMap<Hash, Instant>,
    /// Where this history leaves the first one; none for the first.
    fork: Option<Fork>,
}

/// A difference that is a fork if it lasts.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    index: u64,
    since: Instant,
    last: Instant,
}

impl HistoryWatch {
    /// Takes the orders and comparisons of a round.
    pub(super) fn take(&mut self, round: &RoundFacts, stakes: &Stakes) {
        self.forget(round.at);
        let orders = compared_orders(&round.walks, stakes.judged());
        let orders = in_sequence(orders, stakes);
        let comparisons = &round.comparisons;
        let confirmed = self.confirm(&orders, comparisons, round.at);
        let differences = Differences::new(&orders, comparisons);
        let relation = |left: usize, right: usize| {
            let orders_compared = [&orders[left].0, &orders[right].0];
            let keys = orders_compared.map(|order| order.key);
            let first = differences.between(orders_compared, &orders);
            let is_confirmed = confirmed.contains(&in_order(keys));
            let found = Relation::new(orders_compared, first, is_confirmed);
            // A fork stays until the same history is shown beyond it.
            Ok::<_, Infallible>(match (found, self.known_fork(keys)) {
                (Relation::Same(blocks), Some(index)) if blocks <= index => Relation::Forked(index),
                (Relation::Unknown, Some(index)) => Relation::Forked(index),
                (found, _) => found,
            })
        };
        let Ok(grouping) = Grouping::new(&orders, stakes, relation);
        self.replace(&grouping, &orders, comparisons, stakes);
    }

    /// Removes outdated entries.
    fn forget(&mut self, now: Instant) {
        for group in &mut self.groups {
            group.peers.retain(|_, until| *until > now);
        }
        self.not_compared.retain(|_, until| *until > now);
        self.suspects
            .retain(|_, suspect| suspect.last + SUSPECTED_FOR > now);
    }

    /// Notes differences below consensus, and returns the peers of which two walks showed the same.
    fn confirm(
        &mut self,
        orders: &[Counted],
        comparisons: &[OrderComparison],
        now: Instant,
    ) -> BTreeSet<[Hash; 2]> {
        let mut confirmed = BTreeSet::new();
        for comparison in comparisons {
            let of = |hash: Hash| orders.iter().find(|(order, _)| order.hash == hash);
            let [Some((left, _)), Some((right, _))] = comparison.orders.map(of) else {
                continue;
            };
            let keys = in_order([left.key, right.key]);
            match comparison.result.as_ref().map(FirstDifference::from) {
                None => {}
                Some(FirstDifference::At(index)) if is_suspect([left, right], index) => {
                    let new = Suspect {
                        index,
                        since: now,
                        last: now,
                    };
                    let suspect = self.suspects.entry(keys).or_insert(new);
                    if suspect.index == index {
                        suspect.last = now;
                    } else {
                        *suspect = new;
                    }
                    if now.saturating_duration_since(suspect.since) >= CONFIRMED_AFTER {
                        confirmed.insert(keys);
                    }
                }
                Some(FirstDifference::At(_) | FirstDifference::Beyond(_)) => {
                    self.suspects.remove(&keys);
                }
            }
        }
        confirmed
    }

    /// Returns where the histories of two peers are known to part.
    fn known_fork(&self, keys: [Hash; 2]) -> Option<u64> {
        let [left, right] = keys.map(|key| self.group_of(&key));
        let (left, right) = (left?, right?);
        let forks = [left, right].map(|group| self.groups[group].fork.as_ref());
        let first = forks.into_iter().flatten().map(|fork| fork.block).min();
        first.filter(|_| left != right)
    }

    /// Puts the peers of a round into groups, and those that were read in earlier rounds with the
    /// peers that had the same history.
    fn replace(
        &mut self,
        grouping: &Grouping,
        orders: &[Counted],
        comparisons: &[OrderComparison],
        stakes: &Stakes,
    ) {
        let counted = |order: &usize| (orders[*order].0.key, orders[*order].1);
        let mut groups: Vec<Group> = grouping
            .groups
            .iter()
            .map(|members| Group {
                peers: members.iter().map(counted).collect(),
                fork: None,
            })
            .collect();
        let placed: BTreeSet<Hash> = groups
            .iter()
            .flat_map(|it| it.peers.keys().copied())
            .collect();
        for before in &self.groups {
            let is_left = |(key, _): &(&Hash, &Instant)| !placed.contains(*key);
            let left: Vec<_> = before.peers.iter().filter(is_left).collect();
            let mut same = groups.iter_mut().filter(|group| {
                let mut peers = group.peers.keys();
                peers.any(|key| before.peers.contains_key(key))
            });
            let group = match same.next() {
                Some(group) => group,
                None if left.is_empty() => continue,
                None => {
                    groups.push(Group::default());
                    let Some(new) = groups.last_mut() else {
                        continue;
                    };
                    new
                }
            };
            group
                .peers
                .extend(left.into_iter().map(|(key, until)| (*key, *until)));
        }
        groups.sort_by_key(|group| Reverse(stakes.sum(group.peers.keys())));
        if let Some((first, others)) = groups.split_first_mut() {
            for other in others {
                other.fork = found_fork(first, other, orders, comparisons)
                    .or_else(|| self.earlier_fork(first, other));
            }
        }
        let undecided = grouping.undecided.iter().map(counted);
        let is_placed = |key: &Hash| groups.iter().any(|group| group.peers.contains_key(key));
        self.not_compared = undecided.filter(|(key, _)| !is_placed(key)).collect();
        self.groups = groups;
    }

    /// Returns the fork of two groups as it was found before.
    fn earlier_fork(&self, first: &Group, other: &Group) -> Option<Fork> {
        let before = |group: &Group| {
            let mut peers = group.peers.keys();
            peers.find_map(|key| self.group_of(key))
        };
        let (first, other) = (before(first)?, before(other)?);
        let fork = |group: usize| self.groups[group].fork.clone();
        match other {
            0 => fork(first).map(|fork| Fork {
                blocks: {
                    let [left, right] = fork.blocks;
                    [right, left]
                },
                ..fork
            }),
            other => fork(other),
        }
    }

    /// Returns the position of the group that the peer with `key` is in.
    fn group_of(&self, key: &Hash) -> Option<usize> {
        let mut groups = self.groups.iter();
        groups.position(|group| group.peers.contains_key(key))
    }

    /// Whether two peers are known to have the same history, so that each accepts the order of the
    /// other. Before its first consensus a peer accepts any.
    pub(super) fn is_same(&self, one: &OrderFacts, other: &OrderFacts) -> bool {
        let group = self.group_of(&one.key);
        (group.is_some() && group == self.group_of(&other.key))
            || one.points.consensus.min(other.points.consensus) == 0
    }

    /// Whether the peer with `key` is known to have another history than most.
    pub(super) fn is_apart(&self, key: &Hash) -> bool {
        self.group_of(key).is_some_and(|group| group > 0)
    }

    /// Returns when something next becomes too old to count.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        let read = self.groups.iter().flat_map(|group| group.peers.values());
        let untils = read.chain(self.not_compared.values()).copied();
        untils.filter(|until| *until > now).min()
    }

    /// Returns what is known of the histories at `now`; none if no two orders were compared
    /// recently.
    pub(super) fn verdict(&self, stakes: &Stakes, now: Instant) -> Option<Histories> {
        let current = |peers: &BTreeMap<Hash, Instant>| {
            let peers = peers.iter().filter(|(_, until)| **until > now);
            let mut keys: Vec<Hash> = peers.map(|(key, _)| *key).collect();
            keys.sort_by_key(|key| Reverse(stakes.of(key)));
            keys
        };
        let mut groups: Vec<History> = Vec::new();
        for group in &self.groups {
            let peers = current(&group.peers);
            if peers.is_empty() {
                continue;
            }
            let stake = stakes.sum(&peers);
            groups.push(History {
                stake: stakes.share(stake),
                is_majority: stakes.is_majority(stake),
                fork: group.fork.clone().filter(|_| !groups.is_empty()),
                peers,
            });
        }
        let compared: Vec<&Hash> = groups.iter().flat_map(|group| &group.peers).collect();
        if compared.len() < 2 {
            return None;
        }
        let forks = groups.iter().filter_map(|group| group.fork.clone());
        Some(Histories {
            fork: forks.min_by_key(|fork| fork.block),
            not_compared: current(&self.not_compared),
            compared_stake: stakes.share(stakes.sum(compared)),
            groups,
        })
    }
}

fn in_order(mut keys: [Hash; 2]) -> [Hash; 2] {
    keys.sort_unstable();
    keys
}

/// Returns the first difference that comparisons of a round show between two groups.
fn found_fork(
    first: &Group,
    other: &Group,
    orders: &[Counted],
    comparisons: &[OrderComparison],
) -> Option<Fork> {
    let key_of = |hash: &Hash| {
        let order = orders.iter().find(|(order, _)| order.hash == *hash)?;
        Some(order.0.key)
    };
    let forks = comparisons.iter().filter_map(|comparison| {
        let [left, right] = comparison.orders.each_ref().map(key_of);
        let (left, right) = (left?, right?);
        let Some(Comparison::Different(difference)) = &comparison.result else {
            return None;
        };
        let is_between = |left: &Hash, right: &Hash| {
            first.peers.contains_key(left) && other.peers.contains_key(right)
        };
        match () {
            () if is_between(&left, &right) => Some(fork(difference, [0, 1])),
            () if is_between(&right, &left) => Some(fork(difference, [1, 0])),
            () => None,
        }
    });
    forks.min_by_key(|fork| fork.block)
}

/// Returns a difference as a fork, with the blocks of these sides.
fn fork(difference: &Difference, sides: [usize; 2]) -> Fork {
    Fork {
        block: difference.index,
        blocks: sides.map(|side| {
            let block = difference.blocks[side].as_ref();
            let block = block.and_then(|block| block.as_ref().ok());
            ForkedBlock {
                hash: difference.hashes[side],
                made: block.map(|block| (block.maker, block.timestamp_ms)),
            }
        }),
    }
}

//! Which configured peers sign with one key, and are not one process. Pure.
//!
//! A peer takes orders of its own key from nobody, so what it holds under its key it has signed
//! itself. It signs the same blocks and points once, never returns to an older order, and has one
//! history. Two that do otherwise between them are two processes, or one that was restarted from an
//! older state in between: so it takes several walks to prove it. One process at two addresses does
//! not, however fast it signs.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cad3::Hash;
use tokio::time::Instant;

use super::facts::{OrderFacts, WalkFacts};
use super::grouping::{FirstDifference, Relation};
use super::round::OrderComparison;
use super::verdict::DuplicateKey;

/// Number of walks that have to prove it.
const PROOFS: u32 = 3;

/// These have to be at least this far apart.
const APART: Duration = Duration::from_secs(60);

/// Number of orders of each peer that are remembered.
const REMEMBERED: usize = 16;

/// Peers that show the same key.
#[derive(Clone, Debug, Default)]
pub(super) struct DuplicateWatch {
    /// By name.
    shown: BTreeMap<String, Shown>,
    /// By both names, in their sequence.
    pairs: BTreeMap<(String, String), Proofs>,
}

/// What one peer held under its own key.
#[derive(Clone, Debug)]
struct Shown {
    key: Hash,
    /// The orders, the last one that was read at the end, with the time when it was first read.
    orders: VecDeque<(Instant, OrderFacts)>,
    /// Until when the last one counts.
    until: Instant,
}

/// How often two peers were proven to be two.
#[derive(Clone, Copy, Debug)]
struct Proofs {
    count: u32,
    last: Instant,
    until: Instant,
}

impl DuplicateWatch {
    /// Takes walks of peers that the operator configured, and the comparisons of their round.
    pub(super) fn take<'a>(
        &mut self,
        walks: impl Iterator<Item = &'a WalkFacts>,
        comparisons: &[OrderComparison],
    ) {
        for walk in walks {
            let (Some(key), Some(order)) = (walk.key, walk.own_order()) else {
                continue;
            };
            self.show(walk, key, order);
            let shown = &self.shown[&walk.name];
            let others = self.shown.iter().filter(|(name, other)| {
                **name != walk.name && other.key == key && other.until > walk.at
            });
            for (name, other) in others {
                let names = [name.clone(), walk.name.clone()];
                let [first, second] = if name < &walk.name {
                    names
                } else {
                    let [other, own] = names;
                    [own, other]
                };
                let pair = (first, second);
                if other.held(order) || shown.held(other.last()) {
                    self.pairs.remove(&pair);
                } else if other.is_contradicted_by(order, walk.at)
                    || are_forked([other.last(), order], comparisons)
                {
                    let until = walk.counts_until() + APART;
                    let proofs = self.pairs.entry(pair).or_insert(Proofs {
                        count: 1,
                        last: walk.at,
                        until,
                    });
                    proofs.add(walk.at, until);
                }
            }
        }
    }

    fn show(&mut self, walk: &WalkFacts, key: Hash, order: &OrderFacts) {
        let until = walk.counts_until();
        let known = self.shown.get(&walk.name);
        if known.is_some_and(|known| known.key != key) {
            self.forget(&walk.name);
        }
        let shown = self
            .shown
            .entry(walk.name.clone())
            .or_insert_with(|| Shown {
                key,
                orders: VecDeque::new(),
                until,
            });
        shown.until = until;
        if shown
            .orders
            .back()
            .is_none_or(|(_, last)| last.hash != order.hash)
        {
            shown.orders.push_back((walk.at, *order));
            if shown.orders.len() > REMEMBERED {
                shown.orders.pop_front();
            }
        }
    }

    fn forget(&mut self, name: &str) {
        self.shown.remove(name);
        self.pairs
            .retain(|(first, second), _| first != name && second != name);
    }

    /// Forgets peers that are no longer watched.
    pub(super) fn retain(&mut self, is_watched: impl Fn(&str) -> bool) {
        let names: Vec<String> = self.shown.keys().cloned().collect();
        for name in names.iter().filter(|name| !is_watched(name)) {
            self.forget(name);
        }
    }

    /// Returns when something next becomes too old to count.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        let untils = self.pairs.values().map(|proofs| proofs.until);
        untils.filter(|until| *until > now).min()
    }

    /// Returns who is proven to share a key at `now`.
    pub(super) fn verdict(&self, now: Instant) -> Vec<DuplicateKey> {
        let proven = self.pairs.iter();
        let proven = proven.filter(|(_, proofs)| proofs.count >= PROOFS && proofs.until > now);
        let pairs = proven.filter_map(|((first, second), _)| {
            Some(DuplicateKey {
                key: self.shown.get(first)?.key,
                peers: [first.clone(), second.clone()],
            })
        });
        pairs.collect()
    }
}

impl Shown {
    fn last(&self) -> &OrderFacts {
        let last = self.orders.back();
        &last.expect("an order was shown").1
    }

    /// Whether the peer held this order when it was read.
    fn held(&self, order: &OrderFacts) -> bool {
        self.orders.iter().any(|(_, held)| held.hash == order.hash)
    }

    /// Whether this peer cannot be the one that held another order at `at`, which it never held.
    fn is_contradicted_by(&self, order: &OrderFacts, at: Instant) -> bool {
        let signed_twice =
            |held: &OrderFacts| (held.blocks, held.points) == (order.blocks, order.points);
        let mut orders = self.orders.iter();
        orders.any(|(read, held)| signed_twice(held) || (*read < at && held.is_newer_than(order)))
    }
}

/// Whether these two orders were compared, and belong to two histories.
fn are_forked(orders: [&OrderFacts; 2], comparisons: &[OrderComparison]) -> bool {
    let hashes = orders.map(|order| order.hash);
    let mut of_both = comparisons.iter().filter(|comparison| {
        let [left, right] = comparison.orders;
        [left, right] == hashes || [right, left] == hashes
    });
    of_both.any(|comparison| {
        let first = comparison.result.as_ref().map(FirstDifference::from);
        matches!(Relation::new(orders, first, false), Relation::Forked(_))
    })
}

impl Proofs {
    /// Counts another proof, if it is far enough from the last one.
    fn add(&mut self, at: Instant, until: Instant) {
        if self.until <= at {
            self.count = 1;
            self.last = at;
        } else if at >= self.last + APART {
            self.count = self.count.saturating_add(1);
            self.last = at;
        }
        self.until = until;
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use convex_client::OrderPoints;
    use convex_client::belief::{Comparison, Difference};

    use super::super::facts::HeldFact;
    use super::*;

    /// When, who, under which key, and its order: when it was signed, and its number of blocks.
    type Reading = (u64, &'static str, u8, (i64, i64));

    fn order(key: u8, (signed_ms, blocks): (i64, i64)) -> OrderFacts {
        OrderFacts {
            key: Hash::new([key; 32]),
            hash: Hash::of(format!("{key} {signed_ms} {blocks}").as_bytes()),
            blocks: Hash::of(format!("{blocks}").as_bytes()),
            signed_ms,
            points: OrderPoints {
                block: blocks,
                proposal: blocks,
                consensus: blocks,
                finality: blocks,
            },
        }
    }

    /// Returns who shares a key after these readings, `later` seconds after the last one.
    fn found(readings: &[Reading], later: u64) -> Vec<[String; 2]> {
        found_with(readings, later, |_| None)
    }

    /// The same, if each order and the one that was read before it compare like this.
    fn found_with(
        readings: &[Reading],
        later: u64,
        compare: impl Fn([&OrderFacts; 2]) -> Option<Comparison>,
    ) -> Vec<[String; 2]> {
        let mut before: Option<OrderFacts> = None;
        let start = Instant::now();
        let mut watch = DuplicateWatch::default();
        let mut now = start;
        for (seconds, name, key, signed) in readings {
            now = start + Duration::from_secs(*seconds);
            let order = order(*key, *signed);
            let walk = WalkFacts {
                name: (*name).to_owned(),
                key: Some(order.key),
                at: now,
                wall: SystemTime::UNIX_EPOCH,
                every: APART,
                held: Ok([(order.key, HeldFact::Order(order))].into()),
                registered: BTreeMap::new(),
                problem: None,
            };
            let comparison = before.replace(order).map(|before| OrderComparison {
                orders: [before.hash, order.hash],
                result: compare([&before, &order]),
            });
            watch.take([&walk].into_iter(), comparison.as_slice());
        }
        let verdict = watch.verdict(now + Duration::from_secs(later));
        verdict.into_iter().map(|found| found.peers).collect()
    }

    fn pair() -> Vec<[String; 2]> {
        vec![["a".to_owned(), "b".to_owned()]]
    }

    /// Two readings a minute for so many minutes.
    fn minutes(count: u64, of: impl Fn(i64) -> [(u8, (i64, i64)); 2]) -> Vec<Reading> {
        let readings = (0..count).flat_map(|minute| {
            let [a, b] = of(i64::try_from(minute).unwrap());
            [
                (minute * 60, "a", a.0, a.1),
                (minute * 60 + 1, "b", b.0, b.1),
            ]
        });
        readings.collect()
    }

    #[test]
    fn two_that_sign_the_same_blocks_apart_are_found_after_three_walks() {
        // On an idle network, and while blocks are made.
        for blocks_a_minute in [0, 5] {
            let both = |minute: i64| {
                let blocks = 100 + blocks_a_minute * minute;
                [(1, (blocks * 10, blocks)), (1, (blocks * 10 + 3, blocks))]
            };
            assert_eq!(found(&minutes(2, both), 0), Vec::<[String; 2]>::new());
            assert_eq!(found(&minutes(3, both), 0), pair());
            assert_eq!(found(&minutes(9, both), 0), pair());
        }
    }

    #[test]
    fn one_that_is_always_older_is_another_one_too() {
        let both = |minute| {
            [
                (1, (1_000 + minute, 100 + minute)),
                (1, (500 + minute, 50 + minute)),
            ]
        };
        assert_eq!(found(&minutes(3, both), 0), pair());
    }

    #[test]
    fn one_process_at_two_addresses_is_nobody_else() {
        // Idle, and with a new order at each reading.
        let idle = |_| [(1, (1_000, 100)), (1, (1_000, 100))];
        let busy = |minute: i64| {
            let blocks = 100 + 10 * minute;
            [(1, (blocks, blocks)), (1, (blocks + 1, blocks + 1))]
        };
        assert_eq!(found(&minutes(9, idle), 0), Vec::<[String; 2]>::new());
        assert_eq!(found(&minutes(9, busy), 0), Vec::<[String; 2]>::new());
        // It signs its order again after a restart, once.
        let restarted = |minute: i64| {
            let signed = |half: i64| (if 2 * minute + half < 7 { 1_000 } else { 1_007 }, 100);
            [(1, signed(0)), (1, signed(1))]
        };
        assert_eq!(found(&minutes(9, restarted), 0), Vec::<[String; 2]>::new());
    }

    /// Both sign so often that each order is newer than the one of the other that was read before.
    #[test]
    fn two_that_always_sign_before_they_are_read_are_found_if_they_are_forked() {
        let busy = |minute: i64| {
            let blocks = 100 + 10 * minute;
            [(1, (blocks, blocks)), (1, (blocks + 1, blocks + 1))]
        };
        let differ_at = |index: i64| {
            move |orders: [&OrderFacts; 2]| {
                let finality = orders.map(|order| order.points.finality);
                let index = finality.into_iter().min()? + index;
                Some(Comparison::Different(Box::new(Difference {
                    index: u64::try_from(index).ok()?,
                    hashes: orders.map(|order| order.blocks),
                    blocks: [None, None],
                })))
            }
        };
        let same = |orders: [&OrderFacts; 2]| {
            let blocks = orders.map(|order| order.points.block.unsigned_abs());
            Some(Comparison::Same {
                blocks: blocks.into_iter().min()?,
            })
        };
        let nobody = Vec::<[String; 2]>::new();
        assert_eq!(found_with(&minutes(9, busy), 0, |_| None), nobody);
        assert_eq!(found_with(&minutes(9, busy), 0, same), nobody);
        let proposals = differ_at(0);
        assert_eq!(found_with(&minutes(9, busy), 0, proposals), nobody);
        assert_eq!(found_with(&minutes(2, busy), 0, differ_at(-1)), nobody);
        assert_eq!(found_with(&minutes(3, busy), 0, differ_at(-1)), pair());
    }

    #[test]
    fn peers_with_keys_of_their_own_share_none() {
        let both = |_| [(1, (1_000, 100)), (2, (1_003, 100))];
        assert_eq!(found(&minutes(9, both), 0), Vec::<[String; 2]>::new());
        let shared_at_first = |minute| {
            [
                (1, (1_000, 100)),
                (if minute < 4 { 1 } else { 2 }, (1_003, 100)),
            ]
        };
        assert_eq!(found(&minutes(4, shared_at_first), 0), pair());
        assert_eq!(
            found(&minutes(5, shared_at_first), 0),
            Vec::<[String; 2]>::new()
        );
    }

    #[test]
    fn walks_in_quick_succession_count_once_and_old_ones_not_for_ever() {
        let both = |_| [(1, (1_000, 100)), (1, (1_003, 100))];
        let quick: Vec<Reading> = (0..40)
            .flat_map(|second| {
                [
                    (second, "a", 1, (1_000, 100)),
                    (second, "b", 1, (1_003, 100)),
                ]
            })
            .collect();
        assert_eq!(found(&quick, 0), Vec::<[String; 2]>::new());
        assert_eq!(found(&minutes(4, both), 239), pair());
        assert_eq!(found(&minutes(4, both), 240), Vec::<[String; 2]>::new());
    }
}

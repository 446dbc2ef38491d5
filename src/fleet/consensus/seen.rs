//! The newest orders, when the agent first saw them, and who holds them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use cad3::Hash;
use tokio::time::Instant;

use super::facts::{OrderFacts, RoundFacts, WalkFacts};

/// The orders of the judged peers.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenOrders(BTreeMap<Hash, SeenPeer>);

/// The orders of one peer.
#[derive(Clone, Debug)]
pub(super) struct SeenPeer {
    /// The newest one, when it was first seen, and until when it counts.
    pub(super) newest: OrderFacts,
    pub(super) first_seen: Instant,
    pub(super) until: Instant,
    /// When it was last read anywhere.
    pub(super) read: Instant,
    /// When an order was first seen that replaced one which was known before.
    pub(super) changed: Option<Instant>,
    /// Number of walked peers that hold the newest one, and that hold any.
    pub(super) held_by: (usize, usize),
}

impl SeenOrders {
    /// Takes the orders of the peers `judged` in a round.
    pub(super) fn take(&mut self, round: &RoundFacts, judged: &BTreeSet<Hash>) {
        self.0
            .retain(|key, seen| judged.contains(key) && seen.until > round.at);
        for key in judged {
            let holders = holders(round, key);
            if let Some((walk, order)) = newest(&holders) {
                self.take_newest(order, walk, &holders);
            }
        }
    }

    fn take_newest(&mut self, order: &OrderFacts, walk: &WalkFacts, holders: &[Holder<'_>]) {
        let untils = holders.iter().map(|(walk, _)| walk.counts_until());
        let until = untils.max().unwrap_or(walk.at);
        let holding = holders.iter().filter(|(_, held)| held.hash == order.hash);
        let held_by = (holding.count(), holders.len());
        let seen = self.0.entry(order.key).or_insert_with(|| SeenPeer {
            newest: *order,
            first_seen: walk.at,
            until,
            read: walk.at,
            changed: None,
            held_by,
        });
        if order.is_newer_than(&seen.newest) {
            (seen.newest, seen.first_seen) = (*order, walk.at);
            seen.changed = Some(walk.at);
        }
        seen.until = until.max(seen.until);
        let read = holders.iter().map(|(walk, _)| walk.at);
        seen.read = read.max().unwrap_or(walk.at).max(seen.read);
        if order.hash == seen.newest.hash {
            seen.held_by = held_by;
        }
    }

    /// Returns the orders of all peers that count at `now`.
    pub(super) fn current(&self, now: Instant) -> impl Iterator<Item = &SeenPeer> {
        self.0.values().filter(move |seen| seen.until > now)
    }

    /// Returns when something next becomes too old to count.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        self.current(now).map(|seen| seen.until).min()
    }
}

/// A walk, and the order of one peer that it found.
pub(super) type Holder<'a> = (&'a WalkFacts, &'a OrderFacts);

/// Returns the walks that found an order of the peer with `key`.
pub(super) fn holders<'a>(round: &'a RoundFacts, key: &Hash) -> Vec<Holder<'a>> {
    let walks = round.walks.iter();
    walks
        .filter_map(|walk| Some((walk, walk.order_of(key)?)))
        .collect()
}

/// Returns the newest of these orders, and the walk that found it first.
pub(super) fn newest<'a>(holders: &[Holder<'a>]) -> Option<Holder<'a>> {
    let mut found: Option<Holder<'_>> = None;
    for (walk, order) in holders {
        let is_better = found.is_none_or(|(first, known)| {
            order.is_newer_than(known) || (order.hash == known.hash && walk.at < first.at)
        });
        if is_better {
            found = Some((walk, order));
        }
    }
    found
}

//! When the agent first saw which orders, and who holds them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use cad3::Hash;
use tokio::time::Instant;

use super::facts::{OrderFacts, RoundFacts, WalkFacts};

/// How long ago an order has to be first seen before others are expected to hold it.
const SPREADS_WITHIN: Duration = Duration::from_secs(60);

/// Maximum number of orders of one peer, at one place, that are remembered because others need not
/// hold them yet.
const MAX_SPREADING: usize = 16;

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
    /// What other walked peers held.
    elsewhere: Spread,
    /// What the peer held itself.
    own: Spread,
}

/// The newest orders of a peer at one place, round by round, the newest last: those that everybody
/// need not hold yet, and the last one that everybody should.
#[derive(Clone, Debug, Default)]
struct Spread(Vec<(OrderFacts, Instant)>);

impl Spread {
    /// Takes an order that was seen at `at`, and is expected everywhere from `due` on.
    fn take(&mut self, order: &OrderFacts, at: Instant, due: Instant) {
        let is_known = self.0.iter().any(|(known, _)| !order.is_newer_than(known));
        if !is_known {
            self.0.push((*order, due));
        }
        let expected = self.0.iter().rposition(|(_, due)| *due <= at);
        self.0.drain(..expected.unwrap_or_default());
        if self.0.len() > MAX_SPREADING {
            // Not the first one, which may be expected already.
            self.0.remove(1);
        }
    }

    /// Returns the newest order that is expected everywhere at `at`.
    fn expected(&self, at: Instant) -> Option<&OrderFacts> {
        let expected = self.0.iter().rfind(|(_, due)| *due <= at);
        expected.map(|(order, _)| order)
    }
}

/// Where an order was seen that others should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// At another walked peer than the one that signed it.
    Elsewhere,
    /// At the peer that signed it.
    Own,
}

impl SeenOrders {
    /// Takes the orders of the peers `judged` in a round.
    pub(super) fn take(&mut self, round: &RoundFacts, judged: &BTreeSet<Hash>) {
        self.0
            .retain(|key, seen| judged.contains(key) && seen.until > round.at);
        for key in judged {
            let holders = round.walks.iter().filter_map(|walk| {
                let order = walk.order_of(key)?;
                Some((walk, order))
            });
            let holders: Vec<(&WalkFacts, &OrderFacts)> = holders.collect();
            let (own, others): (Vec<_>, Vec<_>) =
                holders.iter().partition(|(walk, _)| walk.key == Some(*key));
            if let Some((order, walk)) = newest(&holders) {
                self.take_newest(order, walk, &holders);
            }
            let Some(seen) = self.0.get_mut(key) else {
                continue;
            };
            if let Some((order, walk)) = newest(&own) {
                seen.own.take(order, walk.at, due(order, walk));
            }
            if let Some((order, walk)) = newest(&others) {
                seen.elsewhere.take(order, walk.at, due(order, walk));
            }
        }
    }

    fn take_newest(
        &mut self,
        order: &OrderFacts,
        walk: &WalkFacts,
        holders: &[(&WalkFacts, &OrderFacts)],
    ) {
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
            elsewhere: Spread::default(),
            own: Spread::default(),
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

    /// Returns the newest order of the peer with `key` that others should hold at `at`.
    pub(super) fn expected(
        &self,
        key: &Hash,
        reference: Reference,
        at: Instant,
    ) -> Option<&OrderFacts> {
        let seen = self.0.get(key)?;
        match reference {
            Reference::Elsewhere => seen.elsewhere.expected(at),
            Reference::Own => seen.own.expected(at),
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

/// Returns the newest of these orders, and the walk that found it first.
fn newest<'a>(
    holders: &[(&'a WalkFacts, &'a OrderFacts)],
) -> Option<(&'a OrderFacts, &'a WalkFacts)> {
    let mut found: Option<(&OrderFacts, &WalkFacts)> = None;
    for (walk, order) in holders {
        found = match found {
            Some((known, first)) if known.hash == order.hash => {
                Some((known, if walk.at < first.at { walk } else { first }))
            }
            Some((known, _)) if !order.is_newer_than(known) => found,
            _ => Some((order, walk)),
        };
    }
    found
}

/// Returns from when on others should hold an order. Peers drop orders that are dated ahead of their
/// clocks.
fn due(order: &OrderFacts, walk: &WalkFacts) -> Instant {
    let since_epoch = walk.wall.duration_since(SystemTime::UNIX_EPOCH);
    let wall_ms = i64::try_from(since_epoch.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
    let ahead_ms = u64::try_from(order.signed_ms.saturating_sub(wall_ms)).unwrap_or_default();
    let ahead = Duration::from_millis(ahead_ms) + SPREADS_WITHIN;
    walk.at.checked_add(ahead).unwrap_or(walk.at + NEVER)
}

/// Longer than anything that is watched.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

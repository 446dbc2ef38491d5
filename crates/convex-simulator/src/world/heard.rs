//! Which orders are in the belief of a peer.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ledger::{OrderId, OrderKey};
use crate::script::ActiveFaults;

use super::history::History;
use super::{LEVEL_DELAYS_MS, Position, World, order_key, to_i64};

/// Maximum number of peers in a network with beliefs. Each changes with every order in it.
const MAX_PEERS_WITH_BELIEFS: usize = 256;

impl World {
    /// Returns the orders in the belief of `peer` at `now`, its own among them; none if the network
    /// is too large.
    pub(super) fn heard(&self, peer: usize, now: Duration) -> Option<Vec<OrderId>> {
        if self.served > MAX_PEERS_WITH_BELIEFS {
            return None;
        }
        let faults = self.script.active_faults(peer, now);
        let own = self.position(peer, &faults, now);
        let own_order = self.order_id(peer, &faults, &own, i64::MAX);
        // A frozen peer merges nothing any more.
        let frozen = self.frozen(peer, &faults);
        let now = frozen.map_or(now, |frozen| now.min(frozen.since()));
        let others = (0..self.served).filter(|other| *other != peer);
        let mut newest = BTreeMap::<OrderKey, OrderId>::new();
        for order in others.filter_map(|other| self.heard_from(other, (&faults, &own), now)) {
            let known = newest.get(&order.key);
            if known.is_none_or(|known| known.timestamp_ms < order.timestamp_ms) {
                newest.insert(order.key, order);
            }
        }
        // A peer accepts no order of its own key from others.
        newest.insert(own_order.key, own_order);
        Some(newest.into_values().collect())
    }

    /// Returns the order of another peer in the belief of one with these faults and this position.
    fn heard_from(
        &self,
        other: usize,
        (faults, own): (&ActiveFaults, &Position),
        now: Duration,
    ) -> Option<OrderId> {
        let current = self.script.active_faults(other, now);
        // Its order under its usual key is not signed any more, or means nothing here.
        let is_stranger = current.wrong_key
            || current.wrong_genesis != faults.wrong_genesis
            || self.script.stake_faults(other, now).unregistered;
        if is_stranger {
            return None;
        }
        let isolated = match (faults.isolated, current.isolated) {
            (Some(one), Some(other)) if one.group == other.group => None,
            (one, other) => one.into_iter().chain(other).map(|it| it.since).min(),
        };
        let last_heard = isolated.into_iter().chain(current.unheard).min();
        let at = last_heard.map_or(now, |last| last.min(now));
        let position = self.position(other, &current, at);
        // Neither accepts an order whose history differs, and keeps the last one that does not.
        let differs = own.fork_first != position.fork_first;
        let shared = own.fork_first.into_iter().chain(position.fork_first).min();
        let most = shared.filter(|_| differs).unwrap_or(i64::MAX);
        Some(self.order_id(other, &current, &position, most))
    }

    /// Returns the order at a position, with at most this many blocks.
    fn order_id(
        &self,
        peer: usize,
        faults: &ActiveFaults,
        position: &Position,
        most: i64,
    ) -> OrderId {
        let most = most.min(to_i64(self.blocks.len()));
        let levels = position.levels.map(|level| level.min(most));
        let history = match position.fork_first {
            _ if faults.wrong_genesis => History::Foreign,
            Some(first) if levels[0] > first => History::Fork(first),
            _ => History::Common,
        };
        let reached = levels
            .into_iter()
            .zip(LEVEL_DELAYS_MS)
            .map(|(level, delay_ms)| {
                let last = usize::try_from(level - 1).ok()?;
                Some(self.start_ms + self.blocks.get(last)?.reaches_ms(delay_ms))
            });
        let changed_ms = reached.flatten().max();
        OrderId {
            key: order_key(peer, faults),
            levels,
            history,
            timestamp_ms: changed_ms.map_or(0, |changed_ms| {
                changed_ms + faults.late_ms + self.jitter_ms[peer]
            }),
        }
    }
}

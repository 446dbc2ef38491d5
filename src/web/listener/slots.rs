//! The limits on connections: how many there are, how many one client may have, and which one is
//! closed to make room for another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::client::{Client, RecentClients};
use super::log_limit::limited;
use super::timeouts::ConnectionActivity;

/// Limits on the number of connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Regular connections.
    pub(super) total: usize,
    /// Those of `total` that only known clients get, each for up to `reserved_per_client`.
    pub(super) reserved: usize,
    pub(super) reserved_per_client: usize,
    /// Regular connections of one client.
    pub(super) per_client: usize,
    /// Further connections, kept for health checks; all other requests on them get 503.
    pub(super) overflow: usize,
    pub(super) overflow_per_client: usize,
}

/// The limits of the listener. One client can have all streams of events and still be served.
pub(super) const LIMITS: Limits = Limits {
    total: 512,
    reserved: 64,
    reserved_per_client: 4,
    per_client: 320,
    overflow: 16,
    overflow_per_client: 4,
};

/// The limits of a listener for everybody, on which no client is known.
pub(super) const PUBLIC_LIMITS: Limits = Limits {
    total: 120,
    reserved: 0,
    reserved_per_client: 0,
    per_client: 60,
    overflow: 0,
    overflow_per_client: 0,
};

/// All open connections.
#[derive(Clone)]
pub(super) struct ConnectionSlots {
    limits: Limits,
    table: Arc<Mutex<Table>>,
    /// Clients that were let in before.
    known: Arc<RecentClients>,
}

#[derive(Default)]
struct Table {
    connections: HashMap<u64, Connection>,
    last_id: u64,
}

struct Connection {
    client: Client,
    is_overflow: bool,
    activity: ConnectionActivity,
    evicted: CancellationToken,
}

/// The right to serve one connection, until dropped.
pub(super) struct Slot {
    pub(super) client: Client,
    pub(super) is_overflow: bool,
    pub(super) activity: ConnectionActivity,
    evicted: CancellationToken,
    id: u64,
    table: Arc<Mutex<Table>>,
}

impl ConnectionSlots {
    pub(super) fn new(limits: Limits, known: Arc<RecentClients>) -> Self {
        Self {
            limits,
            table: Arc::default(),
            known,
        }
    }

    /// Returns a slot for a new connection. If there are too many, or if `is_scarce`, the
    /// longest-idle one is closed; if none is idle, it is an overflow slot, or none.
    pub(super) fn acquire(&self, client: Client, is_scarce: bool) -> Option<Slot> {
        let limits = &self.limits;
        let mut table = lock(&self.table);
        let own = table.count(|it| !it.is_overflow && it.client == client);
        let total = table.count(|it| !it.is_overflow);
        let may_use_reserve = own < limits.reserved_per_client && self.known.contains(client);
        let max_total = if may_use_reserve {
            limits.total
        } else {
            limits.total - limits.reserved
        };
        let has_room = if own >= limits.per_client {
            limited!(warn, %client, max = limits.per_client,
                "a client has reached its share of the connections; closing its longest-idle one");
            table.evict_idle(|it| it.client == client)
        } else if total >= max_total || is_scarce {
            limited!(
                warn,
                connections = total,
                "too many connections; closing the longest-idle one for each new one"
            );
            let unprotected = self.unprotected(&table);
            table.evict_idle(|it| unprotected.contains(&it.client)) || table.evict_idle(|_| true)
        } else {
            true
        };
        if has_room {
            return Some(self.slot(&mut table, client, false));
        }
        limited!(warn, %client, connections = total,
            "no connection is idle; only health checks are answered on further connections");
        let own = table.count(|it| it.is_overflow && it.client == client);
        let total = table.count(|it| it.is_overflow);
        let has_room = own < limits.overflow_per_client && total < limits.overflow;
        has_room.then(|| self.slot(&mut table, client, true))
    }

    /// Clients whose connections are closed first: strangers, and those with many connections.
    fn unprotected(&self, table: &Table) -> Vec<Client> {
        let mut counts: HashMap<Client, usize> = HashMap::new();
        for connection in table.connections.values() {
            *counts.entry(connection.client).or_default() += 1;
        }
        let unprotected = counts.into_iter().filter(|(client, count)| {
            *count > self.limits.reserved_per_client || !self.known.contains(*client)
        });
        unprotected.map(|(client, _)| client).collect()
    }

    fn slot(&self, table: &mut Table, client: Client, is_overflow: bool) -> Slot {
        table.last_id += 1;
        let slot = Slot {
            client,
            is_overflow,
            activity: ConnectionActivity::start(),
            evicted: CancellationToken::new(),
            id: table.last_id,
            table: Arc::clone(&self.table),
        };
        let connection = Connection {
            client,
            is_overflow,
            activity: slot.activity.clone(),
            evicted: slot.evicted.clone(),
        };
        table.connections.insert(slot.id, connection);
        slot
    }
}

impl Table {
    fn count(&self, is_counted: impl Fn(&Connection) -> bool) -> usize {
        let connections = self.connections.values();
        connections.filter(|it| is_counted(it)).count()
    }

    /// Closes the longest-idle regular connection of those that may be closed. Returns false if
    /// all of them are being served.
    fn evict_idle(&mut self, may_close: impl Fn(&Connection) -> bool) -> bool {
        let candidates = self.connections.iter();
        let idle = candidates
            .filter(|(_, it)| !it.is_overflow && may_close(it))
            .filter_map(|(id, it)| Some((it.activity.idle_since()?, *id)));
        let evicted = idle.min().and_then(|(_, id)| self.connections.remove(&id));
        if let Some(connection) = &evicted {
            connection.evicted.cancel();
        }
        evicted.is_some()
    }
}

impl Slot {
    /// Waits until the connection has to make room for another.
    pub(super) fn evicted(&self) -> WaitForCancellationFuture<'_> {
        self.evicted.cancelled()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.table).connections.remove(&self.id);
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    const SMALL: Limits = Limits {
        total: 6,
        reserved: 2,
        reserved_per_client: 1,
        per_client: 3,
        overflow: 2,
        overflow_per_client: 1,
    };

    fn slots() -> (ConnectionSlots, Arc<RecentClients>) {
        let known = Arc::new(RecentClients::new(9));
        (ConnectionSlots::new(SMALL, Arc::clone(&known)), known)
    }

    fn client(number: usize) -> Client {
        Client::at(&format!("192.0.2.{number}"))
    }

    /// Connections of as many strangers as get a place, a second apart.
    async fn strangers(slots: &ConnectionSlots) -> Vec<Slot> {
        let mut open = Vec::new();
        for number in 0..SMALL.total - SMALL.reserved {
            open.push(slots.acquire(client(number), false).unwrap());
            advance(Duration::from_secs(1)).await;
        }
        open
    }

    fn evicted(open: &[Slot]) -> Vec<usize> {
        let evicted = open.iter().enumerate();
        let evicted = evicted.filter(|(_, slot)| slot.evicted.is_cancelled());
        evicted.map(|(index, _)| index).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_makes_room_and_never_one_being_served() {
        let (slots, _) = slots();
        let open = strangers(&slots).await;
        let serving = open[0].activity.start_request();
        drop(open[1].activity.start_request());
        let new = slots.acquire(client(10), false).unwrap();
        assert!(!new.is_overflow);
        assert_eq!(evicted(&open), [2], "the first is served, the second was");
        drop(serving);
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_has_at_most_its_share() {
        let (slots, _) = slots();
        let open: Vec<_> = (0..3).map(|_| slots.acquire(client(1), false)).collect();
        let open: Vec<_> = open.into_iter().flatten().collect();
        let busy: Vec<_> = open[1..]
            .iter()
            .map(|slot| slot.activity.start_request())
            .collect();
        let own = slots.acquire(client(1), false).unwrap();
        assert!(!own.is_overflow);
        assert_eq!(evicted(&open), [0]);
        let _busy = own.activity.start_request();
        let overflow = slots.acquire(client(1), false).unwrap();
        assert!(overflow.is_overflow, "all its others are being served");
        assert!(slots.acquire(client(1), false).is_none());
        assert!(!slots.acquire(client(2), false).unwrap().is_overflow);
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_client_gets_a_place_while_strangers_are_served_in_all_of_theirs() {
        let (slots, known) = slots();
        let open = strangers(&slots).await;
        let busy: Vec<_> = open
            .iter()
            .map(|slot| slot.activity.start_request())
            .collect();
        known.add(client(20));
        let stranger = slots.acquire(client(10), false).unwrap();
        assert!(stranger.is_overflow);
        let scraper = slots.acquire(client(20), false).unwrap();
        assert!(!scraper.is_overflow);
        let scrape = scraper.activity.start_request();
        let second = slots.acquire(client(20), false).unwrap();
        assert!(
            second.is_overflow,
            "the reserve has one place per client here"
        );
        drop((scrape, scraper));
        assert!(!slots.acquire(client(20), false).unwrap().is_overflow);
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_of_known_clients_are_closed_last() {
        let (slots, known) = slots();
        known.add(client(0));
        let open = strangers(&slots).await;
        let mut new: Vec<_> = (10..13)
            .map(|number| slots.acquire(client(number), false).unwrap())
            .collect();
        assert_eq!(evicted(&open), [1, 2, 3]);
        let busy: Vec<_> = new.iter().map(|it| it.activity.start_request()).collect();
        new.push(slots.acquire(client(14), false).unwrap());
        assert_eq!(evicted(&open), [0, 1, 2, 3]);
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn without_descriptors_an_idle_connection_makes_room() {
        let (slots, _) = slots();
        assert!(slots.acquire(client(1), true).unwrap().is_overflow);
        let idle = slots.acquire(client(2), false).unwrap();
        assert!(!slots.acquire(client(1), true).unwrap().is_overflow);
        assert!(idle.evicted.is_cancelled());
    }
}

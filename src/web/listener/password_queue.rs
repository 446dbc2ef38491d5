//! The order in which passwords are hashed: few at a time, one at a time for each client, and so
//! that clients that guess do not delay those that know their password.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::client::Client;
use super::slots::LIMITS;

/// Maximum number of hashes computed at the same time: the CPUs are needed for polls.
const CONCURRENT_CHECKS: usize = 2;

/// Maximum number of clients with pending checks, per lane. Their requests are in progress, so all
/// together must leave room for other connections.
const MAX_CLIENTS: usize = 32;

/// Maximum number of pending checks of one client, per lane.
const MAX_PER_CLIENT: usize = 4;

const _: () = assert!(3 * MAX_CLIENTS * MAX_PER_CLIENT < LIMITS.total - LIMITS.reserved);

/// State of a client that sends a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has sent a correct password before.
    Known,
    New,
    /// Its last password was wrong.
    Failed,
}

/// The pending checks. Each standing has a lane of its own, from which one check at a time goes on
/// to compete for the CPU: there it waits for at most one other to end.
pub(super) struct PasswordQueue {
    known: Arc<Lane>,
    new: Arc<Lane>,
    failed: Arc<Lane>,
    computing: Arc<Semaphore>,
}

struct Lane {
    clients: Mutex<HashMap<Client, PendingChecks>>,
    turn: Arc<Semaphore>,
}

/// The pending checks of one client in a lane.
struct PendingChecks {
    count: usize,
    turn: Arc<Semaphore>,
}

/// The turn of a client among its own pending checks.
pub(super) struct ClientTurn {
    lane: Arc<Lane>,
    client: Client,
    /// Once it has come.
    own: Option<OwnedSemaphorePermit>,
}

/// The right to compute one hash, until dropped.
pub(super) struct Turn {
    _computing: OwnedSemaphorePermit,
    _lane: OwnedSemaphorePermit,
    _client: ClientTurn,
}

impl PasswordQueue {
    pub(super) fn new() -> Self {
        Self {
            known: Lane::new(),
            new: Lane::new(),
            failed: Lane::new(),
            computing: Arc::new(Semaphore::new(CONCURRENT_CHECKS)),
        }
    }

    /// Waits until no earlier check of this client is pending in the lane of its standing. `None`
    /// if too many are.
    pub(super) async fn client_turn(
        &self,
        client: Client,
        standing: Standing,
    ) -> Option<ClientTurn> {
        let lane = match standing {
            Standing::Known => &self.known,
            Standing::New => &self.new,
            Standing::Failed => &self.failed,
        };
        let (mut turn, own) = lane.enter(client)?;
        turn.own = Some(own.acquire_owned().await.ok()?);
        Some(turn)
    }

    /// Waits until a hash may be computed. `None` if none will be.
    pub(super) async fn turn(&self, client: ClientTurn) -> Option<Turn> {
        let lane = Arc::clone(&client.lane.turn).acquire_owned().await.ok()?;
        let computing = Arc::clone(&self.computing).acquire_owned().await.ok()?;
        Some(Turn {
            _computing: computing,
            _lane: lane,
            _client: client,
        })
    }

    /// Ends all checks without computing a hash.
    #[cfg(test)]
    pub(super) fn close(&self) {
        self.computing.close();
    }
}

impl Lane {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            clients: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// Counts a pending check of the client, and returns what its checks take turns with.
    fn enter(self: &Arc<Self>, client: Client) -> Option<(ClientTurn, Arc<Semaphore>)> {
        let mut clients = self.clients();
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(&client) {
            return None;
        }
        let pending = clients.entry(client).or_insert_with(|| PendingChecks {
            count: 0,
            turn: Arc::new(Semaphore::new(1)),
        });
        if pending.count >= MAX_PER_CLIENT {
            return None;
        }
        pending.count += 1;
        let turn = ClientTurn {
            lane: Arc::clone(self),
            client,
            own: None,
        };
        Some((turn, Arc::clone(&pending.turn)))
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<Client, PendingChecks>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientTurn {
    fn drop(&mut self) {
        let mut clients = self.lane.clients();
        if let Some(pending) = clients.get_mut(&self.client) {
            pending.count -= 1;
            if pending.count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn client(number: usize) -> Client {
        Client::at(&format!("192.0.2.{number}"))
    }

    /// A check that goes as far as it can without waiting.
    fn check(queue: &PasswordQueue, client: Client, standing: Standing) -> Option<Turn> {
        let check = async { queue.turn(queue.client_turn(client, standing).await?).await };
        check.now_or_never().flatten()
    }

    #[test]
    fn clients_that_failed_do_not_delay_the_others() {
        let queue = PasswordQueue::new();
        let failed = check(&queue, client(1), Standing::Failed).unwrap();
        for number in 1..9 {
            assert!(check(&queue, client(number), Standing::Failed).is_none());
        }
        let new = check(&queue, client(10), Standing::New).unwrap();
        assert!(
            check(&queue, client(11), Standing::Known).is_none(),
            "two hashes are computed"
        );
        drop(new);
        let known = check(&queue, client(11), Standing::Known);
        assert!(known.is_some());
        drop(failed);
        assert!(check(&queue, client(9), Standing::Failed).is_some());
    }

    #[tokio::test]
    async fn pending_checks_are_bounded_per_client_and_in_all() {
        let queue = PasswordQueue::new();
        let enter = |client| queue.new.enter(client).map(|(turn, _)| turn);
        let mut own: Vec<_> = (0..MAX_PER_CLIENT).map(|_| enter(client(0))).collect();
        assert!(own.iter().all(Option::is_some));
        assert!(enter(client(0)).is_none());
        let others: Vec<_> = (1..=MAX_CLIENTS)
            .map(|number| enter(client(number)))
            .collect();
        assert_eq!(others.iter().flatten().count(), MAX_CLIENTS - 1);
        own.pop();
        assert!(enter(client(0)).is_some());
        drop((own, others));
        assert!(queue.new.clients().is_empty());
    }

    #[tokio::test]
    async fn the_checks_of_a_client_are_made_one_after_another() {
        let queue = PasswordQueue::new();
        let first = check(&queue, client(1), Standing::New).unwrap();
        let second = queue.client_turn(client(1), Standing::New);
        assert!(second.now_or_never().is_none());
        drop(first);
        assert!(check(&queue, client(1), Standing::New).is_some());
    }
}

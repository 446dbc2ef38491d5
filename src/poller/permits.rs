//! Permits to poll: so many in all, so many to one host. A poll takes those of its hosts first, so that waiting for a
//! busy host holds nothing that others need.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;

/// All permits of the agent.
#[derive(Debug)]
pub(super) struct Permits {
    all: Arc<Semaphore>,
    per_host: usize,
    hosts: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// What one peer's polls must hold.
#[derive(Clone, Debug)]
pub(super) struct PeerPermits {
    /// Of its hosts in order of their names, then the common one: the same order everywhere, so nobody waits in a circle.
    needed: Vec<Arc<Semaphore>>,
}

impl Permits {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(
                limits.max_inflight.min(Semaphore::MAX_PERMITS),
            )),
            per_host: limits.per_host_inflight.min(Semaphore::MAX_PERMITS),
            hosts: Mutex::default(),
        }
    }

    /// The permits that a peer on `hosts` needs.
    pub(super) fn of(&self, hosts: impl IntoIterator<Item = String>) -> PeerPermits {
        let mut names: Vec<String> = hosts.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|_, semaphore| semaphore.strong_count() > 0);
        let mut needed: Vec<Arc<Semaphore>> = Vec::with_capacity(names.len() + 1);
        for name in names {
            let known = hosts.get(&name).and_then(Weak::upgrade);
            let semaphore = known.unwrap_or_else(|| Arc::new(Semaphore::new(self.per_host)));
            hosts.insert(name, Arc::downgrade(&semaphore));
            needed.push(semaphore);
        }
        needed.push(Arc::clone(&self.all));
        PeerPermits { needed }
    }
}

impl PeerPermits {
    /// Waits until the poll may begin; it may run while the result lives.
    pub(super) async fn acquire(&self) -> Vec<OwnedSemaphorePermit> {
        let mut held = Vec::with_capacity(self.needed.len());
        for semaphore in &self.needed {
            let permit = Arc::clone(semaphore).acquire_owned().await;
            held.push(permit.expect("no semaphore here is ever closed"));
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn permits(max_inflight: usize, per_host_inflight: usize) -> Permits {
        Permits::new(&Limits {
            max_inflight,
            max_response_bytes: 1,
            per_host_inflight,
        })
    }

    #[test]
    fn waiting_for_a_busy_host_takes_nothing_from_others() {
        let permits = permits(2, 1);
        let busy = permits.of(["slow".to_owned()]);
        let other = permits.of(["quick".to_owned()]);
        let _held = busy.acquire().now_or_never().expect("free");
        let mut waiting = Box::pin(busy.acquire());
        assert!(waiting.as_mut().now_or_never().is_none(), "one poll a host");
        assert!(other.acquire().now_or_never().is_some());
    }

    #[test]
    fn a_host_named_twice_is_needed_once() {
        let permits = permits(8, 1);
        let peer = permits.of(["host".to_owned(), "host".to_owned()]);
        assert!(peer.acquire().now_or_never().is_some());
    }

    #[test]
    fn the_common_bound_holds_over_all_hosts() {
        let permits = permits(1, 8);
        let _held = permits
            .of(["a".to_owned()])
            .acquire()
            .now_or_never()
            .expect("free");
        assert!(
            permits
                .of(["b".to_owned()])
                .acquire()
                .now_or_never()
                .is_none()
        );
    }
}

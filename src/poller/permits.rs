//! Permits to poll, which limit the polls in progress in total and per host. A poll acquires those
//! of its hosts first, so that waiting for a busy host holds nothing that other peers need.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus::{IntCounter, IntCounterVec};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;

/// Values of the label `limit`: the keys of the configuration.
pub(super) const MAX_INFLIGHT: &str = "max_inflight";
/// See [`MAX_INFLIGHT`].
pub(super) const PER_HOST_INFLIGHT: &str = "per_host_inflight";

/// The permits of all peers.
#[derive(Debug)]
pub(super) struct Permits {
    total: Needed,
    per_host: usize,
    host_waits: IntCounter,
    hosts: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// The permits that a poll of one peer needs.
#[derive(Clone, Debug)]
pub(super) struct PeerPermits {
    /// Those of its hosts, ordered by name, then the common one. All peers acquire them in this
    /// order, which prevents deadlocks.
    needed: Vec<Needed>,
}

#[derive(Clone, Debug)]
struct Needed {
    semaphore: Arc<Semaphore>,
    /// Counts waits for a permit of this kind.
    waits: IntCounter,
}

impl Permits {
    /// Counts in `waits` by the limit that was waited for.
    pub(super) fn new(limits: &Limits, waits: &IntCounterVec) -> Self {
        let total = limits.max_inflight.min(Semaphore::MAX_PERMITS);
        Self {
            total: Needed {
                semaphore: Arc::new(Semaphore::new(total)),
                waits: waits.with_label_values(&[MAX_INFLIGHT]),
            },
            per_host: limits.per_host_inflight.min(Semaphore::MAX_PERMITS),
            host_waits: waits.with_label_values(&[PER_HOST_INFLIGHT]),
            hosts: Mutex::default(),
        }
    }

    /// Returns the permits that a peer on `hosts` needs.
    pub(super) fn for_hosts(&self, hosts: impl IntoIterator<Item = String>) -> PeerPermits {
        let mut names: Vec<String> = hosts.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|_, semaphore| semaphore.strong_count() > 0);
        let mut needed = Vec::with_capacity(names.len() + 1);
        for name in names {
            let existing = hosts.get(&name).and_then(Weak::upgrade);
            let semaphore = existing.unwrap_or_else(|| Arc::new(Semaphore::new(self.per_host)));
            hosts.insert(name, Arc::downgrade(&semaphore));
            needed.push(Needed {
                semaphore,
                waits: self.host_waits.clone(),
            });
        }
        needed.push(self.total.clone());
        PeerPermits { needed }
    }
}

impl PeerPermits {
    /// Waits for all permits, and counts whether it had to. The poll may run while they live.
    pub(super) async fn acquire(&self) -> Vec<OwnedSemaphorePermit> {
        let mut held = Vec::with_capacity(self.needed.len());
        for Needed { semaphore, waits } in &self.needed {
            let free = Arc::clone(semaphore).try_acquire_owned();
            let permit = if let Ok(permit) = free {
                permit
            } else {
                waits.inc();
                let permit = Arc::clone(semaphore).acquire_owned().await;
                permit.expect("these semaphores are never closed")
            };
            held.push(permit);
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use prometheus::Opts;

    use super::*;

    fn permits(max_inflight: usize, per_host_inflight: usize) -> Permits {
        let limits = Limits {
            max_inflight,
            max_response_bytes: 1,
            per_host_inflight,
        };
        let waits = Opts::new("waits", "Waits.");
        Permits::new(&limits, &IntCounterVec::new(waits, &["limit"]).unwrap())
    }

    fn waits(permits: &Permits) -> (u64, u64) {
        (permits.host_waits.get(), permits.total.waits.get())
    }

    #[test]
    fn waiting_for_a_busy_host_holds_no_permit_that_others_need() {
        let permits = permits(2, 1);
        let busy = permits.for_hosts(["slow".to_owned()]);
        let other = permits.for_hosts(["quick".to_owned()]);
        let _held = busy.acquire().now_or_never().expect("free");
        let mut waiting = Box::pin(busy.acquire());
        assert!(
            waiting.as_mut().now_or_never().is_none(),
            "one poll per host"
        );
        assert!(other.acquire().now_or_never().is_some());
        assert_eq!(waits(&permits), (1, 0));
    }

    #[test]
    fn a_host_of_two_endpoints_needs_one_permit() {
        let permits = permits(8, 1);
        let peer = permits.for_hosts(["host".to_owned(), "host".to_owned()]);
        assert!(peer.acquire().now_or_never().is_some());
    }

    #[test]
    fn the_total_limit_applies_across_hosts() {
        let permits = permits(1, 8);
        let _held = permits
            .for_hosts(["a".to_owned()])
            .acquire()
            .now_or_never()
            .expect("free");
        assert!(
            permits
                .for_hosts(["b".to_owned()])
                .acquire()
                .now_or_never()
                .is_none()
        );
        assert_eq!(waits(&permits), (0, 1));
    }
}

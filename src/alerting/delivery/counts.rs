//! What was delivered and what was not, by receiver.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounterVec, Opts, Registry};

/// Counters by receiver, and whose last delivery failed.
#[derive(Clone, Debug)]
pub struct Counts {
    notifications: IntCounterVec,
    failures: IntCounterVec,
    receivers: Arc<Mutex<Receivers>>,
}

#[derive(Debug, Default)]
struct Receivers {
    known: BTreeSet<String>,
    failing: BTreeSet<String>,
}

impl Counts {
    /// Counters in `registry`.
    ///
    /// # Errors
    /// Their names are taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help| {
            let counter = IntCounterVec::new(Opts::new(name, help), &["receiver"])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Self {
            notifications: counter(
                "convex_monitor_notifications_total",
                "Notification requests sent to the receiver, including failed ones; one request to an Alertmanager can carry many alerts.",
            )?,
            failures: counter(
                "convex_monitor_notification_failures_total",
                "Notification requests to the receiver that failed.",
            )?,
            receivers: Arc::default(),
        })
    }

    /// Makes the receivers these: counters of others vanish, new ones begin with 0.
    pub fn only<'a>(&self, receivers: impl Iterator<Item = &'a str>) {
        let wanted: BTreeSet<String> = receivers.map(str::to_owned).collect();
        let mut known = self.lock();
        for gone in known.known.difference(&wanted) {
            for counter in [&self.notifications, &self.failures] {
                // It has been there since it was known.
                drop(counter.remove_label_values(&[gone]));
            }
        }
        for receiver in &wanted {
            for counter in [&self.notifications, &self.failures] {
                counter.with_label_values(&[receiver]);
            }
        }
        known.failing.retain(|receiver| wanted.contains(receiver));
        known.known = wanted;
    }

    /// Counts one request. One that ends when its receiver is configured no longer is not counted.
    pub(super) fn count(&self, receiver: &str, delivered: bool) {
        let mut receivers = self.lock();
        if !receivers.known.contains(receiver) {
            return;
        }
        self.notifications.with_label_values(&[receiver]).inc();
        if delivered {
            receivers.failing.remove(receiver);
        } else {
            self.failures.with_label_values(&[receiver]).inc();
            receivers.failing.insert(receiver.to_owned());
        }
    }

    /// Receivers whose last notification was not delivered.
    pub(super) fn failing(&self) -> Vec<String> {
        self.lock().failing.iter().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Receivers> {
        self.receivers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

//! Counters of deliveries by receiver.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::{IntCounterVec, Opts, Registry};

/// Counts deliveries by receiver and remembers which receivers are failing.
#[derive(Clone, Debug)]
pub struct DeliveryMetrics {
    notifications: IntCounterVec,
    failures: IntCounterVec,
    receivers: Arc<Mutex<Receivers>>,
}

#[derive(Debug, Default)]
struct Receivers {
    configured: BTreeSet<String>,
    failing: BTreeSet<String>,
}

impl DeliveryMetrics {
    /// Registers the counters in `registry`.
    ///
    /// # Errors
    /// A metric of the same name is already registered.
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

    /// Sets the configured receivers. Counters of other receivers are removed; new ones start at 0.
    pub fn set_receivers<'a>(&self, receivers: impl Iterator<Item = &'a str>) {
        let configured: BTreeSet<String> = receivers.map(str::to_owned).collect();
        let mut known = self.lock();
        for removed in known.configured.difference(&configured) {
            for counter in [&self.notifications, &self.failures] {
                // This cannot fail: the counter exists since the receiver was configured.
                drop(counter.remove_label_values(&[removed]));
            }
        }
        for receiver in &configured {
            for counter in [&self.notifications, &self.failures] {
                counter.with_label_values(&[receiver]);
            }
        }
        known
            .failing
            .retain(|receiver| configured.contains(receiver));
        known.configured = configured;
    }

    /// Counts one request. A request whose receiver has been removed meanwhile is not counted.
    pub(super) fn record(&self, receiver: &str, delivered: bool) {
        let mut receivers = self.lock();
        if !receivers.configured.contains(receiver) {
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

    /// Returns the receivers whose last notification was not delivered.
    pub(in crate::alerting) fn failing_receivers(&self) -> Vec<String> {
        self.lock().failing.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Receivers> {
        self.receivers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

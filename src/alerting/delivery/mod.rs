//! Delivers alerts without Prometheus: to Alertmanagers, webhooks and a dead man's switch.

mod alertmanager;
mod context;
mod grouping;
#[cfg(test)]
mod grouping_tests;
mod heartbeat;
mod message;
mod metrics;
mod notifier;
mod outbox;
mod receiver_clock;
mod sender;
mod silences;
#[cfg(test)]
mod tests;
mod webhook;

pub(super) use context::MessageContext;
pub use metrics::DeliveryMetrics;
pub use notifier::{Dependencies, Notifier};
pub use outbox::{Outbox, PersistedOutbox};

/// A request to save the state now; the sender is used when the attempt has finished.
pub type SaveRequest = tokio::sync::oneshot::Sender<()>;

//! Delivers alerts without Prometheus: to Alertmanagers, webhooks, chat and paging
//! services and a dead man's switch.

mod alertmanager;
mod context;
mod group;
mod grouping;
#[cfg(test)]
mod grouping_tests;
mod heartbeat;
mod incident;
mod message;
mod metrics;
mod notifier;
mod outbox;
mod queue;
mod receiver_clock;
mod sender;
mod service;
mod service_state;
mod silences;
#[cfg(test)]
#[path = "../../../tests/support/services/mod.rs"]
mod stand_ins;
mod test_page;
#[cfg(test)]
mod tests;
mod webhook;

pub(super) use context::MessageContext;
pub use metrics::DeliveryMetrics;
pub use notifier::{Dependencies, Notifier};
pub use outbox::{Outbox, PersistedOutbox};
pub use test_page::{TestResult, send_test_page};

//! The alerting pipeline of an operator: Prometheus with our rules, Alertmanager with our example
//! routes, and a webhook receiver that records what arrives.

mod alertmanager;
mod loopback;
mod pace;
mod program;
mod prometheus;
mod receiver;

pub(crate) use alertmanager::Alertmanager;
pub(crate) use loopback::own_address;
pub(crate) use pace::Pace;
pub(crate) use prometheus::Prometheus;
pub(crate) use receiver::{Alert, Notification, Receiver};

use std::path::PathBuf;

/// Receiver of the alert that always fires.
pub(crate) const DEAD_MANS_SWITCH: &str = "dead-mans-switch";

/// Root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

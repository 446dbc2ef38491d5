//! The alerting pipeline as an operator has it: Prometheus with our rules, Alertmanager with our example of routes, and a
//! receiver that keeps what arrives. Knows nothing of the agent but its address.

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

/// The receiver of what fires always.
pub(crate) const DEAD_MANS_SWITCH: &str = "dead-mans-switch";

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

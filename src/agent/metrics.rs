//! The agent's metrics about itself.

use prometheus::Registry;

use crate::alerting::delivery::DeliveryMetrics;
use crate::poller::ScheduleMetrics;

use super::log_writer::dropped_lines;

/// Metrics about the agent rather than the peers.
#[derive(Clone, Debug)]
pub struct AgentMetrics {
    /// Holds all of them.
    pub registry: Registry,
    /// How well polls keep to their schedule.
    pub timing: ScheduleMetrics,
    /// Delivered and failed notifications.
    pub delivery: DeliveryMetrics,
}

impl AgentMetrics {
    /// Registers all metrics, at zero.
    ///
    /// # Errors
    /// Two metrics have the same name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(dropped_lines()))?;
        Ok(Self {
            timing: ScheduleMetrics::register(&registry)?,
            delivery: DeliveryMetrics::register(&registry)?,
            registry,
        })
    }
}

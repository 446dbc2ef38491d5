//! The agent's metrics about itself.

use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;

use crate::alerting::delivery::Counts;
use crate::poller::Timing;

/// Metrics about the agent rather than the peers.
#[derive(Clone, Debug)]
pub struct AgentMetrics {
    /// Holds all of them, process metrics included.
    pub registry: Registry,
    /// How well polls keep to their schedule.
    pub timing: Timing,
    /// Delivered and failed notifications.
    pub counts: Counts,
}

impl AgentMetrics {
    /// Registers all metrics, at zero.
    ///
    /// # Errors
    /// Two metrics have the same name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            timing: Timing::register(&registry)?,
            counts: Counts::register(&registry)?,
            registry,
        })
    }
}

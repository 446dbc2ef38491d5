//! What the agent's verdicts are as alerts: the same names, labels and waiting times as the shipped Prometheus rules. Pure.

pub mod delivery;
mod rule;
mod seen;
mod subject;
#[cfg(test)]
mod tests;
mod watch;

pub use rule::{RULES, Rule, of_condition};
pub use seen::{MonitorFacts, Seen};
pub use subject::Subject;
pub use watch::{Alert, Remembered, Watch};

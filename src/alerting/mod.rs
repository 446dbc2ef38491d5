//! Alert rules that the agent evaluates itself, with the same names, labels and durations as the
//! shipped Prometheus rules, and the delivery of their alerts to receivers.

mod advice;
mod burn;
pub mod delivery;
mod description;
mod doubt;
mod ended_by;
mod evaluation;
mod evaluator;
mod inhibition;
mod input;
pub mod operator_actions;
mod rules;
mod saving;
mod subject;
#[cfg(test)]
mod tests;
mod tracker;
mod transitions;
mod upgrades;
mod vantages;

pub use ended_by::EndedBy;
pub use evaluator::evaluate_rules;
pub use inhibition::{INHIBITIONS, Inhibition, Scope, without_explained};
pub use input::{MonitorStatus, RuleInput};
pub use operator_actions::{OperatorAction, OperatorActions};
pub use rules::{RULES, Rule, alert_for_condition};
pub use saving::SaveRequest;
pub use subject::AlertSubject;
pub use tracker::{Alert, AlertTracker, PersistedAlert};
pub use transitions::TransitionReport;

//! Queries that one peer answers for its whole network: the registry, the operator's own queries,
//! and discovery.

pub mod discovery;
mod network_survey;
mod query_schedule;

pub use network_survey::{NetworkSurvey, Surveyor, prefer_another};

//! Queries that are made once per network: the registry, the operator's own queries and discovery,
//! which one peer answers for all; the beliefs of its peers; and the transactions of its canary.
//! Also asks other agents for their opinions.

mod canary;
mod consensus;
pub mod discovery;
mod network_survey;
mod query_schedule;
mod vantages;

pub use canary::{CanaryPeers, CanarySurvey, CanaryTurn};
pub use consensus::{AskedPeers, ConsensusSurvey, OthersWalked};
pub use network_survey::{NetworkSurvey, Surveyor, prefer_another};
pub use vantages::VantageSurvey;

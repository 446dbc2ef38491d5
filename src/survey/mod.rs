//! What is asked once per network: the registry, the operator's own queries and discovery, which one
//! peer answers for all; and the beliefs of its peers. Also asks other agents for their opinions.

mod consensus;
pub mod discovery;
mod network_survey;
mod query_schedule;
mod vantages;

pub use consensus::{AskedPeers, ConsensusSurvey, OthersWalked};
pub use network_survey::{NetworkSurvey, Surveyor, prefer_another};
pub use vantages::VantageSurvey;

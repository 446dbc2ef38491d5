//! Tells problems of the agent and its host from problems of peers: checks of this host, and the
//! failed polls that they excuse. Knows nothing about peers except which checks their endpoints
//! need.

mod clock;
mod excuse;
mod host;
mod kinds;
mod network_path;
mod plan;
mod reachability;
mod report;
mod runner;

pub use excuse::{Excuse, FailedEndpoint, find_excuse};
pub use kinds::{Check, CheckResult, Checks};
pub use network_path::NetworkPath;
pub use plan::Plan;
pub use reachability::{Contact, ReachabilityCount};
pub use runner::{check_once, run};

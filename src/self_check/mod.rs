//! What tells the agent's own trouble from a peer's: checks of this host, and what they excuse. Knows of no peer but what
//! its paths need.

mod excuse;
mod host;
mod kinds;
mod plan;
mod watch;

pub use excuse::{Contact, Excuse, Failed, Path, ReachabilityCount, excuse};
pub use kinds::{Check, Checks, Finding};
pub use plan::Plan;
pub use watch::watch;

//! What tells the agent's own trouble from a peer's: checks of this host, and what they excuse. Knows of no peer but what
//! its paths need.

mod check;
mod doubt;
mod host;
mod plan;
mod watch;

pub use check::{Check, Checks, Finding};
pub use doubt::{Doubt, Failed, Path, Roll, Word, doubt};
pub use plan::Plan;
pub use watch::watch;

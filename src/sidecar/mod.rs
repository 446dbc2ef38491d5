//! What the host shows of a peer that runs beside the agent: its process, its memory's limit, its store. Reads files of the
//! system in threads of their own and asks the peer nothing.

mod cgroup;
mod find;
#[cfg(test)]
mod fixture;
mod process;
mod reading;
mod store;
mod watch;

pub use reading::{ProcessReading, Reading, StoreReading, Unavailable};
pub use watch::Sidecars;

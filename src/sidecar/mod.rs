//! Measures a peer that runs on the agent's host: its process, its memory limit, its JVM and its store.
//! Reads files of the system in separate threads, and sends nothing to the peer.

mod cgroup;
mod connections;
mod finder;
mod host;
mod jvm;
mod perf_data;
mod pid_file;
mod process;
mod reading;
mod sidecars;
mod store;
#[cfg(test)]
mod test_host;

pub use jvm::{Collections, Collector, JvmReading};
pub use reading::{ProcessReading, Reading, StoreReading, Unavailable};
pub use sidecars::Sidecars;

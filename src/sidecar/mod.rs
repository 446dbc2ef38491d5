//! Measures a peer that runs on the agent's host: its process, its memory limit, its JVM and its
//! store. Reads files of the system in separate threads, and sends nothing to the peer.

#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod connections;
#[cfg(target_os = "linux")]
mod finder;
#[cfg(target_os = "linux")]
mod host;
#[cfg(target_os = "linux")]
mod jvm;
#[cfg(not(target_os = "linux"))]
mod not_linux;
#[cfg(target_os = "linux")]
mod perf_data;
#[cfg(target_os = "linux")]
mod pid_file;
#[cfg(target_os = "linux")]
mod process;
mod reading;
mod sidecars;
mod store;
#[cfg(test)]
mod test_host;

pub use reading::{
    Collections, Collector, JvmReading, ProcessReading, Reading, StoreReading, Unavailable,
};
pub use sidecars::Sidecars;

//! A reading of the host: the values that could be read, and why the others could not.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::jvm::JvmReading;

/// Why a field is absent, by its name. `process` and `store` stand for all fields of the process or
/// the store.
pub type Unavailable = BTreeMap<&'static str, String>;

/// A reading of one of the two things that are measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// The peer's process.
    Process(Box<ProcessReading>),
    /// The peer's store.
    Store(StoreReading),
}

/// The peer's process as seen on the host. Unknown values are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ProcessReading {
    /// Whether the process runs; absent if that cannot be determined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_up: Option<bool>,
    /// The process id as this agent sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Resident memory, including pages of mapped files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_memory_bytes: Option<u64>,
    /// Anonymous and shared memory, the part that cannot be written back to files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_memory_bytes: Option<u64>,
    /// The lowest memory limit of its cgroups, at most the memory of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// CPU time used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Number of open file descriptors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_fds: Option<u64>,
    /// Limit of open file descriptors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_fds: Option<u64>,
    /// Number of threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// Start time, in seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time_seconds: Option<f64>,
    /// Number of processes in its cgroup that were killed because memory ran out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
    /// Number of established connections by the port on which it listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<BTreeMap<u16, u64>>,
    /// Heap and garbage collections of its JVM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jvm: Option<JvmReading>,
    /// Why the absent values are unknown.
    #[serde(skip)]
    pub unavailable: Unavailable,
}

/// The peer's store as seen on the host. Unknown values are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct StoreReading {
    /// Space that its file takes on disk, not counting holes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_bytes: Option<u64>,
    /// Space that an unprivileged user can still use on its file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_filesystem_available_bytes: Option<u64>,
    /// Size of its file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_filesystem_size_bytes: Option<u64>,
    /// Why the absent values are unknown.
    #[serde(skip)]
    pub unavailable: Unavailable,
}

/// Returns the value of a field, or notes why it is absent.
pub(super) fn value_or_note<T>(
    unavailable: &mut Unavailable,
    field: &'static str,
    result: Result<T, String>,
) -> Option<T> {
    result.map_err(|why| unavailable.insert(field, why)).ok()
}

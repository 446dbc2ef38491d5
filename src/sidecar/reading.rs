//! A reading of the host: the values that could be read, and why the others could not.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

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

/// Heap and garbage collections of a JVM. Unknown values are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct JvmReading {
    /// Heap that objects take, those included that the next collection frees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heap_used_bytes: Option<u64>,
    /// Heap that the JVM has reserved from the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heap_capacity_bytes: Option<u64>,
    /// The most that the heap can grow to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heap_max_bytes: Option<u64>,
    /// Collections so far, by collector; those that the JVM does not have are absent.
    pub collections: Vec<Collections>,
}

/// The work of one garbage collector so far.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Collections {
    /// What it collects.
    pub collector: Collector,
    /// Number of collections.
    pub count: u64,
    /// How long the program stood still for them.
    pub pause_seconds: f64,
}

crate::label_enum::label_enum! {
    /// What a garbage collector of a JVM collects.
    pub enum Collector {
        Young = "young", "New objects.";
        Full = "full", "The whole heap.";
        Concurrent = "concurrent", "The whole heap, mostly while the program runs.";
    }
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

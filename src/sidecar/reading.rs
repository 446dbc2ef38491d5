//! What one look at the host gives: what could be read, and why the rest could not.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// Why something could not be read, by the name of the field that is absent; `process` and `store` stand for all of theirs.
pub type Unavailable = BTreeMap<&'static str, String>;

/// What was looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// The peer's process.
    Process(ProcessReading),
    /// The peer's store.
    Store(StoreReading),
}

/// The peer's process as the host shows it. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ProcessReading {
    /// Whether it is there; none: that cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_up: Option<bool>,
    /// Its id as this agent sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Memory that it occupies, pages of mapped files included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_memory_bytes: Option<u64>,
    /// The part of it that no file can take back: anonymous and shared memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_memory_bytes: Option<u64>,
    /// The tightest limit of its cgroups, at most the host's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// Processor time that it has used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Its open file descriptors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_fds: Option<u64>,
    /// How many it may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_fds: Option<u64>,
    /// Its threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// When it started, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time_seconds: Option<f64>,
    /// Processes of its cgroup that were killed for want of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
    /// Why the others are not known.
    #[serde(skip)]
    pub unavailable: Unavailable,
}

/// The peer's store as the host shows it. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct StoreReading {
    /// What its file occupies on disk; holes in it do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_bytes: Option<u64>,
    /// What an ordinary user can still write to its file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_filesystem_available_bytes: Option<u64>,
    /// The size of its file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_filesystem_size_bytes: Option<u64>,
    /// Why the others are not known.
    #[serde(skip)]
    pub unavailable: Unavailable,
}

/// Takes what was read, or notes why it was not.
pub(super) fn keep<T>(
    unavailable: &mut Unavailable,
    what: &'static str,
    read: Result<T, String>,
) -> Option<T> {
    read.map_err(|why| unavailable.insert(what, why)).ok()
}

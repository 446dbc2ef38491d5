//! Limits on concurrent polls and on the size of replies.

use super::keys::LIMITS;
use super::scalar::{count, size};
use super::section::Section;
use super::source::Reported;

/// Largest message that a peer sends or accepts, bytes (PEER-PROTOCOL, section 2).
const MAX_MESSAGE_BYTES: usize = 50_000_000;

/// Limits on concurrent polls and on the size of replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of concurrent polls.
    pub max_inflight: usize,
    /// Largest accepted reply, bytes.
    pub max_response_bytes: usize,
    /// Maximum number of concurrent polls per host.
    pub per_host_inflight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_inflight: 512,
            max_response_bytes: 256 << 10,
            per_host_inflight: 8,
        }
    }
}

/// Reads `limits`.
pub(super) fn limits(file: &Section) -> Result<Limits, Reported> {
    let default = Limits::default();
    let Some(section) = file.section("limits", &LIMITS)? else {
        return Ok(default);
    };
    let polls = |key| section.read(key, |value| count(value, 1..=1_000_000).map(|n| n as usize));
    let max_inflight = polls("max_inflight");
    let per_host_inflight = polls("per_host_inflight");
    let max_response_bytes = section.read("max_response_bytes", |value| {
        size(value, 1024..=MAX_MESSAGE_BYTES)
    });
    Ok(Limits {
        max_inflight: max_inflight?.unwrap_or(default.max_inflight),
        max_response_bytes: max_response_bytes?.unwrap_or(default.max_response_bytes),
        per_host_inflight: per_host_inflight?.unwrap_or(default.per_host_inflight),
    })
}

//! How much history is kept.

use super::keys::HISTORY;
use super::scalar::size;
use super::section::Section;
use super::source::Reported;

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// Limits of the history in `state_dir`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// Maximum size on disk, bytes.
    pub max_bytes: u64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            max_bytes: GIB as u64,
        }
    }
}

/// Reads `history`.
pub(super) fn history(file: &Section) -> Result<History, Reported> {
    let default = History::default();
    let Some(section) = file.section("history", &HISTORY)? else {
        return Ok(default);
    };
    let max_bytes = section.read("max_bytes", |value| size(value, 4 * MIB..=1024 * GIB));
    Ok(History {
        max_bytes: max_bytes?.map_or(default.max_bytes, |bytes| bytes as u64),
    })
}

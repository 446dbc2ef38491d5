//! Why the history cannot be kept or read.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the history cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made.
    #[error("cannot make {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another agent holds the database.
    #[error("another agent uses {}; each needs a state_dir of its own", path.display())]
    Taken {
        /// Which.
        path: PathBuf,
    },
    /// The file is torn, or none of ours.
    #[error("{} is of no use: {why}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// `history.max_bytes` does not even hold what is new.
    #[error("history.max_bytes is too small for one minute of all peers; raise it")]
    TooSmall,
    /// The disk does not take it, or does not give it.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

/// What an error of the database at `path` means.
pub(in crate::history) fn failed(path: &Path, source: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Taken { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Unusable {
            path,
            why: source.to_string(),
        },
        _ => StoreError::Disk { path, source },
    }
}

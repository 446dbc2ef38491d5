//! Errors of the history database.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the history cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be created.
    #[error("cannot create {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Another agent uses the database.
    #[error("another agent uses {}; each agent needs its own state_dir", path.display())]
    Taken {
        /// The database.
        path: PathBuf,
    },
    /// The file is damaged or was not written by this program.
    #[error("{} is unusable: {why}", path.display())]
    Unusable {
        /// The database.
        path: PathBuf,
        /// The problem.
        why: String,
    },
    /// `history.max_bytes` cannot hold even one batch.
    #[error("history.max_bytes is too small to hold one minute of all peers; increase it")]
    TooSmall,
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The database.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
}

/// Classifies an error of SQLite about the database at `path`.
pub(super) fn store_error(path: &Path, source: rusqlite::Error) -> StoreError {
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

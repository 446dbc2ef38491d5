//! The file of a ledger in the state directory, and its lock. It is on disk before a transaction is
//! sent, so that no crash makes the agent sign another one for the same purpose.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::config::{open_regular_itself, recreate, replace_with};

use super::ledger::Ledger;

/// Value of the file's `format`.
const FORMAT: &str = "convex-peer-monitor canary";

/// Value of the file's `version`.
const VERSION: u32 = 1;

/// Largest accepted file, bytes. One takes less than 2 kB and the names of the peers.
const MAX_BYTES: u64 = 1 << 20;

/// Why a ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum LedgerError {
    /// The directory or a file in it cannot be created, written or read.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process sends transactions with it.
    #[error("another process sends the transactions of this canary: it has locked {}", path.display())]
    Taken {
        /// The lock file.
        path: PathBuf,
    },
    /// The file is not a ledger.
    #[error(
        "{} is damaged: {why}; check on chain that no transaction of the account is open, then \
         remove the file",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem of the file.
        why: String,
    },
}

/// The file of one network's ledger, locked by this process.
#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    /// Holds the lock; the system releases it when the process ends, even by a kill.
    _lock: File,
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'a str,
    version: u32,
    #[serde(flatten)]
    ledger: &'a Ledger,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// Returns the path of the ledger of a network, whose name is a valid name of a file.
pub(super) fn ledger_path(state_dir: &Path, network: &str) -> PathBuf {
    state_dir.join(format!("canary-{network}.json"))
}

impl LedgerFile {
    /// Locks the ledger of a network. The directory is created if missing. Blocks.
    pub(super) fn open(state_dir: &Path, network: &str) -> Result<Self, LedgerError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| LedgerError::Io { path, source }
        };
        fs::create_dir_all(state_dir).map_err(failed(state_dir))?;
        let lock_path = state_dir.join(format!("canary-{network}.lock"));
        let lock = open_regular_itself(&lock_path, File::options().create(true).append(true));
        let lock = lock.map_err(failed(&lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                path: ledger_path(state_dir, network),
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LedgerError::Taken { path: lock_path }),
            Err(error) => Err(failed(&lock_path)(error.into())),
        }
    }

    /// Reads the ledger; none if there is none. Blocks.
    pub(super) fn read(&self) -> Result<Option<Ledger>, LedgerError> {
        let failed = |source| LedgerError::Io {
            path: self.path.clone(),
            source,
        };
        let damaged = |why: String| LedgerError::Damaged {
            path: self.path.clone(),
            why,
        };
        let file = match open_regular_itself(&self.path, File::options().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = Vec::new();
        let read = file.take(MAX_BYTES + 1).read_to_end(&mut text);
        read.map_err(failed)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(damaged(format!("it is larger than {MAX_BYTES} bytes")));
        }
        let not_a_ledger = |error: serde_json::Error| damaged(error.to_string());
        let Header { format, version } = serde_json::from_slice(&text).map_err(not_a_ledger)?;
        if (format.as_str(), version) != (FORMAT, VERSION) {
            return Err(damaged(format!(
                "its format is {format:?} version {version}; expected {FORMAT:?} version {VERSION}"
            )));
        }
        let ledger: Ledger = serde_json::from_slice(&text).map_err(not_a_ledger)?;
        if let Some(open) = &ledger.open {
            let decoded = open.transaction();
            decoded.map_err(|error| damaged(format!("the open transaction: {error}")))?;
        }
        Ok(Some(ledger))
    }

    /// Replaces the ledger atomically. When this returns, it is on disk. Blocks.
    pub(super) fn write(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        let document = Document {
            format: FORMAT,
            version: VERSION,
            ledger,
        };
        let temporary = self.path.with_extension("json.new");
        let written = serde_json::to_vec(&document)
            .map_err(io::Error::from)
            .and_then(|text| {
                let mut file = recreate(&temporary)?;
                file.write_all(&text)?;
                replace_with(&file, &temporary, &self.path)
            });
        written.map_err(|source| LedgerError::Io {
            path: temporary,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_read_as_it_was_written_and_locked_by_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let file = LedgerFile::open(dir.path(), "main").unwrap();
        assert!(file.read().unwrap().is_none());
        let mut ledger = Ledger::new(7, "0x1".to_owned());
        for sent_ms in [1, 2] {
            ledger.sent_ms = Some(sent_ms);
            file.write(&ledger).unwrap();
            assert_eq!(file.read().unwrap().as_ref(), Some(&ledger));
        }
        let second = LedgerFile::open(dir.path(), "main");
        assert!(matches!(second, Err(LedgerError::Taken { .. })));
        LedgerFile::open(dir.path(), "test").unwrap();
        drop(file);
        LedgerFile::open(dir.path(), "main").unwrap();
    }

    #[test]
    fn a_damaged_ledger_is_refused_and_stays_as_it_is() {
        for (text, why) in [
            ("", "EOF"),
            ("{}", "missing field `format`"),
            (
                r#"{"format":"other","version":1}"#,
                "expected \"convex-peer-monitor canary\"",
            ),
            (
                r#"{"format":"convex-peer-monitor canary","version":2}"#,
                "version 2; expected",
            ),
            (
                r#"{"format":"convex-peer-monitor canary","version":1,"account":7}"#,
                "missing field",
            ),
            (
                r#"{"format":"convex-peer-monitor canary","version":1,"account":7,"genesis":"","used":1,
                "open":{"sequence":2,"bytes":"00","balance_copper":1,"peers":[]},"foreign":null,
                "sent_ms":null,"balance_copper":1,"spent_copper":0,"day":0,
                "spent_on_day_copper":0,"cost_copper":null}"#,
                "the open transaction: ",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(ledger_path(dir.path(), "main"), text).unwrap();
            let file = LedgerFile::open(dir.path(), "main").unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert_eq!(
                fs::read(ledger_path(dir.path(), "main")).unwrap(),
                text.as_bytes()
            );
        }
    }
}

//! The file that holds the saved state: its format, its lock, and how it is replaced atomically.
//! No file in the directory is opened through a symbolic link, which could lead anywhere.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::alerting::delivery::PersistedOutbox;
use crate::config::{open_regular_itself, recreate, replace_with};
use crate::fleet::SavedFleet;

/// Name of the file in the state directory.
pub(super) const FILE_NAME: &str = "state.json";

/// The file is written under this name, then renamed.
const TEMPORARY_NAME: &str = "state.json.new";

/// An agent that uses the directory holds a lock on this file.
const LOCK_NAME: &str = "lock";

/// Value of the file's `format`.
const FORMAT: &str = "convex-peer-monitor state";

/// Value of the file's `version`.
const VERSION: u32 = 1;

/// Largest accepted file, bytes; ten thousand peers need some 15 MB.
const MAX_BYTES: u64 = 64 << 20;

/// The state that survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Health, streaks and learned identities of peers.
    #[serde(flatten)]
    pub fleet: SavedFleet,
    /// Alerts that were sent, and notifications not yet delivered.
    #[serde(default, skip_serializing_if = "PersistedOutbox::is_empty")]
    pub notifications: PersistedOutbox,
}

/// Why the state cannot be saved.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory or a file in it cannot be created or written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The directory or file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another agent holds the lock of the directory.
    #[error(
        "another agent uses {}; give each agent its own state_dir",
        dir.display()
    )]
    Taken {
        /// The state directory.
        dir: PathBuf,
    },
    /// The state cannot be serialized, or is too large.
    #[error("cannot serialize the state: {0}")]
    Unwritable(String),
}

/// A state file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Why it is unusable.
    pub why: String,
    /// Its new name; `None` if it could not be renamed.
    pub to: Option<PathBuf>,
}

/// What [`StateFile::read`] found.
#[derive(Debug, Default)]
pub struct Found {
    /// The saved state.
    pub state: Option<State>,
    /// The file, if it was unusable.
    pub quarantined: Option<Quarantined>,
}

/// A state directory that this agent has locked.
#[derive(Debug)]
pub struct StateFile {
    dir: PathBuf,
    /// Holds the lock; the system releases it when the process ends, even by a kill.
    _lock: File,
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'a str,
    version: u32,
    #[serde(flatten)]
    state: &'a State,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

impl StateFile {
    /// Locks the directory, which is created if missing. Blocks.
    ///
    /// # Errors
    /// The directory cannot be created or written, or another agent uses it.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Write { path, source }
        };
        fs::create_dir_all(dir).map_err(failed(dir))?;
        let path = dir.join(LOCK_NAME);
        let lock = open_regular_itself(&path, File::options().create(true).append(true));
        let lock = lock.map_err(failed(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                dir: dir.to_owned(),
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Taken {
                dir: dir.to_owned(),
            }),
            Err(error) => Err(failed(&path)(error.into())),
        }
    }

    /// Reads the saved state. An unusable file is renamed and reported. Blocks.
    #[must_use]
    pub fn read(&self) -> Found {
        let path = self.dir.join(FILE_NAME);
        let why = match read(&path) {
            Ok(state) => {
                return Found {
                    state,
                    quarantined: None,
                };
            }
            Err(why) => why,
        };
        let to = self.quarantine_path();
        let to = fs::rename(&path, &to).is_ok().then_some(to);
        Found {
            state: None,
            quarantined: Some(Quarantined { why, to }),
        }
    }

    /// An unused name for an unusable file, with the time in milliseconds since the epoch.
    fn quarantine_path(&self) -> PathBuf {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut stamp = now.unwrap_or_default().as_millis();
        loop {
            let name = self.dir.join(format!("{FILE_NAME}.bad-{stamp}"));
            if fs::symlink_metadata(&name).is_err() {
                return name;
            }
            stamp += 1;
        }
    }

    /// Replaces the file atomically: a reader sees either the old or the new state. Blocks.
    ///
    /// # Errors
    /// The file cannot be written, or the state is too large.
    pub fn write(&self, state: &State) -> Result<(), StateError> {
        let document = Document {
            format: FORMAT,
            version: VERSION,
            state,
        };
        let temporary = self.dir.join(TEMPORARY_NAME);
        let failed = |source| StateError::Write {
            path: temporary.clone(),
            source,
        };
        // Streamed: ten thousand peers would make megabytes of text in memory.
        let mut file = BufWriter::new(recreate(&temporary).map_err(failed)?);
        serde_json::to_writer(&mut file, &document).map_err(|error| {
            if error.is_io() {
                failed(error.into())
            } else {
                StateError::Unwritable(error.to_string())
            }
        })?;
        let file = file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        let length = file.metadata().map_err(failed)?.len();
        if length > MAX_BYTES {
            let message = format!("{length} bytes, at most {MAX_BYTES}");
            return Err(StateError::Unwritable(message));
        }
        replace_with(&file, &temporary, &self.dir.join(FILE_NAME)).map_err(failed)
    }
}

/// Reads the state from `path`: `None` without a file, an error if the file is unusable.
fn read(path: &Path) -> Result<Option<State>, String> {
    let file = match open_regular_itself(path, File::options().read(true)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read it: {error}")),
    };
    let mut text = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut text);
    read.map_err(|error| format!("cannot read it: {error}"))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("larger than {MAX_BYTES} bytes"));
    }
    let header: Header = serde_json::from_slice(&text)
        .map_err(|error| format!("truncated or not a state file: {error}"))?;
    if header.format != FORMAT {
        return Err(format!(
            "its format is {:?}; expected {FORMAT:?}",
            header.format
        ));
    }
    if header.version != VERSION {
        return Err(format!(
            "its version is {}; this program reads version {VERSION}",
            header.version
        ));
    }
    let state = serde_json::from_slice(&text);
    state
        .map(Some)
        .map_err(|error| format!("not a state of version {VERSION}: {error}"))
}

//! The file that remembers across restarts, whatever ends the agent. Knows JSON and the disk; its trouble never
//! stops the monitoring.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::alerting::delivery::{Kept, Outbox, SaveRequest};
use crate::fleet::{Fleet, SavedFleet};

/// The file's name in the state directory.
const NAME: &str = "state.json";

/// What is written before it takes the file's name.
const UNFINISHED: &str = "state.json.new";

/// Whose lock says that an agent uses the directory.
const LOCK: &str = "lock";

/// What the file says it is.
const FORMAT: &str = "convex-peer-monitor state";

/// The version of its shape.
const VERSION: u32 = 1;

/// A larger file is none of ours: ten thousand peers make some 15 MB.
const MAX_BYTES: u64 = 64 << 20;

/// From one look for changes to the next.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Changes of no more than times are written so often.
const TIMES_EVERY: Duration = Duration::from_secs(30);

/// How long a start waits for the disk.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// What outlives the agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Of the fleet.
    #[serde(flatten)]
    pub fleet: SavedFleet,
    /// Of what others were told.
    #[serde(default, skip_serializing_if = "Kept::is_empty")]
    pub notifications: Kept,
}

/// Whose state is kept.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The fleet.
    pub fleet: Arc<Fleet>,
    /// What others were told.
    pub outbox: Arc<Outbox>,
}

/// Why the state cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory or a file in it cannot be made or written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another agent holds the directory.
    #[error(
        "another agent uses {}; each needs a state_dir of its own",
        dir.display()
    )]
    Taken {
        /// Which.
        dir: PathBuf,
    },
    /// What is remembered is not JSON, or too much.
    #[error("the state cannot be written: {0}")]
    Unwritable(String),
}

/// What was wrong with a file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Why it is of no use.
    pub why: String,
    /// Where it is now; none: it could not be moved.
    pub to: Option<PathBuf>,
}

/// What the start found.
#[derive(Debug, Default)]
pub struct Found {
    /// What was remembered.
    pub state: Option<State>,
    /// A file that could not be used.
    pub set_aside: Option<SetAside>,
}

/// A state directory that this agent alone uses.
#[derive(Debug)]
pub struct StateFile {
    dir: PathBuf,
    /// Locked while this lives, and by the system until the process ends, however it does.
    _lock: File,
}

#[derive(Serialize)]
struct Written<'a> {
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
    /// Takes the directory, which is made if it is missing. Blocks.
    ///
    /// # Errors
    /// It cannot be made or written, or another agent uses it.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Write { path, source }
        };
        fs::create_dir_all(dir).map_err(failed(dir))?;
        let path = dir.join(LOCK);
        let mut options = File::options();
        let lock = options.create(true).append(true).open(&path);
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

    /// Reads what was remembered. What cannot be used is set aside under another name. Blocks.
    #[must_use]
    pub fn read(&self) -> Found {
        let path = self.dir.join(NAME);
        let why = match read(&path) {
            Ok(state) => {
                return Found {
                    state,
                    set_aside: None,
                };
            }
            Err(why) => why,
        };
        let to = self.unused_name();
        let to = fs::rename(&path, &to).is_ok().then_some(to);
        Found {
            state: None,
            set_aside: Some(SetAside { why, to }),
        }
    }

    /// A name for a file that is of no use, with the time in milliseconds since the epoch.
    fn unused_name(&self) -> PathBuf {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut stamp = now.unwrap_or_default().as_millis();
        loop {
            let name = self.dir.join(format!("{NAME}.bad-{stamp}"));
            if fs::symlink_metadata(&name).is_err() {
                return name;
            }
            stamp += 1;
        }
    }

    /// Replaces the file: whoever reads it finds the old one or the new one, whole. Blocks.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn write(&self, state: &State) -> Result<(), StateError> {
        let written = Written {
            format: FORMAT,
            version: VERSION,
            state,
        };
        let unfinished = self.dir.join(UNFINISHED);
        let failed = |source| StateError::Write {
            path: unfinished.clone(),
            source,
        };
        // Not as one text in memory: ten thousand peers make megabytes.
        let mut file = BufWriter::new(File::create(&unfinished).map_err(failed)?);
        serde_json::to_writer(&mut file, &written).map_err(|error| {
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
        let finished = file
            .sync_all()
            .and_then(|()| fs::rename(&unfinished, self.dir.join(NAME)))
            // The new name is only safe when the directory is.
            .and_then(|()| File::open(&self.dir)?.sync_all());
        finished.map_err(failed)
    }
}

/// What the file at `path` holds, none if there is none, or why it is of no use.
fn read(path: &Path) -> Result<Option<State>, String> {
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    if !about.is_file() {
        // Opening a pipe would wait for its writer.
        return Err("it is no file".to_owned());
    }
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut text);
    read.map_err(|error| format!("it cannot be read: {error}"))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {MAX_BYTES} bytes"));
    }
    let header: Header = serde_json::from_slice(&text)
        .map_err(|error| format!("it is torn, or no state file: {error}"))?;
    if header.format != FORMAT {
        return Err(format!("its format is {:?}, not {FORMAT:?}", header.format));
    }
    if header.version != VERSION {
        return Err(format!(
            "its version is {}, this program writes {VERSION}",
            header.version
        ));
    }
    let state = serde_json::from_slice(&text);
    state
        .map(Some)
        .map_err(|error| format!("it is no state of version {VERSION}: {error}"))
}

/// Keeps the state in a directory.
#[derive(Debug)]
pub struct Keeper {
    dir: PathBuf,
    opening: JoinHandle<(Result<StateFile, StateError>, Found)>,
    opened: Option<Result<StateFile, StateError>>,
}

impl Keeper {
    /// Opens the directory and gives `parts` what it remembers. Waits for the disk, but not for long.
    pub async fn start(dir: PathBuf, parts: &Parts) -> Self {
        let to_open = dir.clone();
        let mut opening = tokio::task::spawn_blocking(move || match StateFile::open(&to_open) {
            Ok(file) => {
                let found = file.read();
                (Ok(file), found)
            }
            Err(error) => (Err(error), Found::default()),
        });
        let mut opened = None;
        match timeout(OPEN_WITHIN, &mut opening).await {
            Ok(Ok((file, found))) => {
                tell(&dir, &found);
                if let Some(state) = found.state {
                    parts.fleet.restore(state.fleet);
                    parts.outbox.restore(state.notifications);
                }
                opened = Some(file);
            }
            Ok(Err(error)) => tracing::error!(%error, "reading the state failed"),
            Err(_) => tracing::warn!(
                state_dir = %dir.display(),
                "the disk does not answer within {OPEN_WITHIN:?}; monitoring begins without what was remembered"
            ),
        }
        Self {
            dir,
            opening,
            opened,
        }
    }

    /// Writes what has changed until `stop`, and once more then; at once for whoever asks.
    pub async fn run(
        self,
        parts: Parts,
        mut asked: mpsc::Receiver<SaveRequest>,
        stop: CancellationToken,
    ) {
        let file = match self.opened {
            Some(opened) => opened,
            None => match self.opening.await {
                Ok((file, _)) => file,
                Err(_) => StateFile::open(&self.dir),
            },
        };
        let mut pass = Pass {
            dir: self.dir,
            file: None,
            known: None,
            failing: false,
        };
        match file {
            Ok(file) => pass.file = Some(file),
            Err(error) => pass.fail(&error),
        }
        let mut request: Option<SaveRequest> = None;
        loop {
            let last = stop.is_cancelled();
            let parts = parts.clone();
            let saved = tokio::task::spawn_blocking(move || {
                pass.save(&parts, last);
                pass
            });
            match saved.await {
                Ok(after) => pass = after,
                Err(error) => {
                    tracing::error!(%error, "writing the state failed; it is not kept any longer");
                    return;
                }
            }
            if let Some(request) = request.take()
                && request.send(()).is_err()
            {
                tracing::debug!("who asked for the state to be written has lost patience");
            }
            if last {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(LOOK_EVERY) => {}
                Some(asked) = asked.recv() => request = Some(asked),
            }
        }
    }
}

/// What the writing task knows from one pass to the next.
struct Pass {
    dir: PathBuf,
    file: Option<StateFile>,
    known: Option<Known>,
    failing: bool,
}

/// What the file holds, as far as it takes to tell whether it is still right.
struct Known {
    substance: u64,
    fleet: u64,
    notifications: Kept,
    at: Instant,
}

impl Pass {
    /// Writes the state of `parts` if it is worth it, or the `last` time if anything changed. Blocks.
    fn save(&mut self, parts: &Parts, last: bool) {
        let (substance, notifications) =
            (parts.fleet.significant_fingerprint(), parts.outbox.export());
        let same = self
            .known
            .as_ref()
            .filter(|known| known.substance == substance && known.notifications == notifications);
        if same.is_some_and(|known| !last && known.at.elapsed() < TIMES_EVERY) {
            return;
        }
        let state = State {
            fleet: parts.fleet.export(),
            notifications,
        };
        let fleet = state.fleet.fingerprint();
        if same.is_some_and(|known| known.fleet == fleet) {
            return;
        }
        let opened = match self.file.take() {
            Some(file) => Ok(file),
            None => StateFile::open(&self.dir),
        };
        let outcome = opened.and_then(|file| self.file.insert(file).write(&state));
        match outcome {
            Ok(()) => {
                if self.failing {
                    tracing::info!(state_dir = %self.dir.display(), "the state is kept again");
                }
                self.failing = false;
                self.known = Some(Known {
                    substance,
                    fleet,
                    notifications: state.notifications,
                    at: Instant::now(),
                });
            }
            Err(error) => {
                // The directory may have been replaced by another one.
                self.file = None;
                self.fail(&error);
            }
        }
    }

    /// Says once that nothing is kept.
    fn fail(&mut self, error: &StateError) {
        if !self.failing {
            tracing::warn!(
                %error,
                "the state is not kept; monitoring goes on, and a restart will have forgotten what was learned since"
            );
        }
        self.failing = true;
    }
}

fn tell(dir: &Path, found: &Found) {
    if let Some(SetAside { why, to }) = &found.set_aside {
        let kept_as = to.as_ref().map(|to| to.display().to_string());
        tracing::warn!(
            file = %dir.join(NAME).display(), %why, ?kept_as,
            "the state file cannot be used and is set aside; monitoring begins without what was remembered"
        );
    }
    if let Some(state) = &found.state {
        tracing::info!(state_dir = %dir.display(), peers = state.fleet.peers.len(), "remembering");
    }
}

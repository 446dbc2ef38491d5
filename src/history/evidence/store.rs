//! The directory of evidence files: written atomically, of bounded size.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cad3::Hash;

use crate::config::{open_regular_itself, replace_with};

use super::document::Document;
use super::incident::Incident;

/// Name of the directory in `state_dir`.
const DIR_NAME: &str = "evidence";

/// Ending of the names of evidence files, after their ids.
const ENDING: &str = ".json";

/// A file is written under its name with this ending, then renamed.
const TEMPORARY_ENDING: &str = ".json.new";

/// Maximum size of one file in bytes. 16 beliefs of 254 different orders take 5 MB.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// Number of files beyond which the oldest are deleted, unless they are younger than [`KEPT_FOR`].
const MAX_FILES: usize = 256;

/// Size of all files in bytes, beyond which the oldest are deleted, however young.
const MAX_BYTES: u64 = 64 << 20;

/// For how long a file is not deleted because of the number of files.
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// Why evidence cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The directory or a file in it cannot be created, written or deleted.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The directory or file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The directory or a file in it cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The directory or file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The directory has no evidence with this id.
    #[error("there is no evidence {id:?} in {}", dir.display())]
    Unknown {
        /// The id.
        id: String,
        /// The directory.
        dir: PathBuf,
    },
    /// The evidence is too large.
    #[error("evidence of {bytes} bytes; at most {MAX_FILE_BYTES} are kept of one incident")]
    TooLarge {
        /// Size of the file.
        bytes: usize,
    },
}

/// A directory of evidence files.
#[derive(Clone, Debug)]
pub struct EvidenceStore {
    dir: PathBuf,
    pub(super) max_files: usize,
    pub(super) max_bytes: u64,
}

/// Contents of the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The evidence files, the oldest first.
    pub files: Vec<EvidenceFile>,
    /// Names of files that are no evidence. They are left alone.
    pub foreign: Vec<String>,
    /// Files that were not written completely.
    unfinished: Vec<PathBuf>,
}

/// An evidence file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvidenceFile {
    /// Id of the evidence, which begins with its time.
    pub id: String,
    /// Size in bytes.
    pub bytes: u64,
}

impl EvidenceStore {
    /// The evidence in this state directory.
    #[must_use]
    pub fn in_state_dir(state_dir: &Path) -> Self {
        Self {
            dir: state_dir.join(DIR_NAME),
            max_files: MAX_FILES,
            max_bytes: MAX_BYTES,
        }
    }

    /// Returns the directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes an incident to a new file, which exists completely or not at all, then deletes the
    /// oldest files that are too many. Returns the id, and what is in the directory. Blocks.
    ///
    /// # Errors
    /// The file cannot be written, or is too large.
    pub fn write(
        &self,
        incident: Incident,
        now: SystemTime,
    ) -> Result<(String, Listing), EvidenceError> {
        let id = id(&incident, now);
        let document = Document::new(id.clone(), now, incident);
        let mut text = serde_json::to_vec_pretty(&document).map_err(|error| {
            let source = io::Error::other(error);
            EvidenceError::Write {
                path: self.path(&id),
                source,
            }
        })?;
        text.push(b'\n');
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(EvidenceError::TooLarge { bytes: text.len() });
        }
        self.create_dir().map_err(cannot_write(&self.dir))?;
        let temporary = self.dir.join(format!("{id}{TEMPORARY_ENDING}"));
        let written = File::create_new(&temporary).and_then(|mut file| {
            file.write_all(&text)?;
            replace_with(&file, &temporary, &self.path(&id))
        });
        if let Err(source) = written {
            // What a full disk has left of it takes space.
            drop(fs::remove_file(&temporary));
            return Err(cannot_write(&temporary)(source));
        }
        let listing = self.prune(now)?;
        Ok((id, listing))
    }

    fn create_dir(&self) -> io::Result<()> {
        if self.dir.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.dir)?;
        match self.dir.parent() {
            Some(state_dir) => File::open(state_dir)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Deletes files that were not written completely, and the oldest ones that are too many.
    fn prune(&self, now: SystemTime) -> Result<Listing, EvidenceError> {
        let mut listing = self.list()?;
        for path in &listing.unfinished {
            remove(path)?;
        }
        let mut bytes: u64 = listing.files.iter().map(|file| file.bytes).sum();
        let kept_since = time_of_id(now.checked_sub(KEPT_FOR).unwrap_or(SystemTime::UNIX_EPOCH));
        let mut excess = 0;
        for (before, file) in listing.files.iter().enumerate() {
            let are_many = listing.files.len() - before > self.max_files && file.id < kept_since;
            if bytes <= self.max_bytes && !are_many {
                break;
            }
            remove(&self.path(&file.id))?;
            bytes -= file.bytes;
            excess += 1;
        }
        listing.files.drain(..excess);
        Ok(listing)
    }

    /// Lists the evidence. Blocks.
    ///
    /// # Errors
    /// The directory cannot be read. One that does not exist is empty.
    pub fn list(&self) -> Result<Listing, EvidenceError> {
        let mut listing = Listing::default();
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
            Err(error) => return Err(cannot_read(&self.dir)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(cannot_read(&self.dir))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.strip_suffix(TEMPORARY_ENDING).is_some_and(is_id) {
                listing.unfinished.push(entry.path());
                continue;
            }
            let id = name.strip_suffix(ENDING).filter(|id| is_id(id));
            match (id, entry.metadata()) {
                (Some(id), Ok(metadata)) if metadata.is_file() => {
                    let (id, bytes) = (id.to_owned(), metadata.len());
                    listing.files.push(EvidenceFile { id, bytes });
                }
                // It was deleted meanwhile.
                (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
                (Some(_), Err(error)) => return Err(cannot_read(&entry.path())(error)),
                _ => listing.foreign.push(name),
            }
        }
        listing.files.sort_unstable();
        Ok(listing)
    }

    /// Reads the text of a file. Blocks.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read.
    pub fn read(&self, id: &str) -> Result<Vec<u8>, EvidenceError> {
        let unknown = || EvidenceError::Unknown {
            id: id.to_owned(),
            dir: self.dir.clone(),
        };
        if !is_id(id) {
            return Err(unknown());
        }
        read_evidence(&self.path(id)).map_err(|error| match error {
            EvidenceError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                unknown()
            }
            error => error,
        })
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}{ENDING}"))
    }
}

/// Reads the text of an evidence file, but not through a symbolic link. Blocks.
///
/// # Errors
/// The file cannot be read, is no regular file or too large.
pub fn read_evidence(path: &Path) -> Result<Vec<u8>, EvidenceError> {
    let file = open_regular_itself(path, File::options().read(true)).map_err(cannot_read(path))?;
    let mut text = Vec::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text);
    read.map_err(cannot_read(path))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let problem = format!("larger than {MAX_FILE_BYTES} bytes");
        return Err(cannot_read(path)(io::Error::other(problem)));
    }
    Ok(text)
}

/// Deletes a file, unless it was deleted meanwhile.
fn remove(path: &Path) -> Result<(), EvidenceError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(path)(error)),
        _ => Ok(()),
    }
}

/// Returns the id of an incident: its time, its condition, and digits that make it unique. Ids sort
/// by time.
fn id(incident: &Incident, now: SystemTime) -> String {
    let Incident { network, peer, .. } = incident;
    let condition = incident.condition.replace('_', "-");
    let digits = Hash::of(format!("{network} {peer} {condition} {now:?}").as_bytes());
    format!(
        "{}-{condition}-{:.8}",
        time_of_id(now),
        format!("{digits:x}")
    )
}

/// Formats a time as an id begins: `20261129T190000Z`.
fn time_of_id(time: SystemTime) -> String {
    let time = time.max(SystemTime::UNIX_EPOCH);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.replace(['-', ':'], "")
}

/// Whether this is the form of an id, and not of the name of a file elsewhere.
fn is_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [time, condition @ .., digits] = &parts[..] else {
        return false;
    };
    let is_time = time.len() == 16
        && time.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|it| it.is_ascii_lowercase());
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    is_time
        && !condition.is_empty()
        && condition.iter().all(is_word)
        && digits.len() == 8
        && digits.bytes().all(is_digit)
}

fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> EvidenceError {
    let path = path.to_owned();
    move |source| EvidenceError::Write { path, source }
}

fn cannot_read(path: &Path) -> impl FnOnce(io::Error) -> EvidenceError {
    let path = path.to_owned();
    move |source| EvidenceError::Read { path, source }
}

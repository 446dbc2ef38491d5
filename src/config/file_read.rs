//! Reads files in bounded time and memory: a path may name a pipe, or a file on a network mount
//! that no longer answers.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::fs::OFlags;
use secrecy::zeroize::Zeroizing;

/// All reads of this process.
static READS: Reads = Reads::new(Duration::from_secs(10), Duration::from_secs(1));

/// Largest number of reads that hang at once; each of them keeps a thread.
const MAX_HANGING: usize = 8;

/// The bytes of a file, wiped when dropped, and its metadata.
type Contents = (Zeroizing<Vec<u8>>, Metadata);

/// Reads a regular file of at most `limit` bytes. Blocks, but only for so long.
///
/// # Errors
/// The file cannot be read, is not a regular one, is larger, or does not answer within 10 s.
pub fn read_file(path: &Path, limit: u64) -> io::Result<Contents> {
    READS.run(path, move |path| read(path, limit))
}

/// Names of standard input.
const STANDARD_INPUT: [&str; 2] = ["-", "/dev/stdin"];

/// Whether a path names an input that can be read only once: standard input, or a pipe that this
/// process was started with, as in `--config <(command)`.
#[must_use]
pub fn is_read_once(path: &Path) -> bool {
    if path == Path::new("-") {
        return true;
    }
    is_own_descriptor(path) && fs::metadata(path).is_ok_and(|it| !it.is_file())
}

/// Whether a path names an open file of this process. Its folder is not where that file lies.
pub(super) fn is_own_descriptor(path: &Path) -> bool {
    ["/dev/stdin", "/dev/fd", "/proc/self/fd"]
        .iter()
        .any(|own| path.starts_with(own))
}

/// Reads an input for which [`is_read_once`] holds, to its end, of at most `limit` bytes. Blocks
/// for as long as its writer takes.
///
/// # Errors
/// It cannot be read, is a terminal or a directory, or is larger.
pub(super) fn read_once(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let is_stdin = STANDARD_INPUT.iter().any(|name| path == Path::new(name));
    if is_stdin && io::stdin().is_terminal() {
        return Err(io::Error::other("standard input is a terminal"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    if is_stdin {
        io::stdin().take(limit + 1).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    }
    within(limit, bytes)
}

/// Opens a regular file for reading; a pipe without a writer does not block.
///
/// # Errors
/// The file cannot be opened, or is not a regular one.
pub fn open_regular_file(path: &Path) -> io::Result<File> {
    // Before it is opened too: opening some devices has effects.
    require_regular(&fs::metadata(path)?)?;
    let mut options = File::options();
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = options.read(true).custom_flags(nonblocking).open(path)?;
    require_regular(&file.metadata()?)?;
    Ok(file)
}

/// Opens a regular file itself, not what a link points to; nothing that it could be blocks.
///
/// # Errors
/// The file cannot be opened, or is not a regular one.
pub fn open_regular_itself(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        require_regular(&metadata)?;
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    require_regular(&file.metadata()?)?;
    Ok(file)
}

/// Checks that a file is a regular one.
///
/// # Errors
/// Says what it is instead.
pub fn require_regular(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else {
        "a device"
    };
    Err(io::Error::other(format!(
        "it is {what}, not a regular file"
    )))
}

fn read(path: &Path, limit: u64) -> io::Result<Contents> {
    let file = open_regular_file(path)?;
    let metadata = file.metadata()?;
    // Allocated once: a vector that grows leaves copies behind that are not wiped.
    let capacity = usize::try_from(metadata.len().min(limit) + 1).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((within(limit, bytes)?, metadata))
}

fn within(limit: u64, bytes: Zeroizing<Vec<u8>>) -> io::Result<Zeroizing<Vec<u8>>> {
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Reads files in threads of their own, because nothing ends a read that hangs.
struct Reads {
    timeout: Duration,
    /// How long a read may take while another one hangs: a lost mount often has many files.
    short_timeout: Duration,
    hanging: Mutex<Vec<HangingRead>>,
}

/// A read that nobody waits for any more.
struct HangingRead {
    path: PathBuf,
    waited: Duration,
    thread: JoinHandle<()>,
}

impl Reads {
    const fn new(timeout: Duration, short_timeout: Duration) -> Self {
        Self {
            timeout,
            short_timeout,
            hanging: Mutex::new(Vec::new()),
        }
    }

    /// Returns the result of `read`. A file whose last read still hangs is not read again.
    fn run<T: Send + 'static>(
        &self,
        path: &Path,
        read: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let timeout = self.timeout_for(path)?;
        let (sender, result) = mpsc::sync_channel(1);
        let path = path.to_owned();
        let to_read = path.clone();
        let thread = thread::Builder::new()
            .name("file read".to_owned())
            // Fails if the result came too late for the caller.
            .spawn(move || drop(sender.send(read(&to_read))))?;
        match result.recv_timeout(timeout) {
            Ok(result) => result,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.hanging().push(HangingRead {
                    path,
                    waited: timeout,
                    thread,
                });
                Err(no_answer(timeout))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(io::Error::other("reading it panicked"))
            }
        }
    }

    /// Returns how long to wait for `path`, or why it is not read at all.
    fn timeout_for(&self, path: &Path) -> io::Result<Duration> {
        let mut hanging = self.hanging();
        hanging.retain(|read| !read.thread.is_finished());
        if let Some(read) = hanging.iter().find(|read| read.path == path) {
            return Err(no_answer(read.waited));
        }
        match hanging.len() {
            0 => Ok(self.timeout),
            1..MAX_HANGING => Ok(self.short_timeout),
            _ => Err(io::Error::other(format!(
                "not tried, because {MAX_HANGING} other files do not answer; \
                 check the disks or network mounts that they are on"
            ))),
        }
    }

    fn hanging(&self) -> MutexGuard<'_, Vec<HangingRead>> {
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_answer(waited: Duration) -> io::Error {
    let message =
        format!("no answer within {waited:?}; check the disk or network mount that it is on");
    io::Error::new(io::ErrorKind::TimedOut, message)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    const AMPLE: Duration = Duration::from_secs(600);

    /// A file that hangs until the returned sender is dropped.
    fn hang(reads: &Reads, path: &str) -> (mpsc::Sender<()>, io::Error) {
        let (release, released) = mpsc::channel::<()>();
        let read = move |_: &Path| {
            released.recv().unwrap_err();
            Ok(())
        };
        (release, reads.run(Path::new(path), read).unwrap_err())
    }

    fn answer(reads: &Reads, path: &str) -> io::Result<&'static str> {
        reads.run(Path::new(path), |_| Ok("content"))
    }

    #[test]
    fn a_file_that_hangs_is_an_error_until_its_read_has_ended() {
        let mut reads = Reads::new(Duration::ZERO, AMPLE);
        let (release, error) = hang(&reads, "token");
        let expected = "no answer within 0ns; check the disk or network mount that it is on";
        assert_eq!(error.to_string(), expected);
        // Not read again, so the number of threads is bounded.
        assert_eq!(answer(&reads, "token").unwrap_err().to_string(), expected);
        assert_eq!(answer(&reads, "other").unwrap(), "content");
        drop(release);
        while !reads.hanging().iter().all(|read| read.thread.is_finished()) {
            thread::yield_now();
        }
        reads.timeout = AMPLE;
        assert_eq!(answer(&reads, "token").unwrap(), "content");
    }

    #[test]
    fn with_many_hanging_files_no_more_are_tried() {
        let reads = Reads::new(Duration::ZERO, Duration::ZERO);
        let hanging: Vec<_> = (0..MAX_HANGING)
            .map(|i| hang(&reads, &i.to_string()))
            .collect();
        let error = answer(&reads, "token").unwrap_err().to_string();
        assert!(error.contains("8 other files do not answer"), "{error}");
        drop(hanging);
    }

    #[test]
    fn only_a_regular_file_is_read_and_nothing_else_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let error = |path: &Path| read_file(path, 10).unwrap_err().to_string();
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(error(&path("fifo")), "it is a FIFO, not a regular file");
        let _socket = UnixListener::bind(path("socket")).unwrap();
        assert_eq!(error(&path("socket")), "it is a socket, not a regular file");
        assert_eq!(error(dir.path()), "it is a directory, not a regular file");
        let device = Path::new("/dev/zero");
        assert_eq!(error(device), "it is a device, not a regular file");
        fs::write(path("long"), "eleven byte").unwrap();
        assert_eq!(error(&path("long")), "larger than 10 bytes");
        assert_eq!(read_file(&path("long"), 11).unwrap().0.len(), 11);
    }
}

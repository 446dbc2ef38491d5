//! Reads a pid file.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::SystemTime;

use super::finder::Found;

/// Length that is read of a pid file. A longer file is something else.
const MAX_PID_FILE_BYTES: u64 = 64;

/// Returns the id in a pid file, and when the file was written.
pub(super) fn read_pid(path: &Path) -> Result<(i32, Option<SystemTime>), Found> {
    let file = path.display();
    let read_error = |error: io::Error| {
        let why = format!("cannot read {file}: {error}");
        match error.kind() {
            ErrorKind::NotFound => Found::Gone(why),
            _ => Found::Unknown(why),
        }
    };
    let meta = fs::metadata(path).map_err(read_error)?;
    if !meta.is_file() {
        // Opening a pipe without a writer would block forever.
        return Err(Found::Unknown(format!("{file} is not a regular file")));
    }
    let mut text = String::new();
    let opened = File::open(path).map_err(read_error)?;
    opened
        .take(MAX_PID_FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(read_error)?;
    let first = text.lines().next().unwrap_or_default().trim();
    match first.parse() {
        Ok(pid) if pid > 0 => Ok((pid, meta.modified().ok())),
        _ => Err(Found::Unknown(format!(
            "the first line of {file} is not a process id"
        ))),
    }
}

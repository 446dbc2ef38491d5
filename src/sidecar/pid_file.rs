//! Reads a pid file.

use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::SystemTime;

use crate::config::open_regular_file;

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
    let opened = open_regular_file(path).map_err(read_error)?;
    let modified = opened.metadata().and_then(|meta| meta.modified()).ok();
    let mut text = String::new();
    opened
        .take(MAX_PID_FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(read_error)?;
    let first = text.lines().next().unwrap_or_default().trim();
    match first.parse() {
        Ok(pid) if pid > 0 => Ok((pid, modified)),
        _ => Err(Found::Unknown(format!(
            "the first line of {file} is not a process id"
        ))),
    }
}

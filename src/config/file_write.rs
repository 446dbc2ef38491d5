//! Replaces files so that a crash leaves either the old or the new one.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Creates a file in the place of what a crash, or somebody else, has left there. Blocks.
///
/// # Errors
/// An existing file cannot be removed, or the new one cannot be created.
pub fn recreate(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(path)
}

/// Puts the complete `file`, which is at `temporary`, in the place of `path` in the same directory.
/// When this returns, it is on disk. Blocks.
///
/// # Errors
/// A disk is full or broken, or the file cannot be moved.
pub fn replace_with(file: &File, temporary: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(temporary, path)?;
    // The rename is durable only once the directory is synced.
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

//! Programs with another clock than the machine's.

use std::fs;
use std::path::PathBuf;

/// The library that changes the time of a process, from the Debian package libfaketime.
pub(super) fn library() -> PathBuf {
    let found = fs::read_dir("/usr/lib").unwrap().find_map(|dir| {
        let library = dir.unwrap().path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    });
    found.expect("libfaketime is installed")
}

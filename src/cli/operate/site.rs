//! Writes the files of a site, so that a web server never serves half a file: all are written
//! beside the old ones first, and then take their places. If one cannot be written, none is
//! replaced.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::process;

use anyhow::{Context, ensure};

use crate::web::status::File;

/// Every user may read the files, as far as the umask allows: a web server is another user.
const MODE: u32 = 0o644;

/// A file that is complete, but not in its place yet.
struct Written {
    temporary: PathBuf,
    path: PathBuf,
}

/// Writes files to `dir`, which is made if it is missing.
pub(super) fn write(dir: &Path, files: &[File]) -> anyhow::Result<()> {
    let mut written = Vec::with_capacity(files.len());
    for file in files {
        match write_beside(dir, file) {
            Ok(file) => written.push(file),
            Err(error) => {
                remove_all(&written);
                return Err(error.context("nothing was replaced"));
            }
        }
    }
    for i in 0..written.len() {
        let Written { temporary, path } = &written[i];
        if let Err(error) = fs::rename(temporary, path) {
            remove_all(&written[i..]);
            return Err(error).with_context(|| format!("cannot replace {}", path.display()));
        }
    }
    Ok(())
}

/// Removes a file of an earlier page.
pub(super) fn remove(dir: &Path, path: &str) -> anyhow::Result<()> {
    let path = place(dir, path)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn write_beside(dir: &Path, file: &File) -> anyhow::Result<Written> {
    let path = place(dir, &file.path)?;
    let cannot_write = || format!("cannot write {}", path.display());
    let parent = path.parent().unwrap_or(dir);
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = parent.join(format!(".{name}.{}", process::id()));
    let result = fill(&temporary, file.content.as_bytes()).with_context(cannot_write);
    if result.is_err() {
        // The reason is reported already.
        drop(fs::remove_file(&temporary));
    }
    result?;
    Ok(Written { temporary, path })
}

fn fill(path: &Path, content: &[u8]) -> io::Result<()> {
    // Not through a link that somebody has put there.
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(MODE).open(path)?;
    file.write_all(content)?;
    // Some file systems notice only now that they are full; and a crash must not leave it empty.
    file.sync_all()
}

fn remove_all(written: &[Written]) {
    for file in written {
        drop(fs::remove_file(&file.temporary));
    }
}

/// Returns where a file is in `dir`. An earlier page, which is read again, may have been tampered
/// with.
fn place(dir: &Path, path: &str) -> anyhow::Result<PathBuf> {
    let mut parts = Path::new(path).components();
    let is_inside = parts.all(|part| matches!(part, Component::Normal(_)));
    ensure!(is_inside, "{path:?} is not the path of a file of the page");
    Ok(dir.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> File {
        File {
            path: path.to_owned(),
            media_type: "text/plain",
            content: content.to_owned(),
        }
    }

    /// Returns the paths of all files below `dir`.
    fn all(dir: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(all(&path));
            } else {
                found.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
        found.sort();
        found
    }

    #[test]
    fn files_are_replaced_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let site = dir.path().join("new/site");
        for content in ["one", "two"] {
            write(&site, &[file("a", content), file("badge/b", content)]).unwrap();
            assert_eq!(fs::read_to_string(site.join("badge/b")).unwrap(), content);
        }
        assert_eq!(all(&site), ["a", "b"]);
        remove(&site, "badge/b").unwrap();
        remove(&site, "badge/b").unwrap();
        assert_eq!(all(&site), ["a"]);
    }

    #[test]
    fn if_one_file_cannot_be_written_none_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[file("a", "old")]).unwrap();
        fs::write(dir.path().join("badge"), "in the way").unwrap();
        let error = write(dir.path(), &[file("a", "new"), file("badge/b", "new")]).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.starts_with("nothing was replaced: cannot make "),
            "{error}"
        );
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "old");
        assert_eq!(all(dir.path()), ["a", "badge"]);
    }

    #[test]
    fn nothing_is_written_outside_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let site = dir.path().join("site");
        for path in ["../a", "/tmp/a", "badge/../../a", "./a"] {
            assert!(write(&site, &[file(path, "x")]).is_err(), "{path}");
            assert!(remove(&site, path).is_err(), "{path}");
        }
        assert_eq!(all(dir.path()), [""; 0]);
    }
}

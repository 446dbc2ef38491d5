//! Files that hold secrets: read into memory that is wiped, and looked at for who else can read them.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

use super::section::Value;

/// Largest file with a token or with headers, bytes.
const MAX_BYTES: u64 = 64 << 10;

/// The right of everybody to read.
const READ_BY_ALL: u32 = 0o004;

/// The text of the file that the value names, without the newline at its end.
pub(super) fn text_file(value: &Value) -> Result<Zeroizing<String>, String> {
    let path = value.source.resolve(&value.text()?);
    let cannot_read = |error| format!("cannot read {}: {error}", value.shown(&path));
    let (bytes, metadata) = read_file(&path, MAX_BYTES).map_err(cannot_read)?;
    if is_read_by_all(&metadata) {
        value
            .source
            .warn(value.node.position, open_to_all(&value.shown(&path)));
    }
    let text =
        str::from_utf8(&bytes).map_err(|_| format!("{} is not UTF-8", value.shown(&path)))?;
    let text = text
        .strip_suffix("\r\n")
        .or(text.strip_suffix('\n'))
        .unwrap_or(text);
    Ok(Zeroizing::new(text.to_owned()))
}

/// The whole of a file of at most `limit` bytes that is no secret.
pub(super) fn plain_file(value: &Value, limit: u64) -> Result<(PathBuf, Vec<u8>), String> {
    let path = value.source.resolve(&value.text()?);
    match read_file(&path, limit) {
        Ok((bytes, _)) => Ok((path, bytes.to_vec())),
        Err(error) => Err(format!("cannot read {}: {error}", value.shown(&path))),
    }
}

/// The whole of a file of at most `limit` bytes, and what the system says of it.
pub(super) fn read_file(path: &Path, limit: u64) -> io::Result<(Zeroizing<Vec<u8>>, Metadata)> {
    // A pipe without a writer would hold this up forever. A directory is left to the system's own words.
    let kind = std::fs::metadata(path)?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::other("not a regular file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    // A vector that grows leaves what it held behind.
    let room = usize::try_from(metadata.len().min(limit) + 1).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok((bytes, metadata))
}

/// Whether every user of the host can read a file.
pub(super) fn is_read_by_all(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & READ_BY_ALL != 0
}

/// What is said of such a file that holds a secret.
pub(super) fn open_to_all(file: &str) -> String {
    format!(
        "{file} holds a secret, and every user of this host can read it; make it readable by the agent alone, with \
         `chmod 600`, or by its group, with `chmod 640`"
    )
}

//! Files named in the configuration that may hold secrets: their text, and who can read them.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use secrecy::zeroize::Zeroizing;

use super::file_read::read_file;
use super::value::Value;

/// Largest file with a token or headers, bytes.
const MAX_BYTES: u64 = 64 << 10;

/// Permission of all users to read a file.
const WORLD_READABLE: u32 = 0o004;

/// Reads the text of the file that the value names, without the newline at its end.
pub(super) fn text_file(value: &Value) -> Result<Zeroizing<String>, String> {
    let path = value.path()?;
    let file = value.quoted_path(&path);
    let (bytes, metadata) =
        read_file(&path, MAX_BYTES).map_err(|error| format!("cannot read {file}: {error}"))?;
    if is_world_readable(&metadata) {
        value
            .source
            .warn(value.node.position, world_readable_warning(&file));
    }
    let text = str::from_utf8(&bytes).map_err(|_| format!("{file} is not UTF-8"))?;
    let text = text
        .strip_suffix("\r\n")
        .or(text.strip_suffix('\n'))
        .unwrap_or(text);
    Ok(Zeroizing::new(text.to_owned()))
}

/// Reads a file without secrets of at most `limit` bytes.
pub(super) fn plain_file(value: &Value, limit: u64) -> Result<(PathBuf, Vec<u8>), String> {
    let path = value.path()?;
    match read_file(&path, limit) {
        Ok((bytes, _)) => Ok((path, bytes.to_vec())),
        Err(error) => Err(format!("cannot read {}: {error}", value.quoted_path(&path))),
    }
}

/// Whether every user of the host can read a file.
pub(super) fn is_world_readable(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & WORLD_READABLE != 0
}

/// The warning about a file with a secret that every user can read.
pub(super) fn world_readable_warning(file: &str) -> String {
    format!(
        "{file} holds a secret, but every user of this host can read it; \
         restrict it to the agent with `chmod 600`, or to its group with `chmod 640`"
    )
}

//! Finds and loads configurations: from a file, from a text, or the built-in default.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::error::{Errors, Position, Problem};
use super::file_read::{is_own_descriptor, is_read_once, read_file, read_once};
use super::source::Source;
use super::{Config, secret_file, top_level, yaml};

/// Where a configuration file is searched if none is named, in this order.
const DEFAULT_PATHS: [&str; 2] = [
    "convex-peer-monitor.yml",
    "/etc/convex-peer-monitor/config.yml",
];

/// Loads the configuration file at `path`, or from standard input (`-`) or a pipe, for which
/// relative paths start at the current directory. `env` returns the value of an environment
/// variable.
///
/// # Errors
/// Every problem in the file, with its position.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Errors> {
    let file = path.to_string_lossy();
    let is_once = is_read_once(path);
    let read_bytes = || {
        if is_once {
            return Ok((read_once(path, yaml::MAX_BYTES)?, false));
        }
        let (bytes, metadata) = read_file(path, yaml::MAX_BYTES)?;
        Ok((bytes, secret_file::is_world_readable(&metadata)))
    };
    let (bytes, world_readable) = read_bytes().map_err(|error: io::Error| {
        Errors::from(Problem {
            file: file.clone().into_owned(),
            position: None,
            path: String::new(),
            message: format!("cannot read the configuration: {error}"),
        })
    })?;
    let text = decode_utf8(&bytes, &file)?;
    let base_dir = path
        .parent()
        .filter(|_| !is_once && !is_own_descriptor(path));
    let base_dir = base_dir.unwrap_or(Path::new(""));
    read(
        text,
        Source::new(&file, base_dir, env).world_readable(world_readable),
    )
}

/// Parses a configuration. `file_name` is for messages; relative paths in the text start at
/// `base_dir`.
///
/// # Errors
/// Every problem in the text, with its position.
pub fn parse(
    text: &str,
    file_name: &str,
    base_dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Errors> {
    read(text, Source::new(file_name, base_dir, env))
}

/// Returns the built-in configuration: Protonet's public peer, polled as a reference.
///
/// # Panics
/// Never: the text is part of the program, and a test parses it.
#[must_use]
pub fn embedded() -> Config {
    parse(
        include_str!("default.yml"),
        "default.yml",
        Path::new(""),
        &|_| None,
    )
    .expect("the built-in configuration is valid on every host: it uses no file and no variable")
}

/// Returns the configuration file to use if none is named; `None`: use [`embedded`].
#[must_use]
pub fn find() -> Option<PathBuf> {
    DEFAULT_PATHS
        .iter()
        .map(PathBuf::from)
        .find(|path| exists(path))
}

/// Also true for a file that cannot be read, which must then fail to load: ignoring it would poll
/// the wrong peers.
fn exists(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

/// Decodes the bytes of `file`, or reports where they are not UTF-8.
pub(super) fn decode_utf8<'a>(bytes: &'a [u8], file: &str) -> Result<&'a str, Problem> {
    str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Problem {
            file: file.to_owned(),
            position: Some(Position {
                line: before.matches('\n').count() + 1,
                column: line.chars().count() + 1,
            }),
            path: String::new(),
            message: "not UTF-8 from here on; save the file as UTF-8".to_owned(),
        }
    })
}

fn read(text: &str, source: Source) -> Result<Config, Errors> {
    let config = match yaml::read(text) {
        Ok(root) => top_level::config(&source, &root),
        Err(malformed) => Err(source.report(malformed.position, "", malformed.message)),
    };
    let warnings = source.take_warnings();
    let config = source.finish(config)?;
    Ok(Config { warnings, ..config })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_configuration_file_exists() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("config.yml");
        assert!(!exists(&link));
        std::os::unix::fs::symlink("gone.yml", &link).unwrap();
        assert!(exists(&link));
        assert!(exists(dir.path()));
        assert!(!exists(&dir.path().join("no/such/config.yml")));
    }
}

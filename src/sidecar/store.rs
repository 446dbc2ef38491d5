//! Reads the size of the peer's store, and the space left on its file system.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::reading::{StoreReading, Unavailable, value_or_note};

/// Unit of `st_blocks`, whatever the block size of the file system (POSIX).
const BLOCK_BYTES: u64 = 512;

/// Reads the store at `path` once. If this agent does not see the path, looks for it below
/// `peer_root`, the root directory of the peer's process. Blocks, and does so forever if a network
/// file system is gone.
pub(super) fn read(path: &Path, peer_root: Option<&Path>) -> StoreReading {
    let mut unavailable = Unavailable::new();
    let located = locate(path, peer_root);
    let Some((path, meta)) = value_or_note(&mut unavailable, "store", located) else {
        return StoreReading {
            unavailable,
            ..StoreReading::default()
        };
    };
    let system = rustix::fs::statvfs(&path).map_err(|error| read_error(&path, &error.into()));
    let system = value_or_note(&mut unavailable, "store_filesystem", system);
    let bytes = |blocks: fn(&rustix::fs::StatVfs) -> u64| {
        let system = system.as_ref()?;
        Some(blocks(system).saturating_mul(system.f_frsize))
    };
    StoreReading {
        store_bytes: Some(meta.blocks().saturating_mul(BLOCK_BYTES)),
        store_filesystem_available_bytes: bytes(|system| system.f_bavail),
        store_filesystem_size_bytes: bytes(|system| system.f_blocks),
        unavailable,
    }
}

/// Returns the path at which this agent sees the store, and its metadata.
fn locate(path: &Path, peer_root: Option<&Path>) -> Result<(PathBuf, Metadata), String> {
    let mut visible = path.to_owned();
    let mut meta = fs::metadata(path);
    if let (Err(error), Some(root)) = (&meta, peer_root)
        && error.kind() == ErrorKind::NotFound
    {
        let inside = root.join(path.strip_prefix("/").unwrap_or(path));
        match fs::metadata(&inside) {
            // Found at neither path: report the configured one.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => (visible, meta) = (inside, found),
        }
    }
    let meta = meta.map_err(|error| read_error(&visible, &error))?;
    if meta.is_dir() {
        return Err(format!(
            "{} is a directory; configure the store's file",
            visible.display()
        ));
    }
    Ok((visible, meta))
}

fn read_error(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    #[test]
    fn holes_in_the_file_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etch.db");
        let mut file = File::create(&path).unwrap();
        file.write_all(&[1; 8192]).unwrap();
        file.set_len(1 << 30).unwrap();
        file.sync_all().unwrap();
        let reading = read(&path, None);
        let bytes = reading.store_bytes.unwrap();
        assert!((8192..1 << 20).contains(&bytes), "{bytes}");
        let available = reading.store_filesystem_available_bytes.unwrap();
        assert!(0 < available && available <= reading.store_filesystem_size_bytes.unwrap());
        assert!(reading.unavailable.is_empty());
    }

    #[test]
    fn a_store_that_this_agent_does_not_see_is_found_where_the_peer_sees_it() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("no/such")).unwrap();
        fs::write(root.path().join("no/such/etch.db"), [1; 4096]).unwrap();
        let path = Path::new("/no/such/etch.db");
        assert!(read(path, Some(root.path())).store_bytes >= Some(4096));
        for peer_root in [None, Some(Path::new("/nor/here"))] {
            let reading = read(path, peer_root);
            assert_eq!(reading.store_bytes, None);
            assert_eq!(reading.store_filesystem_size_bytes, None);
            let why = &reading.unavailable["store"];
            assert!(why.contains("/no/such/etch.db"), "{why}");
        }
    }

    #[test]
    fn a_directory_is_not_a_store() {
        let dir = tempfile::tempdir().unwrap();
        let reading = read(dir.path(), None);
        assert_eq!(reading.store_bytes, None);
        assert!(reading.unavailable["store"].contains("configure the store's file"));
    }
}

//! What the disk says of the peer's store.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::reading::{StoreReading, Unavailable, keep};

/// `st_blocks` counts in these, whatever the file system's own blocks are (POSIX).
const BLOCK: u64 = 512;

/// Reads what the disk says of the store at `path`, once: as this agent sees it or, where it does not, below `peers_root`,
/// the root directory as the peer's process sees it. Blocks, for ever where a network's file system is gone.
pub(super) fn read(path: &Path, peers_root: Option<&Path>) -> StoreReading {
    let mut unavailable = Unavailable::new();
    let found = locate(path, peers_root);
    let Some((place, meta)) = keep(&mut unavailable, "store", found) else {
        return StoreReading {
            unavailable,
            ..StoreReading::default()
        };
    };
    let system = rustix::fs::statvfs(&place).map_err(|error| unread(&place, &error.into()));
    let system = keep(&mut unavailable, "store_filesystem", system);
    let bytes = |blocks: fn(&rustix::fs::StatVfs) -> u64| {
        let system = system.as_ref()?;
        Some(blocks(system).saturating_mul(system.f_frsize))
    };
    StoreReading {
        store_bytes: Some(meta.blocks().saturating_mul(BLOCK)),
        store_filesystem_available_bytes: bytes(|system| system.f_bavail),
        store_filesystem_size_bytes: bytes(|system| system.f_blocks),
        unavailable,
    }
}

fn locate(path: &Path, peers_root: Option<&Path>) -> Result<(PathBuf, Metadata), String> {
    let mut place = path.to_owned();
    let mut meta = fs::metadata(path);
    if let (Err(error), Some(root)) = (&meta, peers_root)
        && error.kind() == ErrorKind::NotFound
    {
        let inside = root.join(path.strip_prefix("/").unwrap_or(path));
        match fs::metadata(&inside) {
            // It is nowhere: the path that was configured is the one to tell of.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => (place, meta) = (inside, found),
        }
    }
    let meta = meta.map_err(|error| unread(&place, &error))?;
    if meta.is_dir() {
        return Err(format!(
            "{} is a directory; name the store's file",
            place.display()
        ));
    }
    Ok((place, meta))
}

fn unread(path: &Path, error: &io::Error) -> String {
    format!("cannot look at {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    #[test]
    fn holes_in_the_file_take_no_place() {
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
    fn a_store_that_is_not_here_is_looked_for_where_the_peer_sees_it() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("no/such")).unwrap();
        fs::write(root.path().join("no/such/etch.db"), [1; 4096]).unwrap();
        let path = Path::new("/no/such/etch.db");
        assert!(read(path, Some(root.path())).store_bytes >= Some(4096));
        for peers_root in [None, Some(Path::new("/nor/here"))] {
            let reading = read(path, peers_root);
            assert_eq!(reading.store_bytes, None);
            assert_eq!(reading.store_filesystem_size_bytes, None);
            let why = &reading.unavailable["store"];
            assert!(why.contains("/no/such/etch.db"), "{why}");
        }
    }

    #[test]
    fn a_directory_is_no_store() {
        let dir = tempfile::tempdir().unwrap();
        let reading = read(dir.path(), None);
        assert_eq!(reading.store_bytes, None);
        assert!(reading.unavailable["store"].contains("name the store's file"));
    }
}

//! An open database: setup, writing batches, reading summaries and events. All calls block.

use std::collections::HashMap;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use crate::config::require_regular;
use crate::fleet::Rename;
use crate::history::agreement::AgreementSpan;
use crate::history::event::Event;
use crate::history::event_log::{EVENTS_KEPT, MAX_STORED_ID};
use crate::history::summary::Summary;
use crate::history::time::unix_millis;

use super::agreement;
use super::error::{StoreError, store_error};
use super::expiry::Expiry;
use super::schema::{
    APPLICATION, COLUMNS, MINUTES_KEPT, Resolution, VERSION, insert_summary, schema,
    summary_from_row, to_signed, upsert,
};

/// Name of the database in the state directory.
pub const FILE_NAME: &str = "history.sqlite";

/// What SQLite appends to the name of a database to name the files that belong to it.
const COMPANION_SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Identifies a peer in the database: network and name.
pub(in crate::history) type PeerKey = (Arc<str>, Arc<str>);

/// New data to be written in one transaction.
#[derive(Debug, Default)]
pub(in crate::history) struct Batch {
    /// Summaries by peer and minute since the epoch; merged with the stored summary of that minute.
    pub(in crate::history) summaries: Vec<(PeerKey, u32, Summary)>,
    pub(in crate::history) events: Vec<Arc<Event>>,
    /// Spans by network. One that is stored already is replaced.
    pub(in crate::history) agreement: Vec<(Arc<str>, AgreementSpan)>,
}

/// An open database.
#[derive(Debug)]
pub(in crate::history) struct Store {
    pub(super) connection: Connection,
    /// The path of the file, or a name for messages if the database is in memory.
    path: PathBuf,
    in_file: bool,
    pub(super) page_bytes: u64,
    pub(super) max_pages: u64,
    /// Row id of each peer, and the last hour (since the epoch) in which it was seen.
    pub(super) peers: HashMap<PeerKey, (i64, u32)>,
}

impl Store {
    /// Opens the database in `dir`, which is created if it is missing. The database uses at most
    /// `max_bytes`.
    pub(super) fn open(dir: &Path, max_bytes: u64) -> Result<Self, StoreError> {
        // SQLite refuses links in the whole path; those to the directory are the operator's.
        let real_dir = fs::create_dir_all(dir).and_then(|()| fs::canonicalize(dir));
        let real_dir = real_dir.map_err(|source| StoreError::Directory {
            path: dir.to_owned(),
            source,
        })?;
        let path = dir.join(FILE_NAME);
        for suffix in iter::once("").chain(COMPANION_SUFFIXES) {
            let name = format!("{FILE_NAME}{suffix}");
            if let Ok(metadata) = fs::symlink_metadata(dir.join(&name))
                && let Err(error) = require_regular(&metadata)
            {
                let why = format!("{name}: {error}");
                return Err(StoreError::Unusable { path, why });
            }
        }
        let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(real_dir.join(FILE_NAME), flags)
            .map_err(|error| store_error(&path, error))?;
        Self::prepare(connection, path, true, max_bytes)
    }

    /// Opens a database in memory.
    pub(super) fn in_memory(max_bytes: u64) -> Result<Self, StoreError> {
        let path = PathBuf::from("in-memory history");
        let connection = Connection::open_in_memory().map_err(|error| store_error(&path, error))?;
        Self::prepare(connection, path, false, max_bytes)
    }

    fn prepare(
        connection: Connection,
        path: PathBuf,
        in_file: bool,
        max_bytes: u64,
    ) -> Result<Self, StoreError> {
        let page_bytes = configure(&connection).map_err(|error| store_error(&path, error))?;
        let mut store = Self {
            connection,
            path,
            in_file,
            page_bytes,
            max_pages: 0,
            peers: HashMap::new(),
        };
        let (application, version) = (
            store.pragma("application_id")?,
            store.pragma("user_version")?,
        );
        let is_new = store.pragma("schema_version")? == 0;
        if !is_new && (application, version) != (APPLICATION as u64, VERSION as u64) {
            let why = if application == APPLICATION as u64 {
                format!("its version is {version}, this program writes {VERSION}")
            } else {
                "it is a database of another program".to_owned()
            };
            let path = store.path;
            return Err(StoreError::Unusable { path, why });
        }
        let ready = if is_new {
            store.connection.execute_batch(&schema())
        } else {
            store.delete_impossible()
        };
        ready
            .and_then(|()| agreement::create_table(&store.connection))
            .map_err(|error| store.error(error))?;
        store.set_max_bytes(max_bytes)?;
        store.load_peers()?;
        Ok(store)
    }

    /// Deletes rows with numbers that this program never writes: each of them would be an error for
    /// ever, and a row of the last possible event would leave no id for the next.
    fn delete_impossible(&self) -> Result<(), rusqlite::Error> {
        let steps = format!("at < 0 OR at > {}", u32::MAX);
        for (table, impossible) in [
            ("minutes", &steps),
            ("hours", &steps),
            ("events", &format!("id < 0 OR id > {MAX_STORED_ID}")),
            (
                "peers",
                &format!(
                    "typeof(seen) <> 'integer' OR seen NOT BETWEEN 0 AND {}",
                    u32::MAX
                ),
            ),
        ] {
            // Asked first, because a file that is read-only can still be read.
            let select = format!("SELECT 1 FROM {table} WHERE {impossible} LIMIT 1");
            if self.connection.prepare(&select)?.exists([])? {
                let delete = format!("DELETE FROM {table} WHERE {impossible}");
                let rows = self.connection.execute(&delete, [])?;
                tracing::warn!(rows, table, "deleted damaged rows of the history");
            }
        }
        Ok(())
    }

    /// Converts an error of SQLite.
    pub(super) fn error(&self, error: rusqlite::Error) -> StoreError {
        store_error(&self.path, error)
    }

    pub(super) fn pragma(&self, name: &str) -> Result<u64, StoreError> {
        let value = self
            .connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let value = value.map_err(|error| self.error(error))?;
        Ok(u64::try_from(value).unwrap_or(0))
    }

    fn load_peers(&mut self) -> Result<(), StoreError> {
        let read = || {
            let mut select = self
                .connection
                .prepare("SELECT network, name, id, seen FROM peers")?;
            let rows = select.query_map([], |row| {
                let (network, name): (String, String) = (row.get(0)?, row.get(1)?);
                Ok(((network.into(), name.into()), (row.get(2)?, row.get(3)?)))
            })?;
            rows.collect::<Result<_, _>>()
        };
        self.peers = read().map_err(|error| self.error(error))?;
        Ok(())
    }

    /// Gives peers and their events other names. What is stored under a new name already becomes
    /// part of the history of the peer that gets it.
    pub(super) fn rename(&mut self, renames: &[Rename]) -> Result<(), StoreError> {
        let outcome = rename_peers(&mut self.connection, renames);
        outcome.map_err(|error| self.error(error))?;
        self.load_peers()
    }

    /// Returns the stored events, oldest first, with the ids of their rows. Events of a later
    /// version that cannot be decoded are skipped.
    pub(super) fn events(&self) -> Result<Vec<Event>, StoreError> {
        let read = || {
            let mut select = self
                .connection
                .prepare("SELECT id, body FROM events ORDER BY id")?;
            let rows = select.query_map([], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?;
            let events = rows.filter_map(|row| match row {
                Ok((id, body)) => {
                    let event: Event = serde_json::from_str(&body).ok()?;
                    let id = u64::try_from(id).ok()?;
                    Some(Ok(Event { id, ..event }))
                }
                Err(error) => Some(Err(error)),
            });
            events.collect::<Result<_, _>>()
        };
        read().map_err(|error| self.error(error))
    }

    /// Writes a batch in one transaction. [`Self::prune_and_checkpoint`] must follow the last
    /// batch.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let fits = self.free_space_for(batch)?;
        let written = self.insert(batch);
        written.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) if !fits => StoreError::TooSmall,
            _ => self.error(error),
        })
    }

    /// Deletes rows that are too old at `now`, as far as `expiry` allows, shrinks the file if its
    /// limit was lowered, and truncates the write-ahead log, which would only grow otherwise.
    pub(super) fn prune_and_checkpoint(
        &mut self,
        now: SystemTime,
        expiry: &mut Expiry,
    ) -> Result<(), StoreError> {
        self.delete_expired(now, expiry)
            .map_err(|error| self.error(error))?;
        self.shrink_to_limit()?;
        self.checkpoint().map_err(|error| self.error(error))
    }

    fn checkpoint(&self) -> Result<(), rusqlite::Error> {
        let pragma = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.connection.query_row(pragma, [], |_| Ok(()))
    }

    /// Returns whether the file has been removed.
    pub(super) fn is_file_missing(&self) -> bool {
        self.in_file && fs::symlink_metadata(&self.path).is_err()
    }

    fn insert(&mut self, batch: &Batch) -> Result<(), rusqlite::Error> {
        let transaction = self.connection.transaction()?;
        let mut seen_peers = Vec::new();
        {
            let upserts = Resolution::ALL.map(upsert);
            let mut upsert_peer = transaction.prepare(
                "INSERT INTO peers(network, name, seen) VALUES (?1, ?2, ?3)
                 ON CONFLICT(network, name) DO UPDATE SET seen = max(seen, excluded.seen) RETURNING id",
            )?;
            let mut upsert_summaries = [
                transaction.prepare(&upserts[0])?,
                transaction.prepare(&upserts[1])?,
            ];
            let mut ids: HashMap<&PeerKey, (i64, u32)> = HashMap::new();
            for (key, minute, summary) in &batch.summaries {
                let hour = minute / 60;
                let known = ids.get(key).or_else(|| self.peers.get(key)).copied();
                let id = match known {
                    Some((id, seen)) if seen >= hour => id,
                    _ => {
                        let id =
                            upsert_peer.query_row(params![key.0, key.1, hour], |row| row.get(0))?;
                        ids.insert(key, (id, hour));
                        id
                    }
                };
                for (resolution, statement) in
                    Resolution::ALL.into_iter().zip(&mut upsert_summaries)
                {
                    insert_summary(statement, minute / resolution.minutes(), id, summary)?;
                }
            }
            seen_peers.extend(ids.into_iter().map(|(key, seen)| (key.clone(), seen)));
            let mut insert_event =
                transaction.prepare("INSERT OR REPLACE INTO events(id, body) VALUES (?1, ?2)")?;
            for event in &batch.events {
                let body = serde_json::to_string(&**event)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                insert_event.execute(params![to_signed(event.id), body])?;
            }
            if !batch.events.is_empty() {
                transaction.execute(
                    "DELETE FROM events WHERE id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?1)",
                    [to_signed(EVENTS_KEPT as u64)],
                )?;
            }
        }
        agreement::insert(&transaction, &batch.agreement)?;
        transaction.commit()?;
        // Only after the commit: ids of a rolled back transaction are not valid.
        self.peers.extend(seen_peers);
        Ok(())
    }

    /// Returns the finest resolution that has all data stored from minute `from` to minute `to`.
    pub(in crate::history) fn resolution_of(
        &self,
        (from, to): (u32, u32),
    ) -> Result<Resolution, StoreError> {
        let has_older_hours = || {
            let first = self
                .time_range(Resolution::Minute)?
                .map_or(u32::MAX, |(first, _)| first);
            // Older minutes are not complete: they may be about to expire, or of a wrong clock.
            let first = first.max(to.saturating_sub(MINUTES_KEPT));
            let mut select = self
                .connection
                .prepare("SELECT 1 FROM hours WHERE at >= ?1 AND at < ?2 LIMIT 1")?;
            select.exists([from / 60, first / 60])
        };
        let has_older_hours = has_older_hours().map_err(|error| self.error(error))?;
        Ok(if has_older_hours {
            Resolution::Hour
        } else {
            Resolution::Minute
        })
    }

    /// Returns a peer's summaries from step `from` to step `to` (inclusive) with their steps since
    /// the epoch.
    pub(in crate::history) fn summaries(
        &self,
        key: &PeerKey,
        resolution: Resolution,
        (from, to): (u32, u32),
    ) -> Result<Vec<(u32, Summary)>, StoreError> {
        let Some((id, _)) = self.peers.get(key) else {
            return Ok(Vec::new());
        };
        // Older rows have only not expired yet, or are of a clock that was wrong by years once.
        let from = from.max(to.saturating_sub(resolution.steps_kept() + 1));
        let read = || {
            let text = format!(
                "SELECT {COLUMNS} FROM {} WHERE at = ?1 AND peer = ?2",
                resolution.table()
            );
            let mut select = self.connection.prepare(&text)?;
            let mut summaries = Vec::new();
            for step in from..=to {
                let summary = select.query_row(params![step, id], summary_from_row);
                if let Some(summary) = summary.optional()? {
                    summaries.push((step, summary));
                }
            }
            Ok(summaries)
        };
        read().map_err(|error: rusqlite::Error| self.error(error))
    }

    /// Returns the bytes of the database in use.
    #[cfg(test)]
    pub(super) fn used_bytes(&self) -> u64 {
        let pages = |name| self.pragma(name).unwrap();
        (pages("page_count") - pages("freelist_count")) * self.page_bytes
    }
}

/// Renames an unusable database and the files that belong to it. Returns the new path.
pub(super) fn quarantine(path: &Path, now: SystemTime) -> Option<PathBuf> {
    let mut stamp = unix_millis(now);
    let to = loop {
        let to = path.with_file_name(format!("{FILE_NAME}.bad-{stamp}"));
        if fs::symlink_metadata(&to).is_err() {
            break to;
        }
        stamp += 1;
    };
    let moved = fs::rename(path, &to).is_ok();
    for suffix in COMPANION_SUFFIXES {
        // Usually missing. Left behind, SQLite would apply it to the new database.
        let companion = path.with_file_name(format!("{FILE_NAME}{suffix}"));
        drop(fs::rename(&companion, format!("{}{suffix}", to.display())));
    }
    moved.then_some(to)
}

fn rename_peers(connection: &mut Connection, renames: &[Rename]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for Rename { network, from, to } in renames {
        let id = |name: &str| {
            let select = "SELECT id FROM peers WHERE network = ?1 AND name = ?2";
            let id = transaction.query_row(select, params![network, name], |row| row.get(0));
            id.optional()
        };
        let (old, new): (Option<i64>, Option<i64>) = (id(from)?, id(to)?);
        match (old, new) {
            (Some(old), Some(new)) => {
                for resolution in Resolution::ALL {
                    let table = resolution.table();
                    let moved = format!("UPDATE OR IGNORE {table} SET peer = ?2 WHERE peer = ?1");
                    transaction.execute(&moved, params![new, old])?;
                    let left = format!("DELETE FROM {table} WHERE peer = ?1");
                    transaction.execute(&left, params![new])?;
                }
                transaction.execute("DELETE FROM peers WHERE id = ?1", params![new])?;
                transaction
                    .execute("UPDATE peers SET name = ?2 WHERE id = ?1", params![old, to])?;
            }
            (Some(old), None) => {
                transaction
                    .execute("UPDATE peers SET name = ?2 WHERE id = ?1", params![old, to])?;
            }
            (None, _) => {}
        }
        transaction.execute(
            "UPDATE events SET body = json_set(body, '$.peer', ?3)
             WHERE json_extract(body, '$.network') = ?1 AND json_extract(body, '$.peer') = ?2",
            params![network, from, to],
        )?;
    }
    transaction.commit()
}

/// Configures the connection. Returns the page size in bytes.
fn configure(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let set =
        |name: &str, value: &str| connection.pragma_update_and_check(None, name, value, |_| Ok(()));
    let set_silently = |name: &str, value: &str| connection.pragma_update(None, name, value);
    // Must precede the first table. Lets free pages be returned to the file system later.
    set_silently("auto_vacuum", "INCREMENTAL")?;
    // One agent per database; this also avoids shared memory in a file.
    set("locking_mode", "EXCLUSIVE")?;
    // A kill loses nothing that was written; a power failure may lose the last batches only.
    set("journal_mode", "WAL")?;
    set_silently("synchronous", "NORMAL")?;
    set_silently("cache_size", "-2048")?;
    let bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(u64::try_from(bytes).unwrap_or(4096))
}

//! What is kept on disk: summaries by minute and by hour, and events, in one SQLite database of bounded size. Blocks.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::event::Event;
use super::log::{EVENTS_KEPT, milliseconds};
use super::summary::Summary;

mod error;
mod room;
mod rows;
pub(super) mod thread;

pub use error::StoreError;
use error::failed;
use rows::{APPLICATION, COLUMNS, VERSION, insert, schema, signed, summary, upsert};
pub use rows::{HOURS_KEPT, MINUTES_KEPT, Resolution};

/// The database's name in the state directory.
pub const NAME: &str = "history.sqlite";

/// A peer as the store knows it: network and name.
pub(in crate::history) type PeerKey = (Arc<str>, Arc<str>);

/// What is new since the last batch.
#[derive(Debug, Default)]
pub(in crate::history) struct Batch {
    /// By peer and minute since the epoch; added to what is stored of that minute.
    pub(in crate::history) summaries: Vec<(PeerKey, u32, Summary)>,
    pub(in crate::history) events: Vec<Arc<Event>>,
}

/// An open database.
#[derive(Debug)]
pub(in crate::history) struct Store {
    connection: Connection,
    /// Where it is, or what it is called in messages.
    path: PathBuf,
    in_file: bool,
    page_bytes: u64,
    max_pages: u64,
    /// Ids of peers, with the last hour that they were seen in.
    peers: HashMap<PeerKey, (i64, u32)>,
}

impl Store {
    /// Opens the database in `dir`, which is made if it is missing; at most `max_bytes` are used.
    pub(in crate::history) fn open(dir: &Path, max_bytes: u64) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(|source| StoreError::Directory {
            path: dir.to_owned(),
            source,
        })?;
        let path = dir.join(NAME);
        if fs::symlink_metadata(&path).is_ok_and(|about| !about.is_file()) {
            let why = "it is no file".to_owned();
            return Err(StoreError::Unusable { path, why });
        }
        let connection = Connection::open(&path).map_err(|error| failed(&path, error))?;
        Self::prepare(connection, path, true, max_bytes)
    }

    /// A database in memory alone.
    pub(in crate::history) fn in_memory(max_bytes: u64) -> Result<Self, StoreError> {
        let path = PathBuf::from("the history in memory");
        let connection = Connection::open_in_memory().map_err(|error| failed(&path, error))?;
        Self::prepare(connection, path, false, max_bytes)
    }

    fn prepare(
        connection: Connection,
        path: PathBuf,
        in_file: bool,
        max_bytes: u64,
    ) -> Result<Self, StoreError> {
        let page_bytes = set_up(&connection).map_err(|error| failed(&path, error))?;
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
        let made_now = store.pragma("schema_version")? == 0;
        if !made_now && (application, version) != (APPLICATION as u64, VERSION as u64) {
            let why = if application == APPLICATION as u64 {
                format!("its version is {version}, this program writes {VERSION}")
            } else {
                "it is a database of another program".to_owned()
            };
            let path = store.path;
            return Err(StoreError::Unusable { path, why });
        }
        if made_now {
            let made = store.connection.execute_batch(&schema());
            made.map_err(|error| store.failed(error))?;
        }
        store.bound(max_bytes)?;
        store.know_peers()?;
        Ok(store)
    }

    fn failed(&self, error: rusqlite::Error) -> StoreError {
        failed(&self.path, error)
    }

    fn pragma(&self, name: &str) -> Result<u64, StoreError> {
        let value = self
            .connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let value = value.map_err(|error| self.failed(error))?;
        Ok(u64::try_from(value).unwrap_or(0))
    }

    fn know_peers(&mut self) -> Result<(), StoreError> {
        let read = || {
            let mut all = self
                .connection
                .prepare("SELECT network, name, id, seen FROM peers")?;
            let rows = all.query_map([], |row| {
                let (network, name): (String, String) = (row.get(0)?, row.get(1)?);
                Ok(((network.into(), name.into()), (row.get(2)?, row.get(3)?)))
            })?;
            rows.collect::<Result<_, _>>()
        };
        self.peers = read().map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// The events that are stored, oldest first. One that cannot be read, of a later version, is left out.
    pub(in crate::history) fn events(&self) -> Result<Vec<Event>, StoreError> {
        let read = || {
            let mut all = self
                .connection
                .prepare("SELECT body FROM events ORDER BY id")?;
            let rows = all.query_map([], |row| row.get::<_, String>(0))?;
            let events = rows.filter_map(|body| match body {
                Ok(body) => serde_json::from_str(&body).ok().map(Ok),
                Err(error) => Some(Err(error)),
            });
            events.collect::<Result<_, _>>()
        };
        read().map_err(|error| self.failed(error))
    }

    /// Adds a batch, whole or not at all. [`Self::settle`] has to follow the last one.
    pub(in crate::history) fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let fits = self.make_room(batch)?;
        let written = self.add(batch);
        written.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) if !fits => StoreError::TooSmall,
            _ => self.failed(error),
        })
    }

    /// Removes what is too old at `now`, and brings what was written ahead into the database: it would only grow.
    pub(in crate::history) fn settle(&mut self, now: SystemTime) -> Result<(), StoreError> {
        self.forget_old(now).map_err(|error| self.failed(error))?;
        self.give_back()?;
        self.checkpoint().map_err(|error| self.failed(error))
    }

    fn checkpoint(&self) -> Result<(), rusqlite::Error> {
        let text = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.connection.query_row(text, [], |_| Ok(()))
    }

    /// Whether somebody has removed the file.
    pub(in crate::history) fn is_gone(&self) -> bool {
        self.in_file && fs::symlink_metadata(&self.path).is_err()
    }

    fn add(&mut self, batch: &Batch) -> Result<(), rusqlite::Error> {
        let transaction = self.connection.transaction()?;
        let mut known = Vec::new();
        {
            let upserts = Resolution::ALL.map(upsert);
            let mut see = transaction.prepare(
                "INSERT INTO peers(network, name, seen) VALUES (?1, ?2, ?3)
                 ON CONFLICT(network, name) DO UPDATE SET seen = max(seen, excluded.seen) RETURNING id",
            )?;
            let mut into = [
                transaction.prepare(&upserts[0])?,
                transaction.prepare(&upserts[1])?,
            ];
            let mut ids: HashMap<&PeerKey, (i64, u32)> = HashMap::new();
            for (key, minute, summary) in &batch.summaries {
                let hour = minute / 60;
                let found = ids.get(key).or_else(|| self.peers.get(key)).copied();
                let id = match found {
                    Some((id, seen)) if seen >= hour => id,
                    _ => {
                        let id = see.query_row(params![key.0, key.1, hour], |row| row.get(0))?;
                        ids.insert(key, (id, hour));
                        id
                    }
                };
                for (resolution, statement) in Resolution::ALL.into_iter().zip(&mut into) {
                    insert(statement, minute / resolution.minutes(), id, summary)?;
                }
            }
            known.extend(ids.into_iter().map(|(key, seen)| (key.clone(), seen)));
            let mut tell =
                transaction.prepare("INSERT OR REPLACE INTO events(id, body) VALUES (?1, ?2)")?;
            for event in &batch.events {
                let body = serde_json::to_string(&**event)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                tell.execute(params![signed(event.id), body])?;
            }
            if !batch.events.is_empty() {
                transaction.execute(
                    "DELETE FROM events WHERE id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?1)",
                    [signed(EVENTS_KEPT as u64)],
                )?;
            }
        }
        transaction.commit()?;
        // Not before: what was rolled back has no id.
        self.peers.extend(known);
        Ok(())
    }

    /// The finest resolution in which everything is there that is known since `minute`.
    pub(in crate::history) fn resolution_from(
        &self,
        minute: u32,
    ) -> Result<Resolution, StoreError> {
        let only_hours = || {
            let first = self
                .extent(Resolution::Minute)?
                .map_or(u32::MAX, |(first, _)| first);
            let mut statement = self
                .connection
                .prepare("SELECT 1 FROM hours WHERE at >= ?1 AND at < ?2 LIMIT 1")?;
            statement.exists([minute / 60, first / 60])
        };
        let only_hours = only_hours().map_err(|error| self.failed(error))?;
        Ok(if only_hours {
            Resolution::Hour
        } else {
            Resolution::Minute
        })
    }

    /// Summaries of a peer from step `from` to `to`, both included, by step since the epoch.
    pub(in crate::history) fn summaries(
        &self,
        key: &PeerKey,
        resolution: Resolution,
        (from, to): (u32, u32),
    ) -> Result<Vec<(u32, Summary)>, StoreError> {
        let Some((id, _)) = self.peers.get(key) else {
            return Ok(Vec::new());
        };
        // More is not kept; a clock that was years off may have left rows that are.
        let from = from.max(to.saturating_sub(resolution.kept() + 1));
        let read = || {
            let select = format!(
                "SELECT {COLUMNS} FROM {} WHERE at = ?1 AND peer = ?2",
                resolution.table()
            );
            let mut statement = self.connection.prepare(&select)?;
            let mut found = Vec::new();
            for step in from..=to {
                let summary = statement.query_row(params![step, id], summary);
                if let Some(summary) = summary.optional()? {
                    found.push((step, summary));
                }
            }
            Ok(found)
        };
        read().map_err(|error: rusqlite::Error| self.failed(error))
    }

    /// Bytes of the database in use.
    #[cfg(test)]
    pub(in crate::history) fn used_bytes(&self) -> u64 {
        let pages = |name| self.pragma(name).unwrap();
        (pages("page_count") - pages("freelist_count")) * self.page_bytes
    }
}

/// Moves a database that is of no use to another name, with what was written ahead for it. Says where it is now.
pub(in crate::history) fn set_aside(path: &Path, now: SystemTime) -> Option<PathBuf> {
    let mut stamp = milliseconds(now);
    let to = loop {
        let to = path.with_file_name(format!("{NAME}.bad-{stamp}"));
        if fs::symlink_metadata(&to).is_err() {
            break to;
        }
        stamp += 1;
    };
    let moved = fs::rename(path, &to).is_ok();
    for suffix in ["-wal", "-shm", "-journal"] {
        // The new database must not take it for its own. It is rarely there.
        let companion = path.with_file_name(format!("{NAME}{suffix}"));
        drop(fs::rename(&companion, format!("{}{suffix}", to.display())));
    }
    moved.then_some(to)
}

/// The minute since the epoch; 0 before it.
pub(in crate::history) fn minute(time: SystemTime) -> u32 {
    u32::try_from(milliseconds(time) / 60_000).unwrap_or(u32::MAX)
}

/// Sets the connection up and says how large a page is.
fn set_up(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let set =
        |name: &str, value: &str| connection.pragma_update_and_check(None, name, value, |_| Ok(()));
    let set_silently = |name: &str, value: &str| connection.pragma_update(None, name, value);
    // Before the first table: pages that are free can be given back later.
    set_silently("auto_vacuum", "INCREMENTAL")?;
    // One agent a database; and no memory shared through a file.
    set("locking_mode", "EXCLUSIVE")?;
    // What is written survives a kill at any moment. A power failure may take the last batches, never the rest.
    set("journal_mode", "WAL")?;
    set_silently("synchronous", "NORMAL")?;
    set_silently("cache_size", "-2048")?;
    let bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(u64::try_from(bytes).unwrap_or(4096))
}

#[cfg(test)]
mod tests;

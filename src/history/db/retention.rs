//! Age and size limits of the database: deletes the oldest rows, of the finest resolution first.

use std::time::SystemTime;

use rusqlite::OptionalExtension;

use crate::history::time::unix_minute;

use super::agreement;
use super::error::StoreError;
use super::expiry::Expiry;
use super::schema::Resolution;
use super::store::{Batch, Store};

/// Upper estimate of the bytes that a summary takes in one table, indices included.
const MAX_SUMMARY_BYTES: u64 = 160;

/// Estimate of the bytes that an event takes.
const EVENT_BYTES: u64 = 512;

/// When the size limit is reached, this fraction (one in N) of a table's time range is deleted.
const TIME_RANGE_FRACTION_PER_DELETE: u32 = 32;

/// Largest number of free pages returned to the file system at once.
const MAX_PAGES_PER_VACUUM: u64 = 4096;

impl Store {
    /// Sets the size limit in bytes. An eighth of it is reserved for the write-ahead log.
    pub(super) fn set_max_bytes(&mut self, max_bytes: u64) -> Result<(), StoreError> {
        let max_pages = (max_bytes / 8 * 7 / self.page_bytes).max(1);
        self.max_pages = max_pages;
        self.set_max_page_count()?;
        // Keeps the log below its eighth until the next checkpoint.
        let log_pages = i64::try_from((max_pages / 16).clamp(16, 1_000)).unwrap_or(1_000);
        self.set_pragma("wal_autocheckpoint", log_pages)
    }

    fn set_max_page_count(&self) -> Result<(), StoreError> {
        let max_pages = i64::try_from(self.max_pages).unwrap_or(i64::MAX);
        self.set_pragma("max_page_count", max_pages)
    }

    fn set_pragma(&self, name: &str, value: i64) -> Result<(), StoreError> {
        let set = self
            .connection
            .pragma_update_and_check(None, name, value, |_| Ok(()));
        set.map_err(|error| self.error(error))
    }

    /// Deletes the oldest minutes, then the oldest hours, then the oldest events, then the oldest
    /// spans of agreement until the batch fits. Returns whether it does.
    pub(super) fn free_space_for(&mut self, batch: &Batch) -> Result<bool, StoreError> {
        let rows = batch.summaries.len() as u64 * Resolution::ALL.len() as u64;
        let bytes = rows * MAX_SUMMARY_BYTES
            + batch.events.len() as u64 * EVENT_BYTES
            + batch.agreement.len() as u64 * MAX_SUMMARY_BYTES;
        let needed = bytes / self.page_bytes + 8;
        loop {
            let used = self.pragma("page_count")? - self.pragma("freelist_count")?;
            if used + needed <= self.max_pages {
                return Ok(true);
            }
            let deleted = self.delete_oldest().map_err(|error| self.error(error))?;
            if !deleted {
                return Ok(false);
            }
        }
    }

    /// Deletes some of the oldest rows. Returns whether there were any.
    fn delete_oldest(&self) -> Result<bool, rusqlite::Error> {
        for resolution in Resolution::ALL {
            let table = resolution.table();
            if let Some((first, last)) = self.time_range(resolution)? {
                // A row that a wrong clock has put far away must not widen the range.
                let range = (last - first).min(resolution.steps_kept());
                let below = first.saturating_add(range / TIME_RANGE_FRACTION_PER_DELETE + 1);
                let delete = format!("DELETE FROM {table} WHERE at < ?1");
                self.connection.execute(&delete, [below])?;
                return Ok(true);
            }
        }
        let delete =
            "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT 1000)";
        let deleted = self.connection.execute(delete, [])?;
        Ok(deleted > 0 || agreement::delete_oldest(&self.connection)?)
    }

    /// Returns the oldest and the newest step of a table; `None` if it is empty.
    pub(super) fn time_range(
        &self,
        resolution: Resolution,
    ) -> Result<Option<(u32, u32)>, rusqlite::Error> {
        let table = resolution.table();
        let end = |order: &str| {
            let text = format!("SELECT at FROM {table} ORDER BY at {order} LIMIT 1");
            let mut select = self.connection.prepare(&text)?;
            select.query_row([], |row| row.get(0)).optional()
        };
        Ok(end("ASC")?.zip(end("DESC")?))
    }

    /// Deletes summaries that are too old at `now`, as far as `expiry` allows, those in the future
    /// once it disproves them, and peers without summaries.
    pub(super) fn delete_expired(
        &mut self,
        now: SystemTime,
        expiry: &mut Expiry,
    ) -> Result<(), rusqlite::Error> {
        let minute = unix_minute(now);
        for resolution in Resolution::ALL {
            let Some((first, last)) = self.time_range(resolution)? else {
                continue;
            };
            let (table, step) = (resolution.table(), minute / resolution.minutes());
            let expired = (step + 1).saturating_sub(resolution.steps_kept());
            let below = expired.min(first.saturating_add(expiry.allowed_steps(resolution)));
            if below > first {
                let delete = format!("DELETE FROM {table} WHERE at < ?1");
                self.connection.prepare(&delete)?.execute([below])?;
                expiry.spend(resolution, below - first);
            }
            if last > step && expiry.disproves_future() {
                let delete = format!("DELETE FROM {table} WHERE at > ?1");
                let rows = self.connection.prepare(&delete)?.execute([step])?;
                tracing::warn!(
                    rows,
                    "deleted {table} of history that are in the future; the clock was wrong when \
                     they were written"
                );
            }
        }
        // By what is stored, not by the clock: their rows may still be there.
        if let Some((oldest, _)) = self.time_range(Resolution::Hour)? {
            let delete = "DELETE FROM peers WHERE seen < ?1";
            if self.connection.prepare(delete)?.execute([oldest])? > 0 {
                self.peers.retain(|_, (_, seen)| *seen >= oldest);
            }
        }
        Ok(())
    }

    /// Returns free pages to the file system if the file is larger than its limit.
    pub(super) fn shrink_to_limit(&self) -> Result<(), StoreError> {
        let excess = self.pragma("page_count")?.saturating_sub(self.max_pages);
        if excess == 0 {
            return Ok(());
        }
        let vacuum = || {
            let pages = excess.min(MAX_PAGES_PER_VACUUM);
            let mut statement = self
                .connection
                .prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        };
        vacuum().map_err(|error| self.error(error))?;
        // SQLite never sets the limit below the size of the file, so it was not set before.
        self.set_max_page_count()
    }
}

//! How much room the history takes: what is too old or too much is removed, the finest and oldest first.

use std::time::SystemTime;

use rusqlite::OptionalExtension;

use super::rows::{HOURS_KEPT, Resolution};
use super::{Batch, Store, StoreError, minute};

/// One row of either table with its part of the indices, at most: what a batch needs is estimated by it.
const ROW_BYTES: u64 = 160;

/// So many minutes, or hours, that are too old are deleted at once: a long absence must not make one huge transaction.
const OLD_AT_ONCE: u32 = 60;

/// When the size is exceeded, one part in so many of the time that is kept goes at once.
const SIZE_STEPS: u32 = 32;

/// Free pages that are given back to the file system at once.
const RETURNED_PAGES: u64 = 4096;

impl Store {
    /// Sets the most bytes that are used. An eighth of them is for the log that is written ahead.
    pub(in crate::history) fn bound(&mut self, max_bytes: u64) -> Result<(), StoreError> {
        let max_pages = (max_bytes / 8 * 7 / self.page_bytes).max(1);
        self.max_pages = max_pages;
        let set = self.connection.pragma_update_and_check(
            None,
            "max_page_count",
            i64::try_from(max_pages).unwrap_or(i64::MAX),
            |_| Ok(()),
        );
        set.map_err(|error| self.failed(error))?;
        // Between two settlements the log must not outgrow its eighth: pages.
        let log = i64::try_from((max_pages / 16).clamp(16, 1_000)).unwrap_or(1_000);
        let set = self
            .connection
            .pragma_update_and_check(None, "wal_autocheckpoint", log, |_| Ok(()));
        set.map_err(|error| self.failed(error))
    }

    /// Removes the oldest minutes, then the oldest hours, then the oldest events, until the batch fits. Says whether it does.
    pub(in crate::history) fn make_room(&mut self, batch: &Batch) -> Result<bool, StoreError> {
        let rows = batch.summaries.len() as u64 * Resolution::ALL.len() as u64;
        let needed = (rows * ROW_BYTES + batch.events.len() as u64 * 512) / self.page_bytes + 8;
        loop {
            let used = self.pragma("page_count")? - self.pragma("freelist_count")?;
            if used + needed <= self.max_pages {
                return Ok(true);
            }
            let removed = self.remove_oldest().map_err(|error| self.failed(error))?;
            if !removed {
                return Ok(false);
            }
        }
    }

    fn remove_oldest(&self) -> Result<bool, rusqlite::Error> {
        for resolution in Resolution::ALL {
            let table = resolution.table();
            if let Some((first, last)) = self.extent(resolution)? {
                let below = first + (last - first) / SIZE_STEPS + 1;
                let delete = format!("DELETE FROM {table} WHERE at < ?1");
                self.connection.execute(&delete, [below])?;
                return Ok(true);
            }
        }
        let oldest =
            "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT 1000)";
        Ok(self.connection.execute(oldest, [])? > 0)
    }

    /// The oldest and the newest step of a table.
    pub(in crate::history) fn extent(
        &self,
        resolution: Resolution,
    ) -> Result<Option<(u32, u32)>, rusqlite::Error> {
        let table = resolution.table();
        let end = |order: &str| {
            let text = format!("SELECT at FROM {table} ORDER BY at {order} LIMIT 1");
            let mut statement = self.connection.prepare(&text)?;
            statement.query_row([], |row| row.get(0)).optional()
        };
        Ok(end("ASC")?.zip(end("DESC")?))
    }

    pub(in crate::history) fn forget_old(
        &mut self,
        now: SystemTime,
    ) -> Result<(), rusqlite::Error> {
        let minute = minute(now);
        for resolution in Resolution::ALL {
            let Some((first, _)) = self.extent(resolution)? else {
                continue;
            };
            let step = minute / resolution.minutes();
            let too_old = (step + 1).saturating_sub(resolution.kept());
            let below = too_old.min(first.saturating_add(OLD_AT_ONCE));
            let delete = format!("DELETE FROM {} WHERE at < ?1", resolution.table());
            self.connection.prepare(&delete)?.execute([below])?;
        }
        let unseen = (minute / 60).saturating_sub(HOURS_KEPT + 1);
        let delete = "DELETE FROM peers WHERE seen < ?1";
        if self.connection.prepare(delete)?.execute([unseen])? > 0 {
            self.peers.retain(|_, (_, seen)| *seen >= unseen);
        }
        Ok(())
    }

    /// Makes the file smaller when its bound was lowered.
    pub(in crate::history) fn give_back(&self) -> Result<(), StoreError> {
        let beyond = self.pragma("page_count")?.saturating_sub(self.max_pages);
        if beyond == 0 {
            return Ok(());
        }
        let vacuum = || {
            let pages = beyond.min(RETURNED_PAGES);
            let mut statement = self
                .connection
                .prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        };
        vacuum().map_err(|error| self.failed(error))?;
        let max_pages = i64::try_from(self.max_pages).unwrap_or(i64::MAX);
        let set =
            self.connection
                .pragma_update_and_check(None, "max_page_count", max_pages, |_| Ok(()));
        set.map_err(|error| self.failed(error))
    }
}

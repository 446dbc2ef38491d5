//! The table of the spans in which networks had as many states and histories.

use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, Transaction, params};

use crate::history::agreement::{AgreementSpan, SPANS_KEPT};

use super::error::StoreError;
use super::schema::to_signed;
use super::store::Store;

/// Number of spans that are deleted at once when the size limit is reached.
const SPANS_PER_DELETE: u32 = 100;

/// Creates the table if the database was made by a release without it. A file that is read-only
/// stays as it is.
pub(super) fn create_table(connection: &Connection) -> Result<(), rusqlite::Error> {
    let created = connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS agreement(network TEXT, since INTEGER, until INTEGER, states INTEGER,
         histories INTEGER, state_block INTEGER, fork_block INTEGER, PRIMARY KEY(network, since)) WITHOUT ROWID",
    );
    match created {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => Ok(()),
        created => created,
    }
}

/// Writes spans. One that has gone on replaces its earlier self. The oldest of each network are
/// deleted if there are more than [`SPANS_KEPT`].
pub(super) fn insert(
    transaction: &Transaction<'_>,
    spans: &[(Arc<str>, AgreementSpan)],
) -> Result<(), rusqlite::Error> {
    if spans.is_empty() {
        return Ok(());
    }
    let mut insert = transaction.prepare(
        "INSERT OR REPLACE INTO agreement(network, since, until, states, histories, state_block, fork_block)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut delete = transaction.prepare(
        "DELETE FROM agreement WHERE network = ?1 AND since <=
         (SELECT since FROM agreement WHERE network = ?1 ORDER BY since DESC LIMIT 1 OFFSET ?2)",
    )?;
    for (network, span) in spans {
        insert.execute(params![
            network,
            to_signed(span.since_ms),
            to_signed(span.until_ms),
            span.states,
            span.histories,
            span.state_block,
            span.fork_block.map(to_signed),
        ])?;
        delete.execute(params![network, to_signed(SPANS_KEPT as u64)])?;
    }
    Ok(())
}

/// Deletes some of the oldest spans. Returns whether there were any.
pub(super) fn delete_oldest(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let delete = "DELETE FROM agreement WHERE (network, since) IN
         (SELECT network, since FROM agreement ORDER BY since LIMIT ?1)";
    Ok(connection.execute(delete, [SPANS_PER_DELETE])? > 0)
}

impl Store {
    /// Returns the stored spans with their networks, oldest first. Rows that this program never
    /// writes are skipped.
    pub(super) fn agreement(&self) -> Result<Vec<(Arc<str>, AgreementSpan)>, StoreError> {
        let read = || {
            let has_table = "SELECT 1 FROM sqlite_schema WHERE name = 'agreement'";
            if !self.connection.prepare(has_table)?.exists([])? {
                return Ok(Vec::new());
            }
            let mut select = self.connection.prepare(
                "SELECT network, since, until, states, histories, state_block, fork_block
                 FROM agreement ORDER BY since",
            )?;
            let rows = select.query_map([], |row| {
                let number = |i: usize| row.get::<_, i64>(i).ok();
                let span = || {
                    Some(AgreementSpan {
                        since_ms: number(1)?.try_into().ok()?,
                        until_ms: number(2)?.try_into().ok()?,
                        states: number(3).and_then(|states| states.try_into().ok()),
                        histories: number(4).and_then(|histories| histories.try_into().ok()),
                        state_block: number(5),
                        fork_block: number(6).and_then(|block| block.try_into().ok()),
                    })
                };
                let network: Option<String> = row.get(0).ok();
                Ok(network.zip(span().filter(|span| span.since_ms <= span.until_ms)))
            })?;
            rows.filter_map(|row| match row {
                Ok(found) => found.map(|(network, span)| Ok((Arc::from(network), span))),
                Err(error) => Some(Err(error)),
            })
            .collect()
        };
        read().map_err(|error: rusqlite::Error| self.error(error))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::store::{Batch, FILE_NAME};
    use super::*;

    const AMPLE_BYTES: u64 = 1 << 30;

    fn span(since_ms: u64, until_ms: u64) -> AgreementSpan {
        AgreementSpan {
            since_ms,
            until_ms,
            states: Some(2),
            histories: None,
            state_block: Some(7),
            fork_block: None,
        }
    }

    fn batch(network: &str, spans: impl IntoIterator<Item = AgreementSpan>) -> Batch {
        let spans = spans.into_iter().map(|span| (network.into(), span));
        Batch {
            agreement: spans.collect(),
            ..Batch::default()
        }
    }

    fn open(dir: &Path) -> Store {
        Store::open(dir, AMPLE_BYTES).unwrap()
    }

    #[test]
    fn spans_are_stored_once_and_grow_and_the_oldest_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        store.write(&batch("n", [span(1, 5), span(9, 9)])).unwrap();
        store.write(&batch("n", [span(9, 20)])).unwrap();
        store.write(&batch("m", [span(3, 3)])).unwrap();
        let expected = [("n", span(1, 5)), ("m", span(3, 3)), ("n", span(9, 20))];
        let expected = expected.map(|(network, span)| (Arc::from(network), span));
        assert_eq!(store.agreement().unwrap(), expected);
        drop(store);

        let mut store = open(dir.path());
        assert_eq!(store.agreement().unwrap(), expected);
        let many = (100..).step_by(10).take(SPANS_KEPT);
        store
            .write(&batch("n", many.map(|at| span(at, at))))
            .unwrap();
        let kept = store.agreement().unwrap();
        assert_eq!(kept.len(), SPANS_KEPT + 1);
        assert_eq!(kept[0].0, "m".into(), "other networks keep theirs");
    }

    #[test]
    fn a_database_without_the_table_gets_it_and_impossible_rows_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        let file = dir.path().join(FILE_NAME);
        let sql = |text: &str| {
            let connection = Connection::open(&file).unwrap();
            connection.execute_batch(text).unwrap();
        };
        sql("DROP TABLE agreement");
        assert_eq!(open(dir.path()).agreement().unwrap(), []);
        sql(
            "INSERT INTO agreement(network, since, until) VALUES ('n', -1, 5), ('n', 9, 8), ('n', 'x', 9)",
        );
        assert_eq!(open(dir.path()).agreement().unwrap(), []);
    }
}

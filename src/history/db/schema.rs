//! The schema of the database, and the conversion between summaries and rows.

use convex_client::OrderPoints;
use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement, params};

use crate::history::summary::{Latency, Summary};

/// `application_id` in the file's header: `CPMh`.
pub(super) const APPLICATION: i64 = 0x4350_4d68;

/// The version of the schema.
pub(super) const VERSION: i64 = 1;

/// Age limit of summaries by minute, in minutes.
pub const MINUTES_KEPT: u32 = 24 * 60;

/// Age limit of summaries by hour, in hours.
pub const HOURS_KEPT: u32 = 90 * 24;

/// The time that a stored summary covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// One minute.
    Minute,
    /// One hour.
    Hour,
}

impl Resolution {
    pub(in crate::history) const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Minute => "minutes",
            Self::Hour => "hours",
        }
    }

    /// Returns the length of a step in minutes.
    #[must_use]
    pub const fn minutes(self) -> u32 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
        }
    }

    /// Returns the age limit in steps.
    pub(super) const fn steps_kept(self) -> u32 {
        match self {
            Self::Minute => MINUTES_KEPT,
            Self::Hour => HOURS_KEPT,
        }
    }
}

/// The columns of a summary. A value that is 0 or NULL takes one byte.
pub(super) const COLUMNS: &str = "good, failed, own, maintenance, good_ms, failed_ms, maintenance_ms, \
     unknown, up, degraded, down, \
     http_count, http_sum_us, http_min_us, http_max_us, tcp_count, tcp_sum_us, tcp_min_us, tcp_max_us, \
     block, proposal, consensus, finality, state_block, worst_lag";

pub(super) fn schema() -> String {
    let table = |resolution: Resolution| {
        // Time comes first in the key: a batch is appended, and the oldest rows are contiguous.
        format!(
            "CREATE TABLE {}(at INTEGER, peer INTEGER, {COLUMNS}, PRIMARY KEY(at, peer)) WITHOUT ROWID;\n",
            resolution.table()
        )
    };
    format!(
        "BEGIN;
         PRAGMA application_id = {APPLICATION};
         PRAGMA user_version = {VERSION};
         CREATE TABLE peers(id INTEGER PRIMARY KEY, network TEXT, name TEXT, seen INTEGER, UNIQUE(network, name));
         CREATE TABLE events(id INTEGER PRIMARY KEY, body TEXT);
         {}{}
         COMMIT;",
        table(Resolution::Minute),
        table(Resolution::Hour)
    )
}

/// Returns the statement that merges a summary into the row of its step, like [`Summary::merge`].
pub(super) fn upsert(resolution: Resolution) -> String {
    let columns = COLUMNS.split(", ").map(str::trim);
    let merged = columns.clone().map(|column| {
        let merge = match column {
            "block" | "proposal" | "consensus" | "finality" | "state_block" => {
                format!("coalesce(excluded.{column}, {column})")
            }
            // max() of several arguments is NULL if one of them is.
            "worst_lag" => format!(
                "coalesce(max({column}, excluded.{column}), excluded.{column}, {column})"
            ),
            _ if column.ends_with("min_us") => {
                let count = column.replace("min_us", "count");
                format!(
                    "CASE WHEN {count} = 0 THEN excluded.{column} WHEN excluded.{count} = 0 THEN {column} \
                     ELSE min({column}, excluded.{column}) END"
                )
            }
            _ if column.ends_with("max_us") => format!("max({column}, excluded.{column})"),
            _ => format!("{column} + excluded.{column}"),
        };
        format!("{column} = {merge}")
    });
    let merged: Vec<String> = merged.collect();
    let placeholders: Vec<String> = (1..=columns.count() + 2).map(|i| format!("?{i}")).collect();
    format!(
        "INSERT INTO {}(at, peer, {COLUMNS}) VALUES ({}) ON CONFLICT(at, peer) DO UPDATE SET {}",
        resolution.table(),
        placeholders.join(", "),
        merged.join(", ")
    )
}

/// Executes the statement of [`upsert`].
pub(super) fn insert_summary(
    statement: &mut Statement<'_>,
    step: u32,
    peer: i64,
    summary: &Summary,
) -> Result<(), rusqlite::Error> {
    let [http, tcp] = &summary.latency;
    let [unknown, up, degraded, down] = summary.by_health.map(to_signed);
    let level = |level: fn(OrderPoints) -> i64| summary.order.map(level);
    statement.execute(params![
        step,
        peer,
        to_signed(summary.good),
        to_signed(summary.failed),
        to_signed(summary.excused),
        to_signed(summary.maintenance),
        to_signed(summary.good_ms),
        to_signed(summary.failed_ms),
        to_signed(summary.maintenance_ms),
        unknown,
        up,
        degraded,
        down,
        to_signed(http.count),
        to_signed(http.sum_us),
        to_signed(http.min_us),
        to_signed(http.max_us),
        to_signed(tcp.count),
        to_signed(tcp.sum_us),
        to_signed(tcp.min_us),
        to_signed(tcp.max_us),
        level(|order| order.block),
        level(|order| order.proposal),
        level(|order| order.consensus),
        level(|order| order.finality),
        summary.state_block,
        summary.worst_lag,
    ])?;
    Ok(())
}

/// Decodes a row with [`COLUMNS`].
pub(super) fn summary_from_row(row: &Row<'_>) -> Result<Summary, rusqlite::Error> {
    // A damaged count makes SQLite's sums overflow into floating point.
    let count = |i: usize| {
        row.get_ref(i).map(|value| match value {
            ValueRef::Integer(n) => u64::try_from(n).unwrap_or(0),
            _ => 0,
        })
    };
    let latency = |i: usize| {
        Ok::<_, rusqlite::Error>(Latency {
            count: count(i)?,
            sum_us: count(i + 1)?,
            min_us: count(i + 2)?,
            max_us: count(i + 3)?,
        })
    };
    let block: Option<i64> = row.get(19)?;
    let level = |i: usize| row.get::<_, Option<i64>>(i).map(Option::unwrap_or_default);
    let order = match block {
        Some(block) => Some(OrderPoints {
            block,
            proposal: level(20)?,
            consensus: level(21)?,
            finality: level(22)?,
        }),
        None => None,
    };
    Ok(Summary {
        good: count(0)?,
        failed: count(1)?,
        excused: count(2)?,
        maintenance: count(3)?,
        good_ms: count(4)?,
        failed_ms: count(5)?,
        maintenance_ms: count(6)?,
        by_health: [count(7)?, count(8)?, count(9)?, count(10)?],
        latency: [latency(11)?, latency(15)?],
        order,
        state_block: row.get(23)?,
        worst_lag: row.get(24)?,
    })
}

/// Converts a count to an integer of SQLite.
pub(super) fn to_signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

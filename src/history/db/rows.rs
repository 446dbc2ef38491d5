//! The shape of the database: its tables, and summaries as rows of them.

use convex_client::OrderPoints;
use rusqlite::{Row, Statement, params};

use crate::history::summary::{Latency, Summary};

/// Says in the file's header whose database it is: `CPMh`.
pub(in crate::history) const APPLICATION: i64 = 0x4350_4d68;

/// The version of its shape.
pub(in crate::history) const VERSION: i64 = 1;

/// Minutes are kept for so long.
pub const MINUTES_KEPT: u32 = 24 * 60;

/// Hours are kept for so long.
pub const HOURS_KEPT: u32 = 90 * 24;

/// How fine summaries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// One a minute.
    Minute,
    /// One an hour.
    Hour,
}

impl Resolution {
    pub(in crate::history) const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    pub(in crate::history) const fn table(self) -> &'static str {
        match self {
            Self::Minute => "minutes",
            Self::Hour => "hours",
        }
    }

    /// Minutes of one step.
    #[must_use]
    pub const fn minutes(self) -> u32 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
        }
    }

    pub(in crate::history) const fn kept(self) -> u32 {
        match self {
            Self::Minute => MINUTES_KEPT,
            Self::Hour => HOURS_KEPT,
        }
    }
}

/// The figures of a summary, as columns. What is 0 or absent takes one byte.
pub(in crate::history) const COLUMNS: &str = "good, failed, own, maintenance, good_ms, failed_ms, maintenance_ms, \
     unknown, up, degraded, down, \
     http_count, http_sum_us, http_min_us, http_max_us, tcp_count, tcp_sum_us, tcp_min_us, tcp_max_us, \
     block, proposal, consensus, finality, state_block, worst_lag";

pub(in crate::history) fn schema() -> String {
    let table = |resolution: Resolution| {
        // Time comes first in the key: a batch is written at the end, and the oldest go in one piece.
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

/// Adds a summary to what is there of its step, as [`Summary::merge`] does.
pub(in crate::history) fn upsert(resolution: Resolution) -> String {
    let columns = COLUMNS.split(", ").map(str::trim);
    let merged = columns.clone().map(|column| {
        let merge = match column {
            "block" | "proposal" | "consensus" | "finality" | "state_block" => {
                format!("coalesce(excluded.{column}, {column})")
            }
            // The functions of several arguments are absent when one of them is.
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
    let places: Vec<String> = (1..=columns.count() + 2).map(|i| format!("?{i}")).collect();
    format!(
        "INSERT INTO {}(at, peer, {COLUMNS}) VALUES ({}) ON CONFLICT(at, peer) DO UPDATE SET {}",
        resolution.table(),
        places.join(", "),
        merged.join(", ")
    )
}

pub(in crate::history) fn insert(
    statement: &mut Statement<'_>,
    step: u32,
    peer: i64,
    summary: &Summary,
) -> Result<(), rusqlite::Error> {
    let [http, tcp] = &summary.latency;
    let [unknown, up, degraded, down] = summary.by_health.map(signed);
    let level = |level: fn(OrderPoints) -> i64| summary.order.map(level);
    statement.execute(params![
        step,
        peer,
        signed(summary.good),
        signed(summary.failed),
        signed(summary.excused),
        signed(summary.maintenance),
        signed(summary.good_ms),
        signed(summary.failed_ms),
        signed(summary.maintenance_ms),
        unknown,
        up,
        degraded,
        down,
        signed(http.count),
        signed(http.sum_us),
        signed(http.min_us),
        signed(http.max_us),
        signed(tcp.count),
        signed(tcp.sum_us),
        signed(tcp.min_us),
        signed(tcp.max_us),
        level(|order| order.block),
        level(|order| order.proposal),
        level(|order| order.consensus),
        level(|order| order.finality),
        summary.state_block,
        summary.worst_lag,
    ])?;
    Ok(())
}

pub(in crate::history) fn summary(row: &Row<'_>) -> Result<Summary, rusqlite::Error> {
    let count = |i: usize| row.get::<_, i64>(i).map(|n| u64::try_from(n).unwrap_or(0));
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

/// A count as SQLite holds it.
pub(in crate::history) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

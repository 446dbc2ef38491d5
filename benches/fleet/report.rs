//! What was measured, as tables for people and as JSON.

use comfy_table::{CellAlignment, Table, presets};
use convex_peer_monitor::peer::Transport;
use serde::Serialize;

use crate::INTERVAL;
use crate::machine::Machine;
use crate::spread::{Spread, digits};

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// CPU time that all processes took while this was measured, in percent of all cores.
    pub(crate) busy_percent: f64,
    /// Whether what is measured had a core for itself.
    pub(crate) pinned: bool,
    pub(crate) rows: Vec<Row>,
    pub(crate) scrapes: Vec<ScrapeRow>,
}

/// Who polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Who {
    Agent,
    Floor,
    Blackbox,
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Agent => "the agent",
            Self::Floor => "bare exchange",
            Self::Blackbox => "blackbox exporter",
        }
    }
}

/// One program on one fleet.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    who: Who,
    transport: &'static str,
    targets: usize,
    /// CPU time a poll, over the rounds.
    cpu_us: Spread,
    /// By round.
    cpu_seconds: Vec<f64>,
    resident_bytes: u64,
    kept: Option<Kept>,
}

/// How well the agent keeps its schedule.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Kept {
    /// From the start of the program until every peer was polled.
    pub(crate) polled_once_s: f64,
    /// Since the start.
    pub(crate) missed: f64,
    pub(crate) delay_p50_ms: f64,
    pub(crate) delay_p99_ms: f64,
}

/// The scrapes of one fleet in one detail.
#[derive(Debug, Serialize)]
pub(crate) struct ScrapeRow {
    pub(crate) transport: &'static str,
    pub(crate) targets: usize,
    pub(crate) detail: &'static str,
    pub(crate) series: f64,
    /// From the request to the last byte.
    pub(crate) ms: Spread,
    /// Of the agent, compression included.
    pub(crate) cpu_ms: f64,
    pub(crate) gzip_bytes: usize,
    pub(crate) plain_bytes: usize,
}

impl Row {
    /// A program that polls each of `targets` once a round and has taken so many seconds of CPU in each.
    pub(crate) fn new(who: Who, transport: Transport, targets: usize, cpu: &[f64]) -> Self {
        let polls = float(targets);
        Self {
            who,
            transport: transport.as_str(),
            targets,
            cpu_us: Spread::of(cpu.iter().map(|seconds| seconds / polls * 1e6)),
            cpu_seconds: cpu.to_vec(),
            resident_bytes: 0,
            kept: None,
        }
    }

    pub(crate) const fn resident(mut self, bytes: u64) -> Self {
        self.resident_bytes = bytes;
        self
    }

    pub(crate) const fn kept(mut self, kept: Kept) -> Self {
        self.kept = Some(kept);
        self
    }

    /// Cores that it keeps busy.
    pub(crate) fn cores(&self) -> f64 {
        self.cpu_us.median / 1e6 * float(self.targets) / INTERVAL.as_secs_f64()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and sizes of a benchmark are far below 2^53"
)]
const fn float(count: usize) -> f64 {
    count as f64
}

impl Report {
    /// The machine as a list and the figures as tables, in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let place = if self.pinned {
            "what is measured had one core for itself, its targets and callers the others"
        } else {
            "all programs shared all cores"
        };
        format!(
            "{}\n- {place}\n- all programs together took {:.0} % of the machine meanwhile\n\n{}\n\n{}",
            self.machine.markdown(),
            self.busy_percent,
            self.table(),
            self.scrapes()
        )
    }

    fn table(&self) -> Table {
        let mut table = table([
            "by",
            "over",
            "peers",
            "CPU a poll, µs (rounds)",
            "of a core, %",
            "memory, MiB",
            "KiB a further peer",
            "missed polls",
            "delay p50, ms",
            "delay p99, ms",
            "all polled after, s",
        ]);
        for row in &self.rows {
            let kept = |of: fn(&Kept) -> f64, places: usize| {
                row.kept
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), |kept| format!("{:.places$}", of(kept)))
            };
            table.add_row([
                row.who.name().to_owned(),
                row.transport.to_owned(),
                row.targets.to_string(),
                row.cpu_us.told(),
                format!("{:.1}", row.cores() * 100.0),
                digits(mib(row.resident_bytes)),
                self.kib_a_further_peer(row)
                    .map_or_else(|| "–".to_owned(), digits),
                kept(|kept| kept.missed, 0),
                kept(|kept| kept.delay_p50_ms, 2),
                kept(|kept| kept.delay_p99_ms, 2),
                kept(|kept| kept.polled_once_s, 1),
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// What each peer takes that a smaller fleet does not have.
    fn kib_a_further_peer(&self, row: &Row) -> Option<f64> {
        let smallest = self.rows.iter().find(|other| {
            other.who == row.who && other.transport == row.transport && other.targets < row.targets
        })?;
        let more = mib(row.resident_bytes) - mib(smallest.resident_bytes);
        Some(more * 1024.0 / float(row.targets - smallest.targets))
    }

    fn scrapes(&self) -> Table {
        let mut table = table([
            "over",
            "peers",
            "detail",
            "series",
            "scrape, ms",
            "CPU, ms",
            "CPU a million series, s",
            "kB with gzip",
            "kB without",
        ]);
        for row in &self.scrapes {
            table.add_row([
                row.transport.to_owned(),
                row.targets.to_string(),
                row.detail.to_owned(),
                row.series.to_string(),
                row.ms.told(),
                digits(row.cpu_ms),
                format!("{:.2}", row.cpu_ms / row.series * 1e3),
                digits(float(row.gzip_bytes) / 1e3),
                digits(float(row.plain_bytes) / 1e3),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::ASCII_MARKDOWN)
        .set_header(header);
    table
}

#[expect(
    clippy::cast_precision_loss,
    reason = "memory of a process is far below 2^53 bytes"
)]
const fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

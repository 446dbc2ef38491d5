//! The results, as Markdown tables and as JSON.

use comfy_table::{CellAlignment, Table, presets};
use convex_client::Transport;
use serde::Serialize;

use crate::INTERVAL;
use crate::machine::Machine;
use crate::spread::{Spread, digits};

/// All results.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// CPU time of all processes during the measurement, in percent of all cores.
    pub(crate) busy_percent: f64,
    /// Whether the measured program had its own core.
    pub(crate) pinned: bool,
    pub(crate) rows: Vec<Row>,
    pub(crate) scrapes: Vec<ScrapeRow>,
    pub(crate) honesty: Vec<HonestyRow>,
}

/// The measured program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum ConfiguredIdentity {
    Agent,
    /// One of several agents: its number and their count.
    Shard(u32, u32),
    Floor,
    Blackbox,
}

impl ConfiguredIdentity {
    fn name(self) -> String {
        match self {
            Self::Agent => "the agent".to_owned(),
            Self::Shard(number, of) => format!("shard {number}/{of}"),
            Self::Floor => "bare exchange".to_owned(),
            Self::Blackbox => "blackbox exporter".to_owned(),
        }
    }
}

/// Results of one program with one fleet.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    who: ConfiguredIdentity,
    transport: &'static str,
    targets: usize,
    /// CPU time per poll, over the rounds.
    cpu_us: Spread,
    /// CPU time of each round.
    cpu_seconds: Vec<f64>,
    resident_kib: f64,
    kept: Option<Kept>,
}

/// Punctuality of the agent.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Kept {
    /// Time from the start of the program until every peer was polled.
    pub(crate) polled_once_s: f64,
    /// Number of missed polls since the start.
    pub(crate) missed: f64,
    pub(crate) delay_p50_ms: f64,
    pub(crate) delay_p99_ms: f64,
}

/// Results of the scrapes of one fleet in one detail.
#[derive(Debug, Serialize)]
pub(crate) struct ScrapeRow {
    pub(crate) transport: &'static str,
    pub(crate) targets: usize,
    pub(crate) detail: &'static str,
    pub(crate) series: f64,
    /// Time from the request to the last byte.
    pub(crate) ms: Spread,
    /// CPU time of the agent, including compression.
    pub(crate) cpu_ms: f64,
    /// CPU time of four concurrent scrapes.
    pub(crate) four_cpu_ms: f64,
    pub(crate) gzip_bytes: usize,
    pub(crate) plain_bytes: usize,
}

/// Reported latencies compared with bare ones.
#[derive(Debug, Serialize)]
pub(crate) struct HonestyRow {
    pub(crate) fleet: String,
    /// Number of polls of peers that answer.
    pub(crate) polls: usize,
    /// Latency of a bare exchange of the same bytes with the same peers.
    pub(crate) floor: Latency,
    /// Latency in the metrics of the agent.
    pub(crate) reported: Latency,
}

/// Latency of polls, in µs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    p50: f64,
    p99: f64,
}

impl Latency {
    /// Calculates the quantiles of durations in seconds.
    pub(crate) fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_unstable_by(f64::total_cmp);
        let at = |percent: usize| {
            let last = seconds.len().saturating_sub(1);
            seconds
                .get(last * percent / 100)
                .map_or(f64::NAN, |it| it * 1e6)
        };
        Self {
            p50: at(50),
            p99: at(99),
        }
    }
}

impl Row {
    /// Makes the row of a program that polls each target once per round, from its CPU seconds in
    /// each round.
    pub(crate) fn new(
        who: ConfiguredIdentity,
        transport: Transport,
        targets: usize,
        cpu: &[f64],
    ) -> Self {
        let polls = float(targets);
        Self {
            who,
            transport: transport.as_str(),
            targets,
            cpu_us: Spread::of(cpu.iter().map(|seconds| seconds / polls * 1e6)),
            cpu_seconds: cpu.to_vec(),
            resident_kib: 0.0,
            kept: None,
        }
    }

    pub(crate) const fn resident(mut self, kib: f64) -> Self {
        self.resident_kib = kib;
        self
    }

    pub(crate) const fn kept(mut self, kept: Kept) -> Self {
        self.kept = Some(kept);
        self
    }

    /// Returns the number of cores that the program keeps busy.
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
    /// Formats the machine as a list and the results as tables, in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let place = if self.pinned {
            "what is measured had one core for itself, its targets and callers the others"
        } else {
            "all programs shared all cores"
        };
        format!(
            "{}\n- {place}\n- all programs together took {:.0} % of the machine meanwhile\n\n{}\n\n{}\n\n{}",
            self.machine.markdown(),
            self.busy_percent,
            self.table(),
            self.scrapes(),
            self.honesty()
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
                row.who.name(),
                row.transport.to_owned(),
                row.targets.to_string(),
                row.cpu_us.format(),
                format!("{:.1}", row.cores() * 100.0),
                digits(row.resident_kib / 1024.0),
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

    /// Returns the memory per peer in addition to that of a smaller fleet, in KiB.
    fn kib_a_further_peer(&self, row: &Row) -> Option<f64> {
        let smallest = self.rows.iter().find(|other| {
            other.who == row.who && other.transport == row.transport && other.targets < row.targets
        })?;
        let more = row.resident_kib - smallest.resident_kib;
        Some(more / float(row.targets - smallest.targets))
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
            "CPU of four at once, ms",
            "kB with gzip",
            "kB without",
        ]);
        for row in &self.scrapes {
            table.add_row([
                row.transport.to_owned(),
                row.targets.to_string(),
                row.detail.to_owned(),
                row.series.to_string(),
                row.ms.format(),
                digits(row.cpu_ms),
                format!("{:.2}", row.cpu_ms / row.series * 1e3),
                digits(row.four_cpu_ms),
                digits(float(row.gzip_bytes) / 1e3),
                digits(float(row.plain_bytes) / 1e3),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn honesty(&self) -> Table {
        let mut table = table([
            "peers",
            "polls",
            "bare p50, µs",
            "reported p50, µs",
            "more, µs",
            "bare p99, µs",
            "reported p99, µs",
            "more, µs",
        ]);
        for HonestyRow {
            fleet,
            polls,
            floor,
            reported,
        } in &self.honesty
        {
            table.add_row([
                fleet.clone(),
                polls.to_string(),
                digits(floor.p50),
                digits(reported.p50),
                digits(reported.p50 - floor.p50),
                digits(floor.p99),
                digits(reported.p99),
                digits(reported.p99 - floor.p99),
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

//! The results, as a Markdown table and as JSON.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::Bytes;
use crate::machine::Machine;
use crate::round::Round;
use crate::way::{Medium, Query};

/// All results.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// The Java version of the peer.
    pub(crate) java: String,
    /// CPU time of the idle peer, in seconds per second, which is subtracted from the results.
    pub(crate) idle_peer_cpu: f64,
    /// CPU time of other processes during the measurement, in percent of all cores.
    pub(crate) others_percent: f64,
    pub(crate) rows: Vec<Row>,
}

/// Results of one way: medians over the rounds, on which a single disturbed round has little
/// effect.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    asked: &'static str,
    transport: &'static str,
    p50_us: f64,
    p50_us_of_best_and_worst_round: [f64; 2],
    p99_us: f64,
    per_second: f64,
    bytes: Option<Bytes>,
    peer_cpu_us: f64,
    client_cpu_us: Option<f64>,
    rounds: Vec<Round>,
}

impl Row {
    pub(crate) fn new(
        question: Query,
        medium: Medium,
        bytes: Option<Bytes>,
        idle_peer_cpu: f64,
        rounds: Vec<Round>,
    ) -> Self {
        let p50 = sorted(&rounds, |round| round.p50_us);
        let of_an_answer = |round: &Round, seconds: f64| seconds / f64::from(round.answers) * 1e6;
        let peer_cpu_us = median(&rounds, |round| {
            of_an_answer(
                round,
                round.peer_cpu_seconds - idle_peer_cpu * round.seconds,
            )
        });
        let client_cpu_us = median(&rounds, |round| {
            of_an_answer(round, round.client_cpu_seconds)
        });
        Self {
            asked: question.name(),
            transport: medium.name(),
            p50_us: p50[p50.len() / 2],
            p50_us_of_best_and_worst_round: [p50[0], p50[p50.len() - 1]],
            p99_us: median(&rounds, |round| round.p99_us),
            per_second: median(&rounds, |round| round.per_second),
            bytes,
            peer_cpu_us,
            client_cpu_us: (medium != Medium::Local).then_some(client_cpu_us),
            rounds,
        }
    }
}

fn sorted(rounds: &[Round], of: impl Fn(&Round) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    let values = sorted(rounds, of);
    values[values.len() / 2]
}

/// Formats a value with at least two digits.
fn us(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

impl Report {
    /// Formats the machine as a list and the results as a table, in Markdown.
    pub(crate) fn markdown(&self) -> String {
        format!(
            "{}\n- peer: Convex 0.8.0 on {}\n- other processes took {:.0} % of the machine meanwhile; an idle peer's {:.1} ms of \
             CPU a second are taken off\n\n{}",
            self.machine.markdown(),
            self.java,
            self.others_percent.max(0.0),
            self.idle_peer_cpu * 1e3,
            self.table()
        )
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN).set_header([
            "asked",
            "by",
            "p50, µs (rounds)",
            "p99, µs",
            "a second",
            "bytes sent",
            "bytes received",
            "peer's CPU, µs",
            "client's CPU, µs",
        ]);
        for row in &self.rows {
            let [best, worst] = row.p50_us_of_best_and_worst_round;
            let bytes = |of: fn(&Bytes) -> usize| {
                row.bytes
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), |bytes| of(bytes).to_string())
            };
            table.add_row([
                row.asked.to_owned(),
                row.transport.to_owned(),
                format!("{} ({}–{})", us(row.p50_us), us(best), us(worst)),
                us(row.p99_us),
                format!("{:.0}", row.per_second),
                bytes(|bytes| bytes.sent),
                bytes(|bytes| bytes.received),
                us(row.peer_cpu_us),
                row.client_cpu_us.map_or_else(|| "–".to_owned(), us),
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

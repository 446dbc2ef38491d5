//! What a round saw, as a table that a person reads: a row for each endpoint, and what speaks for its verdict.

use std::time::{Duration, SystemTime};

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, presets,
};
use convex_client::{Attempt, ErrorReply, PollAnswer};
use tokio::time::Instant;

use crate::cli::terminal::harmless;
use crate::fleet::EndpointObservation;
use crate::fleet::{Condition, Health, PeerRecord};

use super::Seen;

/// The columns that are always there, and those that are left out where there is no room, in the order they stand in.
const COLUMNS: [&str; 9] = [
    "PEER",
    "HEALTH",
    "VIA",
    "LATENCY",
    "ORDER",
    "STATE",
    "ACCOUNTS",
    "BYTES",
    "PHASES, ms",
];

/// So many columns are always there.
const FIXED: usize = 4;

/// Columns of numbers.
const NUMBERS: [usize; 4] = [3, 5, 6, 7];

/// Between two columns.
const GAP: usize = 2;

/// Evidence stands beside what it speaks for where it gets so much room, else below.
const EVIDENCE_BESIDE: usize = 44;

/// Beside evidence at least so many columns: fewer, and it stands below.
const BESIDE: usize = 7;

/// How far evidence below stands to the right.
const INDENT: usize = 4;

/// Names are not cut shorter than this.
const SHORTEST_NAME: usize = 12;

/// The longest text of a stranger in the table, characters.
const STRANGE_CHARS: usize = 200;

/// What stands for what is not known.
const NONE: &str = "-";

/// What is told of one endpoint.
struct Row {
    /// As [`COLUMNS`] has them.
    cells: [String; COLUMNS.len()],
    health: Health,
    failed: bool,
    evidence: Vec<String>,
}

/// How the rows are laid out.
struct Layout {
    /// So many of [`COLUMNS`].
    shown: usize,
    beside: bool,
}

/// A table of at most `width` columns; without one of as many as it takes.
pub(super) fn table(seen: &[&Seen], width: Option<usize>, colored: bool, now: Instant) -> String {
    let mut rows: Vec<Row> = seen.iter().flat_map(|seen| rows(seen, now)).collect();
    let layout = layout(&mut rows, width);
    let rendered = if layout.beside {
        beside(&rows, layout.shown, width, colored)
    } else {
        below(&rows, layout.shown, width.unwrap_or(usize::MAX), colored)
    };
    let lines: Vec<&str> = rendered.iter().map(|line| line.trim_end()).collect();
    lines.join("\n") + "\n"
}

/// Finds the layout that shows most; cuts names where none fits.
fn layout(rows: &mut [Row], width: Option<usize>) -> Layout {
    let Some(width) = width else {
        return Layout {
            shown: COLUMNS.len(),
            beside: true,
        };
    };
    shorten_names(rows, width / 3);
    let longest = |column: usize| {
        let cells = rows.iter().map(|row| row.cells[column].chars().count());
        cells.max().unwrap_or(0).max(COLUMNS[column].len()) + GAP
    };
    let taken: Vec<usize> = (0..COLUMNS.len())
        .scan(0, |sum, column| {
            *sum += longest(column);
            Some(*sum)
        })
        .collect();
    for shown in (BESIDE..=COLUMNS.len()).rev() {
        let evidence = rows.iter().map(|row| row.beside(shown).chars().count());
        let wanted = evidence.max().unwrap_or(0).min(EVIDENCE_BESIDE);
        if taken[shown - 1] + wanted <= width {
            return Layout {
                shown,
                beside: true,
            };
        }
    }
    let fits = |shown: &usize| taken[shown - 1] - GAP <= width;
    let shown = (FIXED..=BESIDE).rev().find(fits).unwrap_or_else(|| {
        let besides = taken[FIXED - 1] - taken[0];
        let room = width.saturating_sub(besides);
        shorten_names(rows, room);
        FIXED
    });
    Layout {
        shown,
        beside: false,
    }
}

fn shorten_names(rows: &mut [Row], room: usize) {
    for row in rows {
        row.cells[0] = without_middle(&row.cells[0], room.max(SHORTEST_NAME));
    }
}

fn beside(rows: &[Row], shown: usize, width: Option<usize>, colored: bool) -> Vec<String> {
    let mut table = blank(colored);
    let headings = COLUMNS[..shown].iter().chain([&"EVIDENCE"]);
    table.set_header(headings.map(|heading| heading_cell(heading)));
    for row in rows {
        let evidence = row.evidence_cell(row.beside(shown));
        table.add_row(row.cells(shown).chain([evidence]));
    }
    pad(&mut table, shown);
    if let Some(width) = width {
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        table.set_content_arrangement(ContentArrangement::Dynamic);
        for column in table.column_iter_mut().take(shown) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.lines().collect()
}

/// Each row on one line, its evidence on those that follow.
fn below(rows: &[Row], shown: usize, width: usize, colored: bool) -> Vec<String> {
    let mut table = blank(colored);
    table.set_header(COLUMNS[..shown].iter().map(|heading| heading_cell(heading)));
    for row in rows {
        table.add_row(row.cells(shown));
    }
    pad(&mut table, shown);
    let mut heads = table.lines();
    let mut lines: Vec<String> = heads.next().into_iter().collect();
    for (row, head) in rows.iter().zip(heads) {
        lines.push(head);
        let mut evidence = blank(colored);
        evidence.add_row([row.evidence_cell(row.beside(shown))]);
        if let Some(column) = evidence.column_mut(0) {
            let indent = u16::try_from(INDENT).unwrap_or(0);
            column.set_padding((indent, 0));
        }
        evidence.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        evidence.set_content_arrangement(ContentArrangement::Dynamic);
        lines.extend(evidence.lines());
    }
    lines
}

fn blank(colored: bool) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).style_text_only();
    if colored {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn heading_cell(heading: &str) -> Cell {
    Cell::new(heading).add_attribute(Attribute::Bold)
}

/// Sets apart the columns, of which the first `shown` are [`COLUMNS`].
fn pad(table: &mut Table, shown: usize) {
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, u16::try_from(GAP).unwrap_or(0)));
        if i < shown && NUMBERS.contains(&i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

impl Row {
    fn cells(&self, shown: usize) -> impl Iterator<Item = Cell> {
        let health = match self.health {
            Health::Up => Color::Green,
            Health::Degraded => Color::Yellow,
            Health::Down => Color::Red,
            Health::Unknown => Color::Magenta,
        };
        self.cells[..shown]
            .iter()
            .enumerate()
            .map(move |(i, text)| {
                let cell = Cell::new(text);
                match COLUMNS[i] {
                    "HEALTH" if !text.is_empty() => cell.fg(health).add_attribute(Attribute::Bold),
                    _ => cell,
                }
            })
    }

    fn evidence_cell(&self, text: String) -> Cell {
        let cell = Cell::new(text);
        if self.failed {
            cell.fg(Color::Red)
        } else {
            cell
        }
    }

    /// The evidence where only `shown` columns are: the others' figures are part of it.
    fn beside(&self, shown: usize) -> String {
        let left_out = (shown..COLUMNS.len()).filter(|i| self.cells[*i] != NONE);
        let left_out = left_out.map(|i| {
            let value = &self.cells[i];
            match COLUMNS[i] {
                "ORDER" => format!("order {value}"),
                "STATE" => format!("state {value}"),
                "ACCOUNTS" => format!("{value} accounts"),
                "BYTES" => format!("{value} bytes"),
                _ => format!("{value} ms"),
            }
        });
        let parts: Vec<String> = self.evidence.iter().cloned().chain(left_out).collect();
        parts.join("; ")
    }
}

/// A row for each endpoint; what is the peer's as a whole stands in its first one.
fn rows(seen: &Seen, now: Instant) -> Vec<Row> {
    let record = &seen.record;
    let of = |(i, probed): (usize, &EndpointObservation)| {
        let first = |text: &str| if i == 0 { text } else { "" }.to_owned();
        let attempt = &probed.attempt;
        let [order, state, accounts] = facts(record, attempt, now);
        let failed = probed.failure.is_some();
        let bytes = attempt.response_bytes;
        let known = |text: String| {
            if text.is_empty() {
                NONE.to_owned()
            } else {
                text
            }
        };
        let mut evidence = Vec::new();
        evidence.extend(probed.failure.as_ref().map(|failure| {
            let message = harmless(&failure.message, STRANGE_CHARS);
            format!("{}: {message}", failure.reason)
        }));
        if i == 0 {
            evidence.extend(conditions(record, now));
        }
        evidence.extend(answered(probed, record));
        Row {
            cells: [
                first(&harmless(&record.peer.name, STRANGE_CHARS)),
                first(record.health.as_str()),
                probed.transport.to_string(),
                probed
                    .took
                    .map_or_else(|| NONE.to_owned(), |took| format!("{} ms", ms(took))),
                known(order),
                known(state),
                known(accounts),
                known(if bytes > 0 {
                    bytes.to_string()
                } else {
                    String::new()
                }),
                known(phases(attempt)),
            ],
            health: record.health,
            failed,
            evidence,
        }
    };
    seen.observation
        .endpoints
        .iter()
        .enumerate()
        .map(of)
        .collect()
}

/// Order, state block and accounts as the endpoint told them; empty where it did not.
fn facts(record: &PeerRecord, attempt: &Attempt, now: Instant) -> [String; 3] {
    let order = attempt.status.as_ref().map(|status| {
        let points = status
            .value
            .order
            .by_level()
            .map(|points| points.to_string());
        format!("{} {}", points.join("/"), record.order_state(now).as_str())
    });
    let number = |number: fn(&PollAnswer) -> Option<i64>| {
        let number = figures(attempt).and_then(number);
        number.map(|number| number.to_string()).unwrap_or_default()
    };
    [
        order.unwrap_or_default(),
        number(|figures| figures.state_block),
        number(|figures| figures.accounts),
    ]
}

fn figures(attempt: &Attempt) -> Option<&PollAnswer> {
    attempt.query.as_ref()?.value.as_ref().ok()
}

/// The steps of the attempt with their times, also of one that failed later.
fn phases(attempt: &Attempt) -> String {
    let phases = attempt.phases;
    let steps = [
        ("resolve", phases.resolve),
        ("connect", phases.connect),
        ("tls", phases.tls),
        ("status", attempt.status.as_ref().map(|status| status.took)),
        ("query", attempt.query.as_ref().map(|query| query.took)),
    ];
    let steps: Vec<String> = steps
        .into_iter()
        .filter_map(|(step, took)| Some(format!("{step} {}", ms(took?))))
        .collect();
    steps.join(", ")
}

fn ms(took: Duration) -> String {
    format!("{:.1}", took.as_secs_f64() * 1000.0)
}

/// What is in force against a peer besides that an endpoint fails, which its row tells.
fn conditions(record: &PeerRecord, now: Instant) -> Vec<String> {
    let told = |condition: &Condition| {
        let label = condition.as_str();
        match condition {
            // The row of the endpoint tells it.
            Condition::Failing(_) | Condition::EndpointFailing | Condition::QueryError => None,
            Condition::ClockSkew => Some(match record.clock(now) {
                Some(clock) => format!("{label} {:+.2} s ± {:.2} s", clock.skew, clock.uncertainty),
                None => label.to_owned(),
            }),
            _ => Some(label.to_owned()),
        }
    };
    record.conditions.iter().filter_map(told).collect()
}

/// What an endpoint's answers show.
fn answered(probed: &EndpointObservation, record: &PeerRecord) -> Vec<String> {
    let attempt = &probed.attempt;
    let mut found = Vec::new();
    if let Some(Err(ErrorReply { code, message })) =
        attempt.query.as_ref().map(|query| &query.value)
    {
        let (code, message) = (
            harmless(code, STRANGE_CHARS),
            harmless(message, STRANGE_CHARS),
        );
        found.push(format!("query_error: :{code} {message}"));
    }
    if let Some(status) = &attempt.status {
        let pinned = |is: bool| if is { " (as pinned)" } else { "" };
        let (key, genesis) = (status.value.peer_key, status.value.genesis);
        found.push(format!(
            "key {}{}",
            short(&key.to_string()),
            pinned(record.peer.key == Some(key))
        ));
        found.push(format!(
            "genesis {}{}",
            short(&genesis.to_string()),
            pinned(record.peer.genesis == Some(genesis))
        ));
    }
    if let Some(ends) = attempt.certificate_ends {
        found.push(format!("certificate until {}", day(ends)));
    }
    if probed.retries > 0 {
        let tries = if probed.retries == 1 {
            "retry"
        } else {
            "retries"
        };
        found.push(format!("after {} {tries}", probed.retries));
    }
    found
}

/// The day of a time, in UTC.
fn day(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

fn short(hash: &str) -> String {
    format!("{}…", &hash[..hash.len().min(10)])
}

/// `text` in `room` characters, with its beginning and its end: of an endpoint the port tells more than the middle.
fn without_middle(text: &str, room: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= room {
        return text.to_owned();
    }
    let kept = room.saturating_sub(1);
    let (head, tail) = (kept - kept / 2, kept / 2);
    let head = chars[..head].iter();
    head.chain(&['…'])
        .chain(&chars[chars.len() - tail..])
        .collect()
}

#[cfg(test)]
mod tests;

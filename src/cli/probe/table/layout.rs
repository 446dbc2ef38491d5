//! Layout of the table: which columns fit into the terminal, and where the evidence goes.

use std::fmt::Write;

use anstyle::{Ansi256Color, Color, Style};
use unicode_width::UnicodeWidthStr;

use crate::cli::terminal::split_at_width;
use crate::fleet::Health;

/// Shown for a value that is not known.
pub(super) const UNKNOWN: &str = "-";

/// Headings of the columns. Those that do not fit are left out from the end.
const HEADINGS: [&str; 9] = [
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

/// Index of the column `HEALTH`.
const HEALTH_COLUMN: usize = 1;

/// Indexes of the columns that are aligned to the right.
const RIGHT_ALIGNED: [usize; 4] = [3, 5, 6, 7];

/// Number of columns that are never left out.
const MIN_COLUMNS: usize = 4;

/// Minimum number of columns for the evidence to be a column too.
const MIN_COLUMNS_BESIDE: usize = 7;

/// Width of the evidence from which it can be a column; narrower, it goes below its row.
const MIN_EVIDENCE_WIDTH: usize = 44;

/// Spaces between two columns.
const GAP: usize = 2;

/// Indent of evidence below its row.
const INDENT: usize = 4;

/// Style of trouble.
const RED: Style = Style::new().fg_color(Some(Color::Ansi256(Ansi256Color(9))));

/// Shortest width to which names are cut.
const MIN_NAME_WIDTH: usize = 12;

/// The row of an endpoint.
pub(super) struct Row {
    /// Values of the columns [`HEADINGS`].
    pub(super) cells: [String; HEADINGS.len()],
    pub(super) health: Health,
    /// Whether the last poll of the endpoint failed.
    pub(super) failed: bool,
    pub(super) evidence: Vec<String>,
}

/// How the rows are laid out.
struct Layout {
    /// Number of columns.
    columns: usize,
    /// Whether the evidence is the last column, instead of below each row.
    beside: bool,
}

/// Formats a table of at most `width` columns, if given.
pub(super) fn format(mut rows: Vec<Row>, width: Option<usize>, colored: bool) -> String {
    let Layout { columns, beside } = layout(&mut rows, width);
    let widths: Vec<usize> = (0..columns).map(|i| column_width(&rows, i)).collect();
    let taken: usize = widths.iter().map(|width| width + GAP).sum();
    let indent = if beside { taken } else { INDENT };
    let evidence_width = width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(1));
    let styles = Styles { colored };

    let bold = styles.bold();
    let mut headings: Vec<_> = HEADINGS[..columns].iter().map(|it| (*it, bold)).collect();
    if beside {
        headings.push(("EVIDENCE", bold));
    }
    let mut lines = vec![line(&headings, &widths)];
    for row in &rows {
        let evidence = row.evidence(columns);
        let mut evidence = wrap(&evidence, evidence_width).into_iter();
        let style = styles.evidence(row);
        let mut cells = row.cells(columns, styles);
        if beside {
            cells.extend(evidence.next().map(|text| (text, style)));
        }
        lines.push(line(&cells, &widths));
        lines.extend(evidence.map(|text| format!("{:indent$}{style}{text}{style:#}", "")));
    }
    lines.join("\n") + "\n"
}

/// Formats a text below the table in lines of at most `width` columns. `bad`: whether it reports
/// trouble.
pub(super) fn format_note(text: &str, bad: bool, width: Option<usize>, colored: bool) -> String {
    let style = Styles { colored }.note(bad);
    let lines = wrap(text, width.unwrap_or(usize::MAX)).into_iter();
    let lines = lines.map(|line| format!("{style}{line}{style:#}"));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Chooses the layout that shows most, and cuts names if none fits.
fn layout(rows: &mut [Row], width: Option<usize>) -> Layout {
    let Some(width) = width else {
        return Layout {
            columns: HEADINGS.len(),
            beside: true,
        };
    };
    shorten_names(rows, width / 3);
    // Width of the first n columns with the gaps after them.
    let taken: Vec<usize> = (0..=HEADINGS.len())
        .map(|n| (0..n).map(|i| column_width(rows, i) + GAP).sum())
        .collect();
    for columns in (MIN_COLUMNS_BESIDE..=HEADINGS.len()).rev() {
        let evidence = rows.iter().map(|row| row.evidence(columns).width()).max();
        let wanted = evidence.unwrap_or(0).min(MIN_EVIDENCE_WIDTH);
        if taken[columns] + wanted <= width {
            return Layout {
                columns,
                beside: true,
            };
        }
    }
    let fits = |columns: &usize| taken[*columns] - GAP <= width;
    let columns = (MIN_COLUMNS..=MIN_COLUMNS_BESIDE).rev().find(fits);
    let columns = columns.unwrap_or_else(|| {
        let others = taken[MIN_COLUMNS] - taken[1];
        shorten_names(rows, width.saturating_sub(others));
        MIN_COLUMNS
    });
    Layout {
        columns,
        beside: false,
    }
}

fn column_width(rows: &[Row], column: usize) -> usize {
    let cells = rows.iter().map(|row| row.cells[column].width());
    cells.max().unwrap_or(0).max(HEADINGS[column].width())
}

fn shorten_names(rows: &mut [Row], width: usize) {
    for row in rows {
        row.cells[0] = without_middle(&row.cells[0], width.max(MIN_NAME_WIDTH));
    }
}

/// Joins cells to a line; those beyond `widths` are not padded.
fn line(cells: &[(&str, Style)], widths: &[usize]) -> String {
    let mut line = String::new();
    for (i, (text, style)) in cells.iter().enumerate() {
        let width = widths.get(i).copied().unwrap_or(0);
        let padding = " ".repeat(width.saturating_sub(text.width()));
        let text = format!("{style}{text}{style:#}");
        let (before, after) = if RIGHT_ALIGNED.contains(&i) {
            (&*padding, "")
        } else {
            ("", &*padding)
        };
        write!(line, "{before}{text}{after}{:GAP$}", "")
            .expect("writing to a String does not fail");
    }
    line.truncate(line.trim_end().len());
    line
}

/// Wraps a text at its spaces into lines of at most `width` columns. Longer words are split.
fn wrap(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (fits, more) = split_at_width(rest, width);
        let end = if more.is_empty() || more.starts_with(' ') {
            fits.len()
        } else {
            match fits.rfind(' ') {
                Some(space) => space,
                // At least one character, even if it is wider than the line.
                None => fits
                    .len()
                    .max(rest.chars().next().map_or(0, char::len_utf8)),
            }
        };
        lines.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(' ');
    }
    lines
}

/// Styles of text; none if not coloured.
#[derive(Clone, Copy)]
struct Styles {
    colored: bool,
}

impl Styles {
    fn bold(self) -> Style {
        self.if_colored(Style::new().bold())
    }

    fn health(self, health: Health) -> Style {
        // The bright variants, which are readable on dark and light backgrounds.
        let color = match health {
            Health::Up => 10,
            Health::Degraded => 11,
            Health::Down => 9,
            Health::Unknown => 13,
        };
        self.if_colored(
            Style::new()
                .bold()
                .fg_color(Some(Ansi256Color(color).into())),
        )
    }

    fn note(self, bad: bool) -> Style {
        self.if_colored(if bad { RED } else { Style::new() })
    }

    fn evidence(self, row: &Row) -> Style {
        if row.failed {
            self.if_colored(RED)
        } else {
            Style::new()
        }
    }

    fn if_colored(self, style: Style) -> Style {
        if self.colored { style } else { Style::new() }
    }
}

impl Row {
    fn cells(&self, columns: usize, styles: Styles) -> Vec<(&str, Style)> {
        let cells = self.cells[..columns].iter().enumerate();
        cells
            .map(|(i, text)| {
                let style = if i == HEALTH_COLUMN && !text.is_empty() {
                    styles.health(self.health)
                } else {
                    Style::new()
                };
                (text.as_str(), style)
            })
            .collect()
    }

    /// Returns the evidence, which includes the values of the columns after the first `columns`.
    fn evidence(&self, columns: usize) -> String {
        let left_out = (columns..HEADINGS.len()).filter(|i| self.cells[*i] != UNKNOWN);
        let left_out = left_out.map(|i| {
            let value = &self.cells[i];
            match HEADINGS[i] {
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

/// Cuts `text` to `width` characters in the middle: the end of an endpoint has its port.
fn without_middle(text: &str, width: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let (head, tail) = (kept - kept / 2, kept / 2);
    let head = chars[..head].iter();
    head.chain(&['…'])
        .chain(&chars[chars.len() - tail..])
        .collect()
}

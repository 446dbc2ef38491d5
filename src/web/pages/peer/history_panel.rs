//! The charts of a peer over the last polls or another range of time, with the same figures as a
//! table, and the events of that time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::fleet::PeerRecord;
use crate::history::{Event, History, Poll, Summary, unix_millis};

use super::events::EventLine;
use super::measures::charts;
use super::time_range::{RangeLink, TimeRange};
use crate::web::pages::chart::{Drawing, LEFT, Mark, RIGHT, TimeAxis, WIDTH};
use crate::web::pages::event_list::Change;
use crate::web::pages::format::TimeFormat;

/// Maximum number of events that are listed below the charts.
const MAX_LISTED_EVENTS: usize = 20;

/// Maximum number of events that are looked through for those to mark.
const MAX_EVENTS: usize = 1_000;

/// Number of charts on the overview.
const OVERVIEW_CHARTS: usize = 3;

/// The charts of one peer.
#[derive(Default)]
pub(super) struct HistoryPanel {
    /// Links to other ranges.
    pub(super) spans: Vec<RangeLink>,
    /// Links that move the range.
    pub(super) moves: Vec<RangeLink>,
    /// Start and end of the time axis.
    pub(super) bounds: Option<Bounds>,
    /// Whether the range stays the same as time passes.
    pub(super) is_fixed: bool,
    pub(super) drawings: Vec<Drawing>,
    /// The columns of the table: one for each line of each chart.
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// The newest events of this time.
    pub(super) events: Vec<EventLine>,
    /// Whether there are more events than listed.
    pub(super) has_more_events: bool,
    /// Problem of the address, or reason why the history could not be read.
    pub(super) error: Option<String>,
}

/// Where the plot area of a chart begins and ends, as shares of its width.
pub(super) const PLOT: (f64, f64) = (LEFT / WIDTH, (WIDTH - RIGHT) / WIDTH);

/// Start and end of the charts.
pub(super) struct Bounds {
    from: SystemTime,
    to: SystemTime,
}

/// A line of a chart as a column of the table.
pub(super) struct Column {
    pub(super) chart: usize,
    pub(super) line: usize,
    pub(super) title: String,
}

/// The values at one time.
pub(super) struct Row {
    at: SystemTime,
    /// Text and height in the chart.
    pub(super) cells: Vec<Option<(String, f64)>>,
}

/// A chart: samples on a time axis.
struct Charted {
    from: SystemTime,
    to: SystemTime,
    max_gap: Duration,
    samples: Vec<(SystemTime, Summary)>,
}

impl HistoryPanel {
    /// Reads the charts that the query of an address asks for.
    pub(super) async fn read(
        history: &History,
        record: &PeerRecord,
        query: Option<&str>,
        times: TimeFormat,
    ) -> Self {
        let now = times.now;
        let (range, wrong) = match TimeRange::parse(query, now) {
            Ok(range) => (range, None),
            Err(wrong) => (TimeRange::LastPolls, Some(wrong)),
        };
        let mut panel = Self {
            spans: range.spans(),
            is_fixed: range.is_fixed(),
            error: wrong,
            ..Self::default()
        };
        let charted = match read(history, record, range, now).await {
            Ok(charted) => charted,
            Err(error) => {
                panel.error = Some(format!("The history cannot be read: {error}"));
                return panel;
            }
        };
        let Some(charted) = charted else {
            return panel;
        };
        let (from, to) = (charted.from, charted.to);
        panel.moves = range.moves((from, to), now);
        panel.bounds = Some(Bounds { from, to });
        let mut events = history.peer_events(&record.peer.name, MAX_EVENTS);
        events.retain(|event| (from..=to).contains(&event.at()));
        panel.draw(&charted, &events);
        panel.has_more_events = events.len() > MAX_LISTED_EVENTS;
        let listed = events.iter().take(MAX_LISTED_EVENTS);
        panel.events = listed.map(|event| EventLine::new(event, times)).collect();
        panel
    }

    /// Reads the charts of the overview.
    pub(super) async fn overview(
        history: &History,
        record: &PeerRecord,
        times: TimeFormat,
    ) -> Self {
        let mut panel = Self::read(history, record, None, times).await;
        panel.drawings.truncate(OVERVIEW_CHARTS);
        panel
    }

    fn draw(&mut self, charted: &Charted, events: &[Arc<Event>]) {
        let axis = TimeAxis {
            from: charted.from,
            to: charted.to,
            times: charted.samples.iter().map(|(at, _)| *at).collect(),
            max_gap: charted.max_gap,
            marks: events
                .iter()
                .map(|event| Mark {
                    at: event.at(),
                    is_bad: Change::of(&event.kind) == Change::Worse,
                })
                .collect(),
        };
        let charts = charts(&charted.samples, charted.max_gap);
        self.drawings = charts
            .iter()
            .filter_map(|chart| chart.draw(&axis))
            .collect();
        let mut rows: Vec<Row> = axis
            .times
            .iter()
            .map(|at| Row {
                at: *at,
                cells: Vec::new(),
            })
            .collect();
        for (chart, drawing) in self.drawings.iter_mut().enumerate() {
            for (line, drawn) in drawing.lines.iter_mut().enumerate() {
                let title = format!("{}: {}", drawing.title, drawn.name);
                self.columns.push(Column { chart, line, title });
                for (row, point) in rows.iter_mut().zip(drawn.points.drain(..)) {
                    row.cells.push(point);
                }
            }
        }
        self.rows = rows;
    }
}

/// Reads what a range charts; nothing if the peer was not polled yet.
async fn read(
    history: &History,
    record: &PeerRecord,
    range: TimeRange,
    now: SystemTime,
) -> Result<Option<Charted>, crate::history::ReadError> {
    let name = &record.peer.name;
    let mut polls = history.recent(name).unwrap_or_default();
    let oldest = polls.first().map(|poll| poll.at);
    let Some((from, to, step)) = range.bounds() else {
        return Ok(oldest.map(|from| Charted::of_polls(&polls, record, (from, now))));
    };
    // Summaries have no more than one point per minute.
    if range.is_fixed() && oldest.is_some_and(|oldest| oldest <= from) {
        polls.retain(|poll| (from..=to).contains(&poll.at));
        return Ok(Some(Charted::of_polls(&polls, record, (from, to))));
    }
    let series = history.series(name, from, to, step).await?;
    let points = series.points.into_iter();
    let half = series.step / 2;
    Ok(Some(Charted {
        from,
        to,
        // A peer that is polled less often than once per step has no gap between its polls.
        max_gap: series
            .step
            .mul_f64(1.5)
            .max(record.peer.polling.max_interval * 2),
        // In the middle of what a point summarises. The newest step is not over.
        samples: points
            .map(|point| {
                let end = (point.at + series.step).min(now);
                ((end - half).clamp(from, to), point.summary)
            })
            .collect(),
    }))
}

impl Charted {
    fn of_polls(polls: &[Poll], record: &PeerRecord, (from, to): (SystemTime, SystemTime)) -> Self {
        let sample = |poll: &Poll| (poll.at, Summary::from_poll(poll, Duration::ZERO));
        Self {
            from,
            to,
            max_gap: record.peer.polling.interval.mul_f64(1.5),
            samples: polls.iter().map(sample).collect(),
        }
    }
}

impl Bounds {
    pub(super) fn start_ms(&self) -> u64 {
        unix_millis(self.from)
    }

    pub(super) fn end_ms(&self) -> u64 {
        unix_millis(self.to)
    }

    /// Start and end as text.
    pub(super) fn text(&self) -> String {
        let utc = |at| {
            let rfc = humantime::format_rfc3339_seconds(at).to_string();
            rfc.replace('T', " ").replace('Z', "")
        };
        let (from, to) = (utc(self.from), utc(self.to));
        let (day, time) = to.split_at(11);
        match from.strip_prefix(day) {
            Some(from) => format!("{day}{from} to {time} UTC"),
            None => format!("{from} to {to} UTC"),
        }
    }

    /// The start as the value of a form field.
    pub(super) fn start_field(&self) -> String {
        field(self.from)
    }

    /// The end as the value of a form field.
    pub(super) fn end_field(&self) -> String {
        field(self.to)
    }
}

impl Row {
    pub(super) fn at_ms(&self) -> u64 {
        unix_millis(self.at)
    }

    pub(super) fn time(&self) -> String {
        let rfc = humantime::format_rfc3339_seconds(self.at).to_string();
        rfc.replace('T', " ").replace('Z', "")
    }
}

fn field(at: SystemTime) -> String {
    let rfc = humantime::format_rfc3339_seconds(at).to_string();
    rfc.trim_end_matches('Z').to_owned()
}

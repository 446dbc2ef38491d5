//! The history on a peer's page: uptime, and charts of latency, order and lag over the last polls
//! or a longer range.

use std::time::{Duration, SystemTime};

use convex_client::Transport;
use url::form_urlencoded;

use crate::fleet::PeerRecord;
use crate::history::{History, Poll, ReadError, Series, Summary};

use super::chart::{Chart, Line, Scale};
use super::format::{Markup, latency, number, percent};

/// The ranges of time that charts can show besides the last polls: name, length and step.
const RANGES: [(&str, Duration, Duration); 5] = [
    ("1h", minutes(60), minutes(1)),
    ("6h", minutes(6 * 60), minutes(2)),
    ("24h", minutes(24 * 60), minutes(6)),
    ("7d", minutes(7 * 24 * 60), minutes(60)),
    ("90d", minutes(90 * 24 * 60), minutes(12 * 60)),
];

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

const LATENCY: Scale = Scale {
    from_zero: true,
    integers: false,
    format: format_milliseconds,
};

const BLOCK_NUMBER: Scale = Scale {
    from_zero: false,
    integers: true,
    format: format_integer,
};

const BLOCK_COUNT: Scale = Scale {
    from_zero: true,
    ..BLOCK_NUMBER
};

/// The history panel of one peer.
pub(super) struct HistoryPanel {
    pub(super) uptime: Vec<UptimeCell>,
    pub(super) ranges: Vec<RangeLink>,
    pub(super) charts: Vec<Figure>,
    /// Why the history could not be read.
    pub(super) error: Option<String>,
}

/// Uptime over one window.
pub(super) struct UptimeCell {
    pub(super) window: &'static str,
    pub(super) ratio: Option<String>,
    pub(super) coverage: String,
}

/// A link that charts another range of time.
pub(super) struct RangeLink {
    pub(super) name: String,
    pub(super) query: String,
    pub(super) current: bool,
}

/// A chart with its legend.
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) svg: Markup,
    /// The names of the lines; empty for lines without points.
    pub(super) lines: Vec<&'static str>,
}

impl HistoryPanel {
    /// Reads the history of a peer. The parameter `span` of `query` is the range of the charts.
    pub(super) async fn read(
        history: &History,
        record: &PeerRecord,
        query: Option<&str>,
        now: SystemTime,
    ) -> Self {
        let requested = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .find(|(key, _)| key == "span");
        let requested = requested.map(|(_, value)| value.into_owned());
        let range = RANGES
            .iter()
            .find(|(name, ..)| Some(*name) == requested.as_deref());
        let name = &record.peer.name;
        let mut error = None;
        let charts = match range {
            None => chart_polls(&history.recent(name).unwrap_or_default(), record, now),
            Some((_, length, step)) => {
                let from = now.checked_sub(*length).unwrap_or(SystemTime::UNIX_EPOCH);
                let series = history.series(name, from, now, *step).await;
                error = series.as_ref().err().map(ReadError::to_string);
                series
                    .map(|series| chart_series(&series, record, from, now))
                    .unwrap_or_default()
            }
        };
        let uptime = history.uptime(name).await;
        error = error.or(uptime.as_ref().err().map(ReadError::to_string));
        let windows = ["24 h", "7 d", "30 d", "90 d"];
        let uptime = uptime
            .into_iter()
            .flatten()
            .zip(windows)
            .map(|(uptime, window)| UptimeCell {
                window,
                ratio: uptime.ratio().map(percent),
                coverage: percent(uptime.coverage()),
            });
        let last_polls = RangeLink {
            name: "last polls".to_owned(),
            query: "?".to_owned(),
            current: range.is_none(),
        };
        let longer_ranges = RANGES.iter().map(|it| RangeLink {
            name: it.0.to_owned(),
            query: format!("?span={}", it.0),
            current: Some(it) == range,
        });
        let ranges = std::iter::once(last_polls).chain(longer_ranges);
        Self {
            uptime: uptime.collect(),
            ranges: ranges.collect(),
            charts,
            error,
        }
    }
}

/// Charts the last polls individually.
fn chart_polls(polls: &[Poll], record: &PeerRecord, now: SystemTime) -> Vec<Figure> {
    let Some(first) = polls.first() else {
        return Vec::new();
    };
    let points = polls
        .iter()
        .map(|poll| (poll.at, Summary::from_poll(poll, Duration::ZERO)));
    Charts {
        from: first.at,
        to: now,
        max_gap: record.peer.polling.interval.mul_f64(1.5),
        points: points.collect(),
    }
    .draw()
}

/// Charts summaries over a longer range.
fn chart_series(
    series: &Series,
    record: &PeerRecord,
    from: SystemTime,
    to: SystemTime,
) -> Vec<Figure> {
    let points = series.points.iter();
    Charts {
        from,
        to,
        // A peer that is polled less often than once per step has no gap between its polls.
        max_gap: series
            .step
            .mul_f64(1.5)
            .max(record.peer.polling.max_interval * 2),
        points: points
            .map(|point| (point.at + series.step / 2, point.summary.clone()))
            .collect(),
    }
    .draw()
}

/// The data of the charts.
struct Charts {
    from: SystemTime,
    to: SystemTime,
    max_gap: Duration,
    points: Vec<(SystemTime, Summary)>,
}

impl Charts {
    fn draw(&self) -> Vec<Figure> {
        let latency_over = |transport: Transport| {
            move |it: &Summary| {
                it.latency[transport as usize]
                    .mean()
                    .map(|mean| mean.as_secs_f64() * 1e3)
            }
        };
        let latencies = vec![
            self.line("http", &latency_over(Transport::Http)),
            self.line("tcp", &latency_over(Transport::Tcp)),
        ];
        let order = vec![
            self.line("block", &|it| Some(as_f64(it.order?.block))),
            self.line("final", &|it| Some(as_f64(it.order?.finality))),
            self.line("executed", &|it| {
                Some(as_f64(it.state_block?.saturating_add(1)))
            }),
        ];
        let lag = vec![self.line("lag", &|it| it.worst_lag.map(as_f64))];
        [
            self.chart("Latency", LATENCY, latencies),
            self.chart("Order, blocks", BLOCK_NUMBER, order),
            self.chart("Behind the head, blocks", BLOCK_COUNT, lag),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn line(&self, name: &'static str, value: &dyn Fn(&Summary) -> Option<f64>) -> Line {
        let points = self.points.iter();
        Line {
            name,
            points: points
                .filter_map(|(at, summary)| Some((*at, value(summary)?)))
                .collect(),
        }
    }

    fn chart(&self, title: &str, scale: Scale, lines: Vec<Line>) -> Option<Figure> {
        let names = lines.iter().map(|line| {
            if line.points.is_empty() {
                ""
            } else {
                line.name
            }
        });
        let names = names.collect();
        let chart = Chart {
            title: title.to_owned(),
            from: self.from,
            to: self.to,
            max_gap: self.max_gap,
            scale,
            lines,
        };
        Some(Figure {
            svg: chart.draw()?,
            title: chart.title,
            lines: names,
        })
    }
}

fn format_milliseconds(value: f64) -> String {
    latency(Duration::try_from_secs_f64(value / 1e3).unwrap_or_default())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a tick of a block axis, far below 2^53"
)]
fn format_integer(value: f64) -> String {
    number(value.round() as i64)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a point of a line, whose exact value is not shown"
)]
fn as_f64(value: i64) -> f64 {
    value as f64
}

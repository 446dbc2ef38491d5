//! What a peer's page shows of the past: uptime, and charts of latency, order and lag over the last polls or a longer time.

use std::time::{Duration, SystemTime};

use convex_client::Transport;
use url::form_urlencoded;

use crate::fleet::PeerRecord;
use crate::history::{History, Poll, Series, Summary, Unreadable};
use crate::web::pages::format::{Markup, latency, number, percent};

use super::chart::{Chart, Line, Scale};

/// The times that charts can show besides the last polls: name, length, and the length of a step.
const SPANS: [(&str, Duration, Duration); 5] = [
    ("1h", minutes(60), minutes(1)),
    ("6h", minutes(6 * 60), minutes(2)),
    ("24h", minutes(24 * 60), minutes(6)),
    ("7d", minutes(7 * 24 * 60), minutes(60)),
    ("90d", minutes(90 * 24 * 60), minutes(12 * 60)),
];

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

const MILLISECONDS: Scale = Scale {
    from_zero: true,
    whole: false,
    mark: milliseconds,
};

const POSITION: Scale = Scale {
    from_zero: false,
    whole: true,
    mark: whole,
};

const DISTANCE: Scale = Scale {
    from_zero: true,
    ..POSITION
};

/// What was. What could not be read says why.
pub(super) struct Past {
    pub(super) uptime: Vec<UptimeCell>,
    pub(super) spans: Vec<SpanLink>,
    pub(super) charts: Vec<Drawn>,
    pub(super) trouble: Option<String>,
    pub(super) nothing: bool,
}

pub(super) struct UptimeCell {
    pub(super) window: &'static str,
    pub(super) ratio: Option<String>,
    pub(super) coverage: String,
}

pub(super) struct SpanLink {
    pub(super) name: String,
    pub(super) query: String,
    pub(super) current: bool,
}

/// A chart with its legend.
pub(super) struct Drawn {
    pub(super) title: String,
    pub(super) svg: Markup,
    pub(super) lines: Vec<&'static str>,
}

impl Past {
    /// Reads the peer's past; `query` says over which time it is charted.
    pub(super) async fn read(
        history: &History,
        record: &PeerRecord,
        query: Option<&str>,
        now: SystemTime,
    ) -> Self {
        let asked = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .find(|(key, _)| key == "span");
        let asked = asked.map(|(_, value)| value.into_owned());
        let span = SPANS
            .iter()
            .find(|(name, ..)| Some(*name) == asked.as_deref());
        let name = &record.peer.name;
        let mut trouble = None;
        let charts = match span {
            None => of_polls(&history.recent(name).unwrap_or_default(), record, now),
            Some((_, length, step)) => {
                let from = now.checked_sub(*length).unwrap_or(SystemTime::UNIX_EPOCH);
                let series = history.series(name, from, now, *step).await;
                trouble = series.as_ref().err().map(Unreadable::to_string);
                series
                    .map(|series| of_series(&series, record, from, now))
                    .unwrap_or_default()
            }
        };
        let uptime = history.uptime(name).await;
        trouble = trouble.or(uptime.as_ref().err().map(Unreadable::to_string));
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
        let polls = SpanLink {
            name: "last polls".to_owned(),
            query: "?".to_owned(),
            current: span.is_none(),
        };
        let longer = SPANS.iter().map(|of| SpanLink {
            name: of.0.to_owned(),
            query: format!("?span={}", of.0),
            current: Some(of) == span,
        });
        let spans = std::iter::once(polls).chain(longer);
        Self {
            uptime: uptime.collect(),
            spans: spans.collect(),
            nothing: charts.is_empty(),
            charts,
            trouble,
        }
    }
}

/// The last polls, each for itself.
fn of_polls(polls: &[Poll], record: &PeerRecord, now: SystemTime) -> Vec<Drawn> {
    let Some(first) = polls.first() else {
        return Vec::new();
    };
    let points = polls
        .iter()
        .map(|poll| (poll.at, Summary::of(poll, Duration::ZERO)));
    Span {
        from: first.at,
        to: now,
        gap: record.peer.polling.interval.mul_f64(1.5),
        points: points.collect(),
    }
    .draw()
}

/// Summaries of a longer time.
fn of_series(series: &Series, record: &PeerRecord, from: SystemTime, to: SystemTime) -> Vec<Drawn> {
    let points = series.points.iter();
    Span {
        from,
        to,
        // A peer that is polled less often than once a step is not missing in between.
        gap: series
            .step
            .mul_f64(1.5)
            .max(record.peer.polling.max_interval * 2),
        points: points
            .map(|point| (point.at + series.step / 2, point.summary.clone()))
            .collect(),
    }
    .draw()
}

/// What is charted.
struct Span {
    from: SystemTime,
    to: SystemTime,
    gap: Duration,
    points: Vec<(SystemTime, Summary)>,
}

impl Span {
    fn draw(&self) -> Vec<Drawn> {
        let of_transport = |transport: Transport| {
            move |it: &Summary| {
                it.latency[transport as usize]
                    .mean()
                    .map(|mean| mean.as_secs_f64() * 1e3)
            }
        };
        let latencies = vec![
            self.line("http", &of_transport(Transport::Http)),
            self.line("tcp", &of_transport(Transport::Tcp)),
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
            self.chart("Latency", MILLISECONDS, latencies),
            self.chart("Order, blocks", POSITION, order),
            self.chart("Behind the head, blocks", DISTANCE, lag),
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

    fn chart(&self, title: &str, scale: Scale, lines: Vec<Line>) -> Option<Drawn> {
        let drawn = lines.iter().map(|line| {
            if line.points.is_empty() {
                ""
            } else {
                line.name
            }
        });
        let drawn = drawn.collect();
        let chart = Chart {
            title: title.to_owned(),
            from: self.from,
            to: self.to,
            gap: self.gap,
            scale,
            lines,
        };
        Some(Drawn {
            svg: chart.draw()?,
            title: chart.title,
            lines: drawn,
        })
    }
}

fn milliseconds(value: f64) -> String {
    latency(Duration::try_from_secs_f64(value / 1e3).unwrap_or_default())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a mark of an axis of blocks, far below 2^53"
)]
fn whole(value: f64) -> String {
    number(value.round() as i64)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a point of a line, not a figure that is read"
)]
fn as_f64(value: i64) -> f64 {
    value as f64
}

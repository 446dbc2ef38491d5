//! Small line charts over time as SVG, with gaps where there are no measurements. All have the same
//! size and the same time axis, so that one cursor can cross all of them.

use std::time::{Duration, SystemTime};

use super::format::{Markup, push_fmt};

/// Size of a chart in pixels.
pub(super) const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 150.0;

/// Margins around the plot area in pixels; the left and the bottom one hold the axis labels.
pub(super) const LEFT: f64 = 60.0;
pub(super) const RIGHT: f64 = 10.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 24.0;

/// Possible steps between two ticks of the time axis, in seconds.
const TIME_STEPS: [u64; 19] = [
    1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 172_800,
    604_800, 1_209_600,
];

/// Maximum number of steps on the time axis.
const MAX_TIME_STEPS: u64 = 4;

/// Width of a mark in pixels: marks that are closer are drawn as one.
const MARK_WIDTH: f64 = 2.0;

/// One line. Charts have at most three: the style sheet has a pattern for each.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The name in the legend.
    pub(super) name: &'static str,
    /// The value at each of the times of the chart; none where nothing was measured.
    pub(super) values: Vec<Option<f64>>,
}

/// How values are displayed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// The axis covers at least the values from 0 to this one.
    pub(super) least_high: f64,
    /// Whether ticks are whole numbers.
    pub(super) integers: bool,
    /// Formats a value.
    pub(super) format: fn(f64) -> String,
}

/// The time axis that charts share.
#[derive(Clone, Debug)]
pub(super) struct TimeAxis {
    pub(super) from: SystemTime,
    pub(super) to: SystemTime,
    /// Times of the values, in chronological order.
    pub(super) times: Vec<SystemTime>,
    /// Points further apart than this are not connected.
    pub(super) max_gap: Duration,
    /// Events to mark.
    pub(super) marks: Vec<Mark>,
}

/// An event on the time axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) at: SystemTime,
    /// Whether it is a change for the worse.
    pub(super) is_bad: bool,
}

/// Lines over one range of time.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// How values are displayed.
    pub(super) scale: Scale,
    pub(super) lines: Vec<Line>,
}

/// A chart that is drawn.
pub(super) struct Drawing {
    pub(super) title: &'static str,
    pub(super) svg: Markup,
    /// The lines that have at least one value.
    pub(super) lines: Vec<DrawnLine>,
}

/// A line that is drawn.
pub(super) struct DrawnLine {
    pub(super) name: &'static str,
    /// The last value.
    pub(super) last: String,
    /// Text and height in the drawing of the value at each time.
    pub(super) points: Vec<Option<(String, f64)>>,
}

impl Chart {
    /// Draws the chart as SVG; `None` without a value.
    pub(super) fn draw(&self, times: &TimeAxis) -> Option<Drawing> {
        let values = || {
            self.lines
                .iter()
                .flat_map(|line| line.values.iter().flatten())
        };
        let max = values().copied().reduce(f64::max)?;
        let min = values().copied().reduce(f64::min)?;
        let axis = Axis::covering(
            min.min(0.0),
            max.max(self.scale.least_high),
            self.scale.integers,
        );
        let format = self.scale.format;
        let mut svg = format!(
            r#"<svg class="chart" role="img" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"><title>{}: {} to {}</title>"#,
            self.title,
            format(min),
            format(max)
        );
        for tick in axis.ticks() {
            let y = axis.y(tick);
            push_fmt(
                &mut svg,
                format_args!(
                    r#"<path class="grid" d="M{LEFT} {y:.1}H{}"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
                    WIDTH - RIGHT,
                    LEFT - 6.0,
                    y + 4.0,
                    tick_text(&format(tick))
                ),
            );
        }
        times.draw(&mut svg);
        times.draw_marks(&mut svg);
        let lines = self.lines.iter();
        let lines = lines.filter(|line| line.values.iter().any(Option::is_some));
        let mut drawn = Vec::new();
        for (i, line) in lines.enumerate() {
            let path = times.line_path(line, &axis);
            push_fmt(
                &mut svg,
                format_args!(r#"<path class="line line-{i}" d="{path}"/>"#),
            );
            let point = |value: &Option<f64>| value.map(|value| (format(value), axis.y(value)));
            let last = line.values.iter().rev().find_map(|value| *value);
            drawn.push(DrawnLine {
                name: line.name,
                last: last.map(format).unwrap_or_default(),
                points: line.values.iter().map(point).collect(),
            });
        }
        svg.push_str("</svg>");
        Some(Drawing {
            title: self.title,
            svg: Markup(svg),
            lines: drawn,
        })
    }
}

impl TimeAxis {
    fn x(&self, at: SystemTime) -> f64 {
        let range = seconds(self.from, self.to).max(1e-3);
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds(self.from, at) / range).clamp(0.0, 1.0)
    }

    fn line_path(&self, line: &Line, axis: &Axis) -> String {
        let mut path = String::new();
        let points = self.times.iter().zip(&line.values);
        let points: Vec<(SystemTime, f64)> = points
            .filter_map(|(at, value)| Some((*at, (*value)?)))
            .collect();
        let mut previous: Option<SystemTime> = None;
        let are_connected =
            |a: SystemTime, b: SystemTime| seconds(a, b) <= self.max_gap.as_secs_f64();
        for (i, (at, value)) in points.iter().enumerate() {
            let continues = previous.is_some_and(|previous| are_connected(previous, *at));
            let command = if continues { 'L' } else { 'M' };
            push_fmt(
                &mut path,
                format_args!("{command}{:.1} {:.1}", self.x(*at), axis.y(*value)),
            );
            let next = points.get(i + 1);
            if !continues && next.is_none_or(|(next, _)| !are_connected(*at, *next)) {
                // A line of zero length with round caps is a dot.
                path.push_str("h0");
            }
            previous = Some(*at);
        }
        path
    }

    fn draw(&self, svg: &mut String) {
        let start = seconds_since_epoch(self.from);
        let end = seconds_since_epoch(self.to);
        let step = TIME_STEPS
            .into_iter()
            .find(|step| end.saturating_sub(start) / step <= MAX_TIME_STEPS)
            .unwrap_or(TIME_STEPS[TIME_STEPS.len() - 1]);
        let base = HEIGHT - BOTTOM;
        push_fmt(
            svg,
            format_args!(
                r#"<path class="axis" d="M{LEFT} {base}H{}"/>"#,
                WIDTH - RIGHT
            ),
        );
        let mut at = start.next_multiple_of(step);
        while at <= end {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
            let rfc = humantime::format_rfc3339_seconds(time).to_string();
            let text = match step {
                0..60 => &rfc[11..19],
                60..86_400 => &rfc[11..16],
                // Month and day.
                _ => &rfc[5..10],
            };
            let x = self.x(time);
            // A label at the end would be cut off.
            let anchor = if x > WIDTH - RIGHT - 25.0 {
                "end"
            } else {
                "middle"
            };
            push_fmt(
                svg,
                format_args!(
                    r#"<path class="axis" d="M{x:.1} {base}v4"/><text x="{:.1}" y="{}" text-anchor="{anchor}">{text}</text>"#,
                    if anchor == "end" { WIDTH } else { x },
                    base + 18.0
                ),
            );
            at += step;
        }
    }

    /// Draws the events as vertical lines with a triangle on top: up for better, down for worse.
    fn draw_marks(&self, svg: &mut String) {
        for (is_bad, class, triangle) in [
            (false, "better", "l-4 7h8z"),
            (true, "worse", "m-4 0h8l-4 7z"),
        ] {
            let mut path = String::new();
            let mut last = f64::NEG_INFINITY;
            let marks = self.marks.iter().filter(|mark| mark.is_bad == is_bad);
            for mark in marks.filter(|mark| mark.at >= self.from && mark.at <= self.to) {
                let x = self.x(mark.at);
                if (x - last).abs() >= MARK_WIDTH {
                    let length = HEIGHT - BOTTOM - TOP;
                    push_fmt(
                        &mut path,
                        format_args!("M{x:.1} {TOP}v{length}M{x:.1} 2{triangle}"),
                    );
                    last = x;
                }
            }
            if !path.is_empty() {
                push_fmt(
                    svg,
                    format_args!(r#"<path class="mark {class}" d="{path}"/>"#),
                );
            }
        }
    }
}

/// The value axis, between two round numbers.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// Returns an axis that covers the values from `low` to `high`.
    fn covering(low: f64, high: f64, integers: bool) -> Self {
        let range = (high - low).max(if integers {
            3.0
        } else {
            high.abs().max(1e-6) * 1e-3
        });
        let rough = range / 3.0;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let nice = [1.0, 2.0, 5.0, 10.0];
        let step = nice
            .iter()
            .map(|factor| factor * magnitude)
            .find(|step| *step >= rough * 0.999);
        let step = step
            .unwrap_or(magnitude * 10.0)
            .max(if integers { 1.0 } else { 0.0 });
        let low = (low / step).floor() * step;
        let high = (high / step).ceil() * step;
        Self {
            low,
            high: if high > low { high } else { low + step },
            step,
        }
    }

    fn y(&self, value: f64) -> f64 {
        let ratio = (value - self.low) / (self.high - self.low);
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * ratio.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (0..=8_u8)
            .map(|i| self.low + self.step * f64::from(i))
            .take_while(|tick| *tick <= self.high + self.step * 1e-6)
    }
}

/// Returns the text of a round number without the zeros of its fraction.
fn tick_text(text: &str) -> String {
    text.replace(".00 ", " ").replace(".0 ", " ")
}

fn seconds_since_epoch(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn seconds(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn axis(times: &[u64], marks: &[(u64, bool)]) -> TimeAxis {
        TimeAxis {
            from: at(0),
            to: at(3600),
            times: times.iter().map(|time| at(*time)).collect(),
            max_gap: Duration::from_secs(60),
            marks: marks
                .iter()
                .map(|(time, is_bad)| Mark {
                    at: at(*time),
                    is_bad: *is_bad,
                })
                .collect(),
        }
    }

    fn chart(values: &[Option<f64>]) -> Chart {
        Chart {
            title: "Latency",
            scale: Scale {
                least_high: 0.0,
                integers: false,
                format: |value| format!("{value} ms"),
            },
            lines: vec![
                Line {
                    name: "http",
                    values: vec![None; values.len()],
                },
                Line {
                    name: "tcp",
                    values: values.to_vec(),
                },
            ],
        }
    }

    #[test]
    fn points_are_connected_unless_the_gap_between_them_is_too_long() {
        let times = axis(&[0, 60, 900, 1800], &[]);
        let drawn = chart(&[Some(0.0), Some(4.0), None, Some(2.0)]).draw(&times);
        let Drawing { svg, lines, .. } = drawn.unwrap();
        let Markup(svg) = svg;
        assert!(
            svg.contains(r#"<path class="line line-0" d="M60.0 126.0L65.5 12.0M225.0 69.0h0"/>"#),
            "{svg}"
        );
        for text in [">0 ms<", ">4 ms<", ">01:00<", "Latency: 0 ms to 4 ms"] {
            assert!(svg.contains(text), "{text} is not in {svg}");
        }
        let [line] = &lines[..] else {
            panic!("a line without values is not drawn");
        };
        assert_eq!((line.name, line.last.as_str()), ("tcp", "2 ms"));
        assert_eq!(
            line.points,
            [
                Some(("0 ms".to_owned(), 126.0)),
                Some(("4 ms".to_owned(), 12.0)),
                None,
                Some(("2 ms".to_owned(), 69.0)),
            ]
        );
    }

    #[test]
    fn events_are_marked_by_their_direction_and_those_at_one_place_once() {
        let times = axis(
            &[0],
            &[(1800, true), (1801, true), (2700, false), (9999, true)],
        );
        let Markup(svg) = chart(&[Some(1.0)]).draw(&times).unwrap().svg;
        for mark in [
            r#"<path class="mark worse" d="M225.0 12v114M225.0 2m-4 0h8l-4 7z"/>"#,
            r#"<path class="mark better" d="M307.5 12v114M307.5 2l-4 7h8z"/>"#,
        ] {
            assert!(svg.contains(mark), "{svg}");
        }
    }

    #[test]
    fn a_chart_without_values_is_not_drawn() {
        assert!(chart(&[None]).draw(&axis(&[0], &[])).is_none());
    }

    #[test]
    fn an_axis_has_two_to_nine_ticks_and_covers_all_values() {
        for (low, high, integers) in [
            (0.0, 0.0, false),
            (0.0, 1e-9, false),
            (0.0, 12.7, false),
            (9_007_199_254.0, 9_007_199_254.0, true),
            (0.0, 1e18, true),
            (-1.0, 6.0, true),
        ] {
            let axis = Axis::covering(low, high, integers);
            let ticks = axis.ticks().count();
            assert!((2..=9).contains(&ticks), "{low} to {high}: {ticks}");
            assert!(axis.low <= low && axis.high >= high, "{low} to {high}");
        }
    }
}

//! Charts over time, drawn on the server: axes with units, gaps where nothing was measured.

use std::time::{Duration, SystemTime};

use crate::web::pages::format::{Markup, push};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 86.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// Distances between two marks of the time axis, seconds.
const TIME_STEPS: [u64; 16] = [
    10, 30, 60, 120, 300, 600, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    1_209_600,
];

/// Marks of the time axis, at most.
const TIME_MARKS: u64 = 6;

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// What it shows.
    pub(super) name: &'static str,
    /// When, and how much; in order of time.
    pub(super) points: Vec<(SystemTime, f64)>,
}

/// How values are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Whether the axis begins at 0.
    pub(super) from_zero: bool,
    /// Whether values are whole numbers, and marks too.
    pub(super) whole: bool,
    /// How a mark of the value axis is written.
    pub(super) mark: fn(f64) -> String,
}

/// Lines over one time.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// What it shows, with the unit.
    pub(super) title: String,
    /// Where the time axis begins.
    pub(super) from: SystemTime,
    /// Where it ends.
    pub(super) to: SystemTime,
    /// Points further apart than this are not joined.
    pub(super) gap: Duration,
    /// How values are shown.
    pub(super) scale: Scale,
    /// At most four: each has a pattern of its own.
    pub(super) lines: Vec<Line>,
}

impl Chart {
    /// The drawing; none without a point.
    pub(super) fn draw(&self) -> Option<Markup> {
        let values = || {
            self.lines
                .iter()
                .flat_map(|line| line.points.iter().map(|(_, it)| *it))
        };
        let greatest = values().reduce(f64::max)?;
        let least = values().reduce(f64::min)?;
        let axis = Axis::around(
            if self.scale.from_zero { 0.0 } else { least },
            greatest,
            self.scale.whole,
        );
        let mut svg = format!(
            r#"<svg class="chart" role="img" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"><title>{}: {} to {}</title>"#,
            self.title,
            (self.scale.mark)(least),
            (self.scale.mark)(greatest)
        );
        for mark in axis.marks() {
            let y = axis.y(mark);
            push(
                &mut svg,
                format_args!(
                    r#"<path class="grid" d="M{LEFT} {y:.1}H{}"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
                    WIDTH - RIGHT,
                    LEFT - 8.0,
                    y + 4.0,
                    (self.scale.mark)(mark)
                ),
            );
        }
        self.time_axis(&mut svg);
        for (i, line) in self.lines.iter().enumerate() {
            let path = self.path(line, &axis);
            push(
                &mut svg,
                format_args!(r#"<path class="line line-{i}" d="{path}"/>"#),
            );
        }
        svg.push_str("</svg>");
        Some(Markup(svg))
    }

    fn x(&self, at: SystemTime) -> f64 {
        let whole = seconds(self.from, self.to).max(1.0);
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds(self.from, at) / whole).clamp(0.0, 1.0)
    }

    fn path(&self, line: &Line, axis: &Axis) -> String {
        let mut path = String::new();
        let mut before: Option<SystemTime> = None;
        let joined = |a: SystemTime, b: SystemTime| seconds(a, b) <= self.gap.as_secs_f64();
        for (i, (at, value)) in line.points.iter().enumerate() {
            let follows = before.is_some_and(|before| joined(before, *at));
            let command = if follows { 'L' } else { 'M' };
            push(
                &mut path,
                format_args!("{command}{:.1} {:.1}", self.x(*at), axis.y(*value)),
            );
            let next = line.points.get(i + 1);
            if !follows && next.is_none_or(|(next, _)| !joined(*at, *next)) {
                // A line of no length with round ends is a dot.
                path.push_str("h0");
            }
            before = Some(*at);
        }
        path
    }

    fn time_axis(&self, svg: &mut String) {
        let begin = since_epoch(self.from);
        let end = since_epoch(self.to);
        let step = TIME_STEPS
            .into_iter()
            .find(|step| (end - begin) / step <= TIME_MARKS)
            .unwrap_or(TIME_STEPS[TIME_STEPS.len() - 1]);
        let base = HEIGHT - BOTTOM;
        push(
            svg,
            format_args!(
                r#"<path class="axis" d="M{LEFT} {base}H{}"/>"#,
                WIDTH - RIGHT
            ),
        );
        let mut at = begin.next_multiple_of(step);
        while at <= end {
            let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
            let rfc = humantime::format_rfc3339_seconds(moment).to_string();
            let text = match step {
                0..60 => &rfc[11..19],
                60..86_400 => &rfc[11..16],
                // Month and day.
                _ => &rfc[5..10],
            };
            let x = self.x(moment);
            push(
                svg,
                format_args!(
                    r#"<path class="axis" d="M{x:.1} {base}v4"/><text x="{x:.1}" y="{}" text-anchor="middle">{text}</text>"#,
                    base + 18.0
                ),
            );
            at += step;
        }
    }
}

/// The value axis: from one round number to another.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    fn around(low: f64, high: f64, whole: bool) -> Self {
        let range = (high - low).max(if whole {
            3.0
        } else {
            high.abs().max(1e-6) * 1e-3
        });
        let rough = range / 4.0;
        let size = 10_f64.powf(rough.log10().floor());
        let nice = [1.0, 2.0, 5.0, 10.0];
        let step = nice
            .iter()
            .map(|it| it * size)
            .find(|it| *it >= rough * 0.999);
        let step = step
            .unwrap_or(size * 10.0)
            .max(if whole { 1.0 } else { 0.0 });
        let low = (low / step).floor() * step;
        let high = (high / step).ceil() * step;
        Self {
            low,
            high: if high > low { high } else { low + step },
            step,
        }
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low);
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * part.clamp(0.0, 1.0)
    }

    fn marks(&self) -> impl Iterator<Item = f64> {
        (0..=8_u8)
            .map(|i| self.low + self.step * f64::from(i))
            .take_while(|mark| *mark <= self.high + self.step * 1e-6)
    }
}

fn since_epoch(at: SystemTime) -> u64 {
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

    fn chart(points: &[(u64, f64)]) -> Chart {
        Chart {
            title: "latency, ms".to_owned(),
            from: at(0),
            to: at(3600),
            gap: Duration::from_secs(60),
            scale: Scale {
                from_zero: true,
                whole: false,
                mark: |value| format!("{value} ms"),
            },
            lines: vec![Line {
                name: "tcp",
                points: points
                    .iter()
                    .map(|(time, value)| (at(*time), *value))
                    .collect(),
            }],
        }
    }

    #[test]
    fn points_are_joined_unless_something_is_missing_between_them() {
        let drawn = chart(&[(0, 0.0), (60, 4.0), (1800, 2.0)]).draw();
        let Markup(svg) = drawn.unwrap();
        assert!(
            svg.contains(r#"d="M86.0 176.0L96.4 10.0M397.0 93.0h0""#),
            "{svg}"
        );
        for text in [
            ">0 ms<",
            ">4 ms<",
            ">00:10<",
            ">01:00<",
            "latency, ms: 0 ms to 4 ms",
        ] {
            assert!(svg.contains(text), "{text} is not in {svg}");
        }
    }

    #[test]
    fn without_a_point_there_is_nothing_to_draw() {
        assert_eq!(chart(&[]).draw(), None);
    }

    #[test]
    fn an_axis_has_a_few_round_marks_whatever_the_values() {
        for (low, high, whole) in [
            (0.0, 0.0, false),
            (0.0, 1e-9, false),
            (0.0, 12.7, false),
            (9_007_199_254.0, 9_007_199_254.0, true),
            (0.0, 1e18, true),
            (-1.0, 6.0, true),
        ] {
            let axis = Axis::around(low, high, whole);
            let marks = axis.marks().count();
            assert!((2..=9).contains(&marks), "{low} to {high}: {marks}");
            assert!(axis.low <= low && axis.high >= high, "{low} to {high}");
        }
    }
}

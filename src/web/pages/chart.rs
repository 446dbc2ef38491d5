//! Line charts over time as SVG, with gaps where there are no measurements.

use std::time::{Duration, SystemTime};

use super::format::{Markup, push_fmt};

/// Size of a chart in pixels.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;

/// Margins around the plot area in pixels; the left and the bottom one hold the axis labels.
const LEFT: f64 = 86.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// Possible steps between two ticks of the time axis, in seconds.
const TIME_STEPS: [u64; 16] = [
    10, 30, 60, 120, 300, 600, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    1_209_600,
];

/// Maximum number of steps on the time axis.
const MAX_TIME_STEPS: u64 = 6;

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The name in the legend.
    pub(super) name: &'static str,
    /// Times and values, in chronological order.
    pub(super) points: Vec<(SystemTime, f64)>,
}

/// How values are displayed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Whether the axis starts at 0.
    pub(super) from_zero: bool,
    /// Whether values, and so ticks, are whole numbers.
    pub(super) integers: bool,
    /// Formats a value.
    pub(super) format: fn(f64) -> String,
}

/// Lines over one range of time.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// The title, with the unit.
    pub(super) title: String,
    /// Start of the time axis.
    pub(super) from: SystemTime,
    /// End of the time axis.
    pub(super) to: SystemTime,
    /// Points further apart than this are not connected.
    pub(super) max_gap: Duration,
    /// How values are displayed.
    pub(super) scale: Scale,
    /// At most four: the style sheet has a pattern for each.
    pub(super) lines: Vec<Line>,
}

impl Chart {
    /// Draws the chart as SVG; `None` without a point.
    pub(super) fn draw(&self) -> Option<Markup> {
        let values = || {
            self.lines
                .iter()
                .flat_map(|line| line.points.iter().map(|(_, value)| *value))
        };
        let max = values().reduce(f64::max)?;
        let min = values().reduce(f64::min)?;
        let axis = Axis::covering(
            if self.scale.from_zero { 0.0 } else { min },
            max,
            self.scale.integers,
        );
        let mut svg = format!(
            r#"<svg class="chart" role="img" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"><title>{}: {} to {}</title>"#,
            self.title,
            (self.scale.format)(min),
            (self.scale.format)(max)
        );
        for tick in axis.ticks() {
            let y = axis.y(tick);
            push_fmt(
                &mut svg,
                format_args!(
                    r#"<path class="grid" d="M{LEFT} {y:.1}H{}"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
                    WIDTH - RIGHT,
                    LEFT - 8.0,
                    y + 4.0,
                    (self.scale.format)(tick)
                ),
            );
        }
        self.draw_time_axis(&mut svg);
        for (i, line) in self.lines.iter().enumerate() {
            let path = self.line_path(line, &axis);
            push_fmt(
                &mut svg,
                format_args!(r#"<path class="line line-{i}" d="{path}"/>"#),
            );
        }
        svg.push_str("</svg>");
        Some(Markup(svg))
    }

    fn x(&self, at: SystemTime) -> f64 {
        let range = seconds(self.from, self.to).max(1.0);
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds(self.from, at) / range).clamp(0.0, 1.0)
    }

    fn line_path(&self, line: &Line, axis: &Axis) -> String {
        let mut path = String::new();
        let mut previous: Option<SystemTime> = None;
        let are_connected =
            |a: SystemTime, b: SystemTime| seconds(a, b) <= self.max_gap.as_secs_f64();
        for (i, (at, value)) in line.points.iter().enumerate() {
            let continues = previous.is_some_and(|previous| are_connected(previous, *at));
            let command = if continues { 'L' } else { 'M' };
            push_fmt(
                &mut path,
                format_args!("{command}{:.1} {:.1}", self.x(*at), axis.y(*value)),
            );
            let next = line.points.get(i + 1);
            if !continues && next.is_none_or(|(next, _)| !are_connected(*at, *next)) {
                // A line of zero length with round caps is a dot.
                path.push_str("h0");
            }
            previous = Some(*at);
        }
        path
    }

    fn draw_time_axis(&self, svg: &mut String) {
        let start = seconds_since_epoch(self.from);
        let end = seconds_since_epoch(self.to);
        let step = TIME_STEPS
            .into_iter()
            .find(|step| (end - start) / step <= MAX_TIME_STEPS)
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
            push_fmt(
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
        let rough = range / 4.0;
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

    fn chart(points: &[(u64, f64)]) -> Chart {
        Chart {
            title: "latency, ms".to_owned(),
            from: at(0),
            to: at(3600),
            max_gap: Duration::from_secs(60),
            scale: Scale {
                from_zero: true,
                integers: false,
                format: |value| format!("{value} ms"),
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
    fn points_are_connected_unless_the_gap_between_them_is_too_long() {
        let svg = chart(&[(0, 0.0), (60, 4.0), (1800, 2.0)]).draw();
        let Markup(svg) = svg.unwrap();
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
    fn a_chart_without_points_is_not_drawn() {
        assert_eq!(chart(&[]).draw(), None);
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

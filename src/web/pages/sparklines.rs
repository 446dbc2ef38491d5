//! The two small graphs of the last polls, as SVG: a bar of their outcomes and a line of latency.

use std::time::Duration;

use crate::fleet::Health;
use crate::history::{Outcome, Poll};

use super::format::{Markup, latency, push_fmt};

/// Number of polls in a row of the fleet page; the peer's page shows all polls that are kept.
pub(super) const ROW_POLLS: usize = 30;

/// Size of the latency line in pixels.
const SPARK_WIDTH: f64 = 88.0;
const SPARK_HEIGHT: f64 = 20.0;

/// The mark of one poll. Marks differ in height and shape as well as in colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    /// Half the height of the bar.
    Good,
    /// Three quarters of the height, with a gap.
    Degraded,
    /// The full height.
    Failed,
    /// A dot.
    Excused,
    /// A frame.
    Maintenance,
}

impl Mark {
    const ALL: [Self; 5] = [
        Self::Good,
        Self::Degraded,
        Self::Failed,
        Self::Excused,
        Self::Maintenance,
    ];

    fn of(poll: &Poll) -> Self {
        match poll.outcome {
            _ if poll.maintenance => Self::Maintenance,
            Outcome::Failed => Self::Failed,
            Outcome::Excused => Self::Excused,
            Outcome::Up if poll.health == Health::Degraded => Self::Degraded,
            Outcome::Up => Self::Good,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Excused => "excused",
            Self::Maintenance => "maintenance",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Degraded => "good while degraded",
            Self::Failed => "failed",
            Self::Excused => "failed because of the monitor itself",
            Self::Maintenance => "in maintenance",
        }
    }

    /// Returns its SVG path from its top left corner, 3 wide and at most 16 high.
    const fn outline(self) -> &'static str {
        match self {
            Self::Good => "v7h3v-7z",
            Self::Degraded => "v5h3v-5zm0 7v5h3v-5z",
            Self::Failed => "v16h3v-16z",
            Self::Excused => "v3h3v-3z",
            Self::Maintenance => "v10h3v-10zm1 1h1v8h-1z",
        }
    }

    /// Returns the y coordinate of its top.
    const fn top(self) -> u32 {
        match self {
            Self::Good => 9,
            Self::Degraded => 4,
            Self::Failed => 0,
            Self::Excused => 13,
            Self::Maintenance => 6,
        }
    }
}

/// Draws a bar of polls, the oldest on the left. The text alternative counts them by outcome.
pub(super) fn poll_bar(polls: &[Poll]) -> Markup {
    if polls.is_empty() {
        return Markup("<span class=\"quiet\">not polled yet</span>".to_owned());
    }
    let marks: Vec<Mark> = polls.iter().map(Mark::of).collect();
    let counts = Mark::ALL.into_iter().filter_map(|mark| {
        let count = marks.iter().filter(|it| **it == mark).count();
        (count > 0).then(|| format!("{count} {}", mark.text()))
    });
    let counts: Vec<String> = counts.collect();
    let label = format!("{}: {}", last_polls(polls), counts.join(", "));
    let (width, view_box_width) = (polls.len() * 3, polls.len() * 4);
    let mut svg = format!(
        r#"<svg class="polls" role="img" width="{width}" height="16" viewBox="0 0 {view_box_width} 16" preserveAspectRatio="none"><title>{label}</title>"#
    );
    for mark in Mark::ALL {
        let mut path = String::new();
        for (i, _) in marks.iter().enumerate().filter(|(_, it)| **it == mark) {
            push_fmt(
                &mut path,
                format_args!("M{} {}{}", i * 4, mark.top(), mark.outline()),
            );
        }
        if !path.is_empty() {
            let fill_rule = if mark == Mark::Maintenance {
                r#" fill-rule="evenodd""#
            } else {
                ""
            };
            push_fmt(
                &mut svg,
                format_args!(r#"<path class="{}"{fill_rule} d="{path}"/>"#, mark.class()),
            );
        }
    }
    svg.push_str("</svg>");
    Markup(svg)
}

/// Draws the fastest response of each poll, with gaps where there was none.
pub(super) fn sparkline(polls: &[Poll]) -> Markup {
    let fastest: Vec<Option<Duration>> = polls
        .iter()
        .map(|poll| poll.latency.iter().flatten().min().copied())
        .collect();
    let measured = || fastest.iter().flatten();
    let (Some(min), Some(max)) = (measured().min(), measured().max()) else {
        return Markup::default();
    };
    let label = format!(
        "latency of the {}: {} to {}",
        last_polls(polls),
        latency(*min),
        latency(*max)
    );
    let step = SPARK_WIDTH / as_f64(ROW_POLLS.max(fastest.len()) - 1);
    let scale = (SPARK_HEIGHT - 3.0) / max.as_secs_f64().max(1e-6);
    let mut path = String::new();
    let mut pen_is_down = false;
    for (i, took) in fastest.iter().enumerate() {
        let Some(took) = took else {
            pen_is_down = false;
            continue;
        };
        let x = as_f64(i) * step;
        let y = SPARK_HEIGHT - 1.5 - took.as_secs_f64() * scale;
        let command = if pen_is_down { 'L' } else { 'M' };
        push_fmt(&mut path, format_args!("{command}{x:.0} {y:.1}"));
        let is_isolated = !pen_is_down && fastest.get(i + 1).is_none_or(Option::is_none);
        if is_isolated {
            // A line of zero length with round caps is a dot.
            path.push_str("h0");
        }
        pen_is_down = true;
    }
    Markup(format!(
        r#"<svg class="spark" role="img" width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}"><title>{label}</title><path d="{path}"/></svg>"#
    ))
}

fn last_polls(polls: &[Poll]) -> String {
    match polls.len() {
        1 => "last poll".to_owned(),
        many => format!("last {many} polls"),
    }
}

fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn poll(outcome: Outcome, took_ms: Option<u64>) -> Poll {
        Poll {
            at: SystemTime::UNIX_EPOCH,
            outcome,
            maintenance: false,
            health: Health::Up,
            failures: [None; 2],
            latency: [None, took_ms.map(Duration::from_millis)],
            order: None,
            state_block: None,
            lag: None,
        }
    }

    #[test]
    fn the_bar_counts_polls_and_draws_each_outcome_in_its_own_shape() {
        let polls = [
            poll(Outcome::Up, Some(1)),
            poll(Outcome::Failed, None),
            poll(Outcome::Up, Some(1)),
        ];
        let Markup(svg) = poll_bar(&polls);
        assert!(
            svg.contains("<title>last 3 polls: 2 good, 1 failed</title>"),
            "{svg}"
        );
        assert!(
            svg.contains(r#"<path class="good" d="M0 9v7h3v-7zM8 9v7h3v-7z"/>"#),
            "{svg}"
        );
        assert!(
            svg.contains(r#"<path class="failed" d="M4 0v16h3v-16z"/>"#),
            "{svg}"
        );
    }

    #[test]
    fn the_line_has_a_gap_where_there_is_no_measurement() {
        let polls = [
            poll(Outcome::Up, Some(10)),
            poll(Outcome::Up, Some(5)),
            poll(Outcome::Failed, None),
            poll(Outcome::Up, Some(10)),
        ];
        let Markup(svg) = sparkline(&polls);
        assert!(svg.contains(r#"d="M0 1.5L3 10.0M9 1.5h0""#), "{svg}");
        assert!(svg.contains("5.00 ms to 10.0 ms"), "{svg}");
        assert_eq!(sparkline(&[poll(Outcome::Failed, None)]), Markup::default());
    }
}

//! How many different states and histories there were over the last day and the last month, and
//! each time that there were several, with the first block that differed.

use std::time::{Duration, SystemTime};

use askama::Template;

use crate::history::{AgreementSpan, unix_millis};
use crate::web::pages::format::{Markup, Timestamp, count, number, push_fmt, short_duration};

use super::NetworkView;

/// Maximum number of differences listed; the API has those that are kept.
const MAX_DIFFERENCES: usize = 20;

/// Width of a bar, which is stretched to the place that it has.
const BAR_WIDTH: f64 = 480.0;

/// Smallest width that is drawn, so that a short difference is seen.
const LEAST_WIDTH: f64 = 1.5;

const DAY: Duration = Duration::from_secs(86_400);

/// The times that are drawn.
const RANGES: [(&str, Duration); 2] = [("Last 24 h", DAY), ("Last 30 d", DAY.saturating_mul(30))];

#[derive(Template)]
#[template(path = "pages/agreement.html")]
pub(super) struct AgreementSection {
    ranges: [&'static str; RANGES.len()],
    /// States and histories; empty if nothing was ever compared.
    lanes: Vec<LaneRow>,
    /// When there were several, the last one first.
    differences: Vec<DifferenceRow>,
    more: usize,
}

/// A counted kind: states or histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    States,
    Histories,
}

struct LaneRow {
    title: &'static str,
    cells: Vec<LaneCell>,
}

/// One lane over one range of time.
struct LaneCell {
    range: &'static str,
    bar: Markup,
    compared: Option<String>,
    different: Option<String>,
}

struct DifferenceRow {
    began: Timestamp,
    /// How long it lasted; none if it still does.
    lasted: Option<String>,
    states: Option<u32>,
    histories: Option<u32>,
    state_block: Option<String>,
    fork_block: Option<String>,
}

/// A range of time, in milliseconds since the epoch.
#[derive(Clone, Copy)]
struct Range {
    from: u64,
    to: u64,
}

impl AgreementSection {
    pub(super) fn new(view: &NetworkView<'_>) -> Self {
        let spans = view.agreement;
        let now_ms = unix_millis(view.snapshot.wall);
        // To the end of the minute, so that the bars are not other ones each second.
        let to = now_ms.next_multiple_of(60_000);
        let row = |lane: Lane| LaneRow {
            title: lane.title(),
            cells: RANGES
                .map(|(name, length)| {
                    let from = to.saturating_sub(duration_millis(length));
                    LaneCell::new(lane, name, spans, Range { from, to })
                })
                .into(),
        };
        let lanes = [Lane::States, Lane::Histories].into_iter().map(row);
        let different = || spans.iter().rev().filter(|span| span.is_different());
        Self {
            ranges: RANGES.map(|(name, _)| name),
            lanes: lanes.filter(|_| !spans.is_empty()).collect(),
            differences: different()
                .take(MAX_DIFFERENCES)
                .map(|span| DifferenceRow::new(span, now_ms, view))
                .collect(),
            more: different().count().saturating_sub(MAX_DIFFERENCES),
        }
    }
}

impl Lane {
    const fn title(self) -> &'static str {
        match self {
            Self::States => "States",
            Self::Histories => "Histories",
        }
    }

    const fn count(self, span: &AgreementSpan) -> Option<u32> {
        match self {
            Self::States => span.states,
            Self::Histories => span.histories,
        }
    }
}

impl LaneCell {
    fn new(lane: Lane, name: &'static str, spans: &[AgreementSpan], range: Range) -> Self {
        // One path for all times with one, and one on top of it for those with several.
        let mut paths = [String::new(), String::new()];
        let mut total = [Duration::ZERO; 2];
        let mut is_different = false;
        for span in spans {
            let Some(count) = lane.count(span).filter(|_| range.overlaps(span)) else {
                continue;
            };
            let (from, to) = (span.since_ms.max(range.from), span.until_ms.min(range.to));
            let class = usize::from(count > 1);
            is_different |= count > 1;
            total[class] += Duration::from_millis(to - from);
            let x = range.x(from).min(BAR_WIDTH - LEAST_WIDTH);
            let width = (range.x(to) - x).max(LEAST_WIDTH);
            push_fmt(
                &mut paths[class],
                format_args!("M{x:.1} 1h{width:.1}v12h-{width:.1}z"),
            );
        }
        let [one, several] = total;
        let compared = one + several;
        let compared = (!paths.concat().is_empty())
            .then(|| format!("compared for {}", short_duration(compared)));
        let different = is_different.then(|| format!("different for {}", short_duration(several)));
        let said = match (&compared, &different) {
            (None, _) => "not compared".to_owned(),
            (Some(compared), None) => format!("{compared}, no difference"),
            (Some(compared), Some(different)) => format!("{compared}, {different}"),
        };
        let [one, several] = paths;
        Self {
            range: name,
            bar: Markup(format!(
                r#"<svg class="agreement" role="img" viewBox="0 0 {BAR_WIDTH} 14" preserveAspectRatio="none" aria-label="{}, {name}: {said}"><path class="back" d="M0 6h{BAR_WIDTH}v2H0z"/><path class="one" d="{one}"/><path class="several" d="{several}"/></svg>"#,
                lane.title()
            )),
            compared,
            different,
        }
    }
}

impl DifferenceRow {
    fn new(span: &AgreementSpan, now_ms: u64, view: &NetworkView<'_>) -> Self {
        let began = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(span.since_ms));
        let took = Duration::from_millis(span.until_ms.saturating_sub(span.since_ms));
        let several = |count: Option<u32>| count.filter(|count| *count > 1);
        Self {
            began: view.times.at(began.unwrap_or(SystemTime::UNIX_EPOCH)),
            lasted: (!span.lasts_at(now_ms)).then(|| short_duration(took)),
            states: several(span.states),
            histories: several(span.histories),
            state_block: span.state_block.map(number),
            fork_block: span.fork_block.map(count),
        }
    }
}

impl Range {
    const fn overlaps(self, span: &AgreementSpan) -> bool {
        span.since_ms <= self.to && span.until_ms >= self.from && span.since_ms <= span.until_ms
    }

    /// Returns where a time in the range is drawn.
    #[expect(
        clippy::cast_precision_loss,
        reason = "at most a month in milliseconds, drawn with few digits"
    )]
    fn x(self, at: u64) -> f64 {
        let whole = (self.to - self.from).max(1) as f64;
        (at - self.from) as f64 / whole * BAR_WIDTH
    }
}

fn duration_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! A peer's history in steps of equal length, for charts.

use std::time::{Duration, SystemTime};

use super::db::Resolution;
use super::summary::Summary;
use super::time::MINUTE;

/// Largest number of points in a series: more than a screen is wide.
pub const MAX_SERIES_POINTS: u32 = 2_000;

/// A part of a peer's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Length of a step.
    pub step: Duration,
    /// Points in order of time. A step without polls has no point.
    pub points: Vec<Point>,
}

/// One step of a [`Series`].
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// When the step begins: a multiple of the step length since the epoch.
    pub at: SystemTime,
    /// Summary of the polls in the step.
    pub summary: Summary,
}

impl Series {
    /// Merges stored summaries into steps of `step_minutes` minutes.
    pub(super) fn from_summaries(
        resolution: Resolution,
        summaries: Vec<(u32, Summary)>,
        step_minutes: u32,
    ) -> Self {
        let mut steps: Vec<(u32, Summary)> = Vec::new();
        for (at, summary) in summaries {
            merge_into_step(
                &mut steps,
                at * resolution.minutes() / step_minutes,
                &summary,
            );
        }
        let step = MINUTE * step_minutes;
        let point = |(at, summary): (u32, Summary)| Point {
            at: SystemTime::UNIX_EPOCH + step * at,
            summary,
        };
        Self {
            step,
            points: steps.into_iter().map(point).collect(),
        }
    }
}

/// Returns the step of a series in minutes: the requested one, rounded up to a multiple of
/// `resolution` and to at most [`MAX_SERIES_POINTS`] points.
pub(super) fn step_minutes(
    resolution: Resolution,
    (first, last): (u32, u32),
    step: Duration,
) -> u32 {
    let requested = u32::try_from(step.as_secs().div_ceil(60)).unwrap_or(u32::MAX / 2);
    let shortest = (last.saturating_sub(first) + 1).div_ceil(MAX_SERIES_POINTS);
    let minutes = requested.max(shortest).max(1);
    minutes.div_ceil(resolution.minutes()) * resolution.minutes()
}

/// Merges a summary into the one of its step. The steps are sorted.
pub(super) fn merge_into_step(steps: &mut Vec<(u32, Summary)>, at: u32, summary: &Summary) {
    match steps.binary_search_by_key(&at, |(step, _)| *step) {
        Ok(index) => steps[index].1.merge(summary),
        Err(index) => steps.insert(index, (at, summary.clone())),
    }
}

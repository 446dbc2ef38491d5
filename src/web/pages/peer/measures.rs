//! What the charts of a peer show: figures of its polls, or of summaries of them.

use std::time::{Duration, SystemTime};

use convex_client::Transport;

use crate::history::Summary;

use crate::web::pages::chart::{Chart, Line, Scale};
use crate::web::pages::format::{latency, number, percent};

/// The shortest time over which a rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(60);

const LATENCY: Scale = Scale {
    least_high: 0.001,
    integers: false,
    format: format_seconds,
};

const DELAY: Scale = Scale {
    least_high: 3.0,
    integers: false,
    format: format_seconds,
};

const BLOCKS: Scale = Scale {
    least_high: 3.0,
    integers: true,
    format: format_integer,
};

const RATE: Scale = Scale {
    least_high: 1.0,
    integers: false,
    format: format_rate,
};

const SHARE: Scale = Scale {
    least_high: 1.0,
    integers: false,
    format: percent,
};

/// Summaries of polls, each at its time, in chronological order.
pub(super) type Samples = [(SystemTime, Summary)];

/// Returns the charts of these samples. `max_gap` is how far two can be apart that follow each
/// other.
pub(super) fn charts(samples: &Samples, max_gap: Duration) -> Vec<Chart> {
    let chart = |title, scale, lines| Chart {
        title,
        scale,
        lines,
    };
    let latency_over = |transport: Transport| {
        move |it: &Summary| {
            let mean = it.latency[transport as usize].mean()?;
            Some(mean.as_secs_f64())
        }
    };
    vec![
        chart(
            "Latency",
            LATENCY,
            vec![
                line("http", samples, &latency_over(Transport::Http)),
                line("tcp", samples, &latency_over(Transport::Tcp)),
            ],
        ),
        chart(
            "Finality delay",
            DELAY,
            vec![Line {
                name: "oldest block that is not final",
                values: finality_delays(samples),
            }],
        ),
        chart(
            "Pending blocks",
            BLOCKS,
            vec![
                line("not final", samples, &|it| {
                    Some(as_f64(it.order?.pending()))
                }),
                line("final, not executed", samples, &|it| {
                    let executed = it.state_block?.saturating_add(1);
                    Some(as_f64(it.order?.finality.saturating_sub(executed).max(0)))
                }),
            ],
        ),
        chart(
            "Final blocks per minute",
            RATE,
            vec![Line {
                name: "finalised",
                values: final_rates(samples, max_gap.max(RATE_WINDOW)),
            }],
        ),
        chart(
            "Behind the head",
            BLOCKS,
            vec![line("blocks", samples, &|it| it.worst_lag.map(as_f64))],
        ),
        chart(
            "Failed polls",
            SHARE,
            vec![line("failed", samples, &|it| {
                let counted = it.good.saturating_add(it.failed);
                (counted > 0).then(|| count_as_f64(it.failed) / count_as_f64(counted))
            })],
        ),
    ]
}

fn line(name: &'static str, samples: &Samples, value: &dyn Fn(&Summary) -> Option<f64>) -> Line {
    let values = samples.iter().map(|(_, summary)| value(summary));
    Line {
        name,
        values: values.collect(),
    }
}

/// Returns for each sample how long the oldest block that was not final then had at least been in
/// the order: since the first of the samples that shows it.
fn finality_delays(samples: &Samples) -> Vec<Option<f64>> {
    let delay = |(i, (at, summary)): (usize, &(SystemTime, Summary))| {
        let finality = summary.order?.finality;
        let has_block = |order: convex_client::OrderPoints| order.block > finality;
        // An order can lose blocks, so the search ends at the first sample that lacks the block.
        let seen = samples[..=i].iter().rev();
        let seen = seen.filter_map(|(at, summary)| Some((*at, summary.order?)));
        let first = seen.take_while(|(_, order)| has_block(*order)).last();
        Some(first.map_or(0.0, |(first, _)| seconds(first, *at)))
    };
    samples.iter().enumerate().map(delay).collect()
}

/// Returns for each sample how many blocks per minute became final within the `window` before it.
fn final_rates(samples: &Samples, window: Duration) -> Vec<Option<f64>> {
    let finality = |sample: &(SystemTime, Summary)| Some((sample.0, sample.1.order?.finality));
    let rate = |i: usize| {
        let (at, last) = finality(&samples[i])?;
        let earlier = samples[..i].iter().filter_map(finality);
        let mut earlier = earlier.filter(|(since, _)| seconds(*since, at) <= window.as_secs_f64());
        let (since, first) = earlier.next()?;
        let minutes = seconds(since, at) / 60.0;
        // A block more or less within some seconds says nothing about a minute.
        let is_long_enough = minutes >= RATE_WINDOW.as_secs_f64() / 120.0;
        let grown = last.checked_sub(first).filter(|grown| *grown >= 0)?;
        is_long_enough.then(|| as_f64(grown) / minutes)
    };
    (0..samples.len()).map(rate).collect()
}

fn seconds(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).unwrap_or_default().as_secs_f64()
}

/// Formats a duration with three digits, in minutes from 10 min on.
fn format_seconds(value: f64) -> String {
    match value {
        0.0 => "0 s".to_owned(),
        _ if value < 9.995 => latency(Duration::try_from_secs_f64(value).unwrap_or_default()),
        _ if value < 600.0 => format!("{value:.0} s"),
        _ if value < 36_000.0 => format!("{:.0} min", value / 60.0),
        _ => format!("{:.0} h", value / 3600.0),
    }
}

fn format_rate(value: f64) -> String {
    let text = format!("{value:.1}");
    text.trim_end_matches(".0").to_owned()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a number of blocks, far below 2^53"
)]
fn format_integer(value: f64) -> String {
    number(value.round() as i64)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a number of blocks, far below 2^53"
)]
fn as_f64(value: i64) -> f64 {
    value as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a number of polls, far below 2^53"
)]
fn count_as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use convex_client::OrderPoints;

    use super::*;

    /// Samples at these seconds, with blocks in the order and final ones; none where the peer did
    /// not answer.
    fn samples(points: &[(u64, Option<(i64, i64)>)]) -> Vec<(SystemTime, Summary)> {
        let sample = |(at, order): &(u64, Option<(i64, i64)>)| {
            let summary = Summary {
                good: u64::from(order.is_some()),
                failed: u64::from(order.is_none()),
                order: order.map(|(block, finality)| OrderPoints {
                    block,
                    proposal: block,
                    consensus: finality,
                    finality,
                }),
                state_block: order.map(|(_, finality)| finality - 2),
                ..Summary::default()
            };
            (SystemTime::UNIX_EPOCH + Duration::from_secs(*at), summary)
        };
        points.iter().map(sample).collect()
    }

    #[test]
    fn the_finality_delay_is_the_age_of_the_oldest_block_that_is_not_final() {
        let samples = samples(&[
            (0, Some((10, 10))),
            (10, Some((12, 10))),
            (20, Some((13, 10))),
            (30, None),
            (40, Some((14, 12))),
            (50, Some((14, 14))),
            // The order went back.
            (60, Some((5, 5))),
            (70, Some((14, 5))),
        ]);
        assert_eq!(
            finality_delays(&samples),
            [
                Some(0.0),
                Some(0.0),
                Some(10.0),
                None,
                // The 13th block is there since 20 s.
                Some(20.0),
                Some(0.0),
                Some(0.0),
                Some(0.0),
            ]
        );
    }

    #[test]
    fn a_rate_counts_the_blocks_of_a_minute_and_never_falls_below_zero() {
        let samples = samples(&[
            (0, Some((10, 10))),
            (10, Some((11, 11))),
            (30, Some((13, 13))),
            (60, Some((20, 20))),
            (90, Some((22, 22))),
            (100, Some((5, 5))),
        ]);
        let rates = final_rates(&samples, Duration::from_secs(60));
        assert_eq!(rates, [None, None, Some(6.0), Some(10.0), Some(9.0), None]);
    }

    #[test]
    fn every_measure_is_absent_where_the_peer_did_not_answer() {
        let samples = samples(&[(0, Some((10, 8))), (10, None)]);
        let found = charts(&samples, Duration::from_secs(15));
        let values = |title: &str| {
            let chart = found.iter().find(|chart| chart.title == title).unwrap();
            let lines = chart.lines.iter();
            lines.map(|line| line.values.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            values("Pending blocks"),
            [[Some(2.0), None], [Some(1.0), None]]
        );
        assert_eq!(values("Behind the head"), [[None, None]]);
        assert_eq!(values("Failed polls"), [[Some(0.0), Some(1.0)]]);
    }

    #[test]
    fn durations_have_about_three_digits() {
        for (seconds, expected) in [
            (0.0, "0 s"),
            (0.012_3, "12.3 ms"),
            (1.234, "1.23 s"),
            (75.0, "75 s"),
            (1_500.0, "25 min"),
            (90_000.0, "25 h"),
        ] {
            assert_eq!(format_seconds(seconds), expected);
        }
    }
}

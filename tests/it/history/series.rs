//! Summaries over time, and uptime.

use std::time::{Duration, SystemTime};

use convex_client::FailureReason;
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::history::{Outcome, ReadError};

use crate::support::polls::failed;

use super::{HOUR, MINUTE, TWO, Watched, good, hours_ago};

#[tokio::test]
async fn a_series_is_the_same_before_and_after_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let watched = Watched::start(Some(dir.path()), TWO).await;
    let began = hours_ago(2);
    for (i, attempt) in [
        good(7, 5, 1),
        good(7, 6, 1),
        failed(FailureReason::Timeout),
        failed(Reason::MONITOR),
    ]
    .into_iter()
    .enumerate()
    {
        let at = began + MINUTE / 2 * u32::try_from(i).unwrap();
        watched.poll(0, at, attempt);
    }
    let history = &watched.history;
    let outcomes: Vec<_> = history
        .recent("one")
        .unwrap()
        .iter()
        .map(|it| it.outcome)
        .collect();
    assert_eq!(
        outcomes,
        [Outcome::Up, Outcome::Up, Outcome::Failed, Outcome::Excused]
    );
    assert_eq!(history.recent("two").unwrap(), []);

    let read = async || {
        let series = history
            .series("one", began, began + HOUR, MINUTE)
            .await
            .unwrap();
        (series, history.uptime("one").await.unwrap())
    };
    let unwritten = read().await;
    watched.write().await;
    assert_eq!(read().await.0, unwritten.0);

    let (series, [day, ..]) = unwritten;
    assert_eq!(series.step, MINUTE);
    let [first, second] = &series.points[..] else {
        panic!("{series:?}");
    };
    assert_eq!((first.at, second.at), (began, began + MINUTE));
    assert_eq!(
        (first.summary.good, first.summary.order.unwrap().block),
        (2, 6)
    );
    assert_eq!((second.summary.failed, second.summary.excused), (1, 1));
    assert_eq!(
        first.summary.latency[1].mean(),
        Some(Duration::from_millis(2))
    );
    // The first poll has no poll before it, so it counts for one interval.
    assert_eq!(day.up.as_secs(), 30);
    assert!(day.coverage() < 0.01, "{day:?}");
}

#[tokio::test]
async fn a_peer_that_is_not_watched_has_no_history() {
    let watched = Watched::start(None, TWO).await;
    let history = &watched.history;
    assert!(history.recent("three").is_none() && history.transcripts("three").is_none());
    let now = SystemTime::now();
    let series = history.series("three", now - HOUR, now, MINUTE).await;
    assert!(matches!(series, Err(ReadError::NotWatched)));
    assert!(matches!(
        history.uptime("three").await,
        Err(ReadError::NotWatched)
    ));
}

#[tokio::test(start_paused = true)]
async fn uptime_covers_the_time_between_polls_and_excludes_maintenance() {
    let began = hours_ago(1);
    let maintenance = humantime::format_rfc3339(began + MINUTE * 30);
    let config = format!(
        "peers: [{{ name: one, interval: 30s, endpoints: ['tcp://192.0.2.1:1'], \
         maintenance: [{{ from: {maintenance}, to: 2999-01-01T00:00:00Z }}] }}]\n"
    );
    let watched = Watched::start(None, &config).await;
    for (minutes, seconds_later, attempt) in [
        (0, 0, good(7, 5, 1)),
        (1, 30, good(7, 5, 1)),
        (2, 30, failed(FailureReason::Refused)),
        // After a long time without polls.
        (3, 3_000, failed(FailureReason::Refused)),
        (31, 30, failed(FailureReason::Refused)),
    ] {
        tokio::time::advance(Duration::from_secs(seconds_later)).await;
        watched.poll(0, began + MINUTE * minutes, attempt);
        watched.write().await;
    }
    tokio::time::resume();
    let [day, ..] = watched.history.uptime("one").await.unwrap();
    let seconds = [day.up, day.down, day.maintenance].map(|time| time.as_secs());
    assert_eq!(seconds, [60, 90, 30]);
    assert_eq!(day.ratio(), Some(0.4));
}

#[tokio::test]
async fn a_long_series_is_hourly_and_its_number_of_points_is_limited() {
    let watched = Watched::start(None, TWO).await;
    let this_hour = hours_ago(0);
    for hours in [40, 39, 1] {
        watched.poll(0, this_hour - hours * HOUR, good(7, 5, 1));
        watched.write().await;
    }
    let now = this_hour + HOUR / 2;
    let history = &watched.history;
    let long = history
        .series("one", now - 48 * HOUR, now, MINUTE)
        .await
        .unwrap();
    assert_eq!(long.step, HOUR);
    let begins: Vec<_> = long.points.iter().map(|point| point.at).collect();
    assert_eq!(begins, [40, 39, 1].map(|hours| this_hour - hours * HOUR));
    let short = history
        .series("one", now - 2 * HOUR, now, 5 * MINUTE)
        .await
        .unwrap();
    assert_eq!((short.step, short.points.len()), (5 * MINUTE, 1));
    let all = SystemTime::UNIX_EPOCH;
    let everything = history
        .series("one", all, now, Duration::ZERO)
        .await
        .unwrap();
    assert!(everything.step > 24 * HOUR, "{:?}", everything.step);
    assert!(!everything.points.is_empty());
}

#[tokio::test]
async fn a_clock_that_steps_an_hour_both_ways_loses_and_reorders_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let watched = Watched::start(Some(dir.path()), TWO).await;
    let began = hours_ago(3);
    for (i, at) in [
        began,
        began + HOUR,
        began,
        SystemTime::UNIX_EPOCH - HOUR,
        began,
    ]
    .into_iter()
    .enumerate()
    {
        watched.poll(0, at, good(7, 5 + i64::try_from(i).unwrap(), 1));
        watched.write().await;
    }
    let series = watched
        .history
        .series("one", began, began + 2 * HOUR, MINUTE)
        .await;
    let polls: Vec<_> = series
        .unwrap()
        .points
        .iter()
        .map(|it| (it.at, it.summary.polls()))
        .collect();
    assert_eq!(polls, [(began, 3), (began + HOUR, 1)]);
    let ids: Vec<u64> = watched
        .history
        .events_since(0, 99)
        .iter()
        .map(|it| it.id)
        .collect();
    assert!(!ids.is_empty() && ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

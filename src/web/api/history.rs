//! `/api/v1/peers/{name}/history`: time series of a peer's polls, and its uptime.

use std::time::{Duration, SystemTime};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use convex_client::{Transport, seconds_since_epoch};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::fleet::Health;
use crate::fleet::peer_json::{ExactInteger, OrderPointsJson};
use crate::history::{Latency, Point, Summary, Uptime};

use super::Api;
use super::conditional::json;
use super::parameters::{At, MAX_STEP_SECONDS, Parameters, Step};
use super::problem::Problem;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The query parameters of a history.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryParameters {
    /// Start of the range, seconds since the epoch; a day before its end by default.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 253_402_300_799_i64)]
    from: Option<At>,
    /// End of the range, seconds since the epoch; now by default.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 253_402_300_799_i64)]
    to: Option<At>,
    /// Requested step between points, seconds; as short as possible by default. The next longer
    /// available step is used.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 7_776_000)]
    step: Option<Step>,
}

const _: () = assert!(
    MAX_STEP_SECONDS == 7_776_000,
    "the maximum above is the longest step"
);

/// A peer's history over a range of time. Times are seconds since the epoch, durations seconds.
/// Unknown values are absent.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryReport<'a> {
    peer: &'a str,
    /// Start of the range.
    from: f64,
    /// End of the range.
    to: f64,
    /// Step between points: at least the requested one. Steps shorter than an hour are available
    /// for 24 h, longer ones for 90 d.
    step_seconds: f64,
    /// In chronological order. A step in which the peer was not polled has no point.
    points: Vec<PointReport>,
    /// Over the last 24 h, 7 d, 30 d and 90 d, regardless of the range.
    uptime: Vec<UptimeReport>,
}

/// Summary of the polls in one step.
#[derive(Debug, Serialize, ToSchema)]
struct PointReport {
    /// Start of the step.
    at: f64,
    polls: PollsReport,
    /// The time covered by these polls.
    time_seconds: TimeReport,
    duration_seconds: LatenciesReport,
    /// The order at the last poll that reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderPointsJson>,
    /// The state's block at the last poll that reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_block: Option<ExactInteger>,
    /// The largest lag in blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    worst_lag_blocks: Option<ExactInteger>,
}

/// Number of polls by outcome, each counted once, and by the health after them.
#[derive(Debug, Serialize, ToSchema)]
struct PollsReport {
    good: u64,
    failed: u64,
    /// Failed because of the monitor itself.
    excused: u64,
    /// In maintenance, whatever the outcome.
    maintenance: u64,
    by_health: HealthReport,
}

#[derive(Debug, Serialize, ToSchema)]
struct HealthReport {
    unknown: u64,
    up: u64,
    degraded: u64,
    down: u64,
}

/// The time covered by good polls, failed polls and polls in maintenance.
#[derive(Debug, Serialize, ToSchema)]
struct TimeReport {
    good: f64,
    failed: f64,
    maintenance: f64,
}

#[derive(Debug, Serialize, ToSchema)]
struct LatenciesReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<LatencyReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<LatencyReport>,
}

/// Response times.
#[derive(Debug, Serialize, ToSchema)]
struct LatencyReport {
    answers: u64,
    min: f64,
    mean: f64,
    max: f64,
}

/// Uptime over a window, excluding maintenance.
#[derive(Debug, Serialize, ToSchema)]
struct UptimeReport {
    #[schema(example = "24h")]
    window: String,
    /// Share of the observed time in which the peer was up, 0 to 1; absent if nothing was observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    /// Share of the window in which the peer was observed, 0 to 1.
    coverage: f64,
    /// Time covered by good polls.
    up_seconds: f64,
    /// Time covered by failed polls.
    down_seconds: f64,
    /// Observed time in maintenance, whether up or down.
    maintenance_seconds: f64,
}

impl PointReport {
    fn new(point: &Point) -> Self {
        let summary: &Summary = &point.summary;
        let seconds = |ms| Duration::from_millis(ms).as_secs_f64();
        let health = |health: Health| summary.by_health[health as usize];
        let latency =
            |transport: Transport| LatencyReport::new(&summary.latency[transport as usize]);
        Self {
            at: seconds_since_epoch(point.at),
            polls: PollsReport {
                good: summary.good,
                failed: summary.failed,
                excused: summary.excused,
                maintenance: summary.maintenance,
                by_health: HealthReport {
                    unknown: health(Health::Unknown),
                    up: health(Health::Up),
                    degraded: health(Health::Degraded),
                    down: health(Health::Down),
                },
            },
            time_seconds: TimeReport {
                good: seconds(summary.good_ms),
                failed: seconds(summary.failed_ms),
                maintenance: seconds(summary.maintenance_ms),
            },
            duration_seconds: LatenciesReport {
                http: latency(Transport::Http),
                tcp: latency(Transport::Tcp),
            },
            order: summary.order.map(OrderPointsJson::new),
            state_block: summary.state_block.map(ExactInteger),
            worst_lag_blocks: summary.worst_lag.map(ExactInteger),
        }
    }
}

impl LatencyReport {
    fn new(latency: &Latency) -> Option<Self> {
        let seconds = |us| Duration::from_micros(us).as_secs_f64();
        Some(Self {
            answers: latency.count,
            min: seconds(latency.min_us),
            mean: latency.mean()?.as_secs_f64(),
            max: seconds(latency.max_us),
        })
    }
}

impl UptimeReport {
    fn new(uptime: &Uptime) -> Self {
        Self {
            window: window_name(uptime.window),
            ratio: uptime.ratio(),
            coverage: uptime.coverage(),
            up_seconds: uptime.up.as_secs_f64(),
            down_seconds: uptime.down.as_secs_f64(),
            maintenance_seconds: uptime.maintenance.as_secs_f64(),
        }
    }
}

/// Returns the name of an uptime window: `24h`, `7d`.
pub(super) fn window_name(window: Duration) -> String {
    if window == DAY {
        "24h".to_owned()
    } else {
        format!("{}d", window.as_secs() / DAY.as_secs())
    }
}

/// Time series of a peer's polls, and the peer's uptime.
#[utoipa::path(
    get,
    path = "/api/v1/peers/{name}/history",
    tag = "history",
    params(("name" = String, Path, description = "The peer's name."), HistoryParameters),
    responses(
        (status = 200, description = "The history.", body = HistoryReport, headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
        (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No watched peer has this name.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The history cannot be read.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn history(
    State(api): State<Api>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
    Parameters(parameters): Parameters<HistoryParameters>,
) -> Result<Response, Problem> {
    let Path(name) = name?;
    api.record(&name)?;
    // The start of the current minute, so that the response can stay the same for a while; the
    // polls of that minute are included.
    let to = parameters.to.map_or_else(start_of_minute, |At(to)| to);
    let from = parameters.from.map_or_else(
        || to.checked_sub(DAY).unwrap_or(SystemTime::UNIX_EPOCH),
        |At(from)| from,
    );
    if from > to {
        return Err(Problem::bad_request(format!(
            "from ({}) is later than to ({}); from must not be later than to",
            seconds_since_epoch(from),
            seconds_since_epoch(to),
        )));
    }
    let step = parameters.step.map_or(MINUTE, |Step(step)| step);
    let series = api.history.series(&name, from, to, step).await?;
    let uptime = api.history.uptime(&name).await?;
    let report = HistoryReport {
        peer: &name,
        from: seconds_since_epoch(from),
        to: seconds_since_epoch(to),
        step_seconds: series.step.as_secs_f64(),
        points: series.points.iter().map(PointReport::new).collect(),
        uptime: uptime.iter().map(UptimeReport::new).collect(),
    };
    json(&headers, &report)
}

fn start_of_minute() -> SystemTime {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let minutes = since.as_secs() / MINUTE.as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(minutes * MINUTE.as_secs())
}

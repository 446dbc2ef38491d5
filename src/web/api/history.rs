//! `/api/v1/peers/{name}/history`: a peer's history as it is charted, and its uptime.

use std::time::{Duration, SystemTime};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use convex_client::{Transport, seconds_since_epoch};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::fleet::Health;
use crate::fleet::report::{ExactInteger, PointsReport};
use crate::history::{Latency, Point, Summary, Uptime};

use super::Api;
use super::conditional::json;
use super::parameters::{At, LONGEST_STEP, Parameters, Step};
use super::problem::Problem;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Which piece of the history is told.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Piece {
    /// Its beginning, seconds since the epoch; a day before its end by default.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 253_402_300_799_i64)]
    from: Option<At>,
    /// Its end, seconds since the epoch; now by default.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 253_402_300_799_i64)]
    to: Option<At>,
    /// From one point to the next, seconds; as short as possible by default. The next longer possible one is chosen.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 7_776_000)]
    step: Option<Step>,
}

const _: () = assert!(LONGEST_STEP == 7_776_000, "the description says so");

/// A piece of a peer's history. Times are seconds since the epoch, durations seconds. What is not known is absent.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryReport<'a> {
    peer: &'a str,
    /// The beginning of the piece.
    from: f64,
    /// Its end.
    to: f64,
    /// From one point to the next: at least what was asked for. Minutes reach back 24 h, hours 90 d.
    step_seconds: f64,
    /// In order of time. A step in which the peer was not polled has no point.
    points: Vec<PointReport>,
    /// Over the last 24 h, 7 d, 30 d and 90 d, whatever piece is asked for.
    uptime: Vec<UptimeReport>,
}

/// What the polls of one step showed.
#[derive(Debug, Serialize, ToSchema)]
struct PointReport {
    /// When the step begins.
    at: f64,
    polls: PollsReport,
    /// The time that these polls stand for.
    time_seconds: TimeReport,
    duration_seconds: LatenciesReport,
    /// The points of the order, seen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<PointsReport>,
    /// The state's block, seen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_block: Option<ExactInteger>,
    /// The most blocks that the peer was behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    worst_lag_blocks: Option<ExactInteger>,
}

/// Polls by how they ended, each counted once, and by the health after them.
#[derive(Debug, Serialize, ToSchema)]
struct PollsReport {
    good: u64,
    failed: u64,
    /// Failed by the monitor's own trouble.
    excused: u64,
    /// In maintenance, however they ended.
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

/// The time that good polls, failed ones and those in maintenance stand for.
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

/// How long answers took.
#[derive(Debug, Serialize, ToSchema)]
struct LatencyReport {
    answers: u64,
    min: f64,
    mean: f64,
    max: f64,
}

/// How much of a window the peer was up, maintenance left out.
#[derive(Debug, Serialize, ToSchema)]
struct UptimeReport {
    #[schema(example = "24h")]
    window: String,
    /// Part of the judged time in which the peer was up, 0 to 1; absent when nothing was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    /// Part of the window in which anybody was looking, 0 to 1.
    coverage: f64,
    /// Time for which good polls stand.
    up_seconds: f64,
    /// Time for which failed polls stand.
    down_seconds: f64,
    /// Observed time in maintenance, up or not.
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
            order: summary.order.map(PointsReport::new),
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
            window: name_of(uptime.window),
            ratio: uptime.ratio(),
            coverage: uptime.coverage(),
            up_seconds: uptime.up.as_secs_f64(),
            down_seconds: uptime.down.as_secs_f64(),
            maintenance_seconds: uptime.maintenance.as_secs_f64(),
        }
    }
}

/// The name of a window of uptime: `24h`, and days above.
pub(super) fn name_of(window: Duration) -> String {
    if window == DAY {
        "24h".to_owned()
    } else {
        format!("{}d", window.as_secs() / DAY.as_secs())
    }
}

/// A piece of a peer's history, as it is charted, and the peer's uptime.
#[utoipa::path(
    get,
    path = "/api/v1/peers/{name}/history",
    tag = "history",
    params(("name" = String, Path, description = "The peer's name."), Piece),
    responses(
        (status = 200, description = "The piece.", body = HistoryReport, headers(("ETag" = String, description = "For If-None-Match."))),
        (status = 304, description = "As the client has it already."),
        (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No peer has this name.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The disk does not give it.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn history(
    State(api): State<Api>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
    Parameters(piece): Parameters<Piece>,
) -> Result<Response, Problem> {
    let Path(name) = name?;
    api.slot(&name)?;
    // The minute under way is in the piece; its beginning stays the same for a while, and so may the answer.
    let to = piece.to.map_or_else(this_minute, |At(to)| to);
    let from = piece.from.map_or_else(
        || to.checked_sub(DAY).unwrap_or(SystemTime::UNIX_EPOCH),
        |At(from)| from,
    );
    if from > to {
        return Err(Problem::bad_request(format!(
            "from ({}) is later than to ({}); a piece ends after it begins",
            seconds_since_epoch(from),
            seconds_since_epoch(to),
        )));
    }
    let step = piece.step.map_or(MINUTE, |Step(step)| step);
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

fn this_minute() -> SystemTime {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let minutes = since.as_secs() / MINUTE.as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(minutes * MINUTE.as_secs())
}

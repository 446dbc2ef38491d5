//! `/badge/{peer}.svg`: a peer's health or uptime as a small picture, for pages elsewhere. Told by its text; the colour helps.

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use unicode_width::UnicodeWidthStr;
use utoipa::{IntoParams, ToSchema};

use crate::fleet::Health;
use crate::history::{Uptime, WINDOWS};

use super::Api;
use super::conditional::tagged;
use super::history::name_of;
use super::parameters::Parameters;
use super::problem::Problem;

/// Pixels of a column of text.
const COLUMN: usize = 7;

/// Pixels beside a text.
const MARGIN: usize = 12;

/// White text on each of these has a contrast of 4.5 at least.
const GREEN: &str = "#1a7f37";
const AMBER: &str = "#9a6700";
const RED: &str = "#b3261e";
const GREY: &str = "#57606a";

/// From here on an uptime is green, and amber.
const GOOD: f64 = 0.999;
const FAIR: f64 = 0.99;

/// What the badge tells.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct What {
    /// The uptime in this window; without it, the health.
    #[param(inline)]
    uptime: Option<Window>,
}

/// A window of uptime.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
enum Window {
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "30d")]
    Month,
    #[serde(rename = "90d")]
    Quarter,
}

const _: () = assert!(Window::Quarter as usize + 1 == WINDOWS.len());

/// Two texts side by side.
#[derive(Debug, Template)]
#[template(path = "api/badge.svg", escape = "html")]
struct Badge {
    label: String,
    value: String,
    /// More of it for who looks closer.
    note: String,
    colour: &'static str,
    left: usize,
    width: usize,
}

impl Badge {
    fn new(label: String, value: String, note: String, colour: &'static str) -> Self {
        let pixels = |text: &str| text.width().max(1) * COLUMN + MARGIN;
        let left = pixels(&label);
        Self {
            width: left + pixels(&value),
            left,
            label,
            value,
            note,
            colour,
        }
    }

    fn of_health(peer: &str, health: Health) -> Self {
        let colour = match health {
            Health::Unknown => GREY,
            Health::Up => GREEN,
            Health::Degraded => AMBER,
            Health::Down => RED,
        };
        let value = health.as_str().to_owned();
        Self::new(peer.to_owned(), value, String::new(), colour)
    }

    fn of_uptime(peer: &str, uptime: &Uptime) -> Self {
        let label = format!("{peer} uptime {}", name_of(uptime.window));
        let Some(ratio) = uptime.ratio() else {
            return Self::new(label, "unknown".to_owned(), String::new(), GREY);
        };
        let colour = match ratio {
            GOOD.. => GREEN,
            FAIR.. => AMBER,
            _ => RED,
        };
        // Rounded down: only what was never down is 100 %.
        let value = format!("{} %", (ratio * 10_000.0).floor() / 100.0);
        let note = format!(
            "{} % of the time observed",
            (uptime.coverage() * 10_000.0).floor() / 100.0
        );
        Self::new(label, value, note, colour)
    }
}

/// A peer's health or uptime as a small picture.
#[utoipa::path(
    get,
    path = "/badge/{peer}.svg",
    tag = "badges",
    params(("peer" = String, Path, description = "The peer's name."), What),
    responses(
        (status = 200, description = "The badge.", body = String, content_type = "image/svg+xml", headers(("ETag" = String, description = "For If-None-Match."))),
        (status = 304, description = "As the client has it already."),
        (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No peer has this name.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The disk does not give the uptime.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn badge(
    State(api): State<Api>,
    headers: HeaderMap,
    file: Result<Path<String>, PathRejection>,
    Parameters(what): Parameters<What>,
) -> Result<Response, Problem> {
    let Path(file) = file?;
    let peer = file.strip_suffix(".svg").ok_or_else(|| {
        Problem::not_found(format!("{file:?} is no badge; their names end in .svg"))
    })?;
    let record = api.record(peer)?;
    let badge = match what.uptime {
        None => Badge::of_health(peer, record.health),
        Some(window) => Badge::of_uptime(peer, &api.history.uptime(peer).await?[window as usize]),
    };
    let picture = badge.render().map_err(|error| Problem::internal(&error))?;
    tagged(
        &headers,
        "image/svg+xml",
        "public, max-age=30",
        picture.into(),
    )
}

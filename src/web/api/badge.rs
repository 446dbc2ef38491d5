//! `/badge/{peer}.svg`: a peer's health or uptime as a small image to embed in other sites. The
//! text carries the information; the colour only supports it.

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
use super::history::window_name;
use super::parameters::Parameters;
use super::problem::Problem;

/// Width of a character column in pixels.
const COLUMN_WIDTH: usize = 7;

/// Padding of a text, left and right together, in pixels.
const PADDING: usize = 12;

/// Background colours: white text on them has a contrast of at least 4.5.
pub(in crate::web) const GREEN: &str = "#1a7f37";
pub(in crate::web) const AMBER: &str = "#9a6700";
pub(in crate::web) const RED: &str = "#b3261e";
pub(in crate::web) const GREY: &str = "#57606a";

/// Minimum uptime of a green badge.
const GREEN_UPTIME: f64 = 0.999;

/// Minimum uptime of an amber badge.
const AMBER_UPTIME: f64 = 0.99;

/// The query parameters of a badge.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BadgeParameters {
    /// Show the uptime over this window; the health by default.
    #[param(inline)]
    uptime: Option<Window>,
}

/// A window over which uptime is computed.
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

/// A label and a value, side by side.
#[derive(Debug, Template)]
#[template(path = "api/badge.svg", escape = "html")]
pub(in crate::web) struct Badge {
    label: String,
    value: String,
    /// Shown as a tooltip, after the value.
    note: String,
    colour: &'static str,
    left: usize,
    width: usize,
}

impl Badge {
    pub(in crate::web) fn new(
        label: String,
        value: String,
        note: String,
        colour: &'static str,
    ) -> Self {
        let width = |text: &str| text.width().max(1) * COLUMN_WIDTH + PADDING;
        let left = width(&label);
        Self {
            width: left + width(&value),
            left,
            label,
            value,
            note,
            colour,
        }
    }

    fn for_health(peer: &str, health: Health) -> Self {
        let colour = match health {
            Health::Unknown => GREY,
            Health::Up => GREEN,
            Health::Degraded => AMBER,
            Health::Down => RED,
        };
        let value = health.as_str().to_owned();
        Self::new(peer.to_owned(), value, String::new(), colour)
    }

    pub(in crate::web) fn for_uptime(peer: &str, uptime: &Uptime) -> Self {
        let label = format!("{peer} uptime {}", window_name(uptime.window));
        let Some(ratio) = uptime.ratio() else {
            return Self::new(label, "unknown".to_owned(), String::new(), GREY);
        };
        let colour = match ratio {
            GREEN_UPTIME.. => GREEN,
            AMBER_UPTIME.. => AMBER,
            _ => RED,
        };
        // Rounded down: 100 % means never down.
        let value = format!("{} %", (ratio * 10_000.0).floor() / 100.0);
        let note = format!(
            "{} % of the time observed",
            (uptime.coverage() * 10_000.0).floor() / 100.0
        );
        Self::new(label, value, note, colour)
    }
}

/// A peer's health or uptime as a small image.
#[utoipa::path(
    get,
    path = "/badge/{peer}.svg",
    tag = "badges",
    params(("peer" = String, Path, description = "The peer's name."), BadgeParameters),
    responses(
        (status = 200, description = "The badge.", body = String, content_type = "image/svg+xml", headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
        (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No watched peer has this name.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The history cannot be read.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn badge(
    State(api): State<Api>,
    headers: HeaderMap,
    file: Result<Path<String>, PathRejection>,
    Parameters(parameters): Parameters<BadgeParameters>,
) -> Result<Response, Problem> {
    let Path(file) = file?;
    let peer = file.strip_suffix(".svg").ok_or_else(|| {
        Problem::not_found(format!("{file:?} is not a badge; badge names end in .svg"))
    })?;
    let record = api.record(peer)?;
    let badge = match parameters.uptime {
        None => Badge::for_health(peer, record.health),
        Some(window) => Badge::for_uptime(peer, &api.history.uptime(peer).await?[window as usize]),
    };
    let image = badge.render().map_err(|error| Problem::internal(&error))?;
    tagged(
        &headers,
        "image/svg+xml",
        "public, max-age=30",
        image.into(),
    )
}

//! The icon of a browser tab: its shape and colour show a health, and it can hold a count.

use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use crate::fleet::{Health, Snapshot};

/// Largest count that fits into the icon.
const MAX_COUNT: u32 = 99;

/// Returns the URL of the icon of a fleet: its worst health, and how many peers have it unless all
/// are up.
pub(super) fn fleet_icon_url(prefix: &str, snapshot: &Snapshot) -> String {
    let worst = [Health::Down, Health::Degraded, Health::Unknown]
        .into_iter()
        .find(|it| snapshot.count(*it) > 0);
    match worst {
        Some(health) => icon_url(prefix, health, Some(snapshot.count(health))),
        None => icon_url(prefix, Health::Up, None),
    }
}

/// Returns the URL of an icon.
pub(super) fn icon_url(prefix: &str, health: Health, count: Option<usize>) -> String {
    let count = count
        .map(|count| format!("&count={count}"))
        .unwrap_or_default();
    format!("{prefix}/icon.svg?health={}{count}", health.as_str())
}

/// `GET /icon.svg`
pub(super) async fn icon(uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    };
    let name = parameter("health");
    let health = Health::ALL
        .into_iter()
        .find(|it| name.as_deref() == Some(it.as_str()));
    let health = health.unwrap_or(Health::Unknown);
    let count = parameter("count").and_then(|value| value.parse::<u32>().ok());
    let text = count.map_or(String::new(), |count| count.min(MAX_COUNT).to_string());
    let (shape, fill) = match health {
        Health::Up => (r#"<circle cx="16" cy="16" r="15""#, "#1a7f37"),
        Health::Degraded => (r#"<path d="M16 1 31 30H1z""#, "#d29922"),
        Health::Down => (
            r#"<rect x="1" y="1" width="30" height="30" rx="4""#,
            "#b3261e",
        ),
        Health::Unknown => (r#"<circle cx="16" cy="16" r="15""#, "#6e7781"),
    };
    let (baseline, ink) = if health == Health::Degraded {
        (27, "#000")
    } else {
        (22, "#fff")
    };
    let svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{shape} fill="{fill}"/><text x="16" y="{baseline}" font-family="sans-serif" font-size="17" font-weight="700" text-anchor="middle" fill="{ink}">{text}</text></svg>"#
    );
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "max-age=86400"),
    ];
    (headers, svg).into_response()
}

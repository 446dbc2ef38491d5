//! The pages for people: the fleet, and one peer. Drawn on the server and whole without JavaScript; with it they are told again
//! what changes.

mod chart;
mod diagnosis;
mod facts;
mod fleet;
mod format;
mod history_panel;
mod labels;
mod live;
mod network;
mod peer;
mod poll;
mod row;
mod spark;
mod view;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use url::form_urlencoded;

use crate::fleet::{Health, PeerRecord, Snapshot};

use super::{Site, internal};
use format::{Clock, Markup};
pub(super) use live::Streams;
use view::View;

/// What the pages work with.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    pub(super) site: Site,
    pub(super) streams: Streams,
}

/// What every page begins with.
pub(super) struct Shell<'a> {
    pub(super) prefix: &'a str,
    pub(super) version: &'static str,
    pub(super) vantage: String,
    pub(super) title: String,
    pub(super) icon: String,
}

impl<'a> Shell<'a> {
    /// Of a page called `title`, under the fleet's icon.
    pub(super) fn new(site: &'a Site, title: String) -> Self {
        let icon = summary_icon(&site.prefix, &site.fleet.snapshot());
        Self::with(site, title, icon)
    }

    fn of(site: &'a Site, content: &Content) -> Self {
        Self::with(site, content.title.clone(), content.icon.clone())
    }

    fn with(site: &'a Site, title: String, icon: String) -> Self {
        Self {
            prefix: &site.prefix,
            version: env!("CARGO_PKG_VERSION"),
            vantage: site.current.get().config.vantage.clone(),
            title,
            icon,
        }
    }
}

/// What of a page changes while it is looked at.
#[derive(Debug, Default)]
struct Content {
    title: String,
    /// The address of the icon.
    icon: String,
    sections: Vec<Section>,
    /// The rows of the table in order.
    rows: Vec<Piece>,
}

impl Content {
    /// The HTML of a section.
    fn section(&self, id: &str) -> Markup {
        let found = self.sections.iter().find(|section| section.id == id);
        Markup(
            found
                .map(|section| section.html.clone())
                .unwrap_or_default(),
        )
    }
}

/// What stands inside the element with this id.
#[derive(Debug)]
struct Section {
    id: &'static str,
    html: String,
}

impl Section {
    fn new(id: &'static str, html: String) -> Self {
        Self { id, html }
    }
}

/// A row under a key of its own.
#[derive(Debug)]
struct Piece {
    key: String,
    html: String,
}

#[derive(Template)]
#[template(path = "pages/message.html")]
struct Message<'a> {
    shell: Shell<'a>,
    text: &'a str,
}

/// The pages' routes. What they change they ask `api` for.
pub(super) fn routes(pages: &Pages, api: Router) -> Router {
    Router::new()
        .route("/", get(fleet))
        .route("/live", get(fleet_news))
        .route("/peers/{name}", get(peer))
        .route("/peers/{name}/live", get(peer_news))
        .route("/peers/{name}/poll", poll::route(api))
        .route("/icon.svg", get(draw_icon))
        .route(
            "/style.css",
            get(async || asset("text/css; charset=utf-8", include_str!("style.css"))),
        )
        .route(
            "/live.js",
            get(async || asset("text/javascript; charset=utf-8", include_str!("live.js"))),
        )
        .with_state(pages.clone())
}

/// `GET /`
pub(super) async fn fleet(State(pages): State<Pages>, uri: Uri) -> Response {
    let view = View::parse(uri.query());
    // Drawing thousands of peers takes a while: not on the threads that poll.
    let drawn = tokio::task::spawn_blocking(move || {
        let (site, snapshot) = (&pages.site, pages.site.fleet.snapshot());
        let content = fleet::content(site, &view, &snapshot, reading(&snapshot))?;
        let shell = Shell::of(site, &content);
        fleet::FleetPage::new(site, &view, &snapshot, shell, content).render()
    });
    match drawn.await {
        Ok(page) => shown(page),
        Err(error) => internal(&error),
    }
}

/// `GET /live`
async fn fleet_news(State(pages): State<Pages>, uri: Uri) -> Response {
    let view = View::parse(uri.query());
    let site = pages.site.clone();
    let draw = move || {
        let snapshot = site.fleet.snapshot();
        fleet::content(&site, &view, &snapshot, telling(&snapshot)).ok()
    };
    live::stream(&pages.streams, pages.site.stop.clone(), Arc::new(draw))
}

/// `GET /peers/{name}`
async fn peer(State(pages): State<Pages>, Path(name): Path<String>, uri: Uri) -> Response {
    let site = &pages.site;
    let snapshot = site.fleet.snapshot();
    let Some(record) = watched(&snapshot, &name) else {
        return message(
            site,
            StatusCode::NOT_FOUND,
            &format!("No peer is called {}.", format::visible(&name)),
        );
    };
    let past = history_panel::Past::read(&site.history, record, uri.query(), snapshot.wall).await;
    let page = peer::content(site, record, &snapshot, reading(&snapshot)).and_then(|content| {
        peer::PeerPage {
            shell: Shell::of(site, &content),
            content,
            name: &record.peer.name,
            network: &record.peer.network,
            live: format!("{}/live", address(site, &record.peer.name)),
            past,
        }
        .render()
    });
    shown(page)
}

/// `GET /peers/{name}/live`
async fn peer_news(State(pages): State<Pages>, Path(name): Path<String>) -> Response {
    let site = pages.site.clone();
    let draw = move || {
        let snapshot = site.fleet.snapshot();
        let record = watched(&snapshot, &name)?;
        peer::content(&site, record, &snapshot, telling(&snapshot)).ok()
    };
    live::stream(&pages.streams, pages.site.stop.clone(), Arc::new(draw))
}

/// The page of a peer, as a path.
fn address(site: &Site, name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    // A plus is a blank in a query alone.
    format!("{}/peers/{}", site.prefix, name.replace('+', "%20"))
}

fn watched<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a PeerRecord> {
    let found = snapshot
        .peers
        .iter()
        .find(|record| record.peer.name == name);
    found.map(|record| &**record)
}

/// Times as who loads a page reads them.
fn reading(snapshot: &Snapshot) -> Clock {
    Clock {
        now: snapshot.wall,
        relative: true,
    }
}

/// Times as they are told again: a text that ages by itself would be news every second. The page makes them relative.
fn telling(snapshot: &Snapshot) -> Clock {
    Clock {
        now: snapshot.wall,
        relative: false,
    }
}

/// A page that says one thing.
fn message(site: &Site, status: StatusCode, text: &str) -> Response {
    let page = Message {
        shell: Shell::new(site, "Convex peers".to_owned()),
        text,
    };
    (status, shown(page.render())).into_response()
}

/// A page, or what is said when it could not be drawn.
pub(super) fn shown(page: askama::Result<String>) -> Response {
    match page {
        Ok(html) => ([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
        Err(error) => internal(&error),
    }
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    // It belongs to this version of the pages: asked for again each time, and small.
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

/// The icon of a fleet: its worst health, and how many peers have it where that is nothing good.
fn summary_icon(prefix: &str, snapshot: &Snapshot) -> String {
    let worst = [Health::Down, Health::Degraded, Health::Unknown]
        .into_iter()
        .find(|it| snapshot.count(*it) > 0);
    match worst {
        Some(health) => icon(prefix, health, Some(snapshot.count(health))),
        None => icon(prefix, Health::Up, None),
    }
}

/// The address of an icon.
fn icon(prefix: &str, health: Health, count: Option<usize>) -> String {
    let count = count
        .map(|count| format!("&count={count}"))
        .unwrap_or_default();
    format!("{prefix}/icon.svg?health={}{count}", health.as_str())
}

/// `GET /icon.svg`
async fn draw_icon(uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let asked = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == wanted).map(|(_, value)| value)
    };
    let named = asked("health");
    let health = Health::ALL
        .into_iter()
        .find(|it| named.as_deref() == Some(it.as_str()));
    let health = health.unwrap_or(Health::Unknown);
    let count = asked("count").and_then(|value| value.parse::<u32>().ok());
    let text = count.map_or(String::new(), |count| count.min(99).to_string());
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

//! The web pages: the fleet, single networks and peers, and runbooks. Rendered on the server, and complete
//! without JavaScript; with it they are updated live.

mod actions;
mod alerts;
pub(super) mod availability;
mod chart;
mod columns;
mod diagnosis;
mod facts;
mod fleet;
pub(super) mod format;
mod headline;
mod history_panel;
mod icon;
mod labels;
mod live;
mod network;
mod network_card;
mod network_strip;
mod peer;
mod peer_link;
mod poll;
mod row;
mod runbook;
mod selection;
mod sparklines;
mod vantages;
mod view;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::runtime::Handle;
use url::form_urlencoded;

use crate::fleet::{NetworkSnapshot, PeerRecord, Snapshot};

use super::{AppState, internal_error};
use alerts::{AlertsSection, Scope};
use availability::AvailabilityCache;
use format::{Markup, TimeFormat};
use history_panel::HistoryPanel;
use icon::fleet_icon_url;
use live::{Detail, LiveStreams};
use view::FleetView;

/// What the pages share.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    pub(super) state: AppState,
    pub(super) streams: LiveStreams,
    availability: AvailabilityCache,
}

impl Pages {
    pub(super) fn new(state: AppState) -> Self {
        Self {
            state,
            streams: LiveStreams::default(),
            availability: AvailabilityCache::default(),
        }
    }

    /// Draws the page of the fleet, and reads the availability of the peers that it shows as far as
    /// that is due. Waits for the disk, on a thread of its own.
    fn draw_fleet(
        &self,
        view: &FleetView,
        times: fn(&Snapshot) -> TimeFormat,
        runtime: &Handle,
    ) -> askama::Result<(Snapshot, Content)> {
        let draw = || {
            let snapshot = self.state.fleet.snapshot();
            let content = fleet::content(self, view, &snapshot, times(&snapshot))?;
            Ok((snapshot, content))
        };
        let drawn = draw()?;
        let peers = drawn.1.rows.iter().map(|row| row.key.as_str());
        let history = &self.state.history;
        let reading = self.availability.refresh(history, peers, view.bars.bars());
        if runtime.block_on(reading) {
            draw()
        } else {
            Ok(drawn)
        }
    }
}

/// The frame that all pages share.
struct Shell<'a> {
    prefix: &'a str,
    version: &'static str,
    vantage: String,
    title: String,
    /// URL of the icon.
    icon: String,
}

impl<'a> Shell<'a> {
    /// Returns the shell of a page with this title and the icon of the fleet.
    fn new(state: &'a AppState, title: String) -> Self {
        let icon = fleet_icon_url(&state.prefix, &state.fleet.snapshot());
        Self::with_icon(state, title, icon)
    }

    fn of(state: &'a AppState, content: &Content) -> Self {
        Self::with_icon(state, content.title.clone(), content.icon.clone())
    }

    fn with_icon(state: &'a AppState, title: String, icon: String) -> Self {
        Self {
            prefix: &state.prefix,
            version: env!("CARGO_PKG_VERSION"),
            vantage: state.active_config.get().config.vantage.clone(),
            title,
            icon,
        }
    }
}

/// The parts of a page that are updated live.
#[derive(Debug, Default)]
struct Content {
    title: String,
    /// URL of the icon.
    icon: String,
    sections: Vec<Section>,
    /// The rows of the table, in order.
    rows: Vec<TableRow>,
}

impl Content {
    /// Returns the HTML of a section.
    fn section(&self, id: &str) -> Markup {
        let found = self.sections.iter().find(|section| section.id == id);
        Markup(
            found
                .map(|section| section.html.clone())
                .unwrap_or_default(),
        )
    }
}

/// The content of the element with this id.
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

/// A row of the table.
#[derive(Debug)]
struct TableRow {
    /// Unique within the page.
    key: String,
    html: String,
}

/// A page with a single message.
#[derive(Template)]
#[template(path = "pages/message.html")]
struct MessagePage<'a> {
    shell: Shell<'a>,
    text: &'a str,
}

/// Returns the routes of the pages. Forms that change something are forwarded to `api`.
pub(super) fn routes(pages: &Pages, api: Router) -> Router {
    Router::new()
        .route("/", get(fleet))
        .route("/live", get(fleet_updates))
        .route("/networks/{name}", get(network))
        .route("/networks/{name}/live", get(network_updates))
        .route("/peers/{name}", get(peer))
        .route("/peers/{name}/live", get(peer_updates))
        .route("/peers/{name}/poll", poll::route(api))
        .route("/actions", get(actions::page).post(actions::act))
        .route("/runbooks/", get(runbook::runbooks))
        .route("/runbooks/{alert}", get(runbook::runbook))
        .route("/icon.svg", get(icon::icon))
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
    let view = FleetView::parse(uri.query());
    let runtime = Handle::current();
    // Drawing thousands of peers takes too long for the threads that poll.
    let page = tokio::task::spawn_blocking(move || {
        let (snapshot, content) = pages.draw_fleet(&view, relative_times, &runtime)?;
        let shell = Shell::of(&pages.state, &content);
        fleet::FleetPage::new(&pages.state, &view, &snapshot, shell, content).render()
    });
    match page.await {
        Ok(page) => html_response(page),
        Err(error) => internal_error(&error),
    }
}

/// `GET /live`
async fn fleet_updates(State(pages): State<Pages>, uri: Uri) -> Response {
    let view = FleetView::parse(uri.query());
    let (streams, stop) = (pages.streams.clone(), pages.state.stop.clone());
    let address = format!("/{}", view.query());
    let runtime = Handle::current();
    let draw = move || {
        let drawn = pages.draw_fleet(&view, absolute_times, &runtime);
        drawn.ok().map(|(_, content)| content)
    };
    live::stream(
        &streams,
        &address,
        Detail::parse(uri.query()),
        stop,
        Arc::new(draw),
    )
}

/// `GET /peers/{name}`
async fn peer(State(pages): State<Pages>, Path(name): Path<String>, uri: Uri) -> Response {
    let state = &pages.state;
    let snapshot = state.fleet.snapshot();
    let Some(record) = find_peer(&snapshot, &name) else {
        return message(
            state,
            StatusCode::NOT_FOUND,
            &format!("No peer is called {}.", format::sanitize(&name)),
        );
    };
    let history = HistoryPanel::read(&state.history, record, uri.query(), snapshot.wall).await;
    let page =
        peer::content(state, record, &snapshot, relative_times(&snapshot)).and_then(|content| {
            peer::PeerPage {
                shell: Shell::of(state, &content),
                content,
                name: &record.peer.name,
                network: &record.peer.network,
                live: format!("{}/live", peer_path(state, &record.peer.name)),
                history,
            }
            .render()
        });
    html_response(page)
}

/// `GET /peers/{name}/live`
async fn peer_updates(State(pages): State<Pages>, Path(name): Path<String>, uri: Uri) -> Response {
    let state = pages.state.clone();
    let address = peer_path(&state, &name);
    let draw = move || {
        let snapshot = state.fleet.snapshot();
        let record = find_peer(&snapshot, &name)?;
        peer::content(&state, record, &snapshot, absolute_times(&snapshot)).ok()
    };
    let (detail, stop) = (Detail::parse(uri.query()), pages.state.stop.clone());
    live::stream(&pages.streams, &address, detail, stop, Arc::new(draw))
}

/// `GET /networks/{name}`
async fn network(State(pages): State<Pages>, Path(name): Path<String>) -> Response {
    // The matrix of a large network takes too long for the threads that poll.
    let page = tokio::task::spawn_blocking(move || {
        let (state, snapshot) = (&pages.state, pages.state.fleet.snapshot());
        let Some(found) = find_network(&snapshot, &name) else {
            let text = format!("No network is called {}.", format::sanitize(&name));
            return message(state, StatusCode::NOT_FOUND, &text);
        };
        let content = network_content(state, found, &snapshot, relative_times(&snapshot));
        let page = content.and_then(|content| {
            network::NetworkPage {
                shell: Shell::of(state, &content),
                content,
                name: &found.name,
                live: format!("{}/networks/{}/live", state.prefix, path_segment(&name)),
            }
            .render()
        });
        html_response(page)
    });
    page.await.unwrap_or_else(|error| internal_error(&error))
}

/// `GET /networks/{name}/live`
async fn network_updates(
    State(pages): State<Pages>,
    Path(name): Path<String>,
    uri: Uri,
) -> Response {
    let state = pages.state.clone();
    let address = format!("/networks/{}", path_segment(&name));
    let draw = move || {
        let snapshot = state.fleet.snapshot();
        let found = find_network(&snapshot, &name)?;
        network_content(&state, found, &snapshot, absolute_times(&snapshot)).ok()
    };
    let (detail, stop) = (Detail::parse(uri.query()), pages.state.stop.clone());
    live::stream(&pages.streams, &address, detail, stop, Arc::new(draw))
}

/// Draws the parts of the page of a network that are updated live.
fn network_content(
    state: &AppState,
    network: &NetworkSnapshot,
    snapshot: &Snapshot,
    times: TimeFormat,
) -> askama::Result<Content> {
    let mut content = network::content(&state.prefix, network, snapshot, times)?;
    let alerts = AlertsSection::new(state, Scope::Network(&network.name), times);
    content
        .sections
        .push(Section::new("alerts", alerts.render()?));
    Ok(content)
}

/// Returns the path of the page of a peer.
fn peer_path(state: &AppState, name: &str) -> String {
    format!("{}/peers/{}", state.prefix, path_segment(name))
}

/// Encodes a name as one segment of a path.
fn path_segment(name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    // A plus stands for a space only in query strings.
    name.replace('+', "%20")
}

fn find_network<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a NetworkSnapshot> {
    snapshot.networks.iter().find(|it| it.name == name)
}

fn find_peer<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a PeerRecord> {
    let found = snapshot
        .peers
        .iter()
        .find(|record| record.peer.name == name);
    found.map(|record| &**record)
}

/// Times relative to the snapshot, for pages.
fn relative_times(snapshot: &Snapshot) -> TimeFormat {
    TimeFormat {
        now: snapshot.wall,
        relative: true,
    }
}

/// Absolute times, for live updates: relative ones would change every second. The browser makes
/// them relative.
fn absolute_times(snapshot: &Snapshot) -> TimeFormat {
    TimeFormat {
        now: snapshot.wall,
        relative: false,
    }
}

/// Responds with a page that shows a message.
fn message(state: &AppState, status: StatusCode, text: &str) -> Response {
    let page = MessagePage {
        shell: Shell::new(state, "Convex peers".to_owned()),
        text,
    };
    (status, html_response(page.render())).into_response()
}

/// Responds with a page, or with an error if it could not be rendered.
fn html_response(page: askama::Result<String>) -> Response {
    match page {
        Ok(html) => ([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
        Err(error) => internal_error(&error),
    }
}

/// Responds with a file that belongs to the pages.
fn asset(content_type: &'static str, text: &'static str) -> Response {
    // Revalidated each time, as it has to match the version of the pages.
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

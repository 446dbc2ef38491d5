//! The web pages: the fleet, single networks and peers, and runbooks. Rendered on the server, and
//! complete without JavaScript; with it they are updated live.

mod actions;
mod alert_list;
mod alerts;
pub(super) mod availability;
mod chart;
mod columns;
mod conditions;
mod configuration;
mod diagnosis;
mod event_list;
mod facts;
mod fleet;
pub(super) mod format;
mod headline;
mod icon;
mod labels;
mod ladder;
mod list_form;
mod live;
mod navigation;
mod network;
mod network_card;
mod network_list;
mod network_strip;
mod peer;
mod peer_link;
mod period;
mod row;
mod runbook;
mod runbook_commands;
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
use icon::fleet_icon_url;
use live::{Detail, LiveStreams};
use navigation::{Link, Place, alert_count, links};
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

    /// Streams the changes of the page at `address`, which `draw` draws, and of the navigation.
    fn live(
        &self,
        address: &str,
        query: Option<&str>,
        draw: impl Fn() -> Option<Content> + Send + Sync + 'static,
    ) -> Response {
        let (detail, stop) = (Detail::parse(query), self.state.stop.clone());
        let state = self.state.clone();
        let draw = move || {
            let mut content = draw()?;
            let count = Section::new("alert-count", alert_count(&state).0);
            content.sections.push(count);
            Some(content)
        };
        live::stream(&self.streams, address, detail, stop, Arc::new(draw))
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
    /// The links at the top.
    links: Vec<Link>,
    alert_count: Markup,
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
            links: links(state),
            alert_count: alert_count(state),
        }
    }

    /// Says where the page belongs.
    fn at(mut self, place: Place) -> Self {
        for link in &mut self.links {
            link.is_current = link.place == place;
        }
        self
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
        .merge(peer::routes(api))
        .route("/alerts", get(alert_list::page))
        .route("/alerts/live", get(alert_list::updates))
        .route("/events", get(event_list::page))
        .route("/events/live", get(event_list::updates))
        .route("/events/{id}", get(event_list::event_page))
        .route("/evidence/{id}", get(event_list::evidence))
        .route("/networks", get(network_list::page))
        .route("/live/networks", get(network_list::updates))
        .route("/configuration", get(configuration::page))
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
        .route(
            "/charts.js",
            get(async || asset("text/javascript; charset=utf-8", include_str!("charts.js"))),
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
        let shell = Shell::of(&pages.state, &content).at(Place::Fleet);
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
    let address = format!("/{}", view.query());
    let (drawn, runtime) = (pages.clone(), Handle::current());
    let draw = move || {
        let drawn = drawn.draw_fleet(&view, absolute_times, &runtime);
        drawn.ok().map(|(_, content)| content)
    };
    pages.live(&address, uri.query(), draw)
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
    pages.live(&address, uri.query(), draw)
}

/// Draws the parts of the page of a network that are updated live.
fn network_content(
    state: &AppState,
    network: &NetworkSnapshot,
    snapshot: &Snapshot,
    times: TimeFormat,
) -> askama::Result<Content> {
    let agreement = state.history.agreement(&network.name);
    let mut content = network::content(&state.prefix, network, snapshot, &agreement, times)?;
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

/// Returns the path of the page of a peer, else of a network, else of the agent, below the prefix.
fn page_of(peer: Option<&str>, network: Option<&str>) -> String {
    match (peer, network) {
        (Some(peer), _) => format!("/peers/{}", path_segment(peer)),
        (None, Some(network)) => format!("/networks/{}", path_segment(network)),
        (None, None) => Place::Configuration.path().to_owned(),
    }
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

//! The page of one peer: an overview, charts, events and diagnostics, each with an address of its
//! own.

mod diagnostics;
mod events;
mod history_panel;
mod measures;
mod overview;
mod poll;
mod problems;
mod time_range;
mod uptime;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use url::form_urlencoded;

use crate::fleet::{PeerRecord, Snapshot};
use crate::history::History;
use crate::web::AppState;

use super::format::{Markup, TimeFormat, sanitize};
use super::icon::icon_url;
use super::{
    Content, Pages, Section, Shell, absolute_times, find_peer, html_response, message, peer_path,
    relative_times,
};
use events::Events;
use history_panel::{HistoryPanel, PLOT};
use overview::Verdict;
use poll::PollResult;
use uptime::UptimePanel;

/// A part of the page of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tab {
    Overview,
    Charts,
    Events,
    Diagnostics,
}

impl Tab {
    const ALL: [Self; 4] = [
        Self::Overview,
        Self::Charts,
        Self::Events,
        Self::Diagnostics,
    ];

    /// Returns its path below that of the peer, with a slash in front.
    const fn path(self) -> &'static str {
        match self {
            Self::Overview => "",
            Self::Charts => "/charts",
            Self::Events => "/events",
            Self::Diagnostics => "/diagnostics",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Charts => "Charts",
            Self::Events => "Events",
            Self::Diagnostics => "Diagnostics",
        }
    }

    /// Returns the tab whose path has this last segment.
    fn named(segment: &str) -> Option<Self> {
        let mut tabs = Self::ALL.into_iter();
        tabs.find(|tab| tab.path().strip_prefix('/') == Some(segment))
    }

    /// Returns the tab that the parameter `tab` of a query names; the overview without one.
    fn of_query(query: Option<&str>) -> Self {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let named = pairs.find(|(key, _)| key == "tab");
        named
            .and_then(|(_, name)| Self::named(&name))
            .unwrap_or(Self::Overview)
    }
}

#[derive(Template)]
#[template(path = "pages/peer.html")]
struct PeerPage<'a> {
    shell: Shell<'a>,
    content: Content,
    name: &'a str,
    network: &'a str,
    /// Path of the page of the peer.
    path: String,
    tab: Tab,
    /// What came of "Poll now".
    poll_result: Option<PollResult>,
    history: HistoryPanel,
    uptime: UptimePanel,
    /// Events that are older than those updated live.
    older_events: Option<Markup>,
}

impl PeerPage<'_> {
    /// Whether a browser without JavaScript loads the page again: not a part of the past, and not
    /// the result of a poll.
    fn is_refreshed(&self) -> bool {
        !self.history.is_fixed && self.older_events.is_none() && self.poll_result.is_none()
    }
}

/// Returns the routes of the pages of peers. The form is forwarded to `api`.
pub(super) fn routes(api: Router) -> Router<Pages> {
    Router::new()
        .route("/peers/{name}", get(overview_page))
        .route("/peers/{name}/live", get(overview_updates))
        .route("/peers/{name}/poll", poll::route(api))
        .route("/peers/{name}/{tab}", get(tab_page))
        .route("/peers/{name}/{tab}/live", get(tab_updates))
}

/// `GET /peers/{name}`
async fn overview_page(State(pages): State<Pages>, Path(name): Path<String>, uri: Uri) -> Response {
    respond(&pages, &name, Tab::Overview, uri.query(), None).await
}

/// `GET /peers/{name}/{tab}`
async fn tab_page(
    State(pages): State<Pages>,
    Path((name, tab)): Path<(String, String)>,
    uri: Uri,
) -> Response {
    match Tab::named(&tab) {
        Some(tab) => respond(&pages, &name, tab, uri.query(), None).await,
        None => no_such_page(&pages, &tab),
    }
}

/// `GET /peers/{name}/live`
async fn overview_updates(
    State(pages): State<Pages>,
    Path(name): Path<String>,
    uri: Uri,
) -> Response {
    updates(&pages, name, Tab::Overview, &uri)
}

/// `GET /peers/{name}/{tab}/live`
async fn tab_updates(
    State(pages): State<Pages>,
    Path((name, tab)): Path<(String, String)>,
    uri: Uri,
) -> Response {
    match Tab::named(&tab) {
        Some(tab) => updates(&pages, name, tab, &uri),
        None => no_such_page(&pages, &tab),
    }
}

fn no_such_page(pages: &Pages, tab: &str) -> Response {
    let tabs = Tab::ALL.map(Tab::path).concat().replace('/', " ");
    let text = format!(
        "The page of a peer has no part {:?}; its parts are:{tabs}.",
        sanitize(tab)
    );
    message(&pages.state, StatusCode::NOT_FOUND, &text)
}

/// Streams what changes on the page of a peer.
fn updates(pages: &Pages, name: String, tab: Tab, uri: &Uri) -> Response {
    let state = pages.state.clone();
    let address = format!("{}{}", peer_path(&state, &name), tab.path());
    let draw = move || {
        let snapshot = state.fleet.snapshot();
        let record = find_peer(&snapshot, &name)?;
        content(&state, record, &snapshot, tab, absolute_times(&snapshot)).ok()
    };
    pages.live(&address, uri.query(), draw)
}

/// Responds with the page of a peer. `refused` is why it was not polled on request.
async fn respond(
    pages: &Pages,
    name: &str,
    tab: Tab,
    query: Option<&str>,
    refused: Option<PollResult>,
) -> Response {
    let state = &pages.state;
    let snapshot = state.fleet.snapshot();
    let Some(record) = find_peer(&snapshot, name) else {
        return message(
            state,
            StatusCode::NOT_FOUND,
            &format!("No peer is called {}.", sanitize(name)),
        );
    };
    let (history, times) = (&state.history, relative_times(&snapshot));
    let (panel, uptime) = match tab {
        Tab::Overview => (
            HistoryPanel::overview(history, record, times).await,
            UptimePanel::read(history, name).await,
        ),
        Tab::Charts => (
            HistoryPanel::read(history, record, query, times).await,
            UptimePanel::default(),
        ),
        Tab::Events | Tab::Diagnostics => (HistoryPanel::default(), UptimePanel::default()),
    };
    let poll_result = refused.or_else(|| PollResult::of_query(history, name, query, times));
    let page = content(state, record, &snapshot, tab, times).and_then(|content| {
        PeerPage {
            shell: Shell::of(state, &content),
            content,
            name: &record.peer.name,
            network: &record.peer.network,
            path: peer_path(state, name),
            tab,
            poll_result,
            history: panel,
            uptime,
            older_events: older_events(history, name, tab, query, times)?,
        }
        .render()
    });
    html_response(page)
}

/// Draws the events that are older than the one that the query names, if it names one.
fn older_events(
    history: &History,
    name: &str,
    tab: Tab,
    query: Option<&str>,
    times: TimeFormat,
) -> askama::Result<Option<Markup>> {
    if tab != Tab::Events {
        return Ok(None);
    }
    let events = Events::page(history, name, query, times);
    let older = events.is_older.then(|| events.render());
    Ok(older.transpose()?.map(Markup))
}

/// Draws what is updated live of the page of a peer.
fn content(
    state: &AppState,
    record: &PeerRecord,
    snapshot: &Snapshot,
    tab: Tab,
    times: TimeFormat,
) -> askama::Result<Content> {
    let name = &record.peer.name;
    let verdict = Verdict::new(state, record, snapshot, tab, times);
    let mut sections = vec![Section::new("verdict", verdict.render()?)];
    match tab {
        Tab::Overview => sections.extend(overview::sections(state, record, snapshot, times)?),
        Tab::Charts => {}
        Tab::Events => {
            let events = Events::page(&state.history, name, None, times);
            sections.push(Section::new("events", events.render()?));
        }
        Tab::Diagnostics => {
            sections.extend(diagnostics::sections(state, record, snapshot, times)?);
        }
    }
    let part = match tab {
        Tab::Overview => String::new(),
        tab => format!(" · {}", tab.title()),
    };
    Ok(Content {
        title: format!("{name} is {}{part} · Convex peers", record.health.as_str()),
        icon: icon_url(&state.prefix, record.health, None),
        sections,
        rows: Vec::new(),
    })
}

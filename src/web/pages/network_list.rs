//! The page of all networks, each as a strip like on the page of the fleet.

use askama::Template;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::fleet::networks_section;
use super::icon::fleet_icon_url;
use super::navigation::Place;
use super::{
    Content, Pages, Shell, TimeFormat, absolute_times, headline, html_response, relative_times,
};

#[derive(Template)]
#[template(path = "pages/network_list.html")]
struct NetworkListPage<'a> {
    shell: Shell<'a>,
    content: Content,
}

/// `GET /networks`
pub(super) async fn page(State(pages): State<Pages>) -> Response {
    let state = &pages.state;
    let page = content(&pages, relative_times(&state.fleet.snapshot())).and_then(|content| {
        NetworkListPage {
            shell: Shell::of(state, &content).at(Place::Networks),
            content,
        }
        .render()
    });
    html_response(page)
}

/// `GET /live/networks`
pub(super) async fn updates(State(pages): State<Pages>, uri: Uri) -> Response {
    let drawn = pages.clone();
    let draw = move || {
        let times = absolute_times(&drawn.state.fleet.snapshot());
        content(&drawn, times).ok()
    };
    pages.live("/networks", uri.query(), draw)
}

/// Draws the parts of the page that are updated live.
fn content(pages: &Pages, times: TimeFormat) -> askama::Result<Content> {
    let state = &pages.state;
    let snapshot = state.fleet.snapshot();
    Ok(Content {
        title: format!("{} · Networks", headline::title(&snapshot)),
        icon: fleet_icon_url(&state.prefix, &snapshot),
        sections: vec![networks_section(&state.prefix, &snapshot, times)?],
        rows: Vec::new(),
    })
}

//! The runbooks of the alerts, part of the program: they are there when nothing else is.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use include_dir::{Dir, include_dir};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html};

use super::{Site, internal};

static RUNBOOKS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/alerts/runbooks");

#[derive(Template)]
#[template(path = "runbook.html")]
struct RunbookPage<'a> {
    prefix: &'a str,
    title: &'a str,
    /// HTML of ours.
    text: String,
}

#[derive(Template)]
#[template(path = "runbooks.html")]
struct RunbooksPage<'a> {
    prefix: &'a str,
    names: Vec<&'a str>,
}

/// `GET /runbooks/{alert}`
pub(super) async fn runbook(State(site): State<Site>, Path(alert): Path<String>) -> Response {
    let file = RUNBOOKS.get_file(format!("{alert}.md"));
    let Some(text) = file.and_then(|file| file.contents_utf8()) else {
        let all = format!("{}/runbooks/", site.prefix);
        let message = format!("there is no runbook called {alert:?}; {all} lists them\n");
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    shown(
        RunbookPage {
            prefix: &site.prefix,
            title: &alert,
            text: html_of(text),
        }
        .render(),
    )
}

/// `GET /runbooks/`
pub(super) async fn runbooks(State(site): State<Site>) -> Response {
    shown(
        RunbooksPage {
            prefix: &site.prefix,
            names: names().collect(),
        }
        .render(),
    )
}

/// The alerts that have a runbook, in order.
fn names() -> impl Iterator<Item = &'static str> {
    RUNBOOKS
        .files()
        .filter_map(|file| file.path().file_stem()?.to_str())
}

fn shown(page: askama::Result<String>) -> Response {
    match page {
        Ok(html) => Html(html).into_response(),
        Err(error) => internal(&error),
    }
}

/// A runbook's Markdown as HTML. Links from one to another lose the file's ending.
fn html_of(markdown: &str) -> String {
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).map(|event| match event {
        Event::Start(Tag::Link {
            link_type,
            dest_url,
            title,
            id,
        }) => Event::Start(Tag::Link {
            link_type,
            dest_url: dest_url
                .strip_suffix(".md")
                .map_or_else(|| dest_url.clone(), |other| CowStr::from(other.to_owned())),
            title,
            id,
        }),
        event => event,
    });
    let mut text = String::new();
    html::push_html(&mut text, events);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runbook_is_part_of_the_program_and_is_told_in_order() {
        let names: Vec<&str> = names().collect();
        assert!(names.contains(&"ConvexPeerDown"), "{names:?}");
        assert!(names.is_sorted());
    }

    #[test]
    fn a_link_to_another_runbook_leads_to_its_page() {
        let html = html_of("see [it](ConvexPeerDown.md) or [that](https://a.example/b)\n");
        assert_eq!(
            html,
            "<p>see <a href=\"ConvexPeerDown\">it</a> or <a href=\"https://a.example/b\">that</a></p>\n"
        );
    }
}

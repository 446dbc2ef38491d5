//! The runbooks of the alerts, compiled into the agent so that they are always available.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, include_dir};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::navigation::Place;
use super::{Pages, Shell, html_response};

static RUNBOOKS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/alerts/runbooks");

#[derive(Template)]
#[template(path = "pages/runbook.html")]
struct RunbookPage<'a> {
    shell: Shell<'a>,
    /// HTML, not escaped.
    text: String,
}

#[derive(Template)]
#[template(path = "pages/runbooks.html")]
struct RunbooksPage<'a> {
    shell: Shell<'a>,
    names: Vec<&'a str>,
}

/// `GET /runbooks/{alert}`
pub(super) async fn runbook(State(pages): State<Pages>, Path(alert): Path<String>) -> Response {
    let state = &pages.state;
    let file = RUNBOOKS.get_file(format!("{alert}.md"));
    let Some(text) = file.and_then(|file| file.contents_utf8()) else {
        let index = format!("{}/runbooks/", state.prefix);
        let message = format!("no runbook named {alert:?}; {index} lists all of them\n");
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    html_response(
        RunbookPage {
            text: to_html(text, ""),
            shell: Shell::new(state, alert).at(Place::Runbooks),
        }
        .render(),
    )
}

/// `GET /runbooks/`
pub(super) async fn runbooks(State(pages): State<Pages>) -> Response {
    html_response(
        RunbooksPage {
            shell: Shell::new(&pages.state, "Runbooks".to_owned()).at(Place::Runbooks),
            names: alert_names().collect(),
        }
        .render(),
    )
}

/// Returns the names of the alerts that have a runbook, in order.
fn alert_names() -> impl Iterator<Item = &'static str> {
    RUNBOOKS
        .files()
        .filter_map(|file| file.path().file_stem()?.to_str())
}

/// Returns a runbook as HTML to embed under a heading of level 2, without its title.
pub(super) fn embedded(alert: &str, prefix: &str) -> Option<String> {
    let text = RUNBOOKS.get_file(format!("{alert}.md"))?.contents_utf8()?;
    let body = text.strip_prefix("# ").map_or(text, |rest| {
        rest.split_once('\n').map_or("", |(_, body)| body)
    });
    Some(to_html(body, &format!("{prefix}/runbooks/")))
}

/// Returns the heading level below.
const fn lower(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H2,
        HeadingLevel::H2 => HeadingLevel::H3,
        HeadingLevel::H3 => HeadingLevel::H4,
        HeadingLevel::H4 => HeadingLevel::H5,
        HeadingLevel::H5 | HeadingLevel::H6 => HeadingLevel::H6,
    }
}

/// Converts a runbook to HTML. In links to other runbooks, `.md` is removed and `base` prepended.
/// If `base` is not empty, the text is embedded in another page, and its headings are lowered one
/// level.
fn to_html(markdown: &str, base: &str) -> String {
    let is_embedded = !base.is_empty();
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).map(|event| match event {
        Event::Start(Tag::Heading {
            level,
            id,
            classes,
            attrs,
        }) if is_embedded => Event::Start(Tag::Heading {
            level: lower(level),
            id,
            classes,
            attrs,
        }),
        Event::End(TagEnd::Heading(level)) if is_embedded => {
            Event::End(TagEnd::Heading(lower(level)))
        }
        Event::Start(Tag::Link {
            link_type,
            dest_url,
            title,
            id,
        }) => Event::Start(Tag::Link {
            link_type,
            dest_url: dest_url.strip_suffix(".md").map_or_else(
                || dest_url.clone(),
                |name| CowStr::from(format!("{base}{name}")),
            ),
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
    fn runbooks_are_compiled_in_and_sorted_by_name() {
        let names: Vec<&str> = alert_names().collect();
        assert!(names.contains(&"ConvexPeerDown"), "{names:?}");
        assert!(names.is_sorted());
    }

    #[test]
    fn a_link_to_another_runbook_points_to_its_page() {
        let html = to_html(
            "see [it](ConvexPeerDown.md) or [that](https://a.example/b)\n",
            "",
        );
        assert_eq!(
            html,
            "<p>see <a href=\"ConvexPeerDown\">it</a> or <a href=\"https://a.example/b\">that</a></p>\n"
        );
    }

    #[test]
    fn an_embedded_runbook_has_lower_headings_and_links_to_the_others() {
        let html = to_html("## What\n[it](ConvexPeerDown.md)\n", "/mon/runbooks/");
        assert_eq!(
            html,
            "<h3>What</h3>\n<p><a href=\"/mon/runbooks/ConvexPeerDown\">it</a></p>\n"
        );
        let embedded = embedded("ConvexPeerDown", "").unwrap();
        assert!(
            !embedded.contains("<h1>") && embedded.contains("<h3>"),
            "{embedded}"
        );
        assert_eq!(super::embedded("../config", ""), None);
    }
}

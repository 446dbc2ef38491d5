//! The runbooks of the alerts, part of the program: they are there when nothing else is.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, include_dir};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::Site;
use super::pages::{Shell, shown};

static RUNBOOKS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/alerts/runbooks");

#[derive(Template)]
#[template(path = "runbook.html")]
struct RunbookPage<'a> {
    shell: Shell<'a>,
    /// HTML of ours.
    text: String,
}

#[derive(Template)]
#[template(path = "runbooks.html")]
struct RunbooksPage<'a> {
    shell: Shell<'a>,
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
            text: html_of(text, ""),
            shell: Shell::new(&site, alert),
        }
        .render(),
    )
}

/// `GET /runbooks/`
pub(super) async fn runbooks(State(site): State<Site>) -> Response {
    shown(
        RunbooksPage {
            shell: Shell::new(&site, "Runbooks".to_owned()),
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

/// The HTML of a runbook within a page whose headings are of level 2 at most; its own title is left out.
pub(super) fn embedded(alert: &str, prefix: &str) -> Option<String> {
    let text = RUNBOOKS.get_file(format!("{alert}.md"))?.contents_utf8()?;
    let body = text.strip_prefix("# ").map_or(text, |titled| {
        titled.split_once('\n').map_or("", |(_, body)| body)
    });
    Some(html_of(body, &format!("{prefix}/runbooks/")))
}

/// A heading one level down.
const fn lower(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H2,
        HeadingLevel::H2 => HeadingLevel::H3,
        HeadingLevel::H3 => HeadingLevel::H4,
        HeadingLevel::H4 => HeadingLevel::H5,
        HeadingLevel::H5 | HeadingLevel::H6 => HeadingLevel::H6,
    }
}

/// A runbook's Markdown as HTML. Links from one to another lose the file's ending and begin with `base`; where there is one,
/// the text stands inside another and its headings are a level lower.
fn html_of(markdown: &str, base: &str) -> String {
    let within = !base.is_empty();
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).map(|event| match event {
        Event::Start(Tag::Heading {
            level,
            id,
            classes,
            attrs,
        }) if within => Event::Start(Tag::Heading {
            level: lower(level),
            id,
            classes,
            attrs,
        }),
        Event::End(TagEnd::Heading(level)) if within => Event::End(TagEnd::Heading(lower(level))),
        Event::Start(Tag::Link {
            link_type,
            dest_url,
            title,
            id,
        }) => Event::Start(Tag::Link {
            link_type,
            dest_url: dest_url.strip_suffix(".md").map_or_else(
                || dest_url.clone(),
                |other| CowStr::from(format!("{base}{other}")),
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
    fn every_runbook_is_part_of_the_program_and_is_told_in_order() {
        let names: Vec<&str> = names().collect();
        assert!(names.contains(&"ConvexPeerDown"), "{names:?}");
        assert!(names.is_sorted());
    }

    #[test]
    fn a_link_to_another_runbook_leads_to_its_page() {
        let html = html_of(
            "see [it](ConvexPeerDown.md) or [that](https://a.example/b)\n",
            "",
        );
        assert_eq!(
            html,
            "<p>see <a href=\"ConvexPeerDown\">it</a> or <a href=\"https://a.example/b\">that</a></p>\n"
        );
    }

    #[test]
    fn a_runbook_within_a_page_leads_to_the_others_and_has_lower_headings() {
        let html = html_of("## What\n[it](ConvexPeerDown.md)\n", "/mon/runbooks/");
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

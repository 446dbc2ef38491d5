//! The runbooks of the alerts, compiled into the agent so that they are always available.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, include_dir};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};
use url::form_urlencoded;

use crate::fleet::Condition;

use super::format::Markup;
use super::labels;
use super::navigation::Place;
use super::runbook_commands::{AgentAddress, RunbookNames, is_command};
use super::{Pages, Shell, find_peer, html_response, path_segment};

static RUNBOOKS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/alerts/runbooks");

#[derive(Template)]
#[template(path = "pages/runbook.html")]
struct RunbookPage<'a> {
    shell: Shell<'a>,
    /// HTML, not escaped.
    text: String,
    /// The peer whose names are filled in.
    peer: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/runbooks.html")]
struct RunbooksPage<'a> {
    shell: Shell<'a>,
    names: Vec<&'a str>,
}

/// `GET /runbooks/{alert}`; with `?peer=NAME`, the names of that peer are filled in.
pub(super) async fn runbook(
    State(pages): State<Pages>,
    Path(alert): Path<String>,
    uri: Uri,
) -> Response {
    let state = &pages.state;
    // The alert rules link to files. Their links work here too.
    let alert = alert.strip_suffix(".md").unwrap_or(&alert);
    let file = RUNBOOKS.get_file(format!("{alert}.md"));
    let Some(text) = file.and_then(|file| file.contents_utf8()) else {
        let index = format!("{}/runbooks/", state.prefix);
        let message = format!("no runbook named {alert:?}; {index} lists all of them\n");
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    let snapshot = state.fleet.snapshot();
    let query = uri.query().unwrap_or_default();
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let peer = parameters.find(|(key, _)| key == "peer");
    let record = peer.and_then(|(_, name)| find_peer(&snapshot, &name));
    let agent = AgentAddress::of(&state.active_config.get().config);
    let names = record.map(|record| RunbookNames::new(record, &snapshot, agent));
    html_response(
        RunbookPage {
            text: Page {
                prefix: &state.prefix,
                names: names.as_ref(),
                is_embedded: false,
            }
            .to_html(text),
            peer: names.map(|names| names.peer),
            shell: Shell::new(state, alert.to_owned()).at(Place::Runbooks),
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

/// A runbook as part of the page of a peer.
pub(super) struct Embedded {
    /// The first thing to do.
    pub(super) first: Markup,
    pub(super) rest: Markup,
}

/// Returns a runbook as HTML to embed under a heading of level 2, without its title, with the names
/// of a peer filled in.
pub(super) fn embedded(alert: &str, prefix: &str, names: &RunbookNames) -> Option<Embedded> {
    let text = RUNBOOKS.get_file(format!("{alert}.md"))?.contents_utf8()?;
    let body = text.strip_prefix("# ").map_or(text, |rest| {
        rest.split_once('\n').map_or("", |(_, body)| body)
    });
    let (first, rest) = match body.trim_start().strip_prefix("## First\n") {
        Some(after) => after.split_at(after.find("\n## ").unwrap_or(after.len())),
        None => ("", body),
    };
    let page = Page {
        prefix,
        names: Some(names),
        is_embedded: true,
    };
    Some(Embedded {
        first: Markup(page.to_html(first)),
        rest: Markup(page.to_html(rest)),
    })
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

/// Returns the text for the condition with this label, as the page around the runbook has it.
fn in_words<'e>(label: &str) -> Option<Event<'e>> {
    let condition = Condition::named(label)?;
    Some(Event::Text(CowStr::from(labels::condition(condition))))
}

/// The page on which a runbook is shown.
struct Page<'a> {
    prefix: &'a str,
    /// What replaces the placeholders.
    names: Option<&'a RunbookNames>,
    /// Whether other text surrounds it: then its headings are lowered one level.
    is_embedded: bool,
}

impl Page<'_> {
    /// Converts a runbook, or a part of one, to HTML.
    fn to_html(&self, markdown: &str) -> String {
        let events = Parser::new_ext(markdown, Options::ENABLE_TABLES);
        // Whether the event belongs to what a list item is about: its text up to a colon.
        let mut is_head = false;
        let events = events.flat_map(|event| {
            match &event {
                Event::Start(Tag::Item) => is_head = true,
                Event::Text(text) if text.contains(':') => is_head = false,
                Event::End(TagEnd::Item) => is_head = false,
                _ => {}
            }
            let in_words = match &event {
                Event::Code(label) if is_head && self.is_embedded => in_words(label),
                _ => None,
            };
            in_words.map_or_else(|| self.adapt(event), |words| vec![words])
        });
        let mut text = String::new();
        html::push_html(&mut text, events);
        text
    }

    /// Adapts an event to this page: headings, links to other runbooks, and commands.
    fn adapt<'e>(&self, event: Event<'e>) -> Vec<Event<'e>> {
        let event = match event {
            Event::Start(Tag::Heading {
                level,
                id,
                classes,
                attrs,
            }) if self.is_embedded => Event::Start(Tag::Heading {
                level: lower(level),
                id,
                classes,
                attrs,
            }),
            Event::End(TagEnd::Heading(level)) if self.is_embedded => {
                Event::End(TagEnd::Heading(lower(level)))
            }
            Event::Start(Tag::Link {
                link_type,
                dest_url,
                title,
                id,
            }) => Event::Start(Tag::Link {
                link_type,
                dest_url: self.link(dest_url),
                title,
                id,
            }),
            Event::Code(code) => return self.code(code),
            event => event,
        };
        vec![event]
    }

    /// Returns where a link leads; one to the file of another runbook, to its page.
    fn link<'e>(&self, dest: CowStr<'e>) -> CowStr<'e> {
        let Some(name) = dest.strip_suffix(".md") else {
            return dest;
        };
        let base = if self.is_embedded {
            format!("{}/runbooks/", self.prefix)
        } else {
            String::new()
        };
        let query = self
            .names
            .map(|names| format!("?peer={}", path_segment(&names.peer)));
        CowStr::from(format!("{base}{name}{}", query.unwrap_or_default()))
    }

    /// Returns a command with the names of the peer and a button that copies it, and the page of
    /// the network as a link.
    fn code<'e>(&self, code: CowStr<'e>) -> Vec<Event<'e>> {
        let inline = |html: &str| Event::InlineHtml(CowStr::from(html.to_owned()));
        let Some(names) = self.names else {
            return vec![Event::Code(code)];
        };
        if &*code == "/networks/NAME" {
            let path = format!("/networks/{}", path_segment(&names.network));
            return vec![
                inline(&format!("<a href=\"{}{path}\">", self.prefix)),
                Event::Text(CowStr::from(path)),
                inline("</a>"),
            ];
        }
        if !is_command(&code) {
            return vec![Event::Code(code)];
        }
        vec![
            inline("<span class=\"command\">"),
            Event::Code(CowStr::from(names.fill(&code))),
            inline(" <button type=\"button\" class=\"copy\">Copy</button></span>"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use crate::config;
    use crate::fleet::example;

    use super::*;

    #[test]
    fn runbooks_are_compiled_in_and_sorted_by_name() {
        let names: Vec<&str> = alert_names().collect();
        assert!(names.contains(&"ConvexPeerDown"), "{names:?}");
        assert!(names.is_sorted());
    }

    /// A page without the names of a peer.
    const PLAIN: Page<'_> = Page {
        prefix: "",
        names: None,
        is_embedded: false,
    };

    fn names() -> RunbookNames {
        let snapshot = example::snapshot(1, 1);
        let agent = AgentAddress::of(&config::Config {
            listen: "127.0.0.1:18881".parse().unwrap(),
            ..config::embedded()
        });
        RunbookNames::new(&snapshot.peers[0], &snapshot, agent)
    }

    #[test]
    fn a_link_to_another_runbook_points_to_its_page() {
        let html = PLAIN.to_html("see [it](ConvexPeerDown.md) or [that](https://a.example/b)\n");
        assert_eq!(
            html,
            "<p>see <a href=\"ConvexPeerDown\">it</a> or <a href=\"https://a.example/b\">that</a></p>\n"
        );
    }

    #[test]
    fn an_embedded_runbook_has_lower_headings_and_the_names_of_the_peer() {
        let names = names();
        let page = Page {
            prefix: "/mon",
            names: Some(&names),
            is_embedded: true,
        };
        assert_eq!(
            page.to_html(
                "## What\n[it](ConvexPeerDown.md), `/networks/NAME`, `refused`, `df -h`\n"
            ),
            "<h3>What</h3>\n<p><a href=\"/mon/runbooks/ConvexPeerDown?peer=p1\">it</a>, \
             <a href=\"/mon/networks/n\">/networks/n</a>, <code>refused</code>, \
             <span class=\"command\"><code>df -h</code> <button type=\"button\" class=\"copy\">Copy</button></span></p>\n"
        );
        let Embedded { first, rest } = embedded("ConvexPeerDown", "", &names).unwrap();
        assert!(first.0.contains("convex-peer-monitor probe"), "{first}");
        assert!(!first.0.contains("<h") && rest.0.contains("<h3>Meaning</h3>"));
        assert!(embedded("../config", "", &names).is_none());
    }

    #[test]
    fn the_causes_in_an_embedded_runbook_have_the_words_of_the_page() {
        let names = names();
        let causes = "- `refused`, `other`: not `refused`\n";
        let html = |is_embedded| {
            Page {
                prefix: "",
                names: Some(&names),
                is_embedded,
            }
            .to_html(causes)
        };
        assert_eq!(
            html(true),
            "<ul>\n<li>connection refused, <code>other</code>: not <code>refused</code></li>\n</ul>\n"
        );
        assert!(html(false).contains("<li><code>refused</code>, "));
    }

    #[test]
    fn no_placeholder_is_left_in_a_runbook_about_a_peer() {
        let names = names();
        for alert in alert_names() {
            let Embedded { first, rest } = embedded(alert, "", &names).unwrap();
            assert_ne!(first, Markup::default(), "{alert} says what to do first");
            for placeholder in ["HOST", "PEER", "NAME", "127.0.0.1:18880"] {
                assert!(!first.0.contains(placeholder), "{alert}: {first}");
                assert!(!rest.0.contains(placeholder), "{alert}: {rest}");
            }
        }
    }
}

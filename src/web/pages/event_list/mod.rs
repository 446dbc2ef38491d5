//! The page of all events that are kept, and the page of one event.

mod event;
mod kind;
mod view;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use crate::history::{Event, EventKind};

use super::format::{TimeFormat, Timestamp, sanitize};
use super::icon::fleet_icon_url;
use super::list_form::{Choice, ListForm, has_empty, respond, see_other};
use super::navigation::Place;
use super::{Content, Pages, Section, Shell, TableRow, absolute_times, relative_times};
pub(super) use kind::{Change, class, describe, reason_in_words};
use kind::{GROUPS, kind_text};
use view::EventView;

pub(super) use event::{evidence, page as event_page};

/// Number of events on one page.
const ROWS_PER_PAGE: usize = 100;

#[derive(Template)]
#[template(path = "pages/event_list.html")]
struct EventListPage<'a> {
    shell: Shell<'a>,
    content: Content,
    errors: &'a [String],
    form: ListForm<'a>,
    /// Kinds by what they are about.
    kinds: Vec<(&'static str, Vec<Choice<'static>>)>,
    changes: Vec<Choice<'static>>,
    live: String,
}

/// How many events there are, and the links to the neighbouring pages.
#[derive(Template)]
#[template(path = "pages/event_paging.html")]
struct Paging<'a> {
    prefix: &'a str,
    count: usize,
    /// Positions of the first and the last event of this page, from 1, unless it shows all.
    part: Option<(usize, usize)>,
    newer: Option<String>,
    older: Option<String>,
    /// The oldest event that is kept.
    since: Option<Timestamp>,
    is_filtered: bool,
}

#[derive(Template)]
#[template(path = "pages/event_row.html")]
struct EventRow<'a> {
    prefix: &'a str,
    id: u64,
    at: Timestamp,
    class: &'static str,
    kind: &'static str,
    text: String,
    peer: Option<&'a str>,
    network: Option<&'a str>,
    /// Whether its peer, or else its network, is watched and has a page.
    has_page: bool,
    /// Id of its evidence.
    evidence: Option<&'a str>,
}

/// `GET /events`
pub(super) async fn page(State(pages): State<Pages>, uri: Uri) -> Response {
    let view = EventView::parse(uri.query());
    let state = &pages.state;
    if view.errors.is_empty() && has_empty(uri.query()) {
        return see_other(format!("{}/events{}", state.prefix, view.query()));
    }
    let snapshot = state.fleet.snapshot();
    let content = if view.errors.is_empty() {
        content(&pages, &view, relative_times(&snapshot))
    } else {
        Ok(Content {
            title: title(&pages),
            icon: fleet_icon_url(&state.prefix, &snapshot),
            ..Content::default()
        })
    };
    let page = content.and_then(|content| {
        EventListPage {
            shell: Shell::of(state, &content).at(Place::Events),
            content,
            errors: &view.errors,
            form: ListForm::new(&view.period, &view.peer, &view.network, &snapshot),
            kinds: kind_choices(&view),
            changes: change_choices(&view),
            live: format!("{}/events/live{}", state.prefix, view.query()),
        }
        .render()
    });
    respond(&view.errors, page)
}

/// `GET /events/live`
pub(super) async fn updates(State(pages): State<Pages>, uri: Uri) -> Response {
    let view = EventView::parse(uri.query());
    let address = format!("/events{}", view.query());
    let drawn = pages.clone();
    let draw = move || {
        let snapshot = drawn.state.fleet.snapshot();
        content(&drawn, &view, absolute_times(&snapshot)).ok()
    };
    pages.live(&address, uri.query(), draw)
}

/// Draws the parts of the page that are updated live.
fn content(pages: &Pages, view: &EventView, times: TimeFormat) -> askama::Result<Content> {
    let (state, history) = (&pages.state, &pages.state.history);
    let bounds = view.period.bounds(times.now);
    let events = history.newest_events(|event| view.matches(event, bounds), usize::MAX);
    let ids: Vec<u64> = events.iter().map(|event| event.id).collect();
    let page = PageOfEvents::new(&ids, view.before);
    let kept = all_evidence(pages);
    let shown = &events[page.shown.clone()];
    let snapshot = state.fleet.snapshot();
    let watched: HashSet<&str> = snapshot
        .peers
        .iter()
        .map(|record| record.peer.name.as_str())
        .collect();
    let has_page = |event: &Event| match (&event.peer, &event.network) {
        (Some(peer), _) => watched.contains(peer.as_str()),
        (None, Some(network)) => snapshot.networks.iter().any(|it| it.name == *network),
        (None, None) => false,
    };
    let rows = shown.iter().map(|event| {
        let row = EventRow {
            has_page: has_page(event),
            ..EventRow::new(&state.prefix, event, &kept, times)
        };
        Ok(TableRow {
            key: event.id.to_string(),
            html: row.render()?,
        })
    });
    let rows = rows.collect::<askama::Result<Vec<_>>>()?;
    let paging = Paging {
        prefix: &state.prefix,
        count: events.len(),
        part: (shown.len() < events.len()).then_some((page.shown.start + 1, page.shown.end)),
        newer: page.has_newer.then(|| view.before(page.newer).query()),
        older: page.older.map(|before| view.before(Some(before)).query()),
        since: history.oldest_event().map(|event| times.at(event.at())),
        is_filtered: view.is_filtered(),
    };
    Ok(Content {
        title: title(pages),
        icon: fleet_icon_url(&state.prefix, &snapshot),
        sections: vec![Section::new("paging", paging.render()?)],
        rows,
    })
}

/// A part of all events, and where the neighbouring parts begin.
#[derive(Debug, PartialEq, Eq)]
struct PageOfEvents {
    shown: Range<usize>,
    has_newer: bool,
    /// `before` of the page with newer events; the first one has none.
    newer: Option<u64>,
    /// `before` of the page with older events, if there is one.
    older: Option<u64>,
}

impl PageOfEvents {
    /// Returns the page that begins before the event `before`. `ids` are those of all events, the
    /// newest first.
    fn new(ids: &[u64], before: Option<u64>) -> Self {
        let first = before.map_or(0, |before| ids.partition_point(|id| *id >= before));
        let end = ids.len().min(first + ROWS_PER_PAGE);
        let beginning = |at: usize| at.checked_sub(1).map(|at| ids[at]);
        Self {
            shown: first..end,
            has_newer: first > 0,
            newer: beginning(first.saturating_sub(ROWS_PER_PAGE)),
            older: (end < ids.len()).then(|| beginning(end)).flatten(),
        }
    }
}

fn title(pages: &Pages) -> String {
    let active = pages.state.active_config.get();
    format!("Events · {}", active.config.vantage)
}

/// Returns the events of evidence that was kept, the newest first.
fn all_evidence(pages: &Pages) -> Vec<Arc<Event>> {
    let is_evidence = |event: &Event| matches!(event.kind, EventKind::EvidenceKept { .. });
    pages.state.history.newest_events(is_evidence, usize::MAX)
}

/// Returns the id of the evidence of what an event is about: the first that was kept of that
/// condition of the peer within ten minutes.
fn evidence_of<'a>(event: &'a Event, kept: &'a [Arc<Event>]) -> Option<&'a str> {
    /// Walks of all peers come before it is kept.
    const LATEST_MS: u64 = 600_000;
    let wanted = match &event.kind {
        EventKind::EvidenceKept { evidence, .. } => return Some(evidence),
        EventKind::ConditionBegan { condition } => &**condition,
        EventKind::ForkBegan { .. } => "diverged",
        EventKind::FinalityReceded { .. } => "receding",
        _ => return None,
    };
    let later = kept
        .iter()
        .rev()
        .filter(|it| it.id > event.id && it.at_ms.saturating_sub(event.at_ms) <= LATEST_MS);
    let mut of_subject = later.filter(|it| it.peer == event.peer && it.network == event.network);
    of_subject.find_map(|it| match &it.kind {
        EventKind::EvidenceKept {
            condition,
            evidence,
        } if condition == wanted => Some(evidence.as_str()),
        _ => None,
    })
}

impl<'a> EventRow<'a> {
    fn new(prefix: &'a str, event: &'a Event, kept: &'a [Arc<Event>], times: TimeFormat) -> Self {
        Self {
            prefix,
            id: event.id,
            at: times.at(event.at()),
            class: class(&event.kind),
            kind: kind_text(event.kind.name()),
            text: sanitize(&describe(&event.kind, event.at())),
            peer: event.peer.as_deref(),
            network: event.network.as_deref(),
            has_page: false,
            evidence: evidence_of(event, kept),
        }
    }
}

fn kind_choices(view: &EventView) -> Vec<(&'static str, Vec<Choice<'static>>)> {
    let choice = |(value, text): &(&'static str, &'static str)| Choice {
        value,
        text,
        is_chosen: view.kind == *value,
    };
    let groups = GROUPS.iter();
    groups
        .map(|(name, kinds)| (*name, kinds.iter().map(choice).collect()))
        .collect()
}

fn change_choices(view: &EventView) -> Vec<Choice<'static>> {
    let choice = |change: Change| Choice {
        value: change.as_str(),
        text: match change {
            Change::Worse => "for the worse",
            Change::Better => "for the better",
            Change::Neither => "neither",
        },
        is_chosen: view.change == Some(change),
    };
    Change::ALL.into_iter().map(choice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_without_gaps_and_stay_as_they_are_while_events_happen() {
        let page = |count: u64, before| {
            let ids: Vec<u64> = (1..=count).rev().collect();
            let page = PageOfEvents::new(&ids, before);
            let shown = &ids[page.shown];
            let ends = shown.first().zip(shown.last());
            (
                ends.map(|(a, b)| (*a, *b)),
                page.has_newer,
                page.newer,
                page.older,
            )
        };
        for (count, before, shown, has_newer, newer, older) in [
            (0, None, None, false, None, None),
            (100, None, Some((100, 1)), false, None, None),
            (230, None, Some((230, 131)), false, None, Some(131)),
            (230, Some(131), Some((130, 31)), true, None, Some(31)),
            (230, Some(31), Some((30, 1)), true, Some(131), None),
            (290, Some(31), Some((30, 1)), true, Some(131), None),
            (230, Some(1), None, true, Some(101), None),
            (230, Some(999), Some((230, 131)), false, None, Some(131)),
        ] {
            let expected = (shown, has_newer, newer, older);
            assert_eq!(page(count, before), expected, "{count} {before:?}");
        }
    }

    fn event(id: u64, peer: &str, kind: EventKind) -> Arc<Event> {
        Arc::new(Event {
            id,
            at_ms: id * 60_000,
            peer: Some(peer.to_owned()),
            network: Some("main".to_owned()),
            kind,
        })
    }

    #[test]
    fn an_event_leads_to_the_evidence_that_was_kept_of_it() {
        let evidence = |id, peer, condition: &'static str| {
            let kind = EventKind::EvidenceKept {
                condition: condition.into(),
                evidence: format!("evidence-{id}"),
            };
            event(id, peer, kind)
        };
        let kept = [
            evidence(30, "a", "forked"),
            evidence(13, "a", "forked"),
            evidence(12, "a", "diverged"),
            evidence(11, "b", "forked"),
        ];
        let began = |id, condition: &'static str| {
            let condition = condition.into();
            event(id, "a", EventKind::ConditionBegan { condition })
        };
        let diverged = EventKind::ForkBegan { first_block: None };
        for (event, expected) in [
            (began(10, "forked"), Some("evidence-13")),
            (began(2, "forked"), None),
            (began(14, "forked"), None),
            (began(10, "lagging"), None),
            (event(10, "a", diverged), Some("evidence-12")),
            (event(10, "a", EventKind::ForkEnded), None),
            (Arc::clone(&kept[3]), Some("evidence-11")),
        ] {
            assert_eq!(evidence_of(&event, &kept), expected, "{event:?}");
        }
    }
}

//! The events of a peer, newest first.

use std::sync::Arc;

use askama::Template;
use url::form_urlencoded;

use crate::history::{Event, History};

use crate::web::pages::event_list::{class, describe};
use crate::web::pages::format::{TimeFormat, Timestamp, sanitize};

/// Number of events on one page.
const EVENTS_PER_PAGE: usize = 100;

#[derive(Template)]
#[template(path = "pages/peer/events.html")]
pub(super) struct Events {
    lines: Vec<EventLine>,
    /// Query string of the page with older events.
    older: Option<String>,
    /// Whether newer events are left out.
    pub(super) is_older: bool,
}

/// One event.
pub(super) struct EventLine {
    pub(super) id: u64,
    pub(super) at: Timestamp,
    /// Milliseconds since the epoch.
    pub(super) at_ms: u64,
    pub(super) text: String,
    /// CSS class: a health.
    pub(super) class: &'static str,
}

impl Events {
    /// Returns the page of events that the query of an address asks for: the newest, or with
    /// `before`, those older than this event.
    pub(super) fn page(
        history: &History,
        peer: &str,
        query: Option<&str>,
        times: TimeFormat,
    ) -> Self {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let before = pairs.find(|(key, _)| key == "before");
        let before = before.and_then(|(_, id)| id.parse::<u64>().ok());
        let is_older = |event: &Event| {
            event.peer.as_deref() == Some(peer) && before.is_none_or(|before| event.id < before)
        };
        let events = history.newest_events(is_older, EVENTS_PER_PAGE + 1);
        Self::new(&events, before.is_some(), EVENTS_PER_PAGE, times)
    }

    fn new(events: &[Arc<Event>], is_older: bool, limit: usize, times: TimeFormat) -> Self {
        let shown = &events[..events.len().min(limit)];
        let last = shown.last().filter(|_| events.len() > limit);
        Self {
            lines: lines(shown, times),
            older: last.map(|event| format!("?before={}", event.id)),
            is_older,
        }
    }
}

/// Returns events as lines.
pub(super) fn lines(events: &[Arc<Event>], times: TimeFormat) -> Vec<EventLine> {
    let events = events.iter();
    events.map(|event| EventLine::new(event, times)).collect()
}

impl EventLine {
    pub(super) fn new(event: &Event, times: TimeFormat) -> Self {
        Self {
            id: event.id,
            at: times.at(event.at()),
            at_ms: event.at_ms,
            text: sanitize(&describe(&event.kind, event.at())),
            class: class(&event.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use crate::history::EventKind;

    use super::*;

    #[test]
    fn a_page_of_events_links_to_the_older_ones() {
        let event = |id| {
            Arc::new(Event {
                id,
                at_ms: id,
                peer: Some("p".to_owned()),
                network: None,
                kind: EventKind::RestartInferred,
            })
        };
        let times = TimeFormat {
            now: SystemTime::UNIX_EPOCH,
            relative: true,
        };
        let events = [event(3), event(2), event(1)];
        let page = Events::new(&events, false, 2, times);
        assert_eq!(
            (page.lines.len(), page.older.as_deref()),
            (2, Some("?before=2"))
        );
        let page = Events::new(&events, false, 3, times);
        assert_eq!((page.lines.len(), page.older), (3, None));
    }
}

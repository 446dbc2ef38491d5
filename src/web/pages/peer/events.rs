//! The events of a peer, newest first.

use std::sync::Arc;

use askama::Template;
use url::form_urlencoded;

use crate::fleet::Condition;
use crate::history::{EVENTS_KEPT, Event, EventKind, History};

use crate::web::pages::format::{TimeFormat, Timestamp, sanitize};
use crate::web::pages::labels;

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
        let limit = if before.is_some() {
            EVENTS_KEPT
        } else {
            EVENTS_PER_PAGE + 1
        };
        let mut events = history.peer_events(peer, limit);
        events.retain(|event| before.is_none_or(|before| event.id < before));
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
            text: sanitize(&describe(&event.kind)),
            class: class(&event.kind),
        }
    }

    /// Whether an event is a change for the worse.
    pub(super) fn is_for_the_worse(kind: &EventKind) -> bool {
        matches!(class(kind), "down" | "degraded")
    }
}

/// Describes an event with the words that pages have for health, conditions and reasons.
fn describe(kind: &EventKind) -> String {
    match kind {
        EventKind::HealthChanged { from, to, why } if why.is_empty() => {
            format!("{to}, was {from}")
        }
        EventKind::HealthChanged { from, to, why } => {
            format!("{to}, was {from}: {}", in_words(why))
        }
        EventKind::ConditionBegan { condition } => condition_text(condition).to_owned(),
        EventKind::ConditionEnded { condition } => format!("over: {}", condition_text(condition)),
        kind => kind.to_string(),
    }
}

/// Returns the text for a condition; the label of one that this version does not know.
fn condition_text(label: &str) -> &str {
    match Condition::named(label) {
        Some(condition) => labels::condition(condition),
        None => label,
    }
}

/// Replaces the reasons in `http: REASON: message; tcp: REASON: message` by their texts.
fn in_words(why: &str) -> String {
    let endpoint = |part: &str| {
        let (transport, rest) = part.split_once(": ")?;
        let (reason, message) = rest.split_once(": ").unwrap_or((rest, ""));
        let known = Condition::named(reason).filter(|it| matches!(it, Condition::Failing(_)))?;
        let text = labels::condition(known);
        Some(if message.is_empty() {
            format!("{transport}: {text}")
        } else {
            format!("{transport}: {text}: {message}")
        })
    };
    let parts = why.split("; ");
    let parts = parts.map(|part| endpoint(part).unwrap_or_else(|| part.to_owned()));
    parts.collect::<Vec<_>>().join("; ")
}

/// Returns the CSS class of the health that an event leads to.
fn class(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::HealthChanged { to, .. } => match &**to {
            "up" => "up",
            "degraded" => "degraded",
            "down" => "down",
            _ => "unknown",
        },
        EventKind::ConditionBegan { .. } | EventKind::KeyChanged { .. } => "degraded",
        EventKind::ForkBegan { .. } | EventKind::FinalityReceded { .. } => "down",
        EventKind::ConditionEnded { .. } | EventKind::ForkEnded => "up",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn events_use_the_words_of_the_pages() {
        let changed = |why: &str| EventKind::HealthChanged {
            from: "up".into(),
            to: "down".into(),
            why: why.to_owned(),
        };
        let began = |condition: &'static str| EventKind::ConditionBegan {
            condition: condition.into(),
        };
        for (kind, expected, is_bad) in [
            (changed(""), "down, was up", true),
            (
                changed("http: http_status: 500; 502; tcp: timeout: in 1s"),
                "down, was up: http: HTTP error: 500; 502; tcp: no answer in time: in 1s",
                true,
            ),
            (
                changed("the monitor has no network"),
                "down, was up: the monitor has no network",
                true,
            ),
            (began("endpoint_failing"), "one endpoint fails", true),
            (began("of_a_later_version"), "of_a_later_version", true),
            (
                EventKind::ConditionEnded {
                    condition: "timeout".into(),
                },
                "over: no answer in time",
                false,
            ),
            (EventKind::RestartInferred, "restarted", false),
        ] {
            assert_eq!(describe(&kind), expected);
            assert_eq!(EventLine::is_for_the_worse(&kind), is_bad, "{expected}");
        }
    }

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

//! Live updates of a page: server-sent events with the HTML that has changed since the last one.
//!
//! The page and its updates are drawn by the same function, so they show the same, and the script
//! in the browser knows nothing about peers. Times are absolute: a text such as "5 s ago" would be
//! an update every second.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Content;

/// How often a page is drawn again to find changes.
const REDRAW_INTERVAL: Duration = Duration::from_secs(1);

/// Number of redraws without changes after which a `quiet` event is sent. `live.js` marks the page
/// as stale if it gets no event for 12 s.
const REDRAWS_BEFORE_QUIET: u32 = 5;

/// Maximum number of concurrent streams: each costs drawing its page every second.
const MAX_STREAMS: usize = 32;

/// Permits for streams.
#[derive(Clone, Debug)]
pub(in crate::web) struct LiveStreams(Arc<Semaphore>);

impl Default for LiveStreams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_STREAMS)))
    }
}

/// Draws a page; returns `None` when its peer is gone.
pub(super) type Draw = dyn Fn() -> Option<Content> + Send + Sync;

/// What has changed since the last event; the data of a `news` event.
#[derive(Debug, Default, Serialize)]
struct Changes<'a> {
    title: &'a str,
    icon: &'a str,
    sections: HashMap<&'a str, &'a str>,
    rows: HashMap<&'a str, &'a str>,
    /// The keys of all rows in order, if rows or their order have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<&'a str>>,
}

/// What has been sent, as hashes.
#[derive(Debug, Default)]
struct SentContent {
    title: String,
    icon: String,
    sections: HashMap<String, u64>,
    rows: HashMap<String, u64>,
    order: Option<Vec<String>>,
}

/// One stream of updates.
struct LiveStream {
    draw: Arc<Draw>,
    sent: SentContent,
    redraws: Interval,
    /// Number of redraws since the last event.
    unchanged: u32,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

/// Streams the changes of what `draw` returns, until `stop`, or until the peer or the client is
/// gone.
pub(super) fn stream(streams: &LiveStreams, stop: CancellationToken, draw: Arc<Draw>) -> Response {
    let Ok(permit) = Arc::clone(&streams.0).try_acquire_owned() else {
        let retry_after = [(header::RETRY_AFTER, "30")];
        let message =
            format!("{MAX_STREAMS} pages are being looked at already; reload to see news\n");
        return (StatusCode::SERVICE_UNAVAILABLE, retry_after, message).into_response();
    };
    let mut redraws = interval(REDRAW_INTERVAL);
    redraws.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let live = LiveStream {
        draw,
        sent: SentContent::default(),
        redraws,
        unchanged: 0,
        stop,
        _permit: permit,
    };
    let events = stream::unfold(live, |mut live| async {
        let event = live.next().await?;
        Some((Ok::<_, Infallible>(event), live))
    });
    // Tells nginx not to buffer events.
    let unbuffered = [(header::HeaderName::from_static("x-accel-buffering"), "no")];
    (unbuffered, Sse::new(events)).into_response()
}

impl LiveStream {
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                _ = self.redraws.tick() => {}
            }
            let draw = Arc::clone(&self.draw);
            // Drawing takes too long for the threads that poll.
            let content = tokio::task::spawn_blocking(move || draw()).await.ok()??;
            if let Some(changes) = self.sent.update(&content) {
                self.unchanged = 0;
                return Event::default().event("news").json_data(changes).ok();
            }
            self.unchanged += 1;
            if self.unchanged >= REDRAWS_BEFORE_QUIET {
                self.unchanged = 0;
                return Some(Event::default().event("quiet").data("no news"));
            }
        }
    }
}

impl SentContent {
    /// Records `content` as sent, and returns what has changed in it, if anything.
    fn update<'a>(&mut self, content: &'a Content) -> Option<Changes<'a>> {
        let mut changes = Changes {
            title: &content.title,
            icon: &content.icon,
            ..Changes::default()
        };
        for section in &content.sections {
            let hash = hash(&section.html);
            if self.sections.insert(section.id.to_owned(), hash) != Some(hash) {
                changes.sections.insert(section.id, &section.html);
            }
        }
        let mut rows = HashMap::with_capacity(content.rows.len());
        for row in &content.rows {
            let hash = hash(&row.html);
            if self.rows.get(&row.key) != Some(&hash) {
                changes.rows.insert(&row.key, &row.html);
            }
            rows.insert(row.key.clone(), hash);
        }
        // Forgets rows that are gone: they are sent again when they come back.
        self.rows = rows;
        let order: Vec<&str> = content.rows.iter().map(|row| row.key.as_str()).collect();
        if self.order.as_ref().is_none_or(|sent| *sent != order) {
            self.order = Some(order.iter().map(ToString::to_string).collect());
            changes.order = Some(order);
        }
        let head_changed = self.title != content.title || self.icon != content.icon;
        self.title.clone_from(&content.title);
        self.icon.clone_from(&content.icon);
        let has_changed = head_changed
            || changes.order.is_some()
            || !changes.sections.is_empty()
            || !changes.rows.is_empty();
        has_changed.then_some(changes)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::{Section, TableRow};

    fn content(title: &str, rows: &[(&str, &str)]) -> Content {
        Content {
            title: title.to_owned(),
            icon: String::new(),
            sections: vec![Section::new("summary", "one".to_owned())],
            rows: rows
                .iter()
                .map(|(key, html)| TableRow {
                    key: (*key).to_owned(),
                    html: (*html).to_owned(),
                })
                .collect(),
        }
    }

    fn update_json(sent: &mut SentContent, content: &Content) -> Option<String> {
        sent.update(content)
            .map(|changes| serde_json::to_string(&changes).unwrap())
    }

    #[test]
    fn only_changes_are_sent() {
        let mut sent = SentContent::default();
        let first = content("t", &[("a", "<a>"), ("b", "<b>")]);
        assert!(
            update_json(&mut sent, &first)
                .unwrap()
                .contains(r#""order":["a","b"]"#)
        );
        assert_eq!(update_json(&mut sent, &first), None);
        let changed = content("t", &[("a", "<a>"), ("b", "<c>")]);
        assert_eq!(
            update_json(&mut sent, &changed).unwrap(),
            r#"{"title":"t","icon":"","sections":{},"rows":{"b":"<c>"}}"#
        );
        let moved = content("t", &[("b", "<c>"), ("a", "<a>")]);
        assert_eq!(
            update_json(&mut sent, &moved).unwrap(),
            r#"{"title":"t","icon":"","sections":{},"rows":{},"order":["b","a"]}"#
        );
        assert!(update_json(&mut sent, &content("u", &[("b", "<c>"), ("a", "<a>")])).is_some());
    }

    #[test]
    fn a_row_that_comes_back_is_sent_again() {
        let mut sent = SentContent::default();
        let both = content("t", &[("a", "<a>"), ("b", "<b>")]);
        update_json(&mut sent, &both);
        update_json(&mut sent, &content("t", &[("a", "<a>")]));
        assert!(
            update_json(&mut sent, &both)
                .unwrap()
                .contains(r#""rows":{"b":"<b>"}"#)
        );
    }
}

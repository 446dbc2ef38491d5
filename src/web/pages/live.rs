//! What a page shows, told again as it changes: server-sent events with the HTML of what has changed since the event before.

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

/// From one look at what is shown to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After so many looks without news the reader is told that there are none. It calls what it shows stale soon after that.
const QUIET_LOOKS: u32 = 5;

/// Streams at a time, of all pages and readers: each costs the drawing of its page every second.
const STREAMS: usize = 32;

/// How many streams there may be.
#[derive(Clone, Debug)]
pub(in crate::web) struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

/// Draws a page; none when what it is about is gone.
pub(super) type Draw = dyn Fn() -> Option<Content> + Send + Sync;

/// What has changed since the event before.
#[derive(Debug, Default, Serialize)]
struct News<'a> {
    title: &'a str,
    icon: &'a str,
    sections: HashMap<&'a str, &'a str>,
    rows: HashMap<&'a str, &'a str>,
    /// All rows in order, when they are others than before or in another order.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<&'a str>>,
}

/// What was told already, as hashes.
#[derive(Debug, Default)]
struct Told {
    title: String,
    icon: String,
    sections: HashMap<String, u64>,
    rows: HashMap<String, u64>,
    order: Option<Vec<String>>,
}

struct Telling {
    draw: Arc<Draw>,
    told: Told,
    looks: Interval,
    quiet: u32,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

/// A stream of what `draw` shows, until `stop`, until its subject or its reader is gone.
pub(super) fn stream(streams: &Streams, stop: CancellationToken, draw: Arc<Draw>) -> Response {
    let Ok(permit) = Arc::clone(&streams.0).try_acquire_owned() else {
        let after = [(header::RETRY_AFTER, "30")];
        let message = format!("{STREAMS} pages are being looked at already; reload to see news\n");
        return (StatusCode::SERVICE_UNAVAILABLE, after, message).into_response();
    };
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let telling = Telling {
        draw,
        told: Told::default(),
        looks,
        quiet: 0,
        stop,
        _permit: permit,
    };
    let events = stream::unfold(telling, |mut telling| async {
        let event = telling.next().await?;
        Some((Ok::<_, Infallible>(event), telling))
    });
    // A proxy in front must not keep events back.
    let unbuffered = [(header::HeaderName::from_static("x-accel-buffering"), "no")];
    (unbuffered, Sse::new(events)).into_response()
}

impl Telling {
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                _ = self.looks.tick() => {}
            }
            let draw = Arc::clone(&self.draw);
            // Drawing is work: not on the threads that poll.
            let content = tokio::task::spawn_blocking(move || draw()).await.ok()??;
            if let Some(news) = self.told.news(&content) {
                self.quiet = 0;
                return Event::default().event("news").json_data(news).ok();
            }
            self.quiet += 1;
            if self.quiet >= QUIET_LOOKS {
                self.quiet = 0;
                return Some(Event::default().event("quiet").data("no news"));
            }
        }
    }
}

impl Told {
    /// What of `content` was not told yet; none when all was.
    fn news<'a>(&mut self, content: &'a Content) -> Option<News<'a>> {
        let mut news = News {
            title: &content.title,
            icon: &content.icon,
            ..News::default()
        };
        for section in &content.sections {
            let hash = hash(&section.html);
            if self.sections.insert(section.id.to_owned(), hash) != Some(hash) {
                news.sections.insert(section.id, &section.html);
            }
        }
        let mut rows = HashMap::with_capacity(content.rows.len());
        for row in &content.rows {
            let hash = hash(&row.html);
            if self.rows.get(&row.key) != Some(&hash) {
                news.rows.insert(&row.key, &row.html);
            }
            rows.insert(row.key.clone(), hash);
        }
        // A row that has left and comes again is told again.
        self.rows = rows;
        let order: Vec<&str> = content.rows.iter().map(|row| row.key.as_str()).collect();
        if self.order.as_ref().is_none_or(|told| *told != order) {
            self.order = Some(order.iter().map(ToString::to_string).collect());
            news.order = Some(order);
        }
        let renamed = self.title != content.title || self.icon != content.icon;
        self.title.clone_from(&content.title);
        self.icon.clone_from(&content.icon);
        let any =
            renamed || news.order.is_some() || !news.sections.is_empty() || !news.rows.is_empty();
        any.then_some(news)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::{Piece, Section};
    use super::*;

    fn content(title: &str, rows: &[(&str, &str)]) -> Content {
        Content {
            title: title.to_owned(),
            icon: String::new(),
            sections: vec![Section::new("summary", "one".to_owned())],
            rows: rows
                .iter()
                .map(|(key, html)| Piece {
                    key: (*key).to_owned(),
                    html: (*html).to_owned(),
                })
                .collect(),
        }
    }

    fn json(told: &mut Told, content: &Content) -> Option<String> {
        told.news(content)
            .map(|news| serde_json::to_string(&news).unwrap())
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let mut told = Told::default();
        let first = content("t", &[("a", "<a>"), ("b", "<b>")]);
        assert!(
            json(&mut told, &first)
                .unwrap()
                .contains(r#""order":["a","b"]"#)
        );
        assert_eq!(json(&mut told, &first), None);
        let changed = content("t", &[("a", "<a>"), ("b", "<c>")]);
        assert_eq!(
            json(&mut told, &changed).unwrap(),
            r#"{"title":"t","icon":"","sections":{},"rows":{"b":"<c>"}}"#
        );
        let moved = content("t", &[("b", "<c>"), ("a", "<a>")]);
        assert_eq!(
            json(&mut told, &moved).unwrap(),
            r#"{"title":"t","icon":"","sections":{},"rows":{},"order":["b","a"]}"#
        );
        assert!(json(&mut told, &content("u", &[("b", "<c>"), ("a", "<a>")])).is_some());
    }

    #[test]
    fn a_row_that_comes_again_is_told_again() {
        let mut told = Told::default();
        let both = content("t", &[("a", "<a>"), ("b", "<b>")]);
        json(&mut told, &both);
        json(&mut told, &content("t", &[("a", "<a>")]));
        assert!(
            json(&mut told, &both)
                .unwrap()
                .contains(r#""rows":{"b":"<b>"}"#)
        );
    }
}

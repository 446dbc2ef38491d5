//! Live updates of pages: server-sent events with the HTML that has changed.
//!
//! A page and its updates are drawn by the same function, so they show the same, and the script in
//! the browser knows nothing about peers. Times are absolute: a text such as "5 s ago" would be an
//! update every second. All viewers of one address get the same updates, drawn and encoded
//! once.

mod changes;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Content;
use changes::{encode, encode_head};

/// How often a page is drawn again to find changes.
const REDRAW_INTERVAL: Duration = Duration::from_secs(1);

/// A `quiet` event is sent after this time without changes. `live.js` marks the page as stale if it
/// gets no event for 12 s.
const QUIET_AFTER: Duration = Duration::from_secs(5);

/// Maximum number of concurrent streams.
const MAX_STREAMS: usize = 128;

/// Maximum number of different pages that are drawn each second for all streams.
const MAX_VIEWS: usize = 32;

/// Draws a page; returns `None` when its peer is gone.
pub(super) type Draw = dyn Fn() -> Option<Content> + Send + Sync;

/// The streams, and the pages that they show.
#[derive(Clone, Debug)]
pub(in crate::web) struct LiveStreams {
    permits: Arc<Semaphore>,
    /// Pages by their address. A page without viewers is removed.
    views: Arc<Mutex<HashMap<String, Weak<View>>>>,
}

impl Default for LiveStreams {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_STREAMS)),
            views: Arc::default(),
        }
    }
}

/// A page that somebody looks at, drawn each second as long as that is so.
#[derive(Debug)]
struct View {
    /// The newest frame; closed when the page is gone.
    frames: watch::Receiver<Option<Arc<Frame>>>,
    _task: AbortOnDropHandle<()>,
}

/// A drawn page, and how it differs from the frame before.
#[derive(Debug)]
struct Frame {
    /// Grows by one with each change.
    number: u64,
    content: Content,
    /// The changes since the frame before, as JSON.
    changes: Arc<str>,
}

impl LiveStreams {
    /// Returns the page at `address`, which `draw` draws; none if too many others are looked at.
    fn view(&self, address: &str, draw: Arc<Draw>) -> Option<Arc<View>> {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = views.get(address).and_then(Weak::upgrade) {
            return Some(view);
        }
        views.retain(|_, view| view.strong_count() > 0);
        if views.len() >= MAX_VIEWS {
            return None;
        }
        let (sender, frames) = watch::channel(None);
        let view = Arc::new(View {
            frames,
            _task: AbortOnDropHandle::new(tokio::spawn(redraw(draw, sender))),
        });
        views.insert(address.to_owned(), Arc::downgrade(&view));
        Some(view)
    }
}

/// Draws a page each second until it is gone.
async fn redraw(draw: Arc<Draw>, frames: watch::Sender<Option<Arc<Frame>>>) {
    let mut redraws = interval(REDRAW_INTERVAL);
    redraws.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        redraws.tick().await;
        let (draw, before) = (Arc::clone(&draw), frames.borrow().clone());
        // Drawing takes too long for the threads that poll.
        let drawn = tokio::task::spawn_blocking(move || {
            let content = draw()?;
            let before = before.as_deref();
            let changes = encode(before.map(|frame| &frame.content), &content);
            let number = before.map_or(0, |frame| frame.number + 1);
            Some(changes.map(|changes| Frame {
                number,
                content,
                changes: changes.into(),
            }))
        });
        match drawn.await {
            Ok(Some(Some(frame))) => {
                frames.send_replace(Some(Arc::new(frame)));
            }
            Ok(Some(None)) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

/// What a stream sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Everything that changes.
    Page,
    /// Title and icon, for a page that is not seen.
    Head,
}

impl Detail {
    /// Reads the query string of a stream: `head` asks for title and icon only.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        if pairs.any(|(key, _)| key == "head") {
            Self::Head
        } else {
            Self::Page
        }
    }
}

/// One stream of updates.
struct LiveStream {
    /// Keeps the page being drawn.
    _view: Arc<View>,
    frames: watch::Receiver<Option<Arc<Frame>>>,
    detail: Detail,
    /// The frame that was sent last.
    sent: Option<Arc<Frame>>,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

/// Streams the changes of the page at `address`, which `draw` draws, until `stop`, or until the
/// peer or the client is gone.
pub(super) fn stream(
    streams: &LiveStreams,
    address: &str,
    detail: Detail,
    stop: CancellationToken,
    draw: Arc<Draw>,
) -> Response {
    let permit = Arc::clone(&streams.permits).try_acquire_owned().ok();
    let view = permit.and_then(|permit| Some((streams.view(address, draw)?, permit)));
    let Some((view, permit)) = view else {
        let retry_after = [(header::RETRY_AFTER, "30")];
        let message = "too many pages are open; reload to see what is new\n";
        return (StatusCode::SERVICE_UNAVAILABLE, retry_after, message).into_response();
    };
    let live = LiveStream {
        frames: view.frames.clone(),
        _view: view,
        detail,
        sent: None,
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
        let quiet = sleep_until(Instant::now() + QUIET_AFTER);
        tokio::pin!(quiet);
        loop {
            let frame = self.frames.borrow_and_update().clone();
            if let Some(event) = frame.and_then(|frame| self.news(frame)) {
                return Some(event);
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                changed = self.frames.changed() => changed.ok()?,
                () = &mut quiet => return Some(Event::default().event("quiet").data("no news")),
            }
        }
    }

    /// Returns the event with what is new in a frame, if anything is.
    fn news(&mut self, frame: Arc<Frame>) -> Option<Event> {
        let sent = self.sent.as_deref();
        if sent.is_some_and(|sent| sent.number == frame.number) {
            return None;
        }
        let follows = sent.is_some_and(|sent| sent.number + 1 == frame.number);
        let news: Option<Arc<str>> = match self.detail {
            Detail::Head => encode_head(sent.map(|sent| &sent.content), &frame.content),
            Detail::Page if follows => Some(Arc::clone(&frame.changes)),
            // The first frame, or one after others that a slow client did not get.
            Detail::Page => encode(sent.map(|sent| &sent.content), &frame.content).map(Into::into),
        };
        self.sent = Some(frame);
        news.map(|news| Event::default().event("news").data(news))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn counting(drawn: &Arc<AtomicU64>) -> Arc<Draw> {
        let drawn = Arc::clone(drawn);
        Arc::new(move || {
            let count = drawn.fetch_add(1, Ordering::Relaxed);
            Some(Content {
                title: format!("{count} times"),
                ..Content::default()
            })
        })
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_is_drawn_once_for_all_and_not_at_all_for_nobody() {
        let streams = LiveStreams::default();
        let drawn = Arc::new(AtomicU64::new(0));
        let views = [1, 2, 3].map(|_| streams.view("/live", counting(&drawn)).unwrap());
        let mut frames = views[0].frames.clone();
        for _ in 0..3 {
            frames.changed().await.unwrap();
        }
        assert_eq!(drawn.load(Ordering::Relaxed), 3);
        drop(views);
        assert!(frames.changed().await.is_err(), "its task has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_different_pages_is_limited() {
        let streams = LiveStreams::default();
        let drawn = Arc::default();
        let address = |i: usize| format!("/peers/{i}/live");
        let open: Vec<_> = (0..MAX_VIEWS)
            .map(|i| streams.view(&address(i), counting(&drawn)).unwrap())
            .collect();
        assert!(streams.view("/live", counting(&drawn)).is_none());
        assert!(streams.view(&address(0), counting(&drawn)).is_some());
        drop(open);
        assert!(streams.view("/live", counting(&drawn)).is_some());
    }

    #[test]
    fn a_page_that_is_not_seen_asks_for_its_head_only() {
        assert_eq!(Detail::parse(None), Detail::Page);
        assert_eq!(Detail::parse(Some("q=head")), Detail::Page);
        assert_eq!(Detail::parse(Some("q=a&head=")), Detail::Head);
    }
}

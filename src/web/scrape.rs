//! `/metrics`: written and compressed on a thread that polls nobody, once for all who ask meanwhile.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::watch;

use crate::metrics::{AgentFacts, write_exposition};

use super::Site;

/// The text format that the prometheus crate writes.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The expositions of a site.
#[derive(Clone, Debug)]
pub(super) struct Scrapes {
    site: Site,
    /// The one that is being written.
    under_way: Arc<Mutex<Option<watch::Receiver<Written>>>>,
}

/// What is written of an exposition so far. It is held compressed alone: the text is some twenty times longer.
#[derive(Debug, Default)]
struct Written {
    pieces: Vec<Bytes>,
    complete: bool,
}

impl Scrapes {
    pub(super) fn new(site: Site) -> Self {
        Self {
            site,
            under_way: Arc::default(),
        }
    }

    /// The exposition that is being written, or a new one.
    fn join(&self) -> watch::Receiver<Written> {
        let mut under_way = self.under_way();
        // Without a sender nobody writes it any more.
        if let Some(written) = under_way.as_ref()
            && written.has_changed().is_ok()
        {
            return written.clone();
        }
        let (sender, written) = watch::channel(Written::default());
        *under_way = Some(written.clone());
        let scrapes = self.clone();
        tokio::task::spawn_blocking(move || {
            write(&scrapes.site, &sender);
            // Who asks from now on is told what is known then.
            scrapes.under_way().take();
        });
        written
    }

    fn under_way(&self) -> MutexGuard<'_, Option<watch::Receiver<Written>>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writing ten thousand peers, and compressing them, takes a while: not on the threads that poll. What answers other routes
/// is compressed where it is sent.
pub(super) async fn metrics(State(scrapes): State<Scrapes>, headers: HeaderMap) -> Response {
    let described = [
        (header::CONTENT_TYPE, METRICS_TYPE),
        (header::VARY, "accept-encoding"),
    ];
    let compressed = pieces(scrapes.join());
    if accepts_gzip(&headers) {
        let body = Body::from_stream(compressed);
        return (described, [(header::CONTENT_ENCODING, "gzip")], body).into_response();
    }
    (described, Body::from_stream(expanded(compressed))).into_response()
}

fn write(site: &Site, written: &watch::Sender<Written>) {
    let in_force = site.current.get();
    let facts = AgentFacts {
        vantage: in_force.config.vantage.clone(),
        mode: in_force.config.mode,
        shard: site.shard.numbers(),
        reload_successful: in_force.reload_successful,
        loaded: in_force.loaded,
    };
    // At the level that costs least: a scrape goes to a neighbour as a rule.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    write_exposition(
        &site.fleet.snapshot(),
        &facts,
        in_force.config.detail,
        &site.registry,
        &mut |text| {
            encoder.write_all(text.as_bytes()).expect(ANY_BYTES);
            let piece = std::mem::take(encoder.get_mut());
            if !piece.is_empty() {
                written.send_modify(|written| written.pieces.push(piece.into()));
            }
        },
    );
    let last = encoder.finish().expect(ANY_BYTES);
    written.send_modify(|written| {
        written.pieces.push(last.into());
        written.complete = true;
    });
}

/// Why compressing to memory cannot fail.
const ANY_BYTES: &str = "a vector takes all that is written to it";

/// Each piece as soon as it is written; an error when it is not written to its end.
fn pieces(written: watch::Receiver<Written>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((written, 0), async |(mut written, next)| {
        let more = |written: &Written| written.complete || next < written.pieces.len();
        let piece = match written.wait_for(more).await {
            Ok(written) => written.pieces.get(next).cloned(),
            Err(_) => {
                return Err(io::Error::other(
                    "the exposition was not written to its end",
                ));
            }
        };
        Ok(piece.map(|piece| (piece, (written, next + 1))))
    })
}

/// The text of what is compressed.
fn expanded(
    compressed: impl Stream<Item = io::Result<Bytes>>,
) -> impl Stream<Item = io::Result<Bytes>> {
    let mut decoder = GzDecoder::new(Vec::new());
    compressed.map(move |piece| {
        decoder.write_all(&piece?)?;
        // The end of a text may be held back until its checksum is read.
        decoder.flush()?;
        Ok(std::mem::take(decoder.get_mut()).into())
    })
}

/// Whether an answer in gzip is welcome: it is named, and not with the weight 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts
            .filter_map(|parameter| parameter.strip_prefix("q="))
            .any(|weight| weight.parse() == Ok(0.0));
        named && !refused
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use futures_util::{FutureExt, TryStreamExt};

    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (asked, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("identity", false),
            ("gzip;q=0, identity", false),
            ("gzip; q=0.000", false),
            ("x-gzip-like", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(asked));
            assert_eq!(accepts_gzip(&headers), expected, "{asked}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn who_joins_late_reads_from_the_beginning_and_as_it_is_written() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let line = "convex_peer_up{peer=\"a\"} 1\n";
        encoder.write_all(line.repeat(10_000).as_bytes()).unwrap();
        let compressed = Bytes::from(encoder.finish().unwrap());
        let (sender, written) = watch::channel(Written::default());
        let half = compressed.len() / 2;
        sender.send_modify(|written| written.pieces.push(compressed.slice(..half)));

        let mut late = Box::pin(pieces(written.clone()));
        assert_eq!(late.next().await.unwrap().unwrap(), compressed[..half]);
        assert!(late.next().now_or_never().is_none());
        sender.send_modify(|written| {
            written.pieces.push(compressed.slice(half..));
            written.complete = true;
        });
        assert_eq!(late.next().await.unwrap().unwrap(), compressed[half..]);
        assert!(late.next().await.is_none());

        let text: Vec<Bytes> = expanded(pieces(written)).try_collect().await.unwrap();
        assert!(text[0].starts_with(line.as_bytes()));
        assert_eq!(text.concat(), line.repeat(10_000).as_bytes());
    }

    #[tokio::test]
    async fn what_is_not_written_to_its_end_fails_for_all_who_read_it() {
        let (sender, written) = watch::channel(Written::default());
        sender.send_modify(|written| written.pieces.push(Bytes::from_static(b"a")));
        let mut reading = Box::pin(pieces(written));
        drop(sender);
        assert!(reading.next().await.unwrap().is_ok());
        assert!(reading.next().await.unwrap().is_err());
    }
}
